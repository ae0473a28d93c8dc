"""Figure 2: t-SNE of penultimate features, one panel per regime, the same samples in every panel.

A t-SNE map shows neighbourhoods, not distances; the scores below each panel are taken on the features.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibench.data.stored import read_classes
from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, add_feature_split, images_of
from calibench.files import write_csv
from calibench.finished.names import KEYS
from calibench.finished.read import read_features
from calibench.metrics.clusters import cluster_scores

SKLEARN_LIMIT = 20_000  # beyond it scikit-learn's Barnes-Hut takes many minutes, openTSNE's FFT does not
PERPLEXITY, SPLIT = 30.0, "train"
SCORES = [*KEYS, "split", "n", "metric", "value"]
LEGEND_LIMIT = 15
DEAD = "all features are equal:\nthis network tells\nno image from another"


def tsne(features: np.ndarray, seed: int, perplexity: float = PERPLEXITY, threads: int = 1) -> np.ndarray:
    """A 2-D t-SNE map (N, 2) of features (N, D): PCA to at most 50 axes, PCA initialisation, fixed seed.

    The perplexity is lowered to (N - 1) / 3 for few samples. One thread by default: beside other jobs on the
    same cores OpenMP's waiting threads make this many times slower, and the map depends on their number.
    Features that are all equal, of a network that died in training, have no map: NaN.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    features = np.asarray(features, np.float32)
    n = len(features)
    if not np.ptp(features, axis=0).any():
        return np.full((n, 2), np.nan)
    perplexity = min(perplexity, (n - 1) / 3)
    axes = min(50, features.shape[1], n)
    with threadpool_limits(threads):
        reduced = PCA(n_components=axes, svd_solver="auto", random_state=seed).fit_transform(features)
        if n > SKLEARN_LIMIT:
            from openTSNE import TSNE

            model = TSNE(perplexity=perplexity, initialization="pca", random_state=seed, n_jobs=threads)
            return np.asarray(model.fit(reduced))
        from sklearn.manifold import TSNE

        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)


def colouring(names: np.ndarray, limit: int = LEGEND_LIMIT) -> tuple[list[str], str]:
    """Which groups get a colour: all up to ``limit``, else the ``limit`` largest; and a note if cut."""
    groups, count = np.unique(names, return_counts=True)
    if len(groups) <= limit:
        return list(groups), ""
    largest = groups[np.argsort(-count, kind="stable")[:limit]]
    return sorted(largest), f"{limit} largest of {len(groups)} classes coloured, the others grey"


def _frame(axis: Axes, scores: dict[str, float]) -> None:
    """Scores below a panel and a thin line around it."""
    shown = (
        f"{scores['silhouette']:.3f}",
        f"{scores['davies_bouldin']:.2f}",
        f"{100 * scores['knn_hit']:.1f} %",
    )
    silhouette, davies, hit = ("–" if "nan" in text else text for text in shown)
    axis.set_xlabel(
        f"silhouette {silhouette} ↑   Davies–Bouldin {davies} ↓\nkNN hit {hit} ↑   (on features)",
        fontsize=7.5,
    )
    for side in axis.spines.values():
        side.set(visible=True, color="#999999", linewidth=0.6)


def _points(axis: Axes, xy: np.ndarray, names: np.ndarray, shown: list[str], size: float) -> None:
    """The samples of one map; those of no shown group are grey."""
    rest = ~np.isin(names, shown)
    axis.scatter(*xy[rest].T, s=size * 0.6, color=style.REST, linewidths=0, rasterized=True)
    for i, name in enumerate(shown):
        colour, marker = style.look(i)
        mask = names == name
        axis.scatter(
            *xy[mask].T, s=size, color=colour, marker=marker, linewidths=0, alpha=0.75, rasterized=True
        )


def _zoom(above: Axes, below: Axes, xy: np.ndarray, side: float) -> None:
    """Show in ``below`` a square around the middle sample of the map; a red frame in ``above`` says where it is."""
    corner = np.median(xy, axis=0) - side / 2
    above.add_patch(Rectangle(tuple(corner), side, side, fill=False, edgecolor="#CC0000", linewidth=1))
    below.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side))
    for spine in below.spines.values():
        spine.set(visible=True, color="#CC0000", linewidth=1)


def draw(
    maps: dict[str, np.ndarray],
    names: np.ndarray,
    scores: dict[str, dict[str, float]],
    title: str,
    kind: str = "class",
    zoom: float = 0.0,
) -> Figure:
    """Draw one panel per entry of ``maps``.

    Args:
        maps: panel title → (N, 2) map, the same N samples in each.
        names: (N,) group of each sample, as shown in the legend.
        scores: panel title → measures on the features (:func:`calibench.metrics.clusters.cluster_scores`).
        title: what data and model these are.
        kind: what a group is, for the legend's heading.
        zoom: side of a patch shown larger below each map, as a share of the map's; 0 = none.
    """
    shown, note = colouring(names)
    # seven panels' worth of points must not hide each other: smaller dots for more samples
    size = float(np.clip(6000 / len(names), 2, 14))
    columns = len(maps) if zoom else 4
    figure, axes = style.panels(len(maps) * (2 if zoom else 1), 3.1, 4.0, columns=columns)
    axes, patches = axes[: len(maps)], axes[len(maps) :]
    for axis, (head, xy) in zip(axes, maps.items(), strict=True):
        axis.set(title=style.short(head, 34), xticks=[], yticks=[], box_aspect=1)
        _frame(axis, scores[head])
        if np.isnan(xy).any():
            axis.text(0.5, 0.5, DEAD, ha="center", va="center", transform=axis.transAxes, fontsize=8)
            continue
        _points(axis, xy, names, shown, size)
        centre, reach = (xy.max(0) + xy.min(0)) / 2, np.ptp(xy, axis=0).max() * 0.53
        axis.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
    for axis, patch, xy in zip(axes, patches, maps.values(), strict=False):
        patch.set(xticks=[], yticks=[], box_aspect=1)
        if not np.isnan(xy).any():
            _points(patch, xy, names, shown, 2 * size)
            _zoom(axis, patch, xy, zoom * 1.06 * np.ptp(xy, axis=0).max())
    handles = []
    for i, _ in enumerate(shown):
        colour, marker = style.look(i)
        handles.append(axes[0].scatter([], [], s=22, color=colour, marker=marker))
    heading = kind if not note else f"{kind} ({note})"
    style.legend_below(figure, handles, [style.short(name, 28) for name in shown], heading)
    style.headline(figure, title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    add_feature_split(command)
    command.add_argument("--out-data", type=Path, help="CSV with the cluster scores")
    command.add_argument(
        "--index", type=Path, help="index.csv of the store: colours by stratum when classes are many"
    )
    command.add_argument("--seed", type=int, default=0, help="seed of t-SNE")
    command.add_argument(
        "--group", type=int, default=0, help="so many classes in a row share a colour (0 = none)"
    )
    command.add_argument(
        "--zoom", type=float, default=0, help="side of a patch shown below, share of the map's"
    )
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--perplexity", type=float, default=PERPLEXITY)
    command.add_argument(
        "--points", type=int, default=0, help="map a seeded draw of so many samples (0 = all)"
    )


def figure(args: argparse.Namespace) -> Figure:
    """One map per run of the same images, and their cluster scores as a long table.

    Raises:
        UserError: if the runs have features of different images.
    """
    panels = Panels(args.records)
    maps, scores, rows, first = {}, {}, [], None
    for (title, folder), run in zip(panels.by_title(), panels.runs, strict=True):
        features, index = read_features(folder, args.split)
        first = index if first is None else first
        if not index[["row", "target"]].equals(first[["row", "target"]]):
            raise UserError(
                f"{folder} holds features of other images than {panels.folders[0]}; predict both again"
            )
        scores[title] = cluster_scores(features, index["target"].to_numpy())
        picked = _picked(len(index), args.points, args.seed)
        maps[title] = tsne(features[picked], args.seed, args.perplexity, args.threads)
        head = {**run, "split": args.split, "n": len(index)}
        rows += [{**head, "metric": m, "value": v} for m, v in scores[title].items()]
    if args.out_data:
        write_csv(pd.DataFrame(rows, columns=SCORES), args.out_data)
    shown = first.iloc[picked]
    names, kind = _tens(args, shown) if args.group else _groups(args, shown)
    what = f"the same {len(shown):,} {images_of(args.split)} in every panel"
    return draw(maps, names, scores, panels.titled(f"t-SNE of penultimate features, {what}"), kind, args.zoom)


def _tens(args: argparse.Namespace, index: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Legend entry of each sample where several classes share a colour: their numbers, ``10 to 19``."""
    first = index["target"].to_numpy() // args.group * args.group
    last = np.minimum(first + args.group, len(read_classes(args.classes))) - 1
    width = len(str(last.max()))  # so that names sort as numbers do
    pairs = zip(first, last, strict=True)
    return np.array([f"{a:0{width}d} to {b:0{width}d}" for a, b in pairs]), "class (index)"


def _groups(args: argparse.Namespace, index: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Legend entry of each sample: its class, or its stratum where classes are too many to tell apart."""
    classes = read_classes(args.classes)
    if index["target"].nunique() > LEGEND_LIMIT and args.index:
        strata = pd.read_csv(args.index, dtype={"stratum": str}, keep_default_na=False)
        names = strata.set_index("row")["stratum"].reindex(index["row"]).to_numpy(dtype=object)
        if 2 <= len(set(names)) <= LEGEND_LIMIT and "" not in names:
            return names.astype(str), "stratum"
    return classes.reindex(index["target"]).to_numpy(dtype=object).astype(str), "class"


def _picked(n: int, points: int, seed: int) -> np.ndarray:
    """Sorted positions of the samples to map: all, or a seeded draw that is the same for every run."""
    if not points or n <= points:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, points, replace=False))
