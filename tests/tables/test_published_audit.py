"""The audit of published numbers: identities on possible and impossible rows, and what the papers hold."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calibench import published_audit as stage
from calibench.errors import UserError
from calibench.metrics import identities, measure

from tests.metrics.fake_runs import make_logits

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published"
FILES = sorted(PUBLISHED.glob("*.csv"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("audit") / "published_audit.csv"
    stage.main(
        ["--published", *map(str, FILES), "--claims", str(PUBLISHED / "claims.json"), "--out", str(out)]
    )
    return pd.read_csv(out, keep_default_na=False)


@pytest.mark.parametrize(
    ("cells", "rule", "holds"),
    [
        ({"top1_error": 0.2380, "avg_confidence": 0.7906, "ece": 0.0151}, "confidence", False),
        ({"top1_error": 0.2427, "avg_confidence": 0.8783, "ece": 0.1537}, "confidence", True),
        ({"accuracy": 0.75, "avg_confidence": 0.80, "ece": 0.04995}, "confidence", True),  # within rounding
        ({"top1_error": 0.04, "top5_error": 0.05}, "Top-5", False),
        ({"top1_error": 0.30, "brier": 0.14}, "Brier", False),
        ({"top1_error": 0.30, "brier": 0.16}, "Brier", True),
        ({"top1_error": 0.30, "nll": 0.20}, "NLL", False),
        ({"top1_error": 0.30, "nll": 0.21}, "NLL", True),
        ({"precision": 0.6, "recall": 0.5, "f1": 0.56}, "F1", False),
    ],
)
def test_each_identity_tells_possible_from_impossible(cells, rule, holds):
    found = identities.check({name: (value, 0.0001) for name, value in cells.items()})
    assert len(found) == 1 and rule in found[0].rule and found[0].holds is holds


def test_the_identities_hold_on_real_predictions():
    rng = np.random.default_rng(0)
    for k in (2, 2, 5):
        for sharpness in (0.2, 1, 8):
            targets = rng.integers(0, k, 150)
            values = measure(make_logits(rng, targets, k, 0.7, sharpness), targets)
            found = identities.check({name: (value, 0.0) for name, value in values.items()})
            assert len(found) == 5 and all(f.holds for f in found)


def rows(table, paper, rule):
    return table[table["paper"].str.startswith(paper) & table["rule"].str.contains(rule, regex=False)]


def test_the_target_papers_rows_are_those_that_are_known(table):
    found = rows(table, "arXiv 2510.20011", "confidence − accuracy")
    assert set(found.loc[found["regime"] != "", "regime"]) == {"ls", "ols"}
    assert set(found.loc[found["regime"] == "", "statement"]) == {"1 of 3 rows hold"}
    claims = rows(table, "arXiv 2510.20011", "text:").set_index("rule")["holds"]
    assert sum(claims == "no") == 6 and sum(claims == "yes") == 2


def test_what_is_found_in_the_other_papers(table):
    copied = rows(table, "LS++", "baseline run by the paper itself")
    assert len(copied) == 9 and set(copied["regime"]) == {"hard", "ls", "ols"}
    twice = rows(table, "LS++", "one cell, one value")
    assert list(twice["statement"]) == ["accuracy: Table 3: 82.70; Table 7: 82.22"]
    assert set(rows(table, "LS+ (", "≥ error")["statement"]) == {"36 of 36 rows hold"}
    assert rows(table, "Zhang", "Average Top-5 improvement of Tf-KD")["holds"].item() == "no"
    assert rows(table, "Zhang", "2.11 % gain")["holds"].item() == "yes"


def test_our_own_rows_are_held_to_the_same(tmp_path):
    names = [
        "dataset",
        "backbone",
        "regime",
        "variant",
        "seed",
        "split",
        "checkpoint",
        "metric",
        "value",
        "n",
    ]
    good = [
        ["d", "b", "ols", "", 0, "test", "top1", m, v, 9] for m, v in [("top1_error", 0.3), ("brier", 0.4)]
    ]
    bad = [["d", "b", "ls", "", 0, "test", "top1", m, v, 9] for m, v in [("top1_error", 0.3), ("brier", 0.1)]]
    pd.DataFrame(good + bad, columns=names).to_csv(tmp_path / "m.csv", index=False)
    command = [
        "--published",
        str(FILES[0]),
        "--metrics",
        str(tmp_path / "m.csv"),
        "--out",
        str(tmp_path / "o.csv"),
    ]
    stage.main(command)
    found = pd.read_csv(tmp_path / "o.csv", keep_default_na=False)
    mine = found[found["paper"] == "this experiment"]
    assert list(mine["regime"]) == ["ls", ""] and mine["statement"].iloc[1] == "1 of 2 rows hold"


def test_every_claim_names_cells_that_exist():
    printed = stage.read_printed(FILES)
    wanted = json.loads((PUBLISHED / "claims.json").read_text())
    assert len(stage.claims(printed, wanted)) == len(wanted)
    with pytest.raises(UserError, match="no test 'magic'"):
        stage.claims(printed, [wanted[0] | {"test": "magic"}])
    with pytest.raises(UserError, match="the table has no"):
        stage.claims(printed, [wanted[0] | {"regime": "none"}])


def test_a_value_that_is_no_number_is_named(tmp_path):
    text = FILES[0].read_text().splitlines()
    cells = text[1].split(",")
    cells[6] = "n/a"
    (tmp_path / "p.csv").write_text("\n".join([text[0], ",".join(cells)]))
    with pytest.raises(UserError, match=r"p\.csv, row 2: 'n/a' is no number"):
        stage.read_printed([tmp_path / "p.csv"])
