"""Paired differences pooled over backbones: numbers by hand, coverage and false positives by simulation."""

import numpy as np
import pytest
from calibench.metrics.probabilities import Predictions, softmax
from calibench.statistics.paired import Blocks, Difference, holm
from calibench.statistics.resampling import clustered_variance, sample_values
from calibench.statistics.verdicts import non_inferior, seeds_needed, verdict

from tests.statistics.studies import KINDS, TRUE, covered, draw

# where an interval is wider on purpose: the seed part of few trainings is itself uncertain, and neither it nor the
# image part may be waved away by the other
WIDE = {"each image and training", "one restless backbone", "unequal backbones"}


def paired(values, codes):
    return Difference([Blocks.of(np.asarray(values, float), np.asarray(codes))])


def test_by_hand():
    """Two seeds, two images: V = 2/2 + ((2-3)² + (4-3)²)·2/4 - 0, t at 97.5 % with one degree of freedom."""
    found = paired([[1, 3], [3, 5]], [0, 1])
    assert (found.mean, found.seed, found.image, found.both) == pytest.approx((3, 1, 1, 0))
    low, high = found.interval(0.95)
    assert high - 3 == 3 - low == pytest.approx(12.7062047 * np.sqrt(2))
    assert found.interval(1 - found.p())[0] == pytest.approx(0, abs=1e-6)


def test_noise_of_single_trainings_is_counted_once():
    """E of the seed part and of the image part holds it; together they count σ²/(S·N) once."""
    rng = np.random.default_rng(3)
    seen = [paired(rng.normal(size=(4, 50)), np.arange(50)) for _ in range(800)]
    truth = 1 / (4 * 50)
    for name in ("seed", "image", "both"):
        mean = np.mean([getattr(d, name) for d in seen])
        assert mean == pytest.approx(truth, rel=0.12), name  # `both` is cut at `image`, so a little less


def test_group_sums_give_the_clustered_variance_and_equal_blocks_the_pooled_mean():
    rng = np.random.default_rng(4)
    values, codes = rng.normal(size=(3, 40)), np.repeat(np.arange(20), 2)
    part = Blocks.of(values, codes)
    assert part.image == pytest.approx(
        clustered_variance(np.bincount(codes, weights=values.mean(axis=0)), np.bincount(codes))
    )
    other = Blocks.of(rng.normal(size=(2, 30)), np.arange(30), np.array([0, 1]))
    both = Difference([part, other])
    assert both.mean == pytest.approx((3 * part.means.mean() + 2 * other.means.mean()) / 5)
    assert both.image == pytest.approx(0.36 * part.image + 0.16 * other.image)
    assert (both.blocks, both.cells, both.seeds, both.retrained) == (5, 3, 1, True)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("backbones", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_with_few_seeds_and_groups(kind, backbones, seeds):
    """95 % intervals hold the truth in 93 % of 1,000 studies or more; in at most 97 % where nothing asks for more."""
    if backbones == 1 and kind in ("one restless backbone", "unequal backbones"):
        pytest.skip("needs several backbones")
    rng = np.random.default_rng([seeds, backbones, *kind.encode()])
    share = covered(draw(rng, 1000, seeds, KINDS[kind], backbones))
    assert share >= 0.935  # 0.93 to 0.97 with the noise of 1,000 studies (standard error 0.007)
    wide = kind in WIDE or (backbones == 1 and kind != "trainings differ")
    assert share <= (1 if wide else 0.975)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("backbones", "datasets"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_in_many_studies(kind, backbones, datasets, seeds):
    """The numbers of docs/metrics.md, 20,000 studies each (standard error 0.0015)."""
    rng = np.random.default_rng([seeds, backbones, datasets, *kind.encode()])
    spread = KINDS[kind] if backbones > 1 else KINDS[kind]._replace(shifts=(0.0,))
    share = np.mean([covered(draw(rng, 1000, seeds, spread, backbones, datasets)) for _ in range(20)])
    print(f"{kind}: {datasets} data sets, {backbones} backbones, {seeds} seeds: {100 * share:.1f} %")
    assert share >= 0.94
    wide = kind in WIDE or (backbones == 1 and kind != "trainings differ")
    assert share <= (1 if wide else 0.97)


@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_that_agree_by_chance_are_no_proof(seeds):
    """Training varies far more than the draw of images: at most 6 % are rejected, and none at 1 in 10,000."""
    rng = np.random.default_rng(seeds)
    study = draw(rng, 1500, seeds, KINDS["trainings differ"], backbones=1, true=0.0)
    assert 1 - covered(study, 0.0) <= 0.065
    p = [
        Difference([Blocks(sums, study.parts[0].sizes, study.parts[0].cells)]).p()
        for sums in study.parts[0].sums[:300]
    ]
    assert min(p) > 1e-5
    inside = np.abs(study.mean[:300]) <= study.half_width(0.025)[:300]
    assert (inside == (np.array(p) >= 0.05)).all()  # p and interval are one statement


def test_the_pooled_row_does_not_speak_of_other_backbones():
    """Backbones that differ as much as trainings do, taken as a sample of all: docs/metrics.md says so."""
    rng = np.random.default_rng(2)
    study = draw(rng, 2000, 3, KINDS["trainings differ"], true=0.0)
    part = study.parts[0]
    own = rng.normal(0, 0.1, (2000, 3, 1))[:, part.cells]
    shifted = Difference([Blocks(part.sums + own * part.sizes, part.sizes, part.cells)])
    assert 0.75 <= covered(shifted, 0.0) <= 0.87  # the mean of all backbones
    assert (
        np.mean(np.abs(shifted.mean - own.mean(axis=(1, 2))) <= shifted.half_width(0.025)) >= 0.95
    )  # of these


def test_backbones_that_agree_show_what_one_alone_cannot():
    """The issue's case: +.068, +.069, +.066 on three backbones with three seeds each."""
    rng = np.random.default_rng(1)
    cells, shift = np.repeat(np.arange(3), 3), np.repeat([0.068, 0.069, 0.066], 3)[:, None]
    values = shift + rng.normal(0, 0.02, (9, 1)) + rng.normal(0, 0.25, (9, 400))
    pooled = Difference([Blocks.of(values, np.arange(400), cells)])
    alone = [paired(values[cells == c], np.arange(400)) for c in range(3)]
    assert pooled.p() < 1e-3 and pooled.blocks == 9 and pooled.p() < min(d.p() for d in alone)


def test_one_seed_has_an_interval_for_these_networks_and_no_test():
    values = np.ones((1, 30)) * np.arange(30)
    one = paired(values, np.arange(30))
    assert np.isnan(one.p()) and not one.retrained
    assert one.interval(0.95)[1] - 14.5 == pytest.approx(
        2.0452 * np.sqrt(clustered_variance(values[0], np.ones(30))), rel=1e-4
    )
    assert verdict(one, one.p(), one.interval(0.95), 0.05, 100.0) == "one seed"
    assert np.isnan(seeds_needed(one, 0.01, 0.05)) and non_inferior(one, one.interval(0.95), 0.01) == ""
    three = Difference([Blocks.of(np.repeat(values, 3, axis=0), np.arange(30), np.arange(3))])
    assert not three.retrained and np.isnan(three.p())  # one seed on each of three backbones is one seed
    alone = paired(np.ones((3, 6)), np.zeros(6, int))
    assert np.isnan(alone.p()) and verdict(alone, alone.p(), alone.interval(0.95), 0.05, 1.0) == "no test"


def test_image_only_intervals_cover_for_the_same_networks():
    """One seed: the truth is that of this network on all images; its own shift stays."""
    rng = np.random.default_rng(8)
    shift = rng.normal(0, 0.1, (2000, 1, 1))
    values = TRUE + shift + np.repeat(rng.normal(0, 0.3, (2000, 1, 60)), 1, axis=1)
    study = Difference([Blocks(4 * values, np.full(60, 4), np.zeros(1, int))])
    assert 0.935 <= np.mean(np.abs(study.mean - TRUE - shift[:, 0, 0]) <= study.half_width(0.025)) <= 0.965


def test_equal_predictions_do_not_differ():
    same = paired(np.zeros((3, 6)), np.arange(6))
    assert same.p() == 1 and same.interval(0.95) == (0, 0)
    assert verdict(same, 1.0, (0.0, 0.0), 0.05, 0.01) == "equivalent"


def test_verdicts_and_seeds_needed():
    rng = np.random.default_rng(2)
    study = paired(0.03 + rng.normal(0, 0.01, (4, 1)) + rng.normal(0, 0.1, (4, 400)), np.arange(400))
    assert verdict(study, 0.01, (0.01, 0.05), 0.05, 0.01) == "higher"
    assert verdict(study, 0.2, (-0.01, 0.05), 0.05, 0.06) == "equivalent"
    assert (
        verdict(study, 0.2, (-0.01, 0.05), 0.05, 0.05)
        == "inconclusive"
        == verdict(study, 0.2, (-1, 1), 0.05, None)
    )
    words = [non_inferior(study, interval, 0.02) for interval in ((-0.1, 0.01), (0.03, 0.04), (0.0, 0.04))]
    assert words == ["yes", "no", "unclear"]
    few, many = seeds_needed(study, 0.03, 0.05), seeds_needed(study, 0.015, 0.05)
    assert 2 <= few < many < 100 and seeds_needed(study, 0.015, 0.05 / 9) > many
    images = paired(
        np.repeat(rng.normal(0, 1, (1, 50)), 3, axis=0) + rng.normal(0, 0.001, (3, 1)), np.arange(50)
    )
    assert seeds_needed(images, 0.01, 0.05) == np.inf  # no number of seeds makes up for 50 images


def test_seeds_needed_find_the_difference_in_four_of_five_studies():
    rng = np.random.default_rng(6)
    spread, relevant = KINDS["trainings differ"]._replace(training=0.02, group=0.02), 0.02
    found = draw(rng, 1, 200, spread, true=0.0)  # the variances as good as known
    one = Difference([Blocks(part.sums[0], part.sizes, part.cells) for part in found.parts])
    seeds = int(seeds_needed(one, relevant, 0.05))
    power = 1 - covered(draw(rng, 1000, seeds, spread, true=relevant), 0.0)
    assert 0.75 <= power <= 0.95


def test_equivalence_is_seldom_claimed_of_a_relevant_difference():
    rng = np.random.default_rng(9)
    study = draw(rng, 2000, 3, KINDS["both"]._replace(group=0.05, training=0.01, both=0.1), true=0.05)
    half = study.half_width(0.025)
    assert np.mean((study.mean + half < 0.05) & (study.mean - half > -0.05)) <= 0.03


def test_ece_of_two_calibrated_networks_is_seldom_told_apart():
    """The hard case: both ECEs are bias alone. Same noise in both, so the truth is 0; the test errs on the safe side."""
    rng = np.random.default_rng(5)
    codes, cells, false = np.repeat(np.arange(150), 2), np.repeat([0, 1], 3), 0
    for _ in range(60):
        truth = 2 * np.repeat(rng.normal(size=(150, 4)), 2, axis=0)
        targets = (softmax(truth).cumsum(axis=1) > rng.random((300, 1))).argmax(axis=1)
        runs = [
            [
                sample_values(Predictions.of(0.92 * (truth + rng.normal(0, 0.6, truth.shape)), targets))[
                    "ece"
                ]
                for _ in cells
            ]
            for _ in range(2)
        ]
        low, high = Difference([Blocks.of(np.subtract(*runs), codes, cells)]).interval(0.95)
        false += not low <= 0 <= high
    assert false <= 4  # 60 times 6 %


def test_holm_leaves_out_what_has_no_test():
    assert holm(np.array([0.01, np.nan, 0.04]))[[0, 2]] == pytest.approx([0.02, 0.04])
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(holm(np.array([np.nan]))).all()
