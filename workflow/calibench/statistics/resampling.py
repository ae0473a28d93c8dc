"""Intervals by resampling groups (patients, series), and the clustered variance behind them.

Images of one group are not independent; the group is what is drawn. Everything that is a mean over samples,
or a function of a few sums, is reduced to sums per group first: a resample is then one row of a matrix
product, and 1,000 resamples of 130,000 images cost seconds.
"""

from collections.abc import Iterator

import numpy as np

from calibench.metrics.calibration import bin_index, reliability
from calibench.metrics.classwise import by_class
from calibench.metrics.discrimination import macro_scores
from calibench.metrics.probabilities import Predictions

BLOCKS = 512  # the retention and risk curves are summed over so many equal blocks of samples


def group_codes(groups: np.ndarray) -> np.ndarray:
    """Codes (N,) 0..G-1 of group names (N,); an empty name is a group of its own."""
    names = np.asarray(groups, dtype=object).astype(str)
    own = names == ""
    codes = np.empty(len(names), np.int64)
    known, codes[~own] = np.unique(names[~own], return_inverse=True)
    codes[own] = len(known) + np.arange(own.sum())
    return codes


def sample_values(seen: Predictions) -> dict[str, np.ndarray]:
    """Per sample (N,), values whose mean is the measure: what a paired or clustered variance is taken of.

    Errors, NLL, Brier, confidence and gap are such means by definition. ``ece`` is one once the sign of each
    bin's gap is held fixed (exact value; its variance is right where bins are clearly off, too large a claim
    where the model is calibrated: there use the null band).
    """
    from calibench.metrics.accuracy import target_rank

    rank = target_rank(seen.scores, seen.targets)
    own = np.take_along_axis(seen.probs, seen.targets[:, None], axis=1)[:, 0]
    gap = seen.confidence - seen.correct
    bins = reliability(seen.confidence, seen.correct)
    sign = np.sign(bins.confidence - bins.accuracy)[bin_index(seen.confidence)]
    return {
        "top1_error": (rank >= 1).astype(np.float64),
        "top5_error": (rank >= min(5, seen.probs.shape[1])).astype(np.float64),
        "nll": -np.take_along_axis(seen.log_probs, seen.targets[:, None], axis=1)[:, 0],
        "brier": np.einsum("nk,nk->n", seen.probs, seen.probs) - 2 * own + 1,
        "avg_confidence": seen.confidence,
        "gap": gap,
        "ece": sign * gap,
    }


def auroc_values(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Per sample (N,), values whose mean is the macro AUROC: DeLong's placements, for its clustered variance.

    A sample of class c adds its placement among the others, and to every other class the placement of its
    score among the members; NaN where any class is absent (macro AUROC is undefined then).
    """
    n, k = probs.shape
    total = np.zeros(n)
    for c, scores in enumerate(by_class(probs)):
        member = targets == c
        inside, outside = np.sort(scores[member]), np.sort(scores[~member])
        if not inside.size or not outside.size:
            return np.full(n, np.nan)
        placed = np.empty(n)
        placed[member] = _placement(outside, scores[member])
        placed[~member] = 1 - _placement(inside, scores[~member])
        area = placed[member].mean()
        scale = np.where(member, n / inside.size, n / outside.size)
        total += area + (placed - area) * scale
    return total / k


def _placement(sorted_values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fraction of ``sorted_values`` below ``at``, ties counting half."""
    below = np.searchsorted(sorted_values, at, "left").astype(np.float64)
    tied = np.flatnonzero(sorted_values[np.minimum(below.astype(np.int64), len(sorted_values) - 1)] == at)
    equal = np.searchsorted(sorted_values, at[tied], "right") - below[tied]
    below[tied] += equal / 2
    return below / len(sorted_values)


def clustered_variance(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Variance (...) of the mean of values with group sums (..., G) and group sizes (G,), groups being independent.

    Sum over groups of (sum of deviations)², times G / (G - 1), over N²; NaN for one group.
    """
    n, g = sizes.sum(), len(sizes)
    apart = sums - sizes * (sums.sum(axis=-1, keepdims=True) / n)
    return (apart**2).sum(axis=-1) * (g / (g - 1) if g > 1 else np.nan) / n**2


def draws(groups: int, resamples: int, seed: int, batch: int = 16) -> Iterator[np.ndarray]:
    """Yield (G, b) counts: how often each of G groups is drawn with replacement, b resamples at a time.

    The same seed gives the same draws for every run of a data set, so differences between runs are paired.
    The array is overwritten by the next batch (fresh pages for each would cost more than the sums).
    """
    rng = np.random.default_rng(seed)
    counts = np.empty((groups, batch))
    for first in range(0, resamples, batch):
        size = min(batch, resamples - first)
        for column in range(size):
            picked = rng.integers(0, groups, groups, dtype=np.int32)
            counts[:, column] = np.bincount(picked, minlength=groups)
        yield counts[:, :size]


class Sums:
    """Sums per group that every resampled measure is a function of; ``values(weights)`` evaluates them all.

    Args:
        seen: the predictions, N samples.
        codes: (N,) group codes.
    """

    def __init__(self, seen: Predictions, codes: np.ndarray) -> None:
        from scipy import sparse

        n, self.classes = seen.probs.shape
        linear = sample_values(seen) | {"auroc": auroc_values(seen.probs, seen.targets)}
        del linear["ece"]  # its distribution over resamples is drawn, not linearised
        self.linear = list(linear)
        rows = np.arange(n)
        order = np.argsort(-seen.confidence, kind="stable")
        block = np.empty(n, np.int64)
        self.blocks = min(BLOCKS, n)
        block[order] = np.arange(n) * self.blocks // n
        bins = bin_index(seen.confidence)
        hit = np.flatnonzero(seen.correct)

        def marks(at: np.ndarray, columns: np.ndarray, width: int, weights: np.ndarray | None = None):
            data = np.ones(len(at)) if weights is None else weights
            return sparse.csr_array((data, (codes[at], columns)), shape=(self.groups, width))

        self.groups = int(codes.max()) + 1
        columns = [*linear.values(), np.ones(n)]
        self.dense = np.stack([np.bincount(codes, weights=v, minlength=self.groups) for v in columns])
        parts = [
            marks(rows, seen.targets, self.classes),
            marks(rows, seen.predicted, self.classes),
            marks(hit, seen.predicted[hit], self.classes),
            marks(rows, bins, 15, seen.confidence - seen.correct),
            marks(rows, block, self.blocks),
            marks(np.flatnonzero(~seen.correct), block[~seen.correct], self.blocks),
        ]
        self.widths = [part.shape[1] for part in parts]
        self.table = sparse.hstack(parts).T.tocsr()  # (columns, G): a row times (G, b) runs along memory

    def values(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Measures (b,) under (G, b) group weights; weights of 1 give the measures of the sample itself."""
        *sums, size = self.dense @ weights
        marks = np.asarray(self.table @ weights).T
        true, said, both, gaps, kept, wrong = np.split(marks, np.cumsum(self.widths)[:-1], axis=1)
        out = {name: total / size for name, total in zip(self.linear, sums, strict=True)}
        out |= macro_scores(np.stack([true, said, both], axis=1))
        out["ece"] = np.abs(gaps).sum(axis=1) / size
        return out | self._curves(kept, wrong)

    @staticmethod
    def _curves(kept: np.ndarray, wrong: np.ndarray) -> dict[str, np.ndarray]:
        """R-AUC, AUGRC (which is 1 - R-AUC) and AURC with errors spread evenly within each block of samples."""
        n, errors = kept.sum(axis=1, keepdims=True), wrong.cumsum(axis=1)
        before = errors - wrong
        area = 1 - ((errors + before) / 2 * kept).sum(axis=1) / n[:, 0] ** 2
        middle = kept.cumsum(axis=1) - kept / 2
        risk = np.divide((errors + before) / 2, middle, out=np.zeros_like(middle), where=middle > 0)
        return {"r_auc": area, "augrc": 1 - area, "aurc": (risk * kept).sum(axis=1) / n[:, 0]}


def bootstrap(sums: Sums, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """All measures of ``sums``, each (resamples,), over resampled groups.

    ECE is there for its spread only: its percentile interval does not cover (resampling adds the bias once
    more).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the products are small: BLAS threads would only wait
        batches = [sums.values(weights) for weights in draws(sums.groups, resamples, seed)]
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
