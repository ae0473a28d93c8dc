"""Squared calibration error of groups: pairs written out, the paper's variance, coverage in simulated studies."""

import numpy as np
import pytest
from calibench.metrics.calibration import bin_index
from calibench.statistics.squared import _linear_variance, squared_error


def pairs_by_hand(confidence, correct, codes):
    """Σ_b (n_b/N)·mean of U_i·U_j over pairs of different groups in bin b."""
    u, bins, total = correct - confidence, bin_index(confidence), 0.0
    for b in np.unique(bins):
        inside = np.flatnonzero(bins == b)
        found = [u[i] * u[j] for i in inside for j in inside if codes[i] != codes[j]]
        total += len(inside) / len(u) * (np.mean(found) if found else 0)
    return total


def population(rng, groups, size, off, alike=0.5):
    """Images of a group share part of their confidence and of their luck; ``off``: how far accuracy is from confidence."""
    from scipy.stats import norm

    def drawn():
        own, shared = rng.normal(size=groups * size), np.repeat(rng.normal(size=groups), size)
        return np.sqrt(alike) * shared + np.sqrt(1 - alike) * own

    confidence = 0.5 + 0.5 / (1 + np.exp(-drawn() - 0.8))
    chance = np.clip(confidence - off * np.sin(6 * confidence), 0.01, 0.99)
    return confidence, norm.cdf(drawn()) < chance, np.repeat(np.arange(groups), size), chance


def test_the_estimate_is_the_mean_over_pairs_of_different_groups(rng):
    for groups, size in ((40, 1), (15, 4)):
        confidence, correct, codes, _ = population(rng, groups, size, 0.1)
        expected = pairs_by_hand(confidence, correct, codes)
        assert squared_error(confidence, correct, codes, 0.95).value == pytest.approx(expected, abs=1e-12)


def test_without_groups_the_linear_part_is_the_papers(rng):
    """σ² = Σ_b (n_b/N)·[4·m²·mean(U²) - 3·m⁴] - (Σ_b (n_b/N)·m²)²; arXiv 2408.08998."""
    confidence, correct, codes, _ = population(rng, 500, 1, 0.2, alike=0)
    u, bins = correct - confidence, bin_index(confidence)
    share, m, squares = (np.bincount(bins, weights=w, minlength=15) for w in (np.ones(500), u, u**2))
    kept = share > 0
    share, m, squares = share[kept] / 500, m[kept] / share[kept], squares[kept] / share[kept]
    theta = (share * m**2).sum()
    sigma = (share * (4 * m**2 * squares - 3 * m**4)).sum() - theta**2
    place = np.arange(500) * 15 + bins
    sums = np.bincount(place, weights=u, minlength=7500).reshape(500, 15)
    sizes = np.bincount(place, minlength=7500).reshape(500, 15)
    assert _linear_variance(sums, sizes) * theta * 499 == pytest.approx(sigma, rel=1e-9)


def test_the_standard_error_is_that_of_leaving_groups_out(rng):
    confidence, correct, codes, _ = population(rng, 12, 3, 0.2)
    left = [pairs_by_hand(*(x[codes != g] for x in (confidence, correct, codes))) for g in range(12)]
    found = squared_error(confidence, correct, codes, 0.95)
    assert found.se**2 == pytest.approx(11 / 12 * ((left - np.mean(left)) ** 2).sum(), rel=1e-9)
    assert 0 <= found.low <= max(found.value, 0) <= found.high
    one = squared_error(confidence, correct, np.zeros(36), 0.95)
    assert one.value == 0 and np.isnan(one.high)


def coverage(rng, studies, groups, size, off):
    """Share of the intervals that hold the truth, and the mean estimate less the truth, in standard errors."""
    confidence, _, _, chance = population(rng, 400_000 // size, size, off)
    bins = bin_index(confidence)
    count = np.bincount(bins, minlength=15)
    truth = (np.bincount(bins, weights=chance - confidence, minlength=15) ** 2 / np.maximum(count, 1)).sum()
    truth /= len(confidence)
    found = [squared_error(*population(rng, groups, size, off)[:3], 0.95) for _ in range(studies)]
    away = np.array([f.value for f in found]) - truth
    return np.mean([f.low <= truth <= f.high for f in found]), away.mean() / away.std() * np.sqrt(studies)


@pytest.mark.parametrize(("groups", "size"), [(400, 1), (100, 5)])
def test_intervals_cover_and_the_estimate_has_no_bias(rng, groups, size):
    share, bias = coverage(rng, 200, groups, size, 0.2)
    assert 0.9 <= share <= 0.995 and abs(bias) < 3


@pytest.mark.slow
@pytest.mark.parametrize("off", [0, 0.05, 0.2])
@pytest.mark.parametrize(("groups", "size"), [(1000, 1), (100, 5), (300, 4)])
def test_intervals_cover_in_many_studies(rng, groups, size, off):
    """Near calibration the interval is wide on purpose: it ends at 0, and a jackknife doubles a variance there."""
    share, bias = coverage(rng, 2000, groups, size, off)
    print(f"{groups} groups of {size}, off by {off}: {100 * share:.1f} %, bias {bias:.1f} se")
    assert 0.93 <= share <= (0.975 if off == 0.2 else 1) and abs(bias) < 3.5
