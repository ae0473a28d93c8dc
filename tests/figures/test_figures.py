"""The figure stage: files, their determinism, the numbers beside them, and clear errors."""

import itertools
import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.figures import NEEDS, curves, style, tsne
from calibench.metrics.clusters import cluster_scores
from calibench.stages import figure as stage
from matplotlib.collections import Collection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image

from tests.figures.drawing import drawn
from tests.finished.fake_runs import write_classes

PAGE = 929  # px, the widest figure in the report on a wide screen


def draw(tmp_path, kind, folders, *options):
    png, pdf = tmp_path / "f.png", tmp_path / "f.pdf"
    records = [str(folder / "run.json") for folder in folders]
    # records first, as in the rule: an option with several values would take those behind it
    stage.main([kind, *records, "--out", str(png), "--out-pdf", str(pdf), *map(str, options)])
    return png, pdf


def swept(path):
    """metrics.csv of ols, swept, beside hard; and what the rule hands over of the sweep."""
    rows = []
    for variant, value in {"": 0.5, "+alpha0.1": 0.1, "+alpha0.9": 0.9, "+update_every12": 0.4}.items():
        head = {"dataset": "digits", "backbone": "resnet50", "regime": "ols", "variant": variant, "n": 9}
        for seed, metric in itertools.product((0, 1), ("top1_error", "ece", "nll")):
            found = {"split": "test", "checkpoint": "top1", "metric": metric, "value": value / 2 + seed / 20}
            rows.append(head | {"seed": seed} | found)
    pd.DataFrame(rows).to_csv(path, index=False)
    tries = [["ols", "ols", "ols.alpha", 0.5], ["ols+alpha0.1", "ols", "ols.alpha", 0.1]]
    tries += [["ols+alpha0.9", "ols", "ols.alpha", 0.9], ["ols", "ols", "ols.update_every", None]]
    tries.append(["ols+update_every12", "ols", "ols.update_every", 12])
    return [
        "--metrics",
        path,
        "--settings",
        json.dumps({"tries": tries, "by": "val_nll", "checkpoint": "top1"}),
    ]


def options(kind, classes):
    if kind == "sweep":
        return swept(classes.parent / "metrics.csv")
    if kind == "netbenefit":
        positive = classes.read_text().splitlines()[1].split(",")[1]
        return ["--classes", classes, "--positive", positive, "--checkpoint", "top1"]
    with_classes = ("tsne", "matrix", "entropy", "bars", "classmeans", "distances")
    return ["--classes", classes] if kind in with_classes else []


def numbers(figure):
    """What is drawn: the points of every line, dot, area and bar, the values behind colours, and all texts."""
    found = [text.get_text() for text in figure.findobj(Text)]
    found += [line.get_xydata().tobytes() for line in figure.findobj(Line2D)]
    for group in figure.findobj(Collection):
        points = [path.vertices.tobytes() for path in group.get_paths()]
        found += [*points, np.asarray(group.get_offsets()).tobytes(), np.asarray(group.get_array()).tobytes()]
    return found + [patch.get_path().vertices.tobytes() for patch in figure.findobj(Patch)]


@pytest.mark.parametrize("kind", sorted(set(NEEDS) - {"shift"}))  # shift: tests/tables/test_shift.py
def test_each_kind_is_drawn_alike_twice_and_can_be_read(tmp_path, runs, kind):
    folders, classes = runs
    some = folders[1:] if kind in ("matrix", "entropy") else folders[:2]
    figure = drawn(kind, some, *options(kind, classes))
    again = drawn(kind, some, *options(kind, classes))
    assert numbers(figure) == numbers(again)
    style.save(figure, tmp_path / "f.png", tmp_path / "f.pdf")
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert (
        figure.get_figwidth() <= style.WIDTH and min(sizes) / 72 * PAGE / style.WIDTH >= 8
    )  # px in the report
    with Image.open(tmp_path / "f.png") as image:
        assert image.info["dpi"][0] == pytest.approx(200, abs=0.1)
        assert "A" not in image.mode or image.getchannel("A").getextrema() == (
            255,
            255,
        )  # dark pages show it, too
        pixels = np.asarray(image.convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert edge.min() > 250  # nothing is cut off at the rim
    assert (pixels < 128).mean() > 0.002


def test_equal_figures_are_equal_files(tmp_path, runs):
    asked = (tmp_path, "netbenefit", runs[0], *options("netbenefit", runs[1]))
    first = [path.read_bytes() for path in draw(*asked)]
    assert first == [path.read_bytes() for path in draw(*asked)]
    assert b"CreationDate" not in first[1] and first[1].startswith(b"%PDF")


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


@pytest.mark.parametrize(
    ("strata", "kind"),
    [
        (["CT/abd", "MR/abd", "MR/knee"], "modality/anatomy"),
        ([f"CT/{i}" for i in range(11)] + ["MR/1", "MR/2"], "anatomy"),
        ([f"{m}/{i}" for m in ("CT", "MR") for i in range(13)], "modality"),
        ([f"{i}/{i}" for i in range(40)], "class"),
        (["CT/abd", ""], "class"),
    ],
)
def test_many_classes_give_way_to_what_can_be_told_apart(tmp_path, strata, kind):
    index = pd.DataFrame({"row": range(120), "target": np.arange(120) % 40})
    path = tmp_path / "index.csv"
    index.assign(stratum=[strata[i % len(strata)] for i in range(120)]).to_csv(path, index=False)
    classes = write_classes(tmp_path / "classes.csv", [f"c{i}" for i in range(40)])
    groups, found = tsne._groups(Namespace(classes=classes, index=path), index)
    assert found == kind and len(set(groups)) == (
        40 if kind == "class" else len(set(groups)) <= 12 and len(set(groups))
    )


def test_classes_have_their_own_hue_and_their_name_in_the_map():
    names = np.repeat([f"digit-{i}" for i in range(10)], 4)
    xy = np.random.default_rng(0).normal(size=(40, 2))
    scores = cluster_scores(xy, np.arange(40) // 4)
    figure = tsne.draw({"one": xy}, names, {"one": scores}, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == list("0123456789")
    assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) == 10


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


def test_a_network_that_died_has_a_panel_without_a_map():
    alive, dead = np.random.default_rng(0).normal(size=(40, 4)), np.ones((40, 4))
    targets = np.arange(40) % 2
    maps = {name: tsne.tsne(f, seed=0) for name, f in (("alive", alive), ("dead", dead))}
    scores = {"alive": cluster_scores(alive, targets), "dead": cluster_scores(dead, targets)}
    assert np.isnan(maps["dead"]).all() and np.isnan(list(scores["dead"].values())).all()
    figure = tsne.draw(maps, targets.astype(str), scores, "title")
    said = [text.get_text() for text in figure.axes[1].texts]
    assert said == [tsne.DEAD] and {text.get_text() for text in figure.axes[0].texts} == {"0", "1"}
    assert "silhouette –" in figure.axes[1].get_xlabel()


def histories(**columns):
    return pd.DataFrame(
        {"run": "hard", "seed": 0, "epoch": range(1, 6), "chosen": [0, 0, 0, 1, 0], **columns}
    ).astype({"chosen": bool})


@pytest.mark.parametrize(("first", "scale"), [(70.0, "log"), (2.0, "linear")])
def test_an_nll_far_above_the_rest_does_not_flatten_the_others(first, scale):
    history = histories(val_nll=[first, 0.9, 0.6, 0.5, 0.5])
    axis = curves.draw(history, style.looks(["hard"]), "one run").axes[0]
    assert axis.get_yscale() == scale and ("log scale" in axis.get_title("left")) == (scale == "log")


def test_curves_mark_the_chosen_epoch_and_leave_out_what_is_empty():
    history = histories(val_top1=[0.1, 0.5, 0.6, 0.9, 0.8], val_nll=np.nan, matrix_entropy=0.0)
    (axis,) = curves.draw(history, style.looks(["hard"]), "one run").axes
    (dot,) = [line for line in axis.lines if line.get_marker() == "o"]
    assert dot.get_xdata() == [4] and dot.get_ydata() == pytest.approx([10])


def test_the_chosen_epoch_is_that_of_the_record(runs):
    folders, _ = runs
    axis = drawn("curves", folders[:1], "--checkpoint", "nll").axes[0]
    assert [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"] == [3]


@pytest.mark.parametrize(
    "experiment", [["hard", "ls", "ols"], ["hard", "ols", "ols+a", *(f"ls+{i}" for i in range(9))]]
)
def test_a_run_has_one_colour_whichever_runs_stand_beside_it(runs, experiment):
    folders, _ = runs
    option = ("--runs", ",".join(experiment))
    both, alone = drawn("density", folders[:2], *option), drawn("density", folders[1:2], *option)
    assert (
        both.axes[0].lines[1].get_color()
        == alone.axes[0].lines[0].get_color()
        != both.axes[0].lines[0].get_color()
    )
    looks = style.looks(experiment)
    assert both.axes[0].lines[1].get_color() == looks["ols"].colour and len(set(looks.values())) == len(
        experiment
    )


def test_variants_share_the_colour_of_their_regime():
    looks = style.looks(["hard", "hard+cutmix", "ols", "ols+cutmix"])
    assert (
        looks["ols"][0] == looks["ols+cutmix"][0] != looks["hard"][0]
        and looks["ols"][1] != looks["ols+cutmix"][1]
    )
