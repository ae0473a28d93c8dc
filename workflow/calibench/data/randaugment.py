"""RandAugment on whole batches, with different operations for each image; see :mod:`calibench.data.augment`.

A module of its own, because it imports torchvision, which takes longer than a short training.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as ops

from calibench.data.augment import GREY
from calibench.data.transfer import upload


def randaugment(images: Tensor, draw: np.random.Generator, num_ops: int = 2, magnitude: int = 9) -> Tensor:
    """Apply ``num_ops`` random operations of the same magnitude and of random sign to each image.

    Operations, ranges and the 31 steps of magnitude are those of torchvision's ``RandAugment``; the empty parts of
    moved images become middle grey. Images that drew the same operation are sorted side by side and changed together;
    the host knows their places, so it never waits for the device.

    Args:
        images: (B, C, H, W) with C 1 or 3; float images are converted to uint8 and back.
        draw: where randomness comes from.
        num_ops: operations per image; 2, torchvision's default and usual in the source.
        magnitude: 0 to 30; 9, torchvision's default and the source's choice for ImageNet.

    Source: Cubuk et al. 2020, RandAugment: practical automated data augmentation with a reduced search space.
    """
    operations = _operations(magnitude / 30, *images.shape[2:])
    keys = [_draw_operations(draw, len(operations), len(images)) for _ in range(num_ops)]
    pixels = to_bytes(images) if images.is_floating_point() else images
    for moves, key in zip(_orders(keys, len(images), images.device), [*keys, None], strict=True):
        pixels = pixels[moves]
        if key is not None:
            _change_groups(pixels, np.sort(key), operations)
    return from_bytes(pixels).to(images.dtype) if images.is_floating_point() else pixels


def _draw_operations(draw: np.random.Generator, operations: int, batch: int) -> np.ndarray:
    """The operation of each image, (B,): twice its number, plus one where the sign matters and is positive."""
    choice = draw.integers(0, operations, batch)
    positive = draw.integers(0, 2, batch)
    return 2 * choice + np.where(np.isin(choice, UNSIGNED), 0, positive)


def _orders(keys: list[np.ndarray], batch: int, device: torch.device) -> Tensor:
    """For each round the index that sorts the batch by its keys, and at last the one that restores the first order.

    int64 (rounds + 1, B), sent to the device in one transfer.
    """
    now = np.arange(batch)  # which image is where
    orders = []
    for wanted in [*(np.argsort(key, kind="stable") for key in keys), np.arange(batch)]:
        orders.append(np.argsort(now)[wanted])
        now = wanted
    return upload(np.stack(orders), device)


def _change_groups(pixels: Tensor, keys: np.ndarray, operations: list[Callable]) -> None:
    found, starts = np.unique(keys, return_index=True)
    for key, start, end in zip(found.tolist(), starts, [*starts[1:], len(keys)], strict=True):
        number, positive = divmod(key, 2)
        if number:  # 0 is the identity
            pixels[start:end] = operations[number](pixels[start:end], 2 * positive - 1)


def to_bytes(images: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(pixels: Tensor) -> Tensor:
    """Uint8 to float32 in [-1, 1]."""
    return pixels.float().mul_(2 / 255).sub_(1)


UNSIGNED = (0, 10, 11, 12, 13)  # operations without a sign: identity, posterize, solarize and the last two


def _operations(strength: float, height: int, width: int) -> list[Callable[[Tensor, int], Tensor]]:
    """The 14 operations on uint8 (n, C, H, W) and a sign, at ``strength`` 0 to 1 of each one's range."""
    slope = float(np.degrees(np.arctan(0.3 * strength)))
    return [
        lambda x, s: x,
        lambda x, s: _moved(x, shear=(s * slope, 0.0), center=(0, 0)),
        lambda x, s: _moved(x, shear=(0.0, s * slope), center=(0, 0)),
        lambda x, s: _moved(x, translate=(int(s * strength * 150 / 331 * width), 0)),
        lambda x, s: _moved(x, translate=(0, int(s * strength * 150 / 331 * height))),
        lambda x, s: _moved(x, angle=s * 30.0 * strength),
        lambda x, s: ops.adjust_brightness(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.adjust_saturation(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.adjust_contrast(x, 1 + s * 0.9 * strength),
        lambda x, s: _sharpened(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.posterize(x, 8 - round(4 * strength)),
        lambda x, s: ops.solarize(x, 255 * (1 - strength)),
        lambda x, s: ops.autocontrast(x),
        lambda x, s: ops.equalize(x),
    ]


def _moved(images: Tensor, **how: Any) -> Tensor:
    """Shifted, sheared or rotated (n, C, H, W), nearest neighbour; pixels from outside are middle grey."""
    source, outside = _sources(*images.shape[2:], images.device, **how)
    return images.flatten(2)[:, :, source].reshape(images.shape).masked_fill(outside, GREY)


@functools.lru_cache(maxsize=64)
def _sources(height: int, width: int, device: torch.device, **how: Any) -> tuple[Tensor, Tensor]:
    """The pixel that comes to each place, (H·W,) int64, and whether it is outside, (H, W) bool.

    torchvision moves an image of pixel numbers on the CPU: on a GPU each of its calls would wait for the device.
    """
    numbers = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    nearest = {"interpolation": InterpolationMode.NEAREST, "fill": [-1.0]}
    if "angle" in how:
        moved = ops.rotate(numbers, how["angle"], **nearest)
    else:
        no_move = {"translate": (0, 0), "shear": (0.0, 0.0), "center": None}
        move = {key: value and list(value) for key, value in (no_move | how).items()}
        moved = ops.affine(numbers, angle=0.0, scale=1.0, **move, **nearest)
    source = moved.long().view(-1).numpy()
    return upload(source.clip(0), device), upload((source < 0).reshape(height, width), device)


def _sharpened(images: Tensor, factor: float) -> Tensor:
    """Images blended with their blur (weights 1, centre 5, sum 13) by ``factor``, except at the border; uint8.

    torchvision's ``adjust_sharpness``, with sums instead of its convolution, which a GPU computes in TF32.
    """
    if min(images.shape[2:]) <= 2:
        return images
    sharp = images.float()
    rows = sharp[:, :, :-2] + sharp[:, :, 1:-1] + sharp[:, :, 2:]
    inner = sharp[:, :, 1:-1, 1:-1]
    blurred = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner
    inner.add_(blurred.div_(13).round_().sub_(inner), alpha=1 - factor)
    return sharp.clamp_(0, 255).to(torch.uint8)
