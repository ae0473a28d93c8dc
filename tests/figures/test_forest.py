"""The forest plot shows the rows of contrasts.csv, in points for errors, raw beside raw and tempered beside tempered."""

import pandas as pd
import pytest
from calibench.figures import forest, style
from calibench.stages import figure
from matplotlib.text import Text
from PIL import Image

PAGE = 929  # px, the widest figure in the report on a wide screen


def rows():
    """Two runs and tempered ECE, pooled and on one backbone; rows of other families and sets must not be drawn."""
    found = []
    for run, metric, value in [
        ("ols", "top1_error", -0.02),
        ("ols", "ece", 0.05),
        ("ols@temperature", "ece", 0.01),
        ("a$b", "ece", 0.03),
    ]:
        reference = "hard@temperature" if "@" in run else "hard"
        for backbone in ("", "lenet"):
            row = {
                "family": "hard",
                "split": "test",
                "dataset": backbone and "d",
                "backbone": backbone,
                "metric": metric,
                "run": run,
            }
            found.append(
                row | {"reference": reference, "difference": value, "low": value - 0.01, "high": value + 0.02}
            )
    found.append(
        found[2] | {"run": "hard@temperature", "difference": 0.9}
    )  # tempered against raw hard labels
    found.append(found[0] | {"family": "primary", "difference": 0.9})
    found.append(found[0] | {"split": "test@noise3", "difference": 0.9})
    return pd.DataFrame(found)


def test_rows_of_each_panel():
    drawn = {m.title: forest.differences(rows(), m) for m in forest.MEASURES}
    pooled = drawn["Top-1 error (points)"].query("backbone == ''").iloc[0]
    assert (pooled["difference"], pooled["low"], pooled["high"]) == pytest.approx((-2, -3, 0))
    assert list(drawn["ECE as trained"]["run"]) == ["ols", "ols", "a$b", "a$b"]
    assert list(drawn["ECE after temperature"]["difference"]) == [0.01, 0.01] and drawn["NLL (nats)"].empty


def test_intervals_are_drawn_where_they_are_and_text_is_legible():
    found = forest.draw(rows(), ["hard", "ols", "a$b"], 0.95)
    assert [axis.get_title("left") for axis in found.axes] == [
        "(a) Top-1 error (points)",
        "(b) ECE as trained",
        "(c) ECE after temperature",
    ]
    assert [text.get_text() for text in found.axes[0].get_yticklabels()] == ["OLS", "a$b"]
    lines = [line.get_xdata() for line in found.axes[1].lines if len(line.get_xdata()) == 2]
    assert [list(line) for line in lines[1:]] == [pytest.approx([0.04, 0.07]), pytest.approx([0.02, 0.05])]
    colour = style.looks(["hard", "ols", "a$b"])["ols"].colour
    assert found.axes[1].lines[1].get_color() == colour
    sizes = [text.get_fontsize() for text in found.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(sizes) / 72 * PAGE / style.WIDTH >= 8


def test_the_stage_needs_no_runs_and_draws_an_empty_study(tmp_path):
    for table in (rows(), rows().iloc[:0]):
        table.to_csv(tmp_path / "c.csv", index=False)
        figure.main(
            [
                "forest",
                "--out",
                str(tmp_path / "f.png"),
                "--contrasts",
                str(tmp_path / "c.csv"),
                "--runs",
                "hard,ols,a$b",
            ]
        )
        with Image.open(tmp_path / "f.png") as image:
            assert image.size[0] > 300
