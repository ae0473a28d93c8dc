"""Gradient norms, confusions, soft labels, class means and distances: against numbers worked out by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from calibench.errors import UserError
from calibench.figures.classmeans import class_means
from calibench.figures.distances import centre_distances
from calibench.regimes import build
from calibench.stages import confusions as confusions_stage
from calibench.stages import gradients as gradients_stage
from calibench.tables import confusions, gradients
from safetensors.numpy import save_file

from tests.figures.drawing import drawn
from tests.finished.fake_runs import write_classes, write_run


def records(folders):
    return [str(folder / "run.json") for folder in folders]


NAMES = [f"class {i}" for i in range(10)]


@pytest.fixture
def folders(tmp_path):
    return [
        write_run(tmp_path, "hard", n=80),
        write_run(tmp_path, "ols", n=80),
        write_run(tmp_path, "ols", seed=1, n=80),
    ]


def add_gradients(folder, values):
    path = folder / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for epoch, value in values.items():
        lines[epoch - 1] |= {"gradient_ratio": value, "gradient_ratio_logits": 2 * value}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_gradient_norms_are_means_over_seeds(folders, tmp_path):
    for folder, value in zip(folders, (1.0, 0.4, 0.6), strict=True):
        add_gradients(folder, {1: value, 3: value / 2})
    gradients_stage.main(["--out", str(tmp_path / "g.csv"), *records(folders)])
    out = pd.read_csv(tmp_path / "g.csv", keep_default_na=False)
    assert list(out["regime"]) == ["hard", "hard", "ols", "ols"] and list(out["epoch"]) == [1, 3, 1, 3]
    assert list(out["gradient_ratio"]) == pytest.approx([1, 0.5, 0.5, 0.25])
    assert list(out["gradient_ratio_logits"]) == pytest.approx([2, 1, 1, 0.5])
    assert list(out["seeds"]) == [1, 1, 2, 2]


def test_histories_without_gradients_give_an_empty_table(folders, tmp_path):
    gradients_stage.main(["--out", str(tmp_path / "g.csv"), *records(folders[:1])])
    assert (tmp_path / "g.csv").read_text().strip() == ",".join(gradients.COLUMNS)


def write_predictions(folder, targets, predicted, k=10):
    index = pd.DataFrame(
        {"row": range(len(targets)), "target": targets, "part": "test", "group": "", "stratum": ""}
    )
    index.to_csv(folder / "predictions/test.csv", index=False)
    logits = np.zeros((len(targets), k), np.float32)
    logits[np.arange(len(targets)), predicted] = 5
    np.save(folder / "predictions/top1/test.npy", logits)


def test_confusions_by_hand(folders, tmp_path):
    write_predictions(folders[1], [0, 0, 0, 0, 1], [0, 2, 2, 3, 1])
    write_predictions(folders[2], [0, 0, 0, 0, 1], [0, 0, 2, 0, 1])
    matrix = np.full((10, 10), 0.1, np.float32)
    for folder, counts in zip(folders[1:], (4, 6), strict=True):
        save_file({"matrix": matrix, "last_counts": np.full(10, counts)}, folder / "regime.safetensors")
    classes = write_classes(tmp_path / "classes.csv", NAMES)
    confusions_stage.main(
        ["--out", str(tmp_path / "c.csv"), "--classes", f"digits={classes}", *records(folders[1:])]
    )
    out = pd.read_csv(tmp_path / "c.csv", keep_default_na=False)
    assert list(out.columns) == confusions.COLUMNS
    assert out[["class", "rank", "taken_for", "images"]].to_numpy().tolist() == [
        ["class 0", 1, "class 2", 8], ["class 0", 2, "class 3", 8],
    ]  # fmt: skip
    assert list(out["share"].astype(float)) == pytest.approx([3 / 8, 1 / 8])
    assert list(out["accuracy"].astype(float)) == pytest.approx([4 / 8] * 2)
    assert list(out["correct_updates"].astype(float)) == [5, 5]
    assert list(out["soft_label"].astype(float)) == pytest.approx([0.1] * 2)


def test_confusions_without_a_matrix_and_without_classes(folders, tmp_path):
    classes = write_classes(tmp_path / "classes.csv", NAMES)
    out = confusions.collect(folders[:1], {"digits": classes}, "top1", 3)
    assert len(out) and out["soft_label"].isna().all() and (out.groupby("class")["rank"].max() <= 3).all()
    with pytest.raises(UserError, match="classes of 'digits' are not given"):
        confusions.collect(folders[:1], {"else": classes}, "top1", 3)


@pytest.mark.parametrize(
    ("regime", "settings", "state", "row"),
    [
        ("hard", {}, {}, [1, 0, 0, 0]),
        ("ls", {"eps": 0.2}, {}, [0.85, 0.05, 0.05, 0.05]),
        ("ls_matched", {"alpha": 0.5}, {"eps": 0.4}, [0.7, 0.1, 0.1, 0.1]),
        ("ols", {"alpha": 0.25, "weights": "mix"}, {"matrix": [0.6, 0.2, 0.2, 0]}, [0.7, 0.15, 0.15, 0]),
        ("ols_flat", {"alpha": 0.25, "weights": "sum"}, {"matrix": [0.6, 0.2, 0.2, 0]}, [0.8, 0.1, 0.1, 0]),
        ("lspp", {"alpha": 0.1}, {"matrix": [0, 0.5, 0.3, 0.2]}, [0.9, 0.05, 0.03, 0.02]),
        ("lsplus", {"alpha": 0.5}, {"accuracy": [0.7] * 4}, [0.85, 0.05, 0.05, 0.05]),
    ],
)
def test_the_label_of_each_class(regime, settings, state, row):
    built = build(regime, 4, **settings)
    for name, values in state.items():
        if name == "matrix":
            values = np.array([np.roll(values, y) for y in range(4)])
        getattr(built, name).copy_(torch.as_tensor(values))
    soft = built.class_targets().numpy()
    np.testing.assert_allclose(soft[0], row, atol=1e-7)
    np.testing.assert_allclose(soft[2], np.roll(row, 2), atol=1e-7)


def test_the_label_of_tfkd_reg_gives_its_gradient():
    regime = build("tfkd_reg", 5)
    logits, targets = torch.randn(8, 5, requires_grad=True), torch.arange(8) % 5
    (mine,) = torch.autograd.grad(regime(logits, targets), logits)
    label = regime.class_targets()[targets]
    cross = -(label * logits.log_softmax(dim=1)).sum(dim=1).mean() * regime.loss_scale
    torch.testing.assert_close(mine, torch.autograd.grad(cross, logits)[0])


def test_a_regime_without_a_label_of_a_class_has_none():
    assert build("focal", 4).class_targets() is None


def test_class_means_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05], [0.2, 0.2, 0.6]]))
    means = class_means(logits, np.array([0, 0, 2]), 3)
    np.testing.assert_allclose(means[[0, 2]], [[0.7, 0.15, 0.15], [0.2, 0.2, 0.6]])
    assert np.isnan(means[1]).all()


def test_centre_distances_by_hand():
    features = np.array([[1.0, 0], [3, 0], [0, 2], [-1, 0]])
    out = centre_distances(features, np.array([0, 0, 1, 2]), 4)
    # cosine distances: 0–1 1, 0–2 2, 1–2 1
    np.testing.assert_allclose(out[:3, :3], [[0, 1 / 3, 2 / 3], [0.5, 0, 0.5], [2 / 3, 1 / 3, 0]])
    assert np.isnan(out[3]).all() and np.isnan(out[:, 3]).all()


def test_evenly_spaced_centres_are_even():
    out = centre_distances(np.eye(5), np.arange(5), 5)
    np.testing.assert_allclose(out[~np.eye(5, dtype=bool)], 1 / 4)


def test_bars_show_the_class_asked_for(folders, tmp_path):
    classes = write_classes(tmp_path / "classes.csv", NAMES)
    figure = drawn("bars", folders[:2], "--classes", classes, "--class", "class 3")
    assert "label of 'class 3'" in figure.get_suptitle().replace("\n", " ")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[3] == 1 and max(heights[:3]) < 1e-4
    with pytest.raises(UserError, match="there is no class 'cat'"):
        drawn("bars", folders[:2], "--classes", classes, "--class", "cat")


def test_bars_show_the_most_confused_class_by_default(folders, tmp_path):
    write_predictions(folders[0], [0, 0, 4, 4, 4, 5], [0, 1, 7, 7, 4, 5])
    figure = drawn("bars", folders[:2], "--classes", write_classes(tmp_path / "classes.csv", NAMES))
    assert "label of 'class 4'" in figure.get_suptitle().replace("\n", " ")


def test_entropy_has_the_uniform_row(folders, tmp_path):
    figure = drawn("entropy", folders, "--classes", write_classes(tmp_path / "classes.csv", NAMES))
    heights = [np.ravel(line.get_ydata())[0] for line in figure.axes[0].lines if len(line.get_ydata())]
    assert any(height == pytest.approx(math.log(10)) for height in heights)
    said = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert any("ln K" in text for text in said) and not any(
        "Hard" in text for text in said
    )  # hard has no matrix
    with pytest.raises(UserError, match="no matrix_entropy"):
        drawn("entropy", folders[:1], "--classes", write_classes(tmp_path / "classes.csv", NAMES))
