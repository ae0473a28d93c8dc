"""One failed run does not flatten the figure of all others, and is named."""

import numpy as np
import pandas as pd
import pytest
from calibench.figures import curves, style

FINE = {f"run {i}": np.array([0.9, 0.3 + 0.01 * i]) for i in range(6)}


def focused(lines):
    figure, (axis,) = style.panels(1, 4, 3)
    for values in lines.values():
        axis.plot(values)
    before = axis.get_ylim()
    style.focus(axis, lines)
    return axis.get_ylim(), before, axis.get_title("left")


def test_a_run_that_ends_far_from_the_others_is_named_not_shown():
    (low, high), _, title = focused(FINE | {"died off": np.array([0.8, 40.0])})
    assert low == pytest.approx(0.27) and high == pytest.approx(0.93)
    assert title == "off the scale: died\N{NO-BREAK SPACE}off"


def test_a_run_that_only_started_badly_stays():
    after, before, title = focused(FINE | {"late": np.array([40.0, 0.33])})
    assert after == before and title == ""


def test_far_from_a_tight_bunch_yet_on_the_scale():
    tight = {f"run {i}": np.array([0.9, 0.3]) for i in range(6)} | {"other": np.array([0.8, 0.5])}
    after, before, title = focused(tight)
    assert after == before and title == "", "its end is within what the others' curves span"


@pytest.mark.parametrize("worst", [0.9, 1e6])
def test_four_runs_are_never_cut(worst):
    lines = {f"run {i}": np.array([0.9, 0.3 + 0.01 * i]) for i in range(3)} | {"bad": np.array([0.9, worst])}
    after, before, title = focused(lines)
    assert after == before and title == ""


def test_an_epoch_that_is_not_finite_is_passed_over():
    _, _, title = focused(FINE | {"broke": np.array([0.9, 50.0, np.nan])})
    assert "broke" in title


def test_a_better_run_beside_a_tight_bunch_stays():
    """The best run ends far from four that agree, but flattens none of them."""
    bunch = {f"run {i}": np.array([2.3, 0.66 + 0.01 * i]) for i in range(4)}
    after, before, title = focused(bunch | {"best": np.array([2.3, 0.4]), "worst": np.array([2.3, 1.7])})
    assert after == before and title == ""


def test_learning_curves_are_focused():
    rows = [
        {"run": f"run {i}", "seed": seed, "epoch": e, "chosen": False, "val_nll": 1 / e + 0.01 * i}
        for i in range(6)
        for seed in (0, 1)
        for e in (1, 2, 3)
    ]
    rows += [{"run": "dead", "seed": 0, "epoch": e, "chosen": False, "val_nll": 9.0} for e in (1, 2, 3)]
    history = pd.DataFrame(rows)
    axis = curves.draw(history, style.looks(list(history["run"].unique())), "six and one").axes[0]
    assert axis.get_ylim()[1] < 2 and "off the scale: dead" in axis.get_title("left")
