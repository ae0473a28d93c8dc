"""The numbers in reliability diagrams, retention curves and heat maps are those of their definitions."""

import numpy as np
import pytest
from calibench.calibrators.temperature import best_temperature
from calibench.figures import matrix, reliability, retention
from calibench.finished.read import read_part
from calibench.metrics.calibration import Bins
from calibench.metrics.probabilities import Predictions
from calibench.metrics.selective import retention as retention_areas
from matplotlib.colors import LogNorm

from tests.figures.drawing import drawn

BINS = Bins(np.array([0, 10, 1000]), np.array([0.0, 0.9, 0.9]), np.array([0.0, 0.0, 0.9]))


def test_the_null_band_of_a_bin_is_binomial():
    low, high = reliability.null_band(BINS)
    assert low[1] == pytest.approx(0.7) and high[1] == 1.0
    assert 0.87 < low[2] < 0.885 and 0.915 < high[2] < 0.93


def test_wilson_intervals_by_hand():
    found = reliability.wilson(BINS)
    z = 1.959964
    middle, reach = (
        (0.9 + z**2 / 2000) / (1 + z**2 / 1000),
        z * np.sqrt(0.09 / 1000 + z**2 / 4e6) / (1 + z**2 / 1000),
    )
    assert found[:, 1] == pytest.approx([0, z**2 / (10 + z**2)], abs=1e-6)
    assert found[:, 2] == pytest.approx([middle - reach, middle + reach], abs=1e-6)


def test_a_bin_without_a_right_prediction_is_seen():
    logits = np.log(np.tile([[0.7, 0.3]], (20, 1)))
    seen = Predictions.of(logits, np.ones(20, dtype=int))
    above = reliability.draw({"hard": (seen, None, 1.0)}, ["#0072B2"], "title").axes[0]
    (dots,) = above.containers[-1].lines[0].get_xydata()
    assert dots == pytest.approx([0.7, 0]) and not above.containers[-1].lines[0].get_clip_on()


def test_the_black_series_is_fitted_on_the_calibration_part(runs):
    folders, _ = runs
    logits, index = read_part(folders[0], "top1", "calibrate")
    expected = best_temperature(logits, index["target"].to_numpy())
    assert f"T = {expected:.2f}" in drawn("reliability", folders[:1]).axes[0].get_title("left")


def test_the_excess_of_a_perfect_order_is_a_triangle_of_height_one():
    correct = np.arange(100) < 80
    found = retention.excess(np.linspace(1, 0, 100), correct)
    assert found["relative"].max() == pytest.approx(100) and found["kept"][found["relative"].idxmax()] == 80
    assert found["excess"].max() == pytest.approx(100 * 0.2 * 0.8)
    flat = retention.excess(np.full(100, 0.5), correct)
    assert np.abs(flat["excess"]).max() < 1e-9
    assert retention.excess(np.ones(3), np.ones(3, bool))["relative"].isna().all()


def test_the_area_of_the_relative_curve_is_half_the_normalised_one():
    rng = np.random.default_rng(0)
    confidence, correct = rng.uniform(size=4000), rng.uniform(size=4000) < 0.7
    found = retention.excess(confidence, correct)
    area = np.trapezoid(found["relative"] / 100, found["kept"] / 100)
    assert 2 * area == pytest.approx(retention_areas(confidence, correct)["r_auc_normalised"], abs=1e-3)


def test_all_seeds_enter_a_retention_curve(runs):
    folders, _ = runs
    line = drawn("retention", folders[1:]).axes[0].lines[0].get_ydata()
    alone = [drawn("retention", [folder]).axes[0].lines[0].get_ydata() for folder in folders[1:]]
    assert line == pytest.approx(np.mean(alone, axis=0))


@pytest.mark.parametrize(
    ("values", "low", "high", "log"),
    [
        ([0.0060, 0.0061, 0.0062], 0.0060, 0.0062, False),  # LS++ with 165 classes
        ([0.0, 0.001, 0.1], 1e-5, 0.1, True),
        ([0.01, 0.5], 0.01, 0.5, True),
        ([0.2, 0.2], 0, 0.4, False),
        ([np.nan], 0, 1, False),
    ],
)
def test_colours_reach_from_the_smallest_entry_to_the_largest(values, low, high, log):
    norm, extend = matrix.scale(np.array(values), log=True)
    assert (norm.vmin, norm.vmax) == pytest.approx((low, high)) and isinstance(norm, LogNorm) == log
    assert (extend == "min") == (min(values) < low)


def test_a_row_that_was_not_learnt_is_hatched(runs):
    folders, classes = runs
    axis = drawn("matrix", folders[1:2], "--classes", classes).axes[0]
    assert [patch.get_y() for patch in axis.patches if patch.get_hatch()] == [9]
    assert axis.collections[0].get_array().mask[9].all() and "1 of 10 rows not learnt" in axis.get_title(
        "left"
    )


def test_retention_names_each_run_with_its_error(runs):
    folders, _ = runs
    said = [text.get_text() for text in drawn("retention", folders).legends[0].get_texts()]
    areas, errors = [], []
    for folder in folders[1:]:
        logits, index = read_part(folder, "top1", "test")
        seen = Predictions.of(logits, index["target"].to_numpy())
        areas.append(retention_areas(seen.confidence, seen.correct)["r_auc_normalised"])
        errors.append(100 * (1 - seen.correct.mean()))
    assert said[1] == f"OLS: error {np.mean(errors):.1f} %, normalised R-AUC {np.mean(areas):.3f}"
