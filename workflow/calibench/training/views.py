"""Augmented training images of the steps of an epoch: pure functions of (seed, epoch, step)."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from calibench.data import augment
from calibench.data.batches import Images, random_crop
from calibench.data.vectors import Vectors
from calibench.training.inference import as_input
from calibench.training.randomness import Purpose, generator

AT_ONCE = 2**21  # bytes of images that are cropped at once; for fewer the calls take longer than the pixels
View = tuple[np.ndarray, Tensor, np.random.Generator]


def views(
    images: Images | Vectors,
    order: np.ndarray,
    settings: dict[str, Any],
    purpose: Purpose,
    epoch: int,
    steps: range,
) -> Iterator[View]:
    """For each of the steps: positions (B,), augmented images (B, 3, S, S) or features (B, D), and the generator used.

    The batches of several steps are cropped at once if they are small. Each has a generator of its own, so this changes
    no number.

    Args:
        images: the training images.
        order: their order in this epoch.
        settings: of the run.
        purpose: of the random numbers.
        epoch: from 1.
        steps: consecutive steps of the epoch.
    """
    options, batch, seed = settings["augment"], settings["train"]["batch_size"], settings["run"]["seed"]
    size = settings["train"]["input_size"] or images.stored_size
    many = _at_once(images, batch * size**2 * 12, options)
    for start in range(steps.start, steps.stop, many):
        group = range(start, min(start + many, steps.stop))
        parts = [order[step * batch : (step + 1) * batch] for step in group]
        draws = [generator(seed, purpose, epoch, step) for step in group]
        pixels = _cut(images, parts, draws, size, options)
        if many > 1:
            pixels = as_input(pixels, settings["train"]["memory_format"])
        for part, found, draw in zip(parts, pixels.split([len(part) for part in parts]), draws, strict=True):
            yield part, _changed(found, draw, options), draw


def augmented(
    images: Images | Vectors,
    positions: np.ndarray,
    draw: np.random.Generator,
    size: int,
    options: dict[str, Any],
) -> Tensor:
    """Augmented images at ``positions`` (B,), (B, 3, S, S), or augmented features (B, D)."""
    return _changed(_cut(images, [positions], [draw], size, options), draw, options)


def _at_once(images: Images | Vectors, size: int, options: dict[str, Any]) -> int:
    """How many batches of ``size`` bytes are cropped at once: one where rounding depends on the shape of a batch."""
    exact = options["scale"] is None and options["randaugment"] is None
    return max(AT_ONCE // size, 1) if exact and not isinstance(images, Vectors) else 1


def _cut(
    images: Images | Vectors,
    parts: Sequence[np.ndarray],
    draws: Sequence[np.random.Generator],
    size: int,
    options: dict[str, Any],
) -> Tensor:
    """Random crops of the images of one or more batches, each with its own generator."""
    if isinstance(images, Vectors):
        return images.augmented(parts[0], draws[0])
    crops = [
        random_crop(draw, len(part), images.stored_size, size, options)
        for part, draw in zip(parts, draws, strict=True)
    ]
    if len(crops) == 1:
        return images.batch(parts[0], crops[0], size, options["pad_mode"])
    names = [field.name for field in dataclasses.fields(crops[0])]
    joined = type(crops[0])(*(np.concatenate([getattr(crop, name) for crop in crops]) for name in names))
    return images.batch(np.concatenate(parts), joined, size, options["pad_mode"])


def _changed(pixels: Tensor, draw: np.random.Generator, options: dict[str, Any]) -> Tensor:
    """RandAugment and cutout, which take their random numbers after those of the crop; features stay as they are."""
    if pixels.ndim == 2:
        return pixels
    if options["randaugment"] is not None:
        strength = {"operations": 2, "magnitude": 9} | options["randaugment"]
        from calibench.data.randaugment import randaugment

        pixels = randaugment(pixels, draw, strength["operations"], strength["magnitude"])
    if options["cutout"] is not None:
        pixels = augment.cutout(pixels, draw, options["cutout"])
    return pixels
