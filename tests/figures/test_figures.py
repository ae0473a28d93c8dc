"""The figure stage: files, their determinism, the numbers beside them, and clear errors."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.figures import NEEDS, curves, style, tsne
from calibench.metrics.clusters import cluster_scores
from calibench.stages import figure as stage
from PIL import Image


def draw(tmp_path, kind, folders, *options):
    png, pdf = tmp_path / "f.png", tmp_path / "f.pdf"
    records = [str(folder / "run.json") for folder in folders]
    stage.main([kind, "--out", str(png), "--out-pdf", str(pdf), *map(str, options), *records])
    return png, pdf


def options(kind, classes):
    with_classes = ("tsne", "matrix", "entropy", "bars", "classmeans", "distances")
    return ["--classes", classes] if kind in with_classes else []


@pytest.mark.parametrize("kind", sorted(set(NEEDS) - {"shift"}))  # shift: tests/tables/test_shift.py
def test_each_kind_gives_the_same_bytes_twice(tmp_path, runs, kind):
    folders, classes = runs
    some = folders[1:] if kind in ("matrix", "entropy") else folders[:2]
    first = [p.read_bytes() for p in draw(tmp_path, kind, some, *options(kind, classes))]
    second = [p.read_bytes() for p in draw(tmp_path, kind, some, *options(kind, classes))]
    assert first == second
    assert b"CreationDate" not in first[1] and first[1].startswith(b"%PDF")
    with Image.open(tmp_path / "f.png") as image:
        assert image.info["dpi"][0] == pytest.approx(200, abs=0.1)
        pixels = np.asarray(image.convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert edge.min() > 250  # nothing is cut off at the rim
    assert (pixels < 128).mean() > 0.002


def test_cluster_scores_are_those_of_the_features(tmp_path, runs):
    folders, classes = runs
    draw(
        tmp_path, "tsne", folders[:2], "--classes", classes, "--out-data", tmp_path / "s.csv", "--points", 60
    )
    scores = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert list(scores.columns) == tsne.SCORES
    for folder, regime in zip(folders, ["hard", "ols"], strict=False):
        features = np.load(folder / "features/train.npy").astype(np.float32)
        targets = pd.read_csv(folder / "features/train.csv")["target"].to_numpy()
        mine = scores[scores["regime"] == regime].set_index("metric")["value"].astype(float)
        expected = cluster_scores(features, targets)
        assert {m: mine[m] for m in expected} == pytest.approx(expected, rel=1e-6)
    tight = scores[scores["metric"] == "silhouette"].set_index("regime")["value"].astype(float)
    assert tight["ols"] > tight["hard"]


def test_silhouette_and_davies_bouldin_by_hand():
    features = np.array([[0.0], [1.0], [10.0], [12.0], [99.0]])
    targets = np.array([0, 0, 1, 1, 2])  # the last class has one sample and is left out
    s = [(11 - 1) / 11, (10 - 1) / 10, (9.5 - 2) / 9.5, (11.5 - 2) / 11.5]
    scores = cluster_scores(features, targets, neighbours=1)
    assert scores["silhouette"] == pytest.approx(np.mean(s))
    assert scores["davies_bouldin"] == pytest.approx((0.5 + 1.0) / 10.5)
    assert scores["knn_hit"] == 1.0
    assert scores["within_between"] == pytest.approx((0.5 + 0.5 + 1 + 1) / 4 / 10.5)
    assert np.isnan(cluster_scores(features[:2], targets[:2])["silhouette"])


def test_many_classes_leave_a_note_or_give_way_to_strata(tmp_path, runs):
    names = np.array([f"c{i % 40}" for i in range(400)])
    shown, note = tsne.colouring(names)
    assert len(shown) == 15 and "15 largest of 40" in note
    assert tsne.colouring(names[:10])[1] == ""


def test_few_samples_lower_the_perplexity():
    features = np.random.default_rng(0).normal(size=(8, 4))
    assert tsne.tsne(features, seed=0).shape == (8, 2)


def test_long_names_keep_their_ends():
    assert style.short("abdomen/very_long_name_17", 11) == "abdom…me_17"
    assert style.short("two\nlines") == "two lines"


def test_bad_inputs_are_named(tmp_path, runs):
    folders, classes = runs
    with pytest.raises(UserError, match="given twice"):
        draw(tmp_path, "reliability", [folders[0], folders[0]])
    with pytest.raises(UserError, match="its regime has no matrix"):
        draw(tmp_path, "matrix", folders[:1], "--classes", classes)
    with pytest.raises(UserError, match="history.jsonl is missing"):
        empty = tmp_path / "empty"
        empty.mkdir()
        (empty / "run.json").write_text((folders[0] / "run.json").read_text())
        draw(tmp_path, "curves", [empty])
    other = json.loads((folders[0] / "run.json").read_text())
    other["run"]["dataset"] = "else"
    (empty / "run.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="another dataset"):
        draw(tmp_path, "curves", [folders[0], empty])


def test_the_null_band_of_a_bin_is_binomial():
    from calibench.figures.reliability import null_band
    from calibench.metrics.calibration import Bins

    bins = Bins(np.array([0, 10, 1000]), np.array([0.0, 0.9, 0.9]), np.array([0.0, 0.5, 0.9]))
    low, high = null_band(bins)
    assert low[1] == pytest.approx(0.7) and high[1] == 1.0
    assert 0.87 < low[2] < 0.885 and 0.915 < high[2] < 0.93


def test_a_network_that_died_has_a_panel_without_a_map():
    alive, dead = np.random.default_rng(0).normal(size=(40, 4)), np.ones((40, 4))
    targets = np.arange(40) % 2
    maps = {name: tsne.tsne(f, seed=0) for name, f in (("alive", alive), ("dead", dead))}
    scores = {"alive": cluster_scores(alive, targets), "dead": cluster_scores(dead, targets)}
    assert np.isnan(maps["dead"]).all() and np.isnan(list(scores["dead"].values())).all()
    figure = tsne.draw(maps, targets.astype(str), scores, "title")
    said = [text.get_text() for text in figure.axes[1].texts]
    assert said == [tsne.DEAD] and not figure.axes[0].texts
    assert "silhouette –" in figure.axes[1].get_xlabel()


@pytest.mark.parametrize(("first", "scale"), [(70.0, "log"), (2.0, "linear")])
def test_an_nll_far_above_the_rest_does_not_flatten_the_others(first, scale):
    history = pd.DataFrame(
        {"run": "hard", "seed": 0, "epoch": range(1, 6), "val_nll": [first, 0.9, 0.6, 0.5, 0.5]}
    )
    (axis,) = [a for a in curves.draw(history, "one run").axes if "NLL" in a.get_ylabel()]
    assert axis.get_yscale() == scale and ("log scale" in axis.get_ylabel()) == (scale == "log")
