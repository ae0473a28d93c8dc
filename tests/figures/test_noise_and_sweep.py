"""What the figures of noise, of a sweep and of grouped classes show."""

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.figures import classmeans

from tests.figures.drawing import drawn
from tests.figures.test_figures import swept
from tests.finished.fake_runs import write_classes, write_run


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    base = tmp_path_factory.mktemp("noisy")
    return [write_run(base, r, "+noise20", seed=s, n=20) for r in ("hard", "ols") for s in (0, 1)]


def test_noise_shows_the_error_against_the_wrong_labels(noisy):
    figure = drawn("noise", noisy, "--variants", "noise20")
    shown = {axis.get_title("left").replace("\n", " ")[4:]: axis for axis in figure.axes}
    assert "noise 20 %: validation error" not in shown, "the test error of each epoch stands in its place"
    wrong = shown["noise 20 %: error on images with wrong labels, against these"]
    np.testing.assert_allclose(wrong.lines[0].get_ydata(), 100 - 10 * np.arange(1, 7))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Hard labels", "OLS"]


def test_sweep_has_a_row_per_setting_and_marks_the_default(tmp_path, runs):
    figure = drawn("sweep", runs[0][1:2], *swept(tmp_path / "metrics.csv"))
    assert [axis.get_xlabel() for axis in figure.axes] == ["ols.alpha"] * 3 + ["ols.update_every"] * 3
    error, period = figure.axes[0], figure.axes[3]
    np.testing.assert_allclose(error.lines[0].get_xydata(), [[0.1, 7.5], [0.5, 27.5], [0.9, 47.5]])
    rings = [line for line in error.lines if line.get_markerfacecolor() == "none"]
    np.testing.assert_allclose(rings[0].get_xydata(), [[0.5, 27.5]])
    assert any(line.get_linestyle() == ":" for line in period.lines), "null is no number"


def test_a_sweep_without_its_runs_is_one_sentence(tmp_path, runs):
    options = swept(tmp_path / "metrics.csv")
    pd.read_csv(tmp_path / "metrics.csv").assign(dataset="other").to_csv(
        tmp_path / "metrics.csv", index=False
    )
    with pytest.raises(UserError, match="none of the runs of the sweep is in it"):
        drawn("sweep", runs[0][1:2], *options)


def test_classes_share_colours_and_a_patch_is_enlarged(tmp_path):
    folder = write_run(tmp_path, "hard", n=60)
    classes = write_classes(tmp_path / "classes.csv", [str(i) for i in range(10)])
    figure = drawn("tsne", [folder], "--classes", classes, "--group", 4, "--zoom", 0.25)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0 to 3", "4 to 7", "8 to 9"]
    above, below = figure.axes
    frame = above.patches[0]
    assert below.get_xlim() == pytest.approx((frame.get_x(), frame.get_x() + frame.get_width()))
    assert frame.get_width() == pytest.approx(0.25 * np.ptp(above.get_xlim()), rel=0.01)


def test_class_means_of_the_training_set(tmp_path):
    folder = write_run(tmp_path, "hard", n=20, k=3)
    classes = write_classes(tmp_path / "classes.csv", ["a", "b", "c"])
    with pytest.raises(UserError, match="predict_training"):
        drawn("classmeans", [folder], "--classes", classes, "--of", "train")
    (folder / "training").mkdir()
    logits = np.log(np.array([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1]], np.float32))
    np.save(folder / "training/top1.npy", logits)
    pd.DataFrame({"row": [0, 1, 2], "target": [0, 0, 1]}).to_csv(folder / "training/top1.csv", index=False)
    shown = (
        drawn("classmeans", [folder], "--classes", classes, "--of", "train")
        .axes[0]
        .collections[0]
        .get_array()
    )
    np.testing.assert_allclose(np.asarray(shown).reshape(3, 3)[0, 1:], [0.15, 0.15], rtol=1e-5)
    assert classmeans.class_means(logits, np.array([0, 0, 1]), 3)[0, 0] == pytest.approx(0.7)
