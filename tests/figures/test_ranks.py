"""Critical-difference diagrams: Demšar's own groups, what is drawn where, legible text."""

from argparse import ArgumentParser

import pandas as pd
import pytest
from calibench.figures import ranks, style
from matplotlib.text import Text

from tests.figures.test_forest import PAGE


def test_groups_of_demsars_example():
    """JMLR 7, p. 13: at 5 % no two differ; at 10 % C4.5 is worse than two, and one belongs to both groups."""
    means = [1.964, 2.000, 2.893, 3.143]
    assert ranks.joined(means, 1.25) == [(0, 3)]
    assert ranks.joined(means, 1.12) == [(0, 2), (2, 3)]
    assert ranks.joined([1, 2, 3], 0.5) == []


def test_what_is_drawn(tmp_path):
    row = {"split": "test", "places": 8, "critical_difference": 1.0}
    rows = [
        row | {"metric": metric, "run": run, "mean_rank": mean, "low": mean - 0.4, "high": mean + 0.3, "worst_rank": 3.0}
        for metric in ("ece", "aurc")
        for run, mean in (("ols", 2.9), ("hard", 1.1), ("ls+a$b", 2.0))
    ]  # fmt: skip
    pd.DataFrame([*rows, rows[0] | {"split": "test@noise3"}]).to_csv(tmp_path / "ranks.csv", index=False)
    parser = ArgumentParser()
    ranks.add_options(parser)
    found = ranks.figure(
        parser.parse_args(["--ranks", str(tmp_path / "ranks.csv"), "--runs", "hard,ls+a$b,ols"])
    )
    (axis,) = found.axes
    assert axis.get_title("left") == "ECE" and "over 8 places" in found.get_suptitle()
    assert [text.get_text() for text in axis.get_yticklabels()][0] == "Hard labels"
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == [1.1, 2.0, 2.9]
    assert dots[2].get_color() == style.looks(["hard", "ls+a$b", "ols"])["ols"].colour
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0.7, 1.4])
    brackets = [line for line in axis.lines if line.get_color() == style.GREY]
    assert [list(line.get_ydata()) for line in brackets] == [
        pytest.approx([-0.2, 1.2]),
        pytest.approx([0.8, 2.2]),
    ]
    sizes = [text.get_fontsize() for text in found.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(sizes) / 72 * PAGE / style.WIDTH >= 8
    empty = ranks.draw(pd.read_csv(tmp_path / "ranks.csv").iloc[:0], ["hard"], 0.95)
    assert "no place" in empty.axes[0].get_title("left")
