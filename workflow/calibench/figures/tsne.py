"""Figure 2: t-SNE of penultimate features, one panel per run, the same images in every panel.

A t-SNE map shows neighbourhoods, not distances; the scores below each panel are taken on the features.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from calibench.data.stored import read_classes
from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes
from calibench.files import write_csv
from calibench.finished.names import KEYS
from calibench.finished.read import read_features
from calibench.metrics.clusters import cluster_scores

SKLEARN_LIMIT = 20_000  # beyond it scikit-learn's Barnes-Hut takes many minutes, openTSNE's FFT does not
PERPLEXITY, SPLIT = 30.0, "train"
SCORES = [*KEYS, "split", "n", "metric", "value"]
CLASSES, STRATA = 20, 12  # most that a legend shows: with names in the map, and by colour alone
DEAD = "all features are equal:\nthis network cannot\ntell images apart"


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """A 2-D t-SNE map (N, 2) of features (N, D): PCA to at most 50 axes, PCA initialisation, fixed seed.

    The perplexity is lowered to (N - 1) / 3 for few samples. One thread: beside other jobs on the same cores
    OpenMP's waiting threads make this many times slower, and the map depends on their number.
    Features that are all equal, of a network that died in training, have no map: NaN.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    features = np.asarray(features, np.float32)
    n = len(features)
    if not np.ptp(features, axis=0).any():
        return np.full((n, 2), np.nan)
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    axes = min(50, features.shape[1], n)
    with threadpool_limits(1):
        reduced = PCA(n_components=axes, svd_solver="auto", random_state=seed).fit_transform(features)
        if n > SKLEARN_LIMIT:
            from openTSNE import TSNE

            model = TSNE(perplexity=perplexity, initialization="pca", random_state=seed, n_jobs=1)
            return np.asarray(model.fit(reduced))
        from sklearn.manifold import TSNE

        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)


def _frame(axis: Axes, scores: dict[str, float]) -> None:
    """Scores below a panel and a thin line around it."""
    text = "on the features: silhouette {:.3f} ↑\nDavies–Bouldin {:.2f} ↓, kNN hit {:.1f} % ↑".format(
        scores["silhouette"], scores["davies_bouldin"], 100 * scores["knn_hit"]
    )
    axis.set_xlabel(text.replace("nan %", "–").replace("nan", "–"), fontsize=8)
    axis.spines[:].set(visible=True, color="#999999", linewidth=0.6)


def _zoom(above: Axes, below: Axes, xy: np.ndarray, side: float) -> None:
    """Show in ``below`` a square around the middle sample of the map; a red frame in ``above`` says where it is."""
    corner = np.median(xy, axis=0) - side / 2
    above.add_patch(Rectangle(tuple(corner), side, side, fill=False, edgecolor="#CC0000", linewidth=1))
    below.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side))
    below.spines[:].set(visible=True, color="#CC0000", linewidth=1)


def draw(
    maps: dict[str, np.ndarray],
    names: np.ndarray,
    scores: dict[str, dict],
    title: str,
    kind: str = "class",
    zoom: float = 0.0,
) -> Figure:
    """A panel per entry of ``maps`` (title → (N, 2)), of the same samples, whose groups are ``names`` (N,).

    Up to twelve groups have distinct hues, more have evenly spaced ones. Of groups that are classes the name (or the
    number in the legend, where names are long) stands in the map. More groups than :data:`CLASSES` have no legend.
    ``scores``: panel title → measures on the features (:func:`calibench.metrics.clusters.cluster_scores`).
    ``zoom``: side of a patch that is shown larger below each map, as a share of the map's; 0 = none.
    """
    groups = sorted(set(names))
    few = [*style.sns.color_palette("tab10"), "#111111", "#B8E986"]
    colours = few[: len(groups)] if len(groups) <= len(few) else style.sns.color_palette("husl", len(groups))
    ends = [group.removeprefix(os.path.commonprefix(groups)) for group in groups]
    plain = all(0 < len(end) <= 4 for end in ends)
    brief = ends if plain else [str(i + 1) for i in range(len(ends))]
    told = len(groups) <= CLASSES
    # seven panels' worth of points must not hide each other: smaller dots for more samples
    size = float(np.clip(5000 / len(names), 1.5, 10))
    columns = {"columns": len(maps)} if zoom else {}
    figure, axes = style.panels(len(maps) * (2 if zoom else 1), 3.0, 3.8, **columns)
    axes, patches = axes[: len(maps)], axes[len(maps) :]
    shades = [colours[i] for i in np.searchsorted(groups, names)]
    for axis, (head, xy) in zip(axes, maps.items(), strict=True):
        style.head(axis, style.short(head, 34))
        axis.set(xticks=[], yticks=[], box_aspect=1)
        _frame(axis, scores[head])
        if np.isnan(xy).any():
            axis.text(0.5, 0.5, DEAD, ha="center", va="center", transform=axis.transAxes)
            continue
        axis.scatter(*xy.T, s=size, c=shades, linewidths=0, alpha=0.75, rasterized=True)
        for group, text in zip(groups, brief, strict=True):
            if told and kind == "class":
                _name(axis, text, xy[names == group])
        centre, reach = (xy.max(0) + xy.min(0)) / 2, np.ptp(xy, axis=0).max() * 0.53
        axis.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
    for axis, patch, xy in zip(axes, patches, maps.values(), strict=False):
        patch.set(xticks=[], yticks=[], box_aspect=1)
        if not np.isnan(xy).any():
            patch.scatter(*xy.T, s=3 * size, c=shades, linewidths=0, alpha=0.75, rasterized=True)
            _zoom(axis, patch, xy, zoom * 1.06 * np.ptp(xy, axis=0).max())
    if told:
        numbered = kind == "class" and not plain
        said = [f"{b}  {style.short(g, 28)}" if numbered else g for g, b in zip(groups, brief, strict=True)]
        style.legend(figure, {text: style.dot(c) for text, c in zip(said, colours, strict=True)}, kind)
    else:
        title += f"; {len(groups)} classes, a hue each, some alike"
    style.headline(figure, title)
    return figure


def _name(axis: Axes, text: str, xy: np.ndarray) -> None:
    """A name on the point (of its own) that is nearest to the middle of a group."""
    nearest = ((xy - np.median(xy, axis=0)) ** 2).sum(axis=1).argmin()
    outline = [withStroke(linewidth=2.2, foreground="white")]
    axis.text(*xy[nearest], text, ha="center", va="center", weight="bold", path_effects=outline)


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    command.add_argument("--out-data", type=Path, help="CSV with the cluster scores")
    command.add_argument("--index", type=Path, help="index.csv of the store, for colours by stratum")
    command.add_argument("--seed", type=int, default=0, help="seed of t-SNE")
    command.add_argument("--group", type=int, default=0, help="classes that share a colour (0 = none)")
    command.add_argument("--zoom", type=float, default=0, help="side of an enlarged patch, as a share")
    command.add_argument("--points", type=int, default=0, help="images in the map (0 = all)")


def figure(args: argparse.Namespace) -> Figure:
    """One map per run of the same images, and their cluster scores as a long table.

    Raises:
        UserError: if the runs have features of different images.
    """
    panels = Panels(args)
    maps, scores, rows, first = {}, {}, [], None
    for (title, folder), run in zip(panels.by_title(), panels.runs, strict=True):
        features, index = read_features(folder, SPLIT)
        first = index if first is None else first
        if not index[["row", "target"]].equals(first[["row", "target"]]):
            raise UserError(
                f"{folder} holds features of other images than {panels.folders[0]}; predict both again"
            )
        scores[title] = cluster_scores(features, index["target"].to_numpy())
        count = min(args.points or len(index), len(index))  # the same draw for every run
        picked = np.sort(np.random.default_rng(args.seed).choice(len(index), count, replace=False))
        maps[title] = tsne(features[picked], args.seed)
        head = {**run, "split": SPLIT, "n": len(index)}
        rows += [{**head, "metric": m, "value": v} for m, v in scores[title].items()]
    if args.out_data:
        write_csv(pd.DataFrame(rows, columns=SCORES), args.out_data)
    shown = first.iloc[picked]
    names, kind = _tens(args, shown) if args.group else _groups(args, shown)
    what = f"the same {len(shown):,} training images in every panel"
    return draw(maps, names, scores, panels.titled(f"t-SNE of penultimate features, {what}"), kind, args.zoom)


def _tens(args: argparse.Namespace, index: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Legend entry of each sample where several classes share a colour: their numbers, ``10 to 19``."""
    first = index["target"].to_numpy() // args.group * args.group
    last = np.minimum(first + args.group, len(read_classes(args.classes))) - 1
    width = len(str(last.max()))  # so that names sort as numbers do
    pairs = zip(first, last, strict=True)
    return np.array([f"{a:0{width}d} to {b:0{width}d}" for a, b in pairs]), "class (index)"


def _groups(args: argparse.Namespace, index: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Group of each sample and what it is: its class, or of too many classes its modality and anatomy, or one of both."""
    classes = read_classes(args.classes).reindex(index["target"]).to_numpy(dtype=object).astype(str)
    if index["target"].nunique() > CLASSES and args.index:
        strata = pd.read_csv(args.index, dtype={"stratum": str}, keep_default_na=False)
        whole = strata.set_index("row")["stratum"].reindex(index["row"]).fillna("")
        first, rest = whole.str.partition("/")[0], whole.str.partition("/")[2]
        for kind, names in (("modality/anatomy", whole), ("anatomy", rest), ("modality", first)):
            if 2 <= names.nunique() <= STRATA and (names != "").all():
                return names.to_numpy(dtype=object).astype(str), kind
    return classes, "class"
