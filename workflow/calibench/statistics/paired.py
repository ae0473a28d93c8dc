"""Differences between two runs: paired by seed and image, pooled over backbones and data sets.

A **block** is one training: a data set, a backbone and a seed. Two things make a difference uncertain:

- training again. The mean over images differs from block to block. The variance of these M means, over M, is the
  *seed part*, with M - 1 degrees of freedom. A t test over independent blocks keeps its level whatever the
  variances of the blocks are (Ibragimov & Müller 2010, for levels up to 8.3 %), and where the true difference is not
  the same on each backbone the interval is only wider.
- drawing the test images again. All blocks of a data set share its images, so per image (and per group of images)
  the mean over these blocks is taken first; its clustered variance is the *image part*. More seeds do not shrink it.
  Data sets are independent.

What belongs to one training and one image alone is in both parts, and is taken off once, as in two-way clustering
(Cameron, Gelbach & Miller 2011: V = V_seeds + V_images - V_both). The t half-widths of the parts add in squares
(MOVER, Zou & Donner 2008) and never fall below that of either part alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log, nan

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from calibench.statistics.resampling import clustered_variance


@dataclass(frozen=True)
class Blocks:
    """Paired differences on the images of one data set, as sums over groups of images.

    Args:
        sums: (..., M, G) sum over the images of each group, of each of M blocks; leading axes are repetitions.
        sizes: (G,) images per group.
        cells: (M,) code of the backbone of each block.
    """

    sums: np.ndarray
    sizes: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, codes: np.ndarray, cells: np.ndarray | None = None) -> "Blocks":
        """From per-image values (M, N) and group codes (N,); one backbone if ``cells`` is left out."""
        known, codes = np.unique(codes, return_inverse=True)
        sums = np.stack([np.bincount(codes, weights=row, minlength=len(known)) for row in values])
        sizes = np.bincount(codes, minlength=len(known))
        return cls(sums, sizes, np.zeros(len(values), int) if cells is None else cells)

    @property
    def blocks(self) -> int:
        """Number of blocks M."""
        return self.sums.shape[-2]

    @property
    def groups(self) -> int:
        """Number of groups of images G."""
        return len(self.sizes)

    @property
    def seeds(self) -> np.ndarray:
        """Blocks of each backbone."""
        return np.unique(self.cells, return_counts=True)[1]

    @cached_property
    def means(self) -> np.ndarray:
        """(..., M) mean over images of each block."""
        return self.sums.sum(axis=-1) / self.sizes.sum()

    @cached_property
    def image(self) -> np.ndarray:
        """(...) clustered variance of the mean over blocks and images; NaN for one group."""
        return clustered_variance(self.sums.mean(axis=-2), self.sizes)

    @cached_property
    def both(self) -> np.ndarray:
        """(...) the part of :attr:`image` that belongs to single trainings, from backbones with two seeds or more.

        Never above :attr:`image`, of which it is taken off.
        """
        total = np.zeros(self.sums.shape[:-2])
        for cell in np.unique(self.cells):
            mine = self.sums[..., self.cells == cell, :]
            s = mine.shape[-2]
            if s > 1:
                own = mine - mine.mean(axis=-2, keepdims=True)
                apart = clustered_variance(own, self.sizes).sum(axis=-1)
                total += (s / self.blocks) ** 2 * apart / (s * (s - 1))
        return np.minimum(total, self.image)


class Difference:
    """The mean difference over the blocks of one or several data sets, with interval and test.

    Every block counts the same. The number is the mean over the named data sets and backbones, not over all that
    there could be. With one seed per backbone nothing is known about retraining: then there is no test, and the
    interval says where these very networks would be on other images.
    """

    def __init__(self, parts: Sequence[Blocks]) -> None:
        self.parts = list(parts)
        self.blocks = sum(part.blocks for part in self.parts)
        self.groups = sum(part.groups for part in self.parts)
        self.cells = sum(len(part.seeds) for part in self.parts)
        self.seeds = int(min(part.seeds.min() for part in self.parts))  # the fewest of a backbone
        self.retrained = any((part.seeds > 1).any() for part in self.parts)
        means = np.concatenate([part.means for part in self.parts], axis=-1)
        self.mean = means.mean(axis=-1)
        self.seed = (
            means.var(axis=-1, ddof=1) / self.blocks if self.retrained else np.full(self.mean.shape, nan)
        )
        shares = [(part.blocks / self.blocks) ** 2 for part in self.parts]
        self.images = [share * part.image for share, part in zip(shares, self.parts, strict=True)]
        self.image = np.sum(self.images, axis=0)
        self.both = np.sum(
            [share * part.both for share, part in zip(shares, self.parts, strict=True)], axis=0
        )

    @property
    def testable(self) -> bool:
        """Whether there are two trainings of one backbone, and two groups of images in each data set."""
        return self.retrained and min(part.groups for part in self.parts) > 1

    @property
    def untested(self) -> str:
        """Why there is no test: ``one seed`` or ``no test`` (one group of images); empty where there is one."""
        return "" if self.testable else "no test" if self.retrained else "one seed"

    def half_width(self, tail: float) -> np.ndarray:
        """Half of the interval that leaves ``tail`` on each side."""
        images = [
            student.isf(tail, part.groups - 1) ** 2 * image
            for part, image in zip(self.parts, self.images, strict=True)
        ]
        image = np.sum(images, axis=0)
        if not self.retrained:
            return np.sqrt(image)
        seed = student.isf(tail, self.blocks - 1) ** 2 * self.seed
        return np.sqrt(np.maximum(image, seed + image - norm.isf(tail) ** 2 * self.both))

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided interval; NaN where there is one group of images only."""
        half = float(self.half_width((1 - level) / 2))
        return float(self.mean) - half, float(self.mean) + half

    def p(self) -> float:
        """Two-sided p value of no difference: the level at which the interval reaches 0; NaN without a test."""
        if not self.testable:
            return nan
        distance = abs(float(self.mean))
        if distance == 0 or self.seed + self.image == 0:  # equal predictions
            return 1.0
        least = log(1e-100)
        if self.half_width(exp(least)) <= distance:
            return 2e-100
        return 2 * exp(
            brentq(lambda x: float(self.half_width(exp(x))) - distance, least, log(0.5), xtol=1e-9)
        )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values (1979); NaN (no test possible) stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    adjusted, tested = np.full(p.shape, nan), ~np.isnan(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted
