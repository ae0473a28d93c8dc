"""Augmentations that work with any regime: cutout, mixup and CutMix on whole batches; also :mod:`.randaugment`.

Batches are (B, C, H, W), uint8 in 0 to 255 or float scaled to [-1, 1], on any device. All randomness comes from
the NumPy generator ``draw``, so an augmented batch is a pure function of its seed, the same on every device. The
schema checks the settings. Cutout and RandAugment draw anew for every image. Mixup and CutMix draw one λ per batch,
as their authors do: a regime's loss is a mean over the batch, and the trainer computes
λ·loss(y) + (1-λ)·loss(y[partner]).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calibench.data.transfer import upload

GREY = 127  # middle grey of uint8


@dataclass(frozen=True)
class Mixed:
    """A mixed batch (B, C, H, W), the ``partner`` (B,) int64 of each image, and ``lam``, the image's own share."""

    images: Tensor
    partner: Tensor
    lam: float

    def dominant(self, targets: Tensor) -> Tensor:
        """The label (B,) with the larger share; the image's own one if both are equal."""
        return targets if self.lam >= 0.5 else targets[self.partner]


def cutout(images: Tensor, draw: np.random.Generator, size: float = 0.5) -> Tensor:
    """Cover one square per image with middle grey (0 after scaling, as the source does).

    The centre is uniform over the image, so the square may reach over the border. ``size`` is its side as a share of
    the shorter side of the image; 0.5 = 16 of 32 px, the source's choice for CIFAR-10 (CIFAR-100: 0.25).

    Source: DeVries and Taylor 2017, Improved regularization of convolutional neural networks with cutout.
    """
    batch, _, height, width = images.shape
    side = max(round(size * min(height, width)), 1)
    top = draw.integers(0, height, batch) - side // 2
    left = draw.integers(0, width, batch) - side // 2
    covered = np.concatenate([_within(top, side, height), _within(left, side, width)], axis=1)
    rows, columns = upload(covered, images.device).split([height, width], dim=1)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(hole, 0 if images.is_floating_point() else GREY)


def _within(start: np.ndarray, length: int, size: int) -> np.ndarray:
    position = np.arange(size)
    return (position >= start[:, None]) & (position < start[:, None] + length)


def mixup(images: Tensor, draw: np.random.Generator, alpha: float = 1.0) -> Mixed:
    """Average each image with another one of the batch, λ from Beta(α, α); uint8 becomes float32 in 0 to 255.

    α is 1 in the authors' CIFAR code, 0.2 in the paper for ImageNet.

    Source: Zhang et al. 2018, mixup: beyond empirical risk minimization, equation 2.
    """
    lam, partner = _draw_mix(draw, alpha, images)
    own = images if images.is_floating_point() else images.float()
    return Mixed(torch.lerp(own[partner], own, lam), partner, lam)


def cutmix(images: Tensor, draw: np.random.Generator, alpha: float = 1.0) -> Mixed:
    """Paste a box of another image of the batch; its area is a share 1-λ, λ from Beta(α, α).

    The box is clipped at the border and λ corrected to the area really pasted, as the authors do; α = 1 from them.

    Source: Yun et al. 2019, CutMix, section 3.1.
    """
    lam, partner = _draw_mix(draw, alpha, images)
    height, width = images.shape[2:]
    y, x = int(draw.integers(height)), int(draw.integers(width))
    share = (1 - lam) ** 0.5
    box_h, box_w = int(height * share), int(width * share)
    top, bottom = max(y - box_h // 2, 0), min(y + box_h // 2, height)
    left, right = max(x - box_w // 2, 0), min(x + box_w // 2, width)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return Mixed(mixed, partner, 1 - (bottom - top) * (right - left) / (height * width))


def _draw_mix(draw: np.random.Generator, alpha: float, images: Tensor) -> tuple[float, Tensor]:
    """λ, and which image each one is mixed with, (B,)."""
    return float(draw.beta(alpha, alpha)), upload(draw.permutation(len(images)), images.device)
