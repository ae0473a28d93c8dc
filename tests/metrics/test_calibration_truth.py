"""Debiased values, null band, smooth ECE: libraries, exact sums, simulations with a known truth."""

import numpy as np
import pytest
from calibench.metrics.calibration import ece, reliability
from calibench.metrics.debiased import ece_debiased, null_distribution, squared_error_debiased
from calibench.metrics.probabilities import Predictions
from calibench.metrics.smooth import smooth_ece, smooth_reliability


def draw(rng, n, shift):
    """Confidences in the middles of the bins, right with probability confidence - shift."""
    confidence = (rng.integers(8, 15, n) + 0.5) / 15
    return confidence, rng.random(n) < confidence - shift


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.2])
def test_squared_error_is_unbiased(rng, shift):
    estimates = [squared_error_debiased(reliability(*draw(rng, 400, shift))) for _ in range(600)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - shift**2) < 4 * error


def test_debiasing_removes_bias_and_keeps_large_errors(rng):
    for shift in (0.0, 0.05):
        plain, less = zip(
            *[
                (reliability(*pair).ece, ece_debiased(reliability(*pair)))
                for pair in (draw(rng, 300, shift) for _ in range(300))
            ],
            strict=True,
        )
        assert abs(np.mean(less) - shift) < 0.75 * abs(np.mean(plain) - shift)
    assert ece_debiased(reliability(*draw(rng, 100_000, 0.2))) == pytest.approx(0.2, abs=0.01)


def test_the_folded_normal_is_the_mean_of_draws(rng):
    bins = reliability(*draw(rng, 200, 0.03))
    filled = bins.count > 0
    accuracy, count = bins.accuracy[filled], bins.count[filled]
    again = rng.normal(accuracy, np.sqrt(accuracy * (1 - accuracy) / count), (200_000, filled.sum()))
    resampled = (np.abs(again - bins.confidence[filled]) * count).sum(axis=1) / count.sum()
    assert ece_debiased(bins) == pytest.approx(2 * bins.ece - resampled.mean(), abs=2e-4)


def test_ece_converges_to_the_true_error(rng):
    confidence, correct = draw(rng, 400_000, 0.07)
    assert ece(confidence, correct) == pytest.approx(0.07, abs=0.003)
    assert smooth_ece(confidence, correct) == pytest.approx(0.07, abs=0.003)


def test_the_null_band_holds_the_ece_of_a_calibrated_model(rng):
    confidence = rng.uniform(0.4, 1, 500)
    null = null_distribution(confidence, 1000, seed=1)
    low, high = np.quantile(null, [0.025, 0.975])
    fresh = [ece(confidence, rng.random(500) < confidence) for _ in range(400)]
    inside = np.mean([(low <= value <= high) for value in fresh])
    assert 0.91 < inside < 0.985
    assert np.mean(fresh) == pytest.approx(null.mean(), rel=0.05)
    assert ece(confidence, rng.random(500) < confidence - 0.15) > high


def test_duplicates_raise_the_null_level():
    confidence = np.repeat(np.random.default_rng(0).uniform(0.4, 1, 250), 20)
    groups = np.repeat(np.arange(250), 20)
    alone = null_distribution(confidence, 300, 0).mean()
    together = null_distribution(confidence, 300, 0, groups).mean()
    assert together == pytest.approx(alone * np.sqrt(20), rel=0.15)  # 20 copies carry the noise of one


def test_the_null_is_seeded_and_does_not_depend_on_the_batch():
    confidence = np.linspace(0.2, 1, 100)
    first = null_distribution(confidence, 100, 3, batch=7)
    assert (first == null_distribution(confidence, 100, 3, batch=64)).all()
    assert (first != null_distribution(confidence, 100, 4)).any()


def test_smooth_ece_equals_relplot(sample):
    relplot = pytest.importorskip("relplot")
    seen = Predictions.of(*sample)
    for confidence, correct in [(seen.confidence, seen.correct), draw(np.random.default_rng(2), 3000, 0.1)]:
        theirs = relplot.smECE(confidence, correct.astype(float))
        assert smooth_ece(confidence, correct) == pytest.approx(theirs, abs=2e-3)


def test_smooth_reliability_equals_relplot(sample):
    relplot = pytest.importorskip("relplot")
    seen = Predictions.of(*sample)
    for confidence, correct in [(seen.confidence, seen.correct), draw(np.random.default_rng(2), 3000, 0.1)]:
        theirs = relplot.prepare_rel_diagram(
            confidence, correct.astype(float), plot_confidence_band=False, report_CE_std=False
        )
        at, accuracy, _ = smooth_reliability(confidence, correct)
        inside = theirs["density"] > 0.2  # where no confidence is near, both divide zero by zero
        assert np.interp(theirs["mesh"], at, accuracy)[inside] == pytest.approx(
            theirs["mu"][inside], abs=0.01
        )


def test_smooth_ece_of_one_sample_by_hand():
    """One sample at 1/2, wrong: the residual 1/2 is spread but stays 1/2 in all, so smECE is 1/2."""
    assert smooth_ece(np.array([0.5]), np.array([False])) == pytest.approx(0.5, abs=1e-6)
    assert smooth_ece(np.array([1.0, 1.0]), np.array([True, True])) == 0
