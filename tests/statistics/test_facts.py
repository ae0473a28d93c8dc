"""What must be said of a run beside its numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.metrics.probabilities import Predictions, softmax
from calibench.statistics.facts import confidently_wrong, facts
from calibench.tables import long

from tests.finished.fake_runs import write_run
from tests.stages.test_analyse import analyse_to


def two_classes(confidence, correct):
    probs = np.stack([np.array(confidence), 1 - np.array(confidence)], axis=1)
    return Predictions.of_probs(probs, np.where(correct, 0, 1))


def test_wrong_among_the_most_confident_beside_what_a_calibrated_network_has():
    """The issue's case: 20 wrong among the most confident 1 % of 1,988 images, at a confidence of .99."""
    confidence = np.r_[np.full(20, 0.99), np.full(1968, 0.8)]
    found = confidently_wrong(two_classes(confidence, np.arange(1988) >= 20))
    assert (found["value"], found["of"], found["warn"]) == (20, 20, 1)
    assert found["expected"] == pytest.approx(0.2) and found["high"] == 1


def test_equal_confidences_at_the_border_share_their_mistakes():
    found = confidently_wrong(two_classes(np.full(200, 0.9), np.arange(200) >= 50))
    assert (
        found["of"] == 2 and found["value"] == pytest.approx(0.5) and found["expected"] == pytest.approx(0.2)
    )


def test_a_calibrated_network_is_seldom_warned_of():
    """97.5 % quantile, a little above for a sum of few: in at most 2.5 % of networks (400: standard error 0.8)."""
    rng, loud = np.random.default_rng(1), 0
    for _ in range(400):
        probs = softmax(2 * rng.normal(size=(800, 3)))
        targets = (probs.cumsum(axis=1) > rng.random((800, 1))).argmax(axis=1)
        loud += confidently_wrong(Predictions.of_probs(probs, targets))["warn"]
    assert loud / 400 <= 0.035


def test_training_facts():
    seen = two_classes([0.9, 0.9, 0.8], [True, False, True])
    history = pd.DataFrame({"epoch": [1, 2, 3], "fallback_classes": [2.0, 0.0, 1.0]})
    found = facts(seen, history, {"top1": 3, "last": 3}, "top1").set_index("fact")
    assert found.loc["never_predicted", ["value", "of", "detail", "warn"]].tolist() == [1, 2, "1", 1]
    assert found.loc["best_is_last", ["value", "of", "warn"]].tolist() == [3, 3, 1]
    assert found.loc["fallback_rows", ["value", "of", "warn"]].tolist() == [1, 2, 1]
    found = facts(seen, history[["epoch"]], {"top1": 2, "last": 3}, "top1").set_index("fact")
    assert found.loc["best_is_last", "warn"] == 0 and "fallback_rows" not in found.index
    assert "best_is_last" not in set(facts(seen, history, {"last": 3}, "last")["fact"])


def test_the_stage_writes_the_facts(tmp_path):
    folder = write_run(tmp_path, "ols", n=120)
    record = json.loads((folder / "run.json").read_text())
    record["epochs"]["top1"] = 6
    (folder / "run.json").write_text(json.dumps(record))
    analyse_to(tmp_path, folder)
    table = pd.read_csv(tmp_path / "warnings.csv")
    assert list(table.columns) == long.WARNINGS
    assert table.set_index("fact")["warn"].to_dict()["best_is_last"] == 1
    assert set(table["fact"]) == {"never_predicted", "confidently_wrong", "best_is_last", "fallback_rows"}
    bands = pd.read_csv(tmp_path / "posthoc.csv").set_index(["split", "calibrator", "metric"])["value"]
    wide = bands["test", "none", "ece_null_groups_high"]  # groups of four: right or wrong together
    assert wide > bands["test", "none", "ece_null_high"]
