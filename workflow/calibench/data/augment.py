"""Input augmentations that combine with any regime: cutout, mixup, CutMix and RandAugment on whole batches.

Batches are (B, C, H, W), uint8 in 0 to 255 or float scaled to [-1, 1], on any device. All randomness comes
from the NumPy generator that is handed in, so an augmented batch is a pure function of its seed, the same on
every device. Cutout and RandAugment draw for every image of its own; mixup and CutMix, as their authors do,
one λ per batch, since a regime's loss is a mean over the batch: the trainer computes λ·loss(y) +
(1-λ)·loss(y[partner]).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as ops

from calibench.data.transfer import upload
from calibench.errors import UserError

GREY = 127  # middle grey of uint8


@dataclass(frozen=True)
class Mixed:
    """A mixed batch (B, C, H, W), the ``partner`` (B,) int64 of each image, and ``lam``, its own share."""

    images: Tensor
    partner: Tensor
    lam: float

    def dominant(self, targets: Tensor) -> Tensor:
        """The label (B,) that has the larger share; its own one at a draw."""
        return targets if self.lam >= 0.5 else targets[self.partner]


def _middle_grey(images: Tensor) -> int:
    return 0 if images.is_floating_point() else GREY


def cutout(images: Tensor, draw: np.random.Generator, size: float = 0.5) -> Tensor:
    """Cover one square per image with middle grey (0 after scaling, as the source does).

    The centre is uniform over the image, so the square may reach over the border.

    Args:
        images: (B, C, H, W).
        draw: where randomness comes from.
        size: side of the square as a share of the shorter side; 0.5 = 16 of 32 px, the source's choice for
            CIFAR-10 (CIFAR-100: 0.25).

    Raises:
        UserError: if ``size`` is not in (0, 1].

    Source: DeVries and Taylor 2017, Improved regularization of convolutional neural networks with cutout.
    """
    if not 0 < size <= 1:
        raise UserError(
            f"augment: cutout size is {size}; it must be above 0, at most 1 (a share of the image's side)"
        )
    batch, _, height, width = images.shape
    side = max(round(size * min(height, width)), 1)
    top = draw.integers(0, height, batch) - side // 2
    left = draw.integers(0, width, batch) - side // 2
    covered = np.concatenate([_within(top, side, height), _within(left, side, width)], axis=1)
    rows, columns = upload(covered, images.device).split([height, width], dim=1)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(hole, _middle_grey(images))


def _within(start: np.ndarray, length: int, size: int) -> np.ndarray:
    position = np.arange(size)
    return (position >= start[:, None]) & (position < start[:, None] + length)


def mixup(images: Tensor, draw: np.random.Generator, alpha: float = 1.0) -> Mixed:
    """Average each image with another one of the batch, λ from Beta(α, α).

    Args:
        images: (B, C, H, W); uint8 comes back as float32 in 0 to 255.
        draw: where randomness comes from.
        alpha: α > 0; 1 in the authors' CIFAR code, 0.2 in the paper for ImageNet.

    Raises:
        UserError: if ``alpha`` is not positive.

    Source: Zhang et al. 2018, mixup: beyond empirical risk minimization, equation 2.
    """
    lam, partner = _draw_mix("mixup", draw, alpha, len(images), images.device)
    own = images if images.is_floating_point() else images.float()
    return Mixed(torch.lerp(own[partner], own, lam), partner, lam)


def cutmix(images: Tensor, draw: np.random.Generator, alpha: float = 1.0) -> Mixed:
    """Paste a box of another image of the batch; its area is a share 1-λ, λ from Beta(α, α).

    The box is clipped at the border and λ corrected to the area really pasted, as the authors do.

    Args:
        images: (B, C, H, W).
        draw: where randomness comes from.
        alpha: α > 0; 1 from the source.

    Raises:
        UserError: if ``alpha`` is not positive.

    Source: Yun et al. 2019, CutMix, section 3.1.
    """
    lam, partner = _draw_mix("cutmix", draw, alpha, len(images), images.device)
    height, width = images.shape[2:]
    y, x = int(draw.integers(height)), int(draw.integers(width))
    share = (1 - lam) ** 0.5
    box_h, box_w = int(height * share), int(width * share)
    top, bottom = max(y - box_h // 2, 0), min(y + box_h // 2, height)
    left, right = max(x - box_w // 2, 0), min(x + box_w // 2, width)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return Mixed(mixed, partner, 1 - (bottom - top) * (right - left) / (height * width))


def _draw_mix(
    name: str, draw: np.random.Generator, alpha: float, batch: int, device: torch.device
) -> tuple[float, Tensor]:
    if not alpha > 0:
        raise UserError(f"augment: {name} alpha is {alpha}; it must be above 0")
    lam = float(draw.beta(alpha, alpha))
    return lam, upload(draw.permutation(batch), device)


def randaugment(images: Tensor, draw: np.random.Generator, num_ops: int = 2, magnitude: int = 9) -> Tensor:
    """Apply ``num_ops`` random operations to each image, all of one magnitude, the sign random.

    Operations, ranges and the 31 steps of magnitude are those of torchvision's ``RandAugment``; grey areas of
    moved images are filled with middle grey. Images that drew the same operation are brought side by side and changed
    together, in places that the host knows: the device is never waited for.

    Args:
        images: (B, C, H, W) with C 1 or 3; float images pass through uint8.
        draw: where randomness comes from.
        num_ops: operations per image; 2, torchvision's default and usual in the source.
        magnitude: 0 to 30; 9, torchvision's default and the source's choice for ImageNet.

    Raises:
        UserError: if ``num_ops`` or ``magnitude`` is out of range.

    Source: Cubuk et al. 2020, RandAugment: practical automated data augmentation with a reduced search space.
    """
    if num_ops < 0 or not 0 <= magnitude <= 30:
        raise UserError(
            f"augment: randaugment has num_ops {num_ops} and magnitude {magnitude}; "
            "num_ops must be at least 0 and magnitude 0 to 30"
        )
    operations = _operations(magnitude / 30, *images.shape[2:])
    keys = [_draw_operations(draw, len(operations), len(images)) for _ in range(num_ops)]
    pixels = to_bytes(images) if images.is_floating_point() else images
    for moves, key in zip(_orders(keys, len(images), images.device), [*keys, None], strict=True):
        pixels = pixels[moves]
        if key is not None:
            _change_groups(pixels, np.sort(key), operations)
    return from_bytes(pixels).to(images.dtype) if images.is_floating_point() else pixels


def _draw_operations(draw: np.random.Generator, operations: int, batch: int) -> np.ndarray:
    """Which operation each image gets, (B,): twice its number, plus one where the sign is positive and matters."""
    choice = draw.integers(0, operations, batch)
    positive = draw.integers(0, 2, batch)
    return 2 * choice + np.where(np.isin(choice, UNSIGNED), 0, positive)


def _orders(keys: list[np.ndarray], batch: int, device: torch.device) -> Tensor:
    """Index into the batch as it lies before each round, so that equal keys lie side by side in it; and back again.

    Returns:
        int64 (rounds + 1, B), sent to the device in one piece.
    """
    now = np.arange(batch)  # which image lies where
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


UNSIGNED = (0, 10, 11, 12, 13)  # operations that look at no sign: identity, posterize, solarize and after


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
    """Shifted, sheared or rotated (n, C, H, W), nearest neighbour; what comes from outside is middle grey."""
    source, outside = _sources(*images.shape[2:], images.device, **how)
    return images.flatten(2)[:, :, source].reshape(images.shape).masked_fill(outside, GREY)


@functools.lru_cache(maxsize=64)
def _sources(height: int, width: int, device: torch.device, **how: Any) -> tuple[Tensor, Tensor]:
    """Which pixel comes to each place, (H·W,) int64, and whether it lies outside, (H, W) bool.

    Found by letting torchvision move an image of numbers, on the CPU: its own way asks the device at every call.
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
    """Blended with its blur (weights 1, 5 at the centre, over 13) by ``factor``, but for the border; uint8.

    torchvision's ``adjust_sharpness``, with sums in place of its convolution, which a GPU computes in TF32.
    """
    if min(images.shape[2:]) <= 2:
        return images
    sharp = images.float()
    rows = sharp[:, :, :-2] + sharp[:, :, 1:-1] + sharp[:, :, 2:]
    inner = sharp[:, :, 1:-1, 1:-1]
    blurred = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner
    inner.add_(blurred.div_(13).round_().sub_(inner), alpha=1 - factor)
    return sharp.clamp_(0, 255).to(torch.uint8)
