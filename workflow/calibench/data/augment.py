"""Input augmentations that combine with any regime: cutout, mixup, CutMix and RandAugment on whole batches.

Batches are (B, C, H, W), uint8 in 0 to 255 or float scaled to [-1, 1], on any device. All randomness comes
from the NumPy generator that is handed in, so an augmented batch is a pure function of its seed, the same on
every device. Cutout and RandAugment draw for every image of its own; mixup and CutMix, as their authors do,
one λ per batch, since a regime's loss is a mean over the batch: the trainer computes λ·loss(y) +
(1-λ)·loss(y[partner]).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as ops

from calibench.errors import UserError


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
    return 0 if images.is_floating_point() else 127


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
    rows = _within(top, side, height, images.device)
    columns = _within(left, side, width, images.device)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(hole, _middle_grey(images))


def _within(start: np.ndarray, length: int, size: int, device: torch.device) -> Tensor:
    first = torch.as_tensor(start, device=device)[:, None]
    position = torch.arange(size, device=device)
    return (position >= first) & (position < first + length)


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
    return lam, torch.as_tensor(draw.permutation(batch), device=device)


def randaugment(images: Tensor, draw: np.random.Generator, num_ops: int = 2, magnitude: int = 9) -> Tensor:
    """Apply ``num_ops`` random operations to each image, all of one magnitude, the sign random.

    Operations, ranges and the 31 steps of magnitude are those of torchvision's ``RandAugment``; grey areas of
    moved images are filled with middle grey. Images that drew the same operation are changed together.

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
    pixels = to_bytes(images) if images.is_floating_point() else images.clone()
    operations = _operations(magnitude / 30, *images.shape[2:])
    for _ in range(num_ops):
        choice = draw.integers(0, len(operations), len(images))
        sign = draw.integers(0, 2, len(images)) * 2 - 1
        for number, operation in enumerate(operations):
            for s in (-1, 1):
                rows = np.flatnonzero((choice == number) & (sign == s))
                if len(rows):
                    index = torch.as_tensor(rows, device=pixels.device)
                    pixels[index] = operation(pixels[index], int(s))
    return from_bytes(pixels).to(images.dtype) if images.is_floating_point() else pixels


def to_bytes(images: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(pixels: Tensor) -> Tensor:
    """Uint8 to float32 in [-1, 1]."""
    return pixels.float().mul_(2 / 255).sub_(1)


def _operations(strength: float, height: int, width: int) -> list[Callable[[Tensor, int], Tensor]]:
    """The 14 operations on uint8 (n, C, H, W) and a sign, at ``strength`` 0 to 1 of each one's range."""
    slope = float(np.degrees(np.arctan(0.3 * strength)))
    return [
        lambda x, s: x,
        lambda x, s: _moved(x, shear=(s * slope, 0.0), center=(0, 0)),
        lambda x, s: _moved(x, shear=(0.0, s * slope), center=(0, 0)),
        lambda x, s: _moved(x, translate=(int(s * strength * 150 / 331 * width), 0)),
        lambda x, s: _moved(x, translate=(0, int(s * strength * 150 / 331 * height))),
        lambda x, s: ops.rotate(x, s * 30.0 * strength, InterpolationMode.NEAREST, fill=[127.0]),
        lambda x, s: ops.adjust_brightness(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.adjust_saturation(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.adjust_contrast(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.adjust_sharpness(x, 1 + s * 0.9 * strength),
        lambda x, s: ops.posterize(x, 8 - round(4 * strength)),
        lambda x, s: ops.solarize(x, 255 * (1 - strength)),
        lambda x, s: ops.autocontrast(x),
        lambda x, s: ops.equalize(x),
    ]


def _moved(
    images: Tensor,
    translate: tuple[int, int] = (0, 0),
    shear: tuple[float, float] = (0.0, 0.0),
    center: tuple[int, int] | None = None,
) -> Tensor:
    """Shifted or sheared (n, C, H, W), nearest neighbour; what comes from outside is middle grey."""
    return ops.affine(
        images,
        angle=0.0,
        translate=list(translate),
        scale=1.0,
        shear=list(shear),
        interpolation=InterpolationMode.NEAREST,
        fill=[127.0],
        center=None if center is None else list(center),
    )
