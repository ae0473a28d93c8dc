"""Every measure of Tables 1 and 2 against a written-out float64 reference."""

import math

import numpy as np
import pytest
from calibench.errors import UserError
from calibench.metrics import hold_invariant, measure
from calibench.metrics.accuracy import target_rank, top_k_error
from calibench.metrics.calibration import bin_index, ece, reliability
from calibench.metrics.probabilities import Predictions, log_softmax, softmax
from calibench.metrics.proper import brier, nll
from hypothesis import given
from hypothesis import strategies as st


def ece_by_hand(confidence, correct, bins=15):
    """Guo's formula, sample by sample, with the bins (a, b] written out."""
    total = 0.0
    for m in range(bins):
        low, high = m / bins, (m + 1) / bins
        members = [i for i, c in enumerate(confidence) if (low < c <= high) or (m == 0 and c == 0)]
        if members:
            accuracy = sum(bool(correct[i]) for i in members) / len(members)
            mean = sum(float(confidence[i]) for i in members) / len(members)
            total += len(members) / len(confidence) * abs(accuracy - mean)
    return total


def test_confidence_one_shares_the_last_bin():
    assert ece(np.array([0.95, 1.0]), np.array([True, False])) == pytest.approx(0.475, abs=1e-15)


@pytest.mark.parametrize("bins", [1, 7, 15, 20])
def test_edges_belong_to_the_bin_below(bins):
    edges = np.arange(bins + 1) / bins
    expected = np.maximum(np.arange(bins + 1) - 1, 0)
    assert (bin_index(edges, bins) == expected).all()
    assert (bin_index(np.nextafter(edges[1:-1], 1), bins) == np.arange(1, bins)).all()


def test_ece_equals_the_sum_by_hand(sample):
    seen = Predictions.of(*sample)
    assert ece(seen.confidence, seen.correct) == pytest.approx(
        ece_by_hand(seen.confidence, seen.correct), abs=1e-14
    )


def test_ece_equals_torchmetrics_away_from_edges(sample):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import multiclass_calibration_error

    seen = Predictions.of(*sample)
    theirs = multiclass_calibration_error(
        torch.tensor(seen.probs), torch.tensor(seen.targets), num_classes=11, n_bins=15, norm="l1"
    )
    assert ece(seen.confidence, seen.correct) == pytest.approx(float(theirs), abs=1e-6)


def test_bins_hold_counts_and_means():
    bins = reliability(np.array([0.0, 0.01, 0.5, 1.0]), np.array([0, 1, 1, 0], bool))
    assert bins.count.sum() == 4 and bins.count[0] == 2 and bins.count[-1] == 1
    assert bins.confidence[0] == pytest.approx(0.005) and bins.accuracy[0] == 0.5
    assert bins.accuracy[-1] == 0 and bins.confidence[3] == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_ece_is_never_below_the_gap(pairs):
    confidence, correct = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    value = ece(confidence, correct)
    assert 0 <= value <= 1
    hold_invariant(value, confidence.mean(), correct.mean())


def test_a_broken_invariant_raises():
    with pytest.raises(AssertionError, match="below"):
        hold_invariant(0.0151, 0.7906, 0.7620, "Table 2, OLS")
    with pytest.raises(AssertionError):
        hold_invariant(float("nan"), 0.5, 0.5)


def test_ties_go_to_the_lowest_index():
    logits = np.zeros((3, 6))
    assert list(target_rank(logits, np.array([0, 4, 5]))) == [0, 4, 5]
    assert top_k_error(logits, np.array([0, 4, 5]), 5) == pytest.approx(1 / 3)
    assert top_k_error(logits, np.array([0, 4, 5]), 1) == pytest.approx(2 / 3)
    assert list(Predictions.of(logits, np.array([0, 4, 5])).predicted) == [0, 0, 0]


def test_top_k_equals_a_sort(sample):
    logits, targets = sample
    order = np.argsort(-logits, axis=1, kind="stable")
    for k in (1, 3, 5, 11, 20):
        expected = np.mean([t not in row[:k] for t, row in zip(targets, order, strict=True)])
        assert top_k_error(logits, targets, k) == pytest.approx(expected)


def test_two_classes_have_no_top5_error():
    values = measure(np.array([[1.0, 2.0], [3.0, 0.0]], np.float32), np.array([0, 1]))
    assert values["top1_error"] == 1 and values["top5_error"] == 0


def test_proper_scores_equal_sums_by_hand(sample):
    logits, targets = sample
    score, square = 0.0, 0.0
    for row, target in zip(logits.astype(np.float64), targets, strict=True):
        powers = [math.exp(z - max(row)) for z in row]
        p = [x / math.fsum(powers) for x in powers]
        score -= math.log(p[target])
        square += math.fsum((p[k] - (k == target)) ** 2 for k in range(len(p)))
    assert nll(log_softmax(logits), targets) == pytest.approx(score / len(targets), rel=1e-13)
    assert brier(softmax(logits), targets) == pytest.approx(square / len(targets), rel=1e-13)


def test_proper_scores_equal_scikit_learn(sample):
    from sklearn.metrics import brier_score_loss, log_loss

    seen = Predictions.of(*sample)
    assert nll(seen.log_probs, seen.targets) == pytest.approx(log_loss(seen.targets, seen.probs), rel=1e-12)
    theirs = brier_score_loss(seen.targets, seen.probs, scale_by_half=False)
    assert brier(seen.probs, seen.targets) == pytest.approx(theirs, rel=1e-12)


def test_huge_logits_neither_overflow_nor_give_infinite_nll():
    values = measure(np.array([[1e4, -1e4], [1e4, -1e4]], np.float32), np.array([0, 1]))
    assert values["nll"] == pytest.approx(1e4) and values["ece"] == pytest.approx(0.5)
    assert values["brier"] == pytest.approx(1.0) and values["avg_confidence"] == 1.0


def test_softmax_is_float64_from_float32():
    p = softmax(np.array([[0, -17.5]], np.float32))
    assert p.dtype == np.float64 and p[0, 0] < 1  # in float32 it would be exactly 1


def test_measure_is_complete(sample):
    values = measure(*sample)
    assert {"top1_error", "top5_error", "ece", "avg_confidence", "nll", "brier", "gap"} < set(values)
    assert not any(np.isnan(value) for value in values.values())
    seen = Predictions.of(*sample)
    assert values["gap"] == pytest.approx(values["avg_confidence"] - 1 + values["top1_error"])
    assert values["confidence_right"] == pytest.approx(seen.confidence[seen.correct].mean())
    assert values["confidence_wrong"] == pytest.approx(seen.confidence[~seen.correct].mean())
    assert values["avg_confidence"] == pytest.approx(softmax(sample[0]).max(axis=1).mean())


GOOD = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.array([[0, np.nan, 0], [0, 0, 0]], np.float32), [0, 1], r"1 of 2 rows hold NaN.*row 0"),
        (np.array([[0, np.inf, 0], [0, 0, 0]], np.float32), [0, 1], "infinity"),
        (GOOD[0], [0], "shape"),
        (GOOD.astype(int), [0, 1], "float logits"),
        (GOOD, [0, 1, 2], "2 rows of logits"),
        (GOOD, [0, 3], "row 1 has target 3"),
        (GOOD, [-1, 0], "row 0 has target -1"),
        (GOOD, [0.0, 1.0], "integers"),
        (np.zeros((2, 1), np.float32), [0, 0], "one class only"),
        (np.zeros((0, 3), np.float32), np.zeros(0, int), "no rows"),
    ],
)
def test_bad_predictions_are_refused_by_name(logits, targets, message):
    with pytest.raises(UserError, match=message) as error:
        measure(logits, np.asarray(targets), "run/x.npy")
    assert "run/x.npy" in str(error.value)
