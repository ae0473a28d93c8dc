"""Retention, risk-coverage and coverage at an error, by hand."""

import numpy as np
import pytest
from calibench.metrics.selective import augrc, aurc, coverage_at, retention, retention_curve

CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6])
CORRECT = np.array([True, False, True, False])


def test_four_samples_by_hand():
    assert list(retention_curve(CONFIDENCE, CORRECT)) == [1, 1, 0.75, 0.75, 0.5]
    area = (1 + 0.875 + 0.75 + 0.625) / 4
    values = retention(CONFIDENCE, CORRECT)
    assert values["r_auc"] == pytest.approx(area)
    assert values["r_auc_normalised"] == pytest.approx((area - 0.75) / (0.875 - 0.75))
    assert aurc(CONFIDENCE, CORRECT) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


@pytest.mark.parametrize(("order", "expected"), [([0, 2, 1, 3], 1.0), ([1, 3, 0, 2], -1.0)])
def test_the_best_order_scores_one_and_the_worst_minus_one(order, expected):
    confidence = np.empty(4)
    confidence[order] = CONFIDENCE
    assert retention(confidence, CORRECT)["r_auc_normalised"] == pytest.approx(expected)


def test_equal_confidences_say_nothing_whatever_the_order():
    flat = np.full(4, 0.7)
    for correct in (CORRECT, CORRECT[::-1]):
        assert retention(flat, correct)["r_auc_normalised"] == pytest.approx(0)
        assert aurc(flat, correct) == pytest.approx(0.5)
        assert coverage_at(flat, correct, 0.05) == 0


def test_no_errors_leave_nothing_to_normalise():
    values = retention(CONFIDENCE, np.ones(4, bool))
    assert values["r_auc"] == 1 and np.isnan(values["r_auc_normalised"])


def test_coverage_at_five_percent_error():
    confidence = np.linspace(1, 0.5, 100)
    correct = np.ones(100, bool)
    correct[[30, 50, 70]] = False
    assert coverage_at(confidence, correct, 0.05) == 1.0
    correct[80:] = False
    # 3 errors among the first 80; 84 samples hold 7 errors, 83 hold 6: 4/81 <= .05 < 5/82
    assert coverage_at(confidence, correct, 0.05) == pytest.approx(0.81)
    assert coverage_at(confidence, np.zeros(100, bool)) == 0


def test_augrc_is_the_formula_of_its_authors(rng, sample):
    """(1 - AUROC of confidence for correctness)·a·(1 - a) + (1 - a)²/2, ties counting half, and 1 - R-AUC."""
    from calibench.metrics import Predictions
    from sklearn.metrics import roc_auc_score

    seen = Predictions.of(*sample)
    for confidence in (seen.confidence, seen.confidence.round(1)):
        a = seen.correct.mean()
        expected = (1 - roc_auc_score(seen.correct, confidence)) * a * (1 - a) + (1 - a) ** 2 / 2
        assert augrc(confidence, seen.correct) == pytest.approx(expected, abs=1e-12)
        assert retention(confidence, seen.correct)["r_auc"] == pytest.approx(1 - expected, abs=1e-12)
    assert augrc(CONFIDENCE, CORRECT) == pytest.approx((0 + 0.5 + 1 + 1.5) / 16)
