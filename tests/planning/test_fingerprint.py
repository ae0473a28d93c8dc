"""The fingerprint of a stage covers all the code behind it, and no other."""

import ast
import shutil
from pathlib import Path

import calibench
import pytest
from calibench.figures import NEEDS
from calibench.planning import fingerprint

PACKAGE = Path(calibench.__file__).parent


CACHED = (fingerprint._read, fingerprint._data_files, fingerprint.of_modules)


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """``codes(edit=file)``: the fingerprint of every kind of figure and of training, of a copy edited so."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, folder / "calibench", ignore=shutil.ignore_patterns("__pycache__"))
    patch = pytest.MonkeyPatch()
    patch.setattr(fingerprint, "ROOT", folder)

    def found(edit=None, text=""):
        path = folder / "calibench" / (edit or "files.py")
        before = path.read_text()
        path.write_text(before + text)
        for cached in CACHED:
            cached.cache_clear()
        of = fingerprint.of_modules
        made = {k: of("calibench.stages.figure", f"calibench.figures.{k}") for k in NEEDS}
        made |= {"train": of("calibench.stages.train", "calibench.regimes.ols")}
        made |= {stage: of(f"calibench.stages.{stage}") for stage in ("analyse", "report", "list")}
        path.write_text(before)
        return made

    yield found
    patch.undo()
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture(scope="module")
def unchanged(codes):
    return codes()


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("metrics/probabilities.py", "x = 1\n", {*NEEDS, "analyse", "report"}),
        ("finished/read.py", "x = 1\n", {*NEEDS, "analyse", "report"}),
        ("finished/reuse.py", "x = 1\n", {*NEEDS, "train", "analyse", "report"}),
        ("figures/curves.py", "x = 1\n", {"curves", "entropy"}),
        ("figures/style.py", "x = 1\n", {*NEEDS}),
        ("regimes/ols.py", "x = 1\n", {"train"}),
        ("regimes/ls.py", "x = 1\n", set()),
        ("metrics/calibration.py", "# a comment\n", set()),
        ("backbones/names.py", "x = 1\n", {*NEEDS, "report"}),
        ("report/page.css", "p {}\n", {"report"}),
        ("report/templates/summary.html", "one word", {"report"}),
        ("files.py", "x = 1\n", set()),
    ],
)
def test_what_a_change_reaches(codes, unchanged, file, text, changed):
    after = codes(file, text)
    assert {name for name in unchanged if unchanged[name] != after[name]} == changed


@pytest.mark.parametrize(("error", "different"), [("UserError", 1), ("Unreadable", 2)])
def test_the_sentence_of_a_user_error_changes_nothing(error, different):
    """That of an unreadable image does: it is written into tables."""
    trees = (ast.parse(f"raise {error}('{word}') from problem") for word in "ab")
    assert len({ast.dump(fingerprint._without_texts(tree)) for tree in trees}) == different
