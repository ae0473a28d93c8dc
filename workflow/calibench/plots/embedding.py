"""Figure 2: t-SNE of penultimate features, one panel per regime, the same samples in every panel.

A t-SNE map shows neighbourhoods, not distances; the scores below each panel are taken on the features.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibench.plots import style

SKLEARN_LIMIT = 20_000  # beyond it scikit-learn's Barnes-Hut takes many minutes, openTSNE's FFT does not
LEGEND_LIMIT = 15
DEAD = "all features are equal:\nthis network tells\nno image from another"


def tsne(features: np.ndarray, seed: int, perplexity: float = 30.0, threads: int = 1) -> np.ndarray:
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


def draw(
    maps: dict[str, np.ndarray],
    names: np.ndarray,
    scores: dict[str, dict[str, float]],
    title: str,
    kind: str = "class",
) -> Figure:
    """Draw one panel per entry of ``maps``.

    Args:
        maps: panel title → (N, 2) map, the same N samples in each.
        names: (N,) group of each sample, as shown in the legend.
        scores: panel title → measures on the features (:func:`calibench.metrics.clusters.cluster_scores`).
        title: what data and model these are.
        kind: what a group is, for the legend's heading.
    """
    shown, note = colouring(names)
    # seven panels' worth of points must not hide each other: smaller dots for more samples
    size = float(np.clip(6000 / len(names), 2, 14))
    figure, axes = style.panels(len(maps), 3.1, 4.0)
    for axis, (head, xy) in zip(axes, maps.items(), strict=True):
        axis.set(title=style.short(head, 34), xticks=[], yticks=[], box_aspect=1)
        _frame(axis, scores[head])
        if np.isnan(xy).any():
            axis.text(0.5, 0.5, DEAD, ha="center", va="center", transform=axis.transAxes, fontsize=8)
            continue
        rest = ~np.isin(names, shown)
        axis.scatter(*xy[rest].T, s=size * 0.6, color=style.REST, linewidths=0, rasterized=True)
        for i, name in enumerate(shown):
            colour, marker = style.look(i)
            mask = names == name
            axis.scatter(
                *xy[mask].T, s=size, color=colour, marker=marker, linewidths=0, alpha=0.75, rasterized=True
            )
        centre, reach = (xy.max(0) + xy.min(0)) / 2, np.ptp(xy, axis=0).max() * 0.53
        axis.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
    handles = []
    for i, _ in enumerate(shown):
        colour, marker = style.look(i)
        handles.append(axes[0].scatter([], [], s=22, color=colour, marker=marker))
    heading = kind if not note else f"{kind} ({note})"
    style.legend_below(figure, handles, [style.short(name, 28) for name in shown], heading)
    style.headline(figure, title)
    return figure
