"""The fingerprint of a stage covers all the code behind it, and no other."""

import ast
import shutil
from pathlib import Path

import calibench
import pytest
from calibench.figures import NEEDS
from calibench.planning import fingerprint

PACKAGE = Path(calibench.__file__).parent


@pytest.fixture
def codes(tmp_path, monkeypatch):
    """``codes(edit=file)``: the fingerprint of every kind of figure and of training, of a copy edited so."""
    shutil.copytree(PACKAGE, tmp_path / "calibench", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)

    def found(edit=None, text="x_of_a_test = 1\n"):
        path = tmp_path / "calibench" / edit if edit else None
        before = path.read_text() if path else ""
        if path:
            path.write_text(before + text)
        for cached in (fingerprint._read, fingerprint._data_files, fingerprint.of_modules):
            cached.cache_clear()
        of = fingerprint.of_modules
        made = {k: of("calibench.stages.figure", f"calibench.figures.{k}") for k in NEEDS}
        made |= {"train": of("calibench.stages.train", "calibench.regimes.ols")}
        made |= {stage: of(f"calibench.stages.{stage}") for stage in ("analyse", "report", "list")}
        if path:
            path.write_text(before)
        return made

    yield found
    for cached in (fingerprint._read, fingerprint._data_files, fingerprint.of_modules):
        cached.cache_clear()


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
def test_what_a_change_reaches(codes, file, text, changed):
    before, after = codes(), codes(file, text)
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.mark.parametrize(("error", "different"), [("UserError", 1), ("Unreadable", 2)])
def test_the_sentence_of_a_user_error_changes_nothing(error, different):
    """That of an unreadable image does: it is written into tables."""
    trees = (ast.parse(f"raise {error}('{word}') from problem") for word in "ab")
    assert len({ast.dump(fingerprint._without_texts(tree)) for tree in trees}) == different
