"""docs/robustness.md: every row names a test that exists, and every test of bad input has a row."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/robustness.md").read_text(encoding="utf-8")
REFERENCES = re.findall(r"`([./\w]+\.py)::(\w+)(?:\[([\w-]+)\])?`", PAGE)


def test_every_row_names_tests():
    rows = [
        line
        for line in PAGE.splitlines()
        if line.startswith("| ") and not re.match(r"\| (input|event) \|", line)
    ]
    assert len(rows) > 40
    assert not [row for row in rows if "::test_" not in row]


def test_every_named_test_exists():
    for file, test, case in REFERENCES:
        source = (HERE / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source, (file, test)
        assert not case or f'"{case}"' in source, (file, case)


def test_every_test_of_bad_input_is_in_the_page():
    named = {(file, test) for file, test, _ in REFERENCES}
    for file in ("test_images.py", "test_lists.py", "test_disks.py"):
        tests = re.findall(r"^def (test_\w+)\(", (HERE / file).read_text(encoding="utf-8"), re.M)
        assert {(file, test) for test in tests} <= named
