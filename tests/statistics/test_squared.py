"""Squared calibration error of groups: pairs written out, cumulants, coverage in simulated studies."""

import itertools

import numpy as np
import pytest
from calibench.metrics.calibration import bin_index
from calibench.statistics.squared import _cumulants, squared_error


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


def test_the_standard_error_is_the_jackknifes_less_what_it_counts_twice(rng):
    """v₀ = 2 Σ_{g≠h} (Σ_b w_b·S_gb·S_hb)², each S less its bin's mean as its group alone would move it."""
    confidence, correct, codes, _ = population(rng, 12, 3, 0.2)
    left = [pairs_by_hand(*(x[codes != g] for x in (confidence, correct, codes))) for g in range(12)]
    u, bins, products = correct - confidence, bin_index(confidence), np.zeros((12, 12))
    for b in np.unique(bins):
        inside, of = bins == b, [(bins == b) & (codes == g) for g in range(12)]
        pairs = inside.sum() ** 2 - sum(mask.sum() ** 2 for mask in of)
        if pairs:
            own = np.array([1 - mask.sum() / inside.sum() for mask in of])
            apart = np.array([u[mask].sum() - mask.sum() * u[inside].mean() for mask in of]) / np.sqrt(own)
            products += inside.mean() / pairs * np.outer(apart, apart)
    twice = 2 * (products[~np.eye(12, dtype=bool)] ** 2).sum()
    found = squared_error(confidence, correct, codes, 0.95)
    whole = 11 / 12 * ((left - np.mean(left)) ** 2).sum() - twice
    assert found.se**2 == pytest.approx(max(whole, twice), rel=1e-9)
    assert 0 <= found.low <= max(found.value, 0) <= found.high
    one = squared_error(confidence, correct, np.zeros(36), 0.95)
    assert one.value == 0 and np.isnan(one.high)


def test_third_cumulant_is_the_sum_over_triples_of_groups(rng):
    sums = rng.normal(size=(7, 3))
    products = sums @ sums.T
    three = itertools.permutations(range(7), 3)
    triples = sum(products[f, g] * products[g, h] * products[h, f] for f, g, h in three)
    assert _cumulants(sums)[1] == pytest.approx(8 * triples, rel=1e-12)


def test_networks_that_are_always_right_or_say_nothing(rng):
    """No spread at all, or none but the draw of labels."""
    sure = squared_error(np.ones(50), np.ones(50, bool), np.arange(50), 0.95)
    assert sure.value == sure.low == 0 and sure.high < 1e-12
    half = squared_error(np.full(50, 0.5), np.arange(50) % 2 == 0, np.arange(50), 0.95)
    assert half.value < 0 and half.low == 0 and 0 < half.high < 0.05


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


@pytest.mark.parametrize("off", [0, 0.2])
def test_intervals_cover_and_the_estimate_has_no_bias(rng, off):
    share, bias = coverage(rng, 150, 100, 5, off)
    assert 0.89 <= share <= 0.99 and abs(bias) < 3  # at 0 the old normal interval held all


@pytest.mark.slow
@pytest.mark.parametrize("off", [0, 0.05, 0.1, 0.2])
@pytest.mark.parametrize(("groups", "size"), [(1000, 1), (100, 5), (300, 4)])
def test_intervals_cover_in_many_studies(rng, groups, size, off):
    share, bias = coverage(rng, 2000, groups, size, off)
    print(f"{groups} groups of {size}, off by {off}: {100 * share:.1f} %, bias {bias:.1f} se")
    assert 0.93 <= share <= 0.97 and abs(bias) < 3.5
