"""AUROC and macro scores against scikit-learn; SCE, ACE and the adaptive error against sums by hand."""

import numpy as np
import pytest
from calibench.metrics import measure
from calibench.metrics.classwise import adaptive_error, classwise, mass_edges
from calibench.metrics.discrimination import class_counts, macro_scores
from calibench.metrics.probabilities import Predictions, softmax
from sklearn import metrics as sk

from tests.finished.fake_runs import make_logits


def test_macro_scores_equal_scikit_learn(sample):
    seen = Predictions.of(*sample)
    mine = macro_scores(class_counts(seen.predicted, seen.targets, 11))
    options = {"average": "macro", "zero_division": 0}
    assert mine["precision"] == pytest.approx(sk.precision_score(seen.targets, seen.predicted, **options))
    assert mine["recall"] == pytest.approx(sk.recall_score(seen.targets, seen.predicted, **options))
    assert mine["f1"] == pytest.approx(sk.f1_score(seen.targets, seen.predicted, **options))
    assert mine["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(seen.targets, seen.predicted)
    )


def test_a_class_that_is_only_predicted_counts_as_scikit_learn_counts_it():
    targets, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 2])
    mine = macro_scores(class_counts(predicted, targets, 4))
    assert mine["recall"] == pytest.approx(
        sk.recall_score(targets, predicted, average="macro", zero_division=0)
    )
    assert mine["recall"] == pytest.approx(1 / 3) and mine["balanced_accuracy"] == pytest.approx(0.5)


def test_auroc_equals_scikit_learn_with_ties(rng):
    targets = rng.integers(0, 4, 300)
    probs = softmax(np.round(make_logits(rng, targets, 4, 1.0, 1.0)))  # many equal scores
    expected = sk.roc_auc_score(targets, probs, multi_class="ovr", average="macro")
    assert classwise(probs, targets).auroc.mean() == pytest.approx(expected, abs=1e-12)


def test_an_absent_class_makes_auroc_undefined_and_says_so(rng):
    targets = rng.integers(0, 3, 200)
    values = measure(make_logits(rng, targets, 4, 1.0, 1.0), targets)
    assert np.isnan(values["auroc"]) and 0.5 < values["auroc_present"] < 1
    assert values["absent_classes"] == 1
    alone = measure(np.array([[2.0, 1.0]], np.float32), np.array([0]))
    assert np.isnan(alone["auroc_present"]) and alone["absent_classes"] == 1


def sce_by_hand(probs, targets, bins=15):
    n, k = probs.shape
    total = 0.0
    for c in range(k):
        for b in range(bins):
            inside = [
                i
                for i in range(n)
                if b / bins < probs[i, c] <= (b + 1) / bins or (b == 0 and probs[i, c] == 0)
            ]
            total += abs(sum(float(targets[i] == c) - probs[i, c] for i in inside)) / n
    return total / k


def ace_by_hand(values, hits, ranges=15):
    """One class: sorted samples cut into ranges whose sizes differ by at most one, mean |gap|."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    n = len(order)
    gaps = []
    for r in range(ranges):
        members = order[r * n // ranges : (r + 1) * n // ranges]
        gaps.append(abs(np.mean([hits[i] for i in members]) - np.mean([values[i] for i in members])))
    return sum(gaps) / ranges


def test_sce_and_ace_equal_the_sums_by_hand(rng):
    targets = rng.integers(0, 5, 233)
    probs = softmax(make_logits(rng, targets, 5, 1.0, 1.5))
    mine = classwise(probs, targets)
    assert mine.sce.mean() == pytest.approx(sce_by_hand(probs, targets), abs=1e-13)
    by_hand = [ace_by_hand(probs[:, c], targets == c) for c in range(5)]
    assert mine.ace == pytest.approx(by_hand, abs=1e-13)
    seen = Predictions.of(np.log(probs), targets)
    expected = ace_by_hand(seen.confidence, seen.correct)
    assert adaptive_error(seen.confidence, seen.correct) == pytest.approx(expected, abs=1e-13)


def test_edges_of_sce_belong_to_the_bin_below():
    probs = np.array([[3 / 15, 12 / 15], [0.0, 1.0], [2 / 15, 13 / 15]])
    assert classwise(probs, np.array([0, 1, 0])).sce.mean() == pytest.approx(
        sce_by_hand(probs, np.array([0, 1, 0])), abs=1e-15
    )


def test_ties_over_an_edge_are_shared_out_whatever_the_order():
    confidence = np.full(30, 0.7)
    correct = np.arange(30) < 21
    assert adaptive_error(confidence, correct) == pytest.approx(0, abs=1e-12)
    assert adaptive_error(confidence, correct[::-1]) == pytest.approx(0, abs=1e-12)


def test_fewer_samples_than_ranges():
    assert list(mass_edges(3, 15)) == [0, 1, 2, 3]
    assert adaptive_error(np.array([0.9, 0.6]), np.array([True, False])) == pytest.approx((0.1 + 0.6) / 2)
