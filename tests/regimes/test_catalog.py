"""What is read of a regime's file without importing it."""

import pytest
from calibench.errors import UserError
from calibench.regimes import build
from calibench.regimes.catalog import catalog, read_regime

BASE = """
from calibench.regimes.base import Regime

class Base(Regime):
    name = "base_one"
    label = "Base"
    source = "ours"
    needs = ("sample",)
    inputs = ("matrix",)
    other_runs = {"of": "regime"}
    shows_matrix = True

    def __init__(self, num_classes, *, alpha=0.5, of="{backbone}/ols", must): ...
"""


@pytest.fixture
def read(tmp_path):
    (tmp_path / "base_one.py").write_text(BASE)

    def info(text):
        path = tmp_path / "mine.py"
        path.write_text("from calibench.regimes.base_one import Base as Other\n" + text)
        return read_regime(path)

    return info


def test_a_subclass_takes_over_all_but_its_names(read):
    info = read('class Mine(Other):\n    name = "mine"\n')
    assert (info.name, info.label, info.class_name, info.source) == ("mine", "mine", "Mine", "ours")
    assert info.settings == {"alpha": 0.5, "of": "{backbone}/ols"} and info.required == ("must",)
    assert info.needs == ("sample",) and info.inputs == ("matrix",) and info.shows_matrix
    assert info.other_runs == {"of": "regime"}


def test_its_own_statements_come_first(read):
    text = (
        'class Mine(Other):\n    name = "mine"\n    needs = ()\n    shows_matrix = False\n'
        "    def __init__(self, num_classes, *, beta=1): ...\n"
    )
    info = read(text)
    assert info.settings == {"beta": 1} and info.required == () and info.needs == () and not info.shows_matrix


def test_a_base_in_the_same_file_counts_too(read):
    info = read('class Half(Other):\n    needs = ()\n\nclass Mine(Half):\n    name = "mine"\n')
    assert info.class_name == "Mine" and info.needs == () and info.required == ("must",)


def test_a_class_without_a_name_of_its_own_is_no_regime(read):
    with pytest.raises(UserError, match="no class with a literal `name"):
        read("class Mine(Other):\n    pass\n")


def test_defaults_that_are_computed_are_told(read):
    with pytest.raises(UserError, match="defaults of __init__ must be literals"):
        read('class Mine(Other):\n    name = "mine"\n    def __init__(self, k, *, a=len("x")): ...\n')


WRONG = (-1, 1.5, 0, 1, "nonsense", None)


@pytest.mark.parametrize("name", catalog())
def test_settings_are_checked_without_torch_as_the_class_checks_them(name):
    """What planning says of a value is what the job would have said."""
    info = catalog()[name]
    given = {"matrix_of": "a/ols", "teacher": "a/hard"}
    base = info.settings | {key: given[key] for key in info.required}
    info.check(base)
    plain = [key for key in info.settings if not (info.combines and key in ("of", "settings"))]
    for key, value in ((key, value) for key in plain for value in WRONG):
        if isinstance(info.settings[key], bool):
            with pytest.raises(UserError, match=f"{key} is .*; it must be true or false"):
                info.check(base | {key: value})
            continue
        said = []
        for check in (lambda settings: build(name, 4, **settings), info.check):
            try:
                check(base | {key: value})
                said.append("")
            except UserError as error:
                said.append(str(error))
            except (TypeError, RuntimeError):  # what no check names: torch says it in the job
                said.append(None)
        assert said[0] is None or said[0] == said[1]
