"""From the store to batches on the device: crop and flip per sample, scaled to [-1, 1].

One gather per batch reads the crop, mirrors at the border and flips at once, from images that stay on the
device as uint8 or come from the memory map.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibench.data.resized import Box, cut_boxes, random_boxes
from calibench.errors import UserError

RESIDENT_SHARE = 0.5  # of the free memory of the device that resident images may take


@dataclass(frozen=True)
class Window:
    """Where each sample of a batch is cut: top and left corners (B,) and which are flipped (B,) bool."""

    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray


def random_window(
    draw: np.random.Generator, batch: int, stored: int, size: int, augment: dict[str, Any]
) -> Window | Box:
    """Draw crops of ``size`` px from images of ``stored`` px, padded, and flips, per sample; or parts of any size."""
    if augment.get("scale") is not None:
        return random_boxes(draw, batch, stored, augment)
    pad = padding(augment, size) if augment["crop"] else 0
    low, high = -pad, stored - size + pad
    if not augment["crop"]:
        low = high = (stored - size) // 2
    top, left = draw.integers(low, high + 1, (2, batch))
    return Window(top, left, draw.random(batch) < augment["flip"])


def centre_window(batch: int, stored: int, size: int) -> Window:
    """The unaugmented window: the centre of the image."""
    corner = np.full(batch, (stored - size) // 2)
    return Window(corner, corner, np.zeros(batch, bool))


def padding(augment: dict[str, Any], size: int) -> int:
    """Padding in pixels: the configured one, or an eighth of the input size (4 px at 32)."""
    return size // 8 if augment["pad"] is None else augment["pad"]


def _reflect(index: Tensor, length: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= length, 2 * (length - 1) - index, index)


def cut(images: Tensor, rows: Tensor, window: Window | Box, size: int, pad_mode: str = "reflect") -> Tensor:
    """Cut windows out of stored images and scale them to [-1, 1].

    Args:
        images: uint8 (N, H, H) grey or (N, H, H, 3).
        rows: int64 (B,) which images.
        window: where to cut.
        size: side S of the window in pixels.
        pad_mode: what lies outside the image: its reflection, or zeros (grey value 0).

    Returns:
        float32 (B, 3, S, S) in channels_last memory order, on the device of ``images``.
    """
    if isinstance(window, Box):
        return cut_boxes(images, rows, window, size)
    device, stored = images.device, images.shape[1]
    steps = torch.arange(size, device=device)
    top = torch.as_tensor(window.top, device=device)[:, None] + steps
    flipped = torch.as_tensor(window.flip, device=device)[:, None]
    left = torch.as_tensor(window.left, device=device)[:, None] + torch.where(
        flipped, size - 1 - steps, steps
    )
    y, x = _reflect(top, stored), _reflect(left, stored)
    pixels = images[rows[:, None, None], y[:, :, None], x[:, None, :]]
    if pad_mode == "zero":
        outside = ((top < 0) | (top >= stored))[:, :, None] | ((left < 0) | (left >= stored))[:, None, :]
        pixels = pixels.masked_fill(outside[..., None] if pixels.ndim == 4 else outside, 0)
    scaled = pixels.float().mul_(2 / 255).sub_(1)
    if scaled.ndim == 3:
        scaled = scaled.unsqueeze(-1).expand(-1, -1, -1, 3)
    return scaled.permute(0, 3, 1, 2)


class Images:
    """Images of one split, resident on the device or read from the memory map batch by batch.

    Args:
        store: uint8 (N, H, H[, 3]), usually a memory map.
        rows: which rows of the store this split has, in order (n,).
        device: where batches are wanted.
        resident: auto | always | never.
    """

    def __init__(
        self, store: np.ndarray, rows: np.ndarray, device: torch.device, resident: str = "auto"
    ) -> None:
        self.store, self.rows, self.device = store, rows, device
        self.stored_size = store.shape[1]
        self.resident = resident == "always" or (resident == "auto" and self._fits())
        self._pixels = self._load() if self.resident else None

    def _fits(self) -> bool:
        need = len(self.rows) * int(np.prod(self.store.shape[1:]))
        if self.device.type == "cuda":
            return need < RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]
        return need < 2**30  # the memory map is in the page cache and shared; copies above 1 GB buy nothing

    def _load(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.store[self.rows])).to(self.device)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(
        self, positions: np.ndarray, window: Window | Box, size: int, pad_mode: str = "reflect"
    ) -> Tensor:
        """Images at ``positions`` (B,) of this split, cut and scaled: float32 (B, 3, size, size)."""
        if self._pixels is not None:
            rows = torch.as_tensor(positions, device=self.device)
            return cut(self._pixels, rows, window, size, pad_mode)
        pixels = torch.from_numpy(self.store[self.rows[positions]])
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        return cut(pixels, torch.arange(len(positions), device=self.device), window, size, pad_mode)


def check_sizes(stored: int, size: int, augment: dict[str, Any]) -> None:
    """Check that crops fit.

    Raises:
        UserError: if the input is larger than the stored images or the padding than they can mirror.
    """
    if size > stored:
        raise UserError(
            f"train: input_size {size} is larger than the stored size {stored}; raise store: size"
        )
    if augment.get("scale") is None and padding(augment, size) >= stored:
        raise UserError(
            f"augment: pad {padding(augment, size)} must be smaller than the stored size {stored}"
        )
