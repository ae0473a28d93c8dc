"""Made-up studies: many repetitions at once of paired differences whose truth is known."""

from typing import NamedTuple

import numpy as np
from calibench.statistics.paired import Blocks, Difference

TRUE = 0.05


class Spread(NamedTuple):
    """Standard deviations of what a difference is made of."""

    training: float  # a training's own shift
    group: float  # a group of images, the same for all trainings
    both: float  # one image and one training
    backbones: tuple[float, ...] = (1.0,)  # factors on `training`, backbone by backbone
    shifts: tuple[float, ...] = (0.0,)  # a backbone's own true difference, around 0


KINDS = {
    "trainings differ": Spread(0.1, 0.05, 0.1),
    "images differ": Spread(0.002, 0.3, 0.1),
    "both": Spread(0.03, 0.3, 0.3),
    "each image and training": Spread(0.0, 0.0, 0.3),
    "one restless backbone": Spread(0.1, 0.05, 0.1, backbones=(1.0, 0.1, 0.1)),
    "unequal backbones": Spread(0.05, 0.1, 0.1, shifts=(0.06, -0.03, -0.03)),
}


def draw(
    rng, repetitions, seeds, spread, backbones=3, datasets=1, groups=60, per_group=4, true=TRUE
) -> Difference:
    """Studies of ``datasets`` data sets with ``backbones`` backbones, ``seeds`` seeds and groups of equal size."""
    parts = []
    cells = np.repeat(np.arange(backbones), seeds)
    factor, shift = (np.resize(np.array(v), backbones)[cells][:, None] for v in spread[3:])
    for _ in range(datasets):
        training = rng.normal(size=(repetitions, len(cells), 1)) * spread.training * factor
        image = rng.normal(size=(repetitions, 1, groups)) * spread.group
        both = rng.normal(size=(repetitions, len(cells), groups)) * spread.both / np.sqrt(per_group)
        values = true + shift + training + image + both
        parts.append(Blocks(per_group * values, np.full(groups, per_group), cells))
    return Difference(parts)


def covered(study: Difference, true: float = TRUE, level: float = 0.95) -> float:
    """Share of the repetitions whose interval holds the truth."""
    return float(np.mean(np.abs(study.mean - true) <= study.half_width((1 - level) / 2)))
