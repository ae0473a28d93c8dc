"""Net benefit by counting, its interval in simulated studies."""

import numpy as np
import pytest
from calibench.metrics import Predictions
from calibench.metrics.decision import benefit_values, of_positive, treat_all
from calibench.statistics.decision import decisions


def counted(score, finding, t):
    """TP/N - FP/N·t/(1 - t), image by image."""
    true = sum(s >= t and y for s, y in zip(score, finding, strict=True))
    false = sum(s >= t and not y for s, y in zip(score, finding, strict=True))
    return true / len(score) - false / len(score) * t / (1 - t)


def test_curves_equal_counts_and_their_end_points(sample):
    seen = Predictions.of(*sample)
    score, finding = of_positive(seen, [2, 5])
    assert score == pytest.approx(seen.probs[:, 2] + seen.probs[:, 5])
    table = decisions(seen, [2, 5], np.arange(600), 0.95)
    curve = table[table["kind"] == "threshold"].pivot(index="at", columns="metric", values="value")
    for t in (0.01, 0.2, 0.5, 0.99):
        assert curve.loc[t, "net_benefit"] == pytest.approx(counted(score, finding, t), abs=1e-12)
        assert curve.loc[t, "treat_all"] == pytest.approx(counted(np.ones(600), finding, t), abs=1e-12)
        gain = (curve.loc[t, "net_benefit"] - curve.loc[t, "treat_all"]) * (1 - t) / t
        assert curve.loc[t, "avoided"] == pytest.approx(gain)
    bins = table[table["kind"] == "calibration"]
    assert bins["n"].sum() == 600
    assert (bins["value"] * bins["n"]).sum() == pytest.approx(finding.sum())
    assert (bins["at"] * bins["n"]).sum() == pytest.approx(score.sum())


def test_a_score_at_the_threshold_is_treated():
    score, finding = np.array([0.3, 0.3]), np.array([True, False])
    assert benefit_values(score, finding, 0.3).mean() == pytest.approx(0.5 - 0.5 * 3 / 7)
    assert treat_all(finding, 0.3) == pytest.approx(0.5 - 0.5 * 3 / 7)


def net_benefit_coverage(rng, studies, groups):
    """Share of the intervals that hold the truth; images of a group share a difficulty."""
    t, truth, hits = 0.3, None, 0

    def draw(g):
        hard, targets = np.repeat(rng.normal(1, 1, g), 5), np.repeat(rng.integers(0, 3, g), 5)
        logits = rng.normal(size=(g * 5, 3))
        logits[np.arange(g * 5), targets] += hard
        return Predictions.of(logits.astype(np.float32), targets), np.repeat(np.arange(g), 5)

    score, finding = of_positive(draw(60_000)[0], [1])
    truth = benefit_values(score, finding, t).mean()
    for _ in range(studies):
        table = decisions(*(lambda seen, codes: (seen, [1], codes))(*draw(groups)), 0.95)
        row = table[(table["metric"] == "net_benefit") & np.isclose(table["at"], t)].iloc[0]
        hits += row["low"] <= truth <= row["high"]
    return hits / studies


def test_intervals_of_net_benefit_cover_under_groups(rng):
    assert 0.89 <= net_benefit_coverage(rng, 150, 60) <= 0.99


@pytest.mark.slow
def test_intervals_of_net_benefit_cover_in_many_studies(rng):
    share = net_benefit_coverage(rng, 2000, 60)
    print(f"net benefit: {100 * share:.1f} %")
    assert 0.93 <= share <= 0.97
