"""Conformal prediction sets: sets of classes that hold the true one with a promised probability, whatever the network.

A score says how strange a class is for an image. The threshold is taken from images with known classes (the part
`calibrate`), and a set holds all classes whose score is at most the threshold. Three scores:

- ``lac``: 1 - p_y (Sadinle et al. 2019), the smallest sets on average.
- ``aps``: probabilities added up in falling order, down to the class, less a random share U of its own (Romano et al.
  2020); sets grow where the network is unsure.
- ``raps``: ``aps`` + penalty·max(rank - free, 0), rank from 1 (Angelopoulos et al. 2021): fewer very large sets.

The promise needs images that could be swapped for one another. Images of one patient cannot, so the unit is the group:
each group weighs the same, and the promise is for an image of a new group (Lee et al. 2023, arXiv:2306.06342). Without
groups the threshold is the ⌈(n + 1)·level⌉-th smallest score; infinite, so that sets hold all classes, where n is too
small for the level.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibench.metrics.accuracy import target_rank
from calibench.metrics.probabilities import blocks

SCORES = ("lac", "aps", "raps")
PENALTIES = (0.001, 0.01, 0.1, 0.2, 0.5)  # the authors' candidates
TUNING = 0.3  # share of the groups that choose the penalty of raps, and no threshold; the authors' share


@dataclass(frozen=True)
class Score:
    """One of :data:`SCORES`; ``penalty`` and ``free`` are those of ``raps``."""

    name: str
    penalty: float = 0.0
    free: int = 0


def uniforms(rows: np.ndarray, seed: int) -> np.ndarray:
    """(N,) uniform numbers, one per image by its row in the store: the same for every run, map and order of images."""
    rows = np.asarray(rows, np.int64)
    return np.random.default_rng(seed).random(int(rows.max(initial=0)) + 1)[rows]


def true_scores(probs: np.ndarray, targets: np.ndarray, uniform: np.ndarray, score: Score) -> np.ndarray:
    """Score (N,) of the true class; of equal probabilities the class with the lower index ranks first.

    Args:
        probs: (N, K) float64.
        targets: (N,).
        uniform: (N,) U of each image.
        score: which.
    """
    out = np.empty(len(probs))
    for part in blocks(len(probs)):
        p, y = probs[part], targets[part][:, None]
        own = np.take_along_axis(p, y, axis=1)
        if score.name == "lac":
            out[part] = 1 - own[:, 0]
            continue
        before = (p > own) | ((p == own) & (np.arange(p.shape[1]) < y))
        rank = before.sum(axis=1) + 1
        above = np.where(before, p, 0).sum(axis=1) + own[:, 0] * (1 - uniform[part])
        out[part] = above + score.penalty * np.maximum(rank - score.free, 0)
    return out


def set_sizes(probs: np.ndarray, uniform: np.ndarray, score: Score, threshold: float) -> np.ndarray:
    """Number of classes (N,) whose score is at most the threshold; 0 is possible."""
    if score.name == "lac":
        return np.concatenate([(1 - probs[part] <= threshold).sum(axis=1) for part in blocks(len(probs))])
    k = probs.shape[1]
    toll = score.penalty * np.maximum(np.arange(1, k + 1) - score.free, 0)
    out = np.empty(len(probs), np.int64)
    for part in blocks(len(probs)):
        falling = -np.sort(-probs[part], axis=1)
        scores = falling.cumsum(axis=1) - uniform[part][:, None] * falling + toll
        out[part] = (scores <= threshold).sum(axis=1)
    return out


def threshold_at(scores: np.ndarray, codes: np.ndarray, level: float) -> float:
    """Smallest score below which lies ``level`` of the weight, each of G groups and one unseen one weighing 1/(G + 1).

    Args:
        scores: (N,) of the true classes.
        codes: (N,) group codes.
        level: promised coverage, as 0.9.

    Returns:
        The threshold; infinite where all groups together weigh less than the level.
    """
    groups, inverse, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    weight = np.cumsum(1 / sizes[inverse[order]]) / (len(groups) + 1)
    place = int(np.searchsorted(weight, level - 1e-9))  # 0.9·(n + 1) must not miss its integer by rounding
    return float(scores[order[place]]) if place < len(scores) else float("inf")


def tuned(
    probs: np.ndarray, targets: np.ndarray, uniform: np.ndarray, codes: np.ndarray, level: float
) -> Score:
    """The ``raps`` score of the authors: ``free`` = the ``level`` quantile of the true class's rank, the penalty of
    :data:`PENALTIES` with the smallest sets.
    """
    free = int(np.quantile(target_rank(probs, targets) + 1, level, method="higher"))

    def mean_size(score: Score) -> float:
        threshold = threshold_at(true_scores(probs, targets, uniform, score), codes, level)
        return float(set_sizes(probs, uniform, score, threshold).mean())

    return min((Score("raps", penalty, free) for penalty in PENALTIES), key=mean_size)


@dataclass(frozen=True)
class Sets:
    """Prediction sets of N images: which score with which threshold, ``covered`` (N,) bool and ``size`` (N,)."""

    score: Score
    threshold: float
    covered: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Probabilities (N, K), targets (N,), U (N,) and group codes (N,) of images."""

    probs: np.ndarray
    targets: np.ndarray
    uniform: np.ndarray
    codes: np.ndarray

    def where(self, keep: np.ndarray) -> "Labelled":
        """Some of the images, by mask."""
        return Labelled(self.probs[keep], self.targets[keep], self.uniform[keep], self.codes[keep])


def prediction_sets(known: Labelled, new: Labelled, level: float) -> Iterator[Sets]:
    """Sets of every score for ``new`` images, their thresholds taken from ``known`` ones.

    Of the groups in ``known``, 30 % (drawn with a fixed seed) choose the penalty of ``raps`` and are not used for its
    threshold; with fewer than two groups the penalty is 0.

    Args:
        known: images of the part `calibrate`.
        new: images to give sets to.
        level: promised coverage, as 0.9.
    """
    groups, inverse = np.unique(known.codes, return_inverse=True)
    turn = np.random.default_rng(0).permutation(len(groups))[inverse]
    tuning = turn < max(1, int(TUNING * len(groups)))
    for name in SCORES:
        score, judged = Score(name), known
        if name == "raps" and len(groups) > 1:
            part = known.where(tuning)
            score = tuned(part.probs, part.targets, part.uniform, part.codes, level)
            judged = known.where(~tuning)
        scores = true_scores(judged.probs, judged.targets, judged.uniform, score)
        threshold = threshold_at(scores, judged.codes, level)
        covered = true_scores(new.probs, new.targets, new.uniform, score) <= threshold
        yield Sets(score, threshold, covered, set_sizes(new.probs, new.uniform, score, threshold))
