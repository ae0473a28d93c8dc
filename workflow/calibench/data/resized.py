"""Random resized crops: a random part of each image, resized to the input size (ImageNet's augmentation)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibench.data.transfer import upload

TRIES = 10  # torchvision's: after that the whole image, or its largest part with an allowed ratio
RATIO = (3 / 4, 4 / 3)  # torchvision's


@dataclass(frozen=True)
class Box:
    """The part of each stored image that is resized: corner and sides (B,) in pixels, flipped (B,) bool."""

    top: np.ndarray
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray
    flip: np.ndarray


def random_boxes(draw: np.random.Generator, batch: int, stored: int, augment: dict[str, Any]) -> Box:
    """Draw a part of each of ``batch`` square images of ``stored`` px, and flips.

    As in torchvision's ``RandomResizedCrop`` (Szegedy et al. 2015): the share of the area is uniform in
    ``augment["scale"]``, the logarithm of width/height uniform within ``augment["ratio"]``, the place uniform.
    """
    low, high = augment["ratio"] or RATIO
    area = draw.uniform(*augment["scale"], (TRIES, batch)) * stored**2
    ratio = np.exp(draw.uniform(np.log(low), np.log(high), (TRIES, batch)))
    widths, heights = (np.rint(np.sqrt(side)).astype(np.int64) for side in (area * ratio, area / ratio))
    fits = (widths >= 1) & (widths <= stored) & (heights >= 1) & (heights <= stored)
    first, column = fits.argmax(axis=0), np.arange(batch)
    some = fits.any(axis=0)
    whole = stored, round(stored / max(low, 1)), round(stored * min(high, 1))
    width = np.where(some, widths[first, column], whole[2])
    height = np.where(some, heights[first, column], whole[1])
    place = draw.random((2, batch))
    top = np.floor(place[0] * (stored - height + 1)).astype(np.int64)
    left = np.floor(place[1] * (stored - width + 1)).astype(np.int64)
    top, left = np.where(some, top, (stored - height) // 2), np.where(some, left, (stored - width) // 2)
    return Box(top, left, height, width, draw.random(batch) < augment["flip"])


def _neighbours(start: np.ndarray, length: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """The two pixels (B, size) on both sides of each output pixel along one axis, and the weight of the second."""
    last = length[:, None]
    at = np.clip((np.arange(size) + 0.5) * (last / size) - 0.5, 0, last - 1)
    lower = np.floor(at).astype(np.int64)
    return start[:, None] + lower, start[:, None] + np.minimum(lower + 1, last - 1), at - lower


def cut_boxes(images: Tensor, rows: np.ndarray, box: Box, size: int) -> Tensor:
    """Cut parts out of stored images, resize them bilinearly and scale them to [-1, 1].

    Without antialiasing: a part rarely has more pixels than the input if the stored images are not much larger than
    the input (256 for 224 px).

    Args:
        images: uint8 (N, H, H) grey or (N, H, H, 3).
        rows: int64 (B,) which images, on the host.
        box: which part of each.
        size: side S of the input in pixels.

    Returns:
        float32 (B, 3, S, S) in channels_last memory order, on the device of ``images``.
    """
    top, bottom, down = _neighbours(box.top, box.height, size)
    across = _neighbours(box.left, box.width, size)
    left, right, across = (np.where(box.flip[:, None], side[:, ::-1], side) for side in across)
    places = np.concatenate([rows, *(side.ravel() for side in (top, bottom, left, right))])
    places = upload(places, images.device)
    row = places[: len(rows), None, None]
    top, bottom, left, right = places[len(rows) :].view(4, len(rows), size)
    down, across = upload(np.stack([down, across]).astype(np.float32), images.device)

    def at(y: Tensor, x: Tensor) -> Tensor:
        pixels = images[row, y[:, :, None], x[:, None, :]].float()
        return pixels[..., None].expand(-1, -1, -1, 3) if pixels.ndim == 3 else pixels

    down, across = down[:, :, None, None], across[:, None, :, None]
    upper = torch.lerp(at(top, left), at(top, right), across)
    lower = torch.lerp(at(bottom, left), at(bottom, right), across)
    return torch.lerp(upper, lower, down).mul_(2 / 255).sub_(1).permute(0, 3, 1, 2)
