"""docs/regimes.md says what the code does, and its examples run."""

import math
import re
from pathlib import Path

import pytest
from calibench.regimes.catalog import catalog

PAGE = (Path(__file__).parents[2] / "docs" / "regimes.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_no_row_is_left_over():
    assert not set(ROWS) - set(catalog())


@pytest.mark.parametrize("name", catalog())
def test_every_regime_has_a_row(name):
    assert name in ROWS, (
        f"docs/regimes.md: the table lacks a row for `{name}` (docs/adding-a-regime.md, step 4)"
    )


@pytest.mark.parametrize("name", [name for name in catalog() if name in ROWS])
def test_the_row_states_the_settings_with_their_defaults(name):
    stated = dict(re.findall(r"`(\w+)=([^`]+)`", ROWS[name]))
    assert stated == {key: repr(value) for key, value in catalog()[name].settings.items()}


def test_the_plain_example_runs_and_is_short(capsys):
    scope = {}
    exec(EXAMPLES[0], scope)
    assert capsys.readouterr().out.count("matrix_entropy") == 3
    assert not scope["regime"].matrix.allclose(scope["regime"].matrix.new_full((3, 3), 1 / 3))
    loop = EXAMPLES[0].split("images, labels")[1]
    assert len(loop.strip().splitlines()) <= 10


def test_the_lightning_style_example_runs():
    scope = {}
    exec(EXAMPLES[1], scope)
    entropy = scope["module"].diagnostics["matrix_entropy"]
    assert 0 < entropy < math.log(2)
    assert "regime.C" in scope["module"].state_dict()
