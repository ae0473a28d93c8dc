"""Group bootstrap and clustered variance: exact sums, a simulation of coverage."""

import numpy as np
import pytest
from calibench.metrics import measure
from calibench.metrics.classwise import classwise
from calibench.metrics.probabilities import Predictions, softmax
from calibench.statistics.intervals import tails
from calibench.statistics.resampling import (
    Sums,
    auroc_values,
    bootstrap,
    clustered_variance,
    draws,
    group_codes,
    sample_values,
)

from tests.finished.fake_runs import make_logits


def clustered(values, codes):
    return clustered_variance(np.bincount(codes, weights=values), np.bincount(codes))


def test_group_names_become_codes_and_empty_ones_stand_alone():
    codes = group_codes(np.array(["b", "", "a", "b", ""]))
    assert codes[0] == codes[3] and len(set(codes)) == 4


def test_per_sample_values_average_to_the_measures(sample):
    seen, expected = Predictions.of(*sample), measure(*sample)
    for name, values in sample_values(seen).items():
        assert values.mean() == pytest.approx(expected[name], rel=1e-12), name
    assert auroc_values(seen.probs, seen.targets).mean() == pytest.approx(expected["auroc"], rel=1e-12)


def test_weights_of_one_give_the_measures_themselves(sample):
    seen, expected = Predictions.of(*sample), measure(*sample)
    sums = Sums(seen, np.arange(600) // 3)
    values = {k: v[0] for k, v in sums.values(np.ones((sums.groups, 1))).items()}
    blocked = {"r_auc": 1e-5, "augrc": 1e-5, "aurc": 2e-3}  # the curves are summed over 512 blocks
    for name, value in values.items():
        assert value == pytest.approx(expected[name], rel=1e-10, abs=blocked.get(name, 0)), name


def test_a_resample_equals_measuring_the_drawn_images(sample):
    logits, targets = sample
    codes = np.arange(600) // 3
    sums = Sums(Predictions.of(logits, targets), codes)
    weights = next(draws(200, 2, seed=3))
    drawn = np.repeat(np.arange(600), weights[codes, 1].astype(int))
    expected = measure(logits[drawn], targets[drawn])
    values = sums.values(weights)
    for name in (
        "top1_error",
        "nll",
        "brier",
        "gap",
        "ece",
        "precision",
        "recall",
        "f1",
        "balanced_accuracy",
    ):
        assert values[name][1] == pytest.approx(expected[name], rel=1e-10), name
    assert values["auroc"][1] == pytest.approx(expected["auroc"], abs=0.01)  # linearised


def test_draws_are_seeded_whatever_the_batch():
    first = np.concatenate([w.copy() for w in draws(30, 20, 5, batch=7)], axis=1)
    second = np.concatenate([w.copy() for w in draws(30, 20, 5, batch=16)], axis=1)
    assert (first == second).all() and (first.sum(axis=0) == 30).all()


def test_clustered_variance_by_hand_and_against_the_bootstrap(sample):
    # values 1 2 | 4 9, mean 4: the sums of deviations are -5 and 5
    assert clustered_variance(np.array([3.0, 13.0]), np.array([2, 2])) == pytest.approx(50 * 2 / 1 / 16)
    assert np.isnan(clustered_variance(np.array([16.0]), np.array([4])))
    seen, codes = Predictions.of(*sample), np.arange(600) // 4
    spread = bootstrap(Sums(seen, codes), 1500, seed=0)
    for name, each in (sample_values(seen) | {"auroc": auroc_values(seen.probs, seen.targets)}).items():
        if name != "ece":
            assert spread[name].std() == pytest.approx(np.sqrt(clustered(each, codes)), rel=0.1), name


def bootstrap_coverage(rng, studies, groups, resamples):
    """Share of the 95 % intervals that hold the population's value; groups of 5 share a difficulty."""
    k, hits = 3, dict.fromkeys(["top1_error", "nll", "gap", "brier"], 0)

    def population(size):
        hard = np.repeat(rng.normal(1.0, 1.0, size), 5)
        targets = rng.integers(0, k, size * 5)
        logits = rng.normal(size=(size * 5, k))
        logits[np.arange(size * 5), targets] += hard
        return logits.astype(np.float32), targets, np.repeat(np.arange(size), 5)

    logits, targets, _ = population(200_000 if studies > 500 else 40_000)
    truth = {m: v.mean() for m, v in sample_values(Predictions.of(logits, targets)).items()}
    for trial in range(studies):
        logits, targets, codes = population(groups)
        spread = bootstrap(Sums(Predictions.of(logits, targets), codes), resamples, seed=trial)
        for name in hits:
            low, high = np.quantile(spread[name], tails(0.95, groups))
            hits[name] += low <= truth[name] <= high
    return {name: hit / studies for name, hit in hits.items()}


def test_bootstrap_intervals_cover_under_groups(rng):
    found = bootstrap_coverage(rng, 150, 80, 300)
    assert all(0.89 <= share <= 0.99 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "least"), [(20, 0.92), (80, 0.93), (300, 0.93)])
def test_bootstrap_intervals_cover_in_many_studies(rng, groups, least):
    """Of 20 groups the stage says that they are few."""
    found = bootstrap_coverage(rng, 1000, groups, 1000)
    print(groups, "groups:", {name: f"{100 * share:.1f} %" for name, share in found.items()})
    assert all(least <= share <= 0.97 for share in found.values()), found


def test_auroc_variance_equals_delongs_for_two_classes(rng):
    """DeLong, DeLong & Clarke-Pearson 1988: S10/m + S01/n."""
    targets = rng.integers(0, 2, 150)
    probs = softmax(make_logits(rng, targets, 2, 0.8, 1.0))
    score, one = probs[:, 1], targets == 1
    above = (score[one][:, None] > score[~one]) + 0.5 * (score[one][:, None] == score[~one])
    expected = above.mean(axis=1).var(ddof=1) / one.sum() + above.mean(axis=0).var(ddof=1) / (~one).sum()
    values = auroc_values(probs, targets)
    assert values.mean() == pytest.approx(classwise(probs, targets).auroc.mean())
    assert clustered(values, np.arange(150)) == pytest.approx(expected, rel=0.03)
