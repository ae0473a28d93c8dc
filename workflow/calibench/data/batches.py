"""From the store to batches on the device: crop and flip per sample, scaled to [-1, 1].

One gather per batch crops, mirrors at the border and flips. The images stay on the device as uint8, or come from
the memory map.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibench.data.resized import Box, cut_boxes, random_boxes
from calibench.data.transfer import load_rows, upload
from calibench.errors import UserError

RESIDENT_SHARE = 0.5  # share of the device's free memory that resident images may take


@dataclass(frozen=True)
class Crop:
    """Where each sample of a batch is cropped: top and left corner (B,), and whether it is flipped (B,) bool."""

    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray


def random_crop(
    draw: np.random.Generator, batch: int, stored: int, size: int, augment: dict[str, Any]
) -> Crop | Box:
    """Random crops of ``size`` px from padded images of ``stored`` px, or random resized crops; and random flips."""
    if augment.get("scale") is not None:
        return random_boxes(draw, batch, stored, augment)
    pad = padding(augment, size) if augment["crop"] else 0
    low, high = -pad, stored - size + pad
    if not augment["crop"]:
        low = high = (stored - size) // 2
    top, left = draw.integers(low, high + 1, (2, batch))
    return Crop(top, left, draw.random(batch) < augment["flip"])


def centre_crop(batch: int, stored: int, size: int) -> Crop:
    """The crop without augmentation: the centre of the image."""
    corner = np.full(batch, (stored - size) // 2)
    return Crop(corner, corner, np.zeros(batch, bool))


def padding(augment: dict[str, Any], size: int) -> int:
    """Padding in pixels: ``augment.pad``, or an eighth of the input size (4 px at 32)."""
    return size // 8 if augment["pad"] is None else augment["pad"]


def _reflect(index: np.ndarray, length: int) -> np.ndarray:
    index = np.abs(index)
    return np.where(index >= length, 2 * (length - 1) - index, index)


def _pixels_of(crop: Crop, size: int) -> np.ndarray:
    """Rows and columns of the pixels in each crop, (2, B, size) int64; some may lie outside the image."""
    steps = np.arange(size)
    across = np.where(crop.flip[:, None], size - 1 - steps, steps)
    return np.stack([crop.top[:, None] + steps, crop.left[:, None] + across])


def cut(images: Tensor, rows: np.ndarray, crop: Crop | Box, size: int, pad_mode: str = "reflect") -> Tensor:
    """Cut crops out of stored images and scale them to [-1, 1].

    The host computes which pixels are needed and sends the indices to the device in one transfer.

    Args:
        images: uint8 (N, H, H) grey or (N, H, H, 3).
        rows: int64 (B,), which images.
        crop: where to cut.
        size: side S of the crop in pixels.
        pad_mode: what is outside the image: its reflection, or zeros (black).

    Returns:
        float32 (B, 3, S, S) in channels_last memory order, on the device of ``images``.
    """
    if isinstance(crop, Box):
        return cut_boxes(images, rows, crop, size)
    stored, batch = images.shape[1], len(rows)
    wanted = _pixels_of(crop, size)
    sent = [rows, _reflect(wanted, stored)]
    if pad_mode == "zero":
        sent.append((wanted < 0) | (wanted >= stored))
    on_device = upload(np.concatenate([part.ravel() for part in sent]), images.device)
    places = on_device[batch:].view(-1, batch, size)
    pixels = _gather(images, on_device[:batch], places[0], places[1])
    if pad_mode == "zero":
        outside = (places[2][:, :, None] | places[3][:, None, :]).bool()
        pixels = pixels.masked_fill(outside[..., None] if pixels.ndim == 4 else outside, 0)
    scaled = pixels.float().mul_(2 / 255).sub_(1)
    if scaled.ndim == 3:
        scaled = scaled.unsqueeze(-1).expand(-1, -1, -1, 3)
    return scaled.permute(0, 3, 1, 2)


def _gather(images: Tensor, rows: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Pixels (B, S, S[, 3]) at rows ``y`` and columns ``x`` (B, S): whole rows first, which is one copy each."""
    height, width, *colour = images.shape[1:]
    lines = images.view(-1, width, *colour).index_select(0, (rows[:, None] * height + y).flatten())
    lines = lines.view(*y.shape, width, *colour)
    columns = x[:, None, :] if not colour else x[:, None, :, None]
    return lines.gather(2, columns.expand(*y.shape, x.shape[1], *colour))


class Images:
    """Images of one split, resident on the device or read from the memory map batch by batch.

    Args:
        store: uint8 (N, H, H[, 3]), usually a memory map.
        rows: (n,), the rows of the store that belong to this split, in order.
        device: where the batches go.
        resident: auto | always | never.
        sharers: how many runs share the device's memory.
    """

    def __init__(
        self,
        store: np.ndarray,
        rows: np.ndarray,
        device: torch.device,
        resident: str = "auto",
        sharers: int = 1,
    ) -> None:
        self.store, self.rows, self.device = store, rows, device
        self.stored_size = store.shape[1]
        keep = resident == "always" or (resident == "auto" and self._fits(sharers))
        self._pixels = load_rows(store, rows, device) if keep else None

    def _fits(self, sharers: int) -> bool:
        need = len(self.rows) * int(np.prod(self.store.shape[1:]))
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)
            return need < RESIDENT_SHARE * min(free, total / sharers)  # the other runs may start later
        return need < 2**30  # the page cache holds the memory map for all runs: a larger copy gains nothing

    @property
    def resident(self) -> bool:
        """Whether the images are held on the device."""
        return self._pixels is not None

    def release(self) -> None:
        """Free the images on the device; read from the memory map from now on."""
        self._pixels = None

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: np.ndarray, crop: Crop | Box, size: int, pad_mode: str = "reflect") -> Tensor:
        """Images at ``positions`` (B,) of this split, cut and scaled: float32 (B, 3, size, size)."""
        if self._pixels is not None:
            return cut(self._pixels, positions, crop, size, pad_mode)
        pixels = upload(self.store[self.rows[positions]], self.device)
        return cut(pixels, np.arange(len(positions)), crop, size, pad_mode)


def check_sizes(stored: int, size: int, augment: dict[str, Any]) -> None:
    """Raise UserError if the input is larger than the stored images, or the padding as large as they are."""
    if size > stored:
        raise UserError(
            f"train.input_size {size} is larger than the stored images ({stored} px); raise datasets.<name>.store.size"
        )
    if augment.get("scale") is None and (pad := padding(augment, size)) >= stored:
        raise UserError(f"augment.pad is {pad}; it must be smaller than the stored images ({stored} px)")
