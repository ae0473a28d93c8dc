"""Fingerprints of an image: exact content, perceptual hash, thumbnail, contrast."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from calibench.data.decode import to_colour, to_uint8
from calibench.data.pool import over_chunks
from calibench.data.readers import Reader
from calibench.data.unreadable import Unreadable

SIDE = 32  # side of the reduced image that the perceptual hash looks at
THUMB = 16  # side of the thumbnail that verifies candidates


def _dct_rows(count: int, side: int) -> np.ndarray:
    """The first ``count`` rows of the (unscaled) discrete cosine transform DCT-II."""
    points = np.arange(side)
    return np.cos(np.pi * (2 * points[None] + 1) * np.arange(count)[:, None] / (2 * side)).astype(np.float32)


_DCT = _dct_rows(8, SIDE)


@dataclass
class Prints:
    """Fingerprints of N images; rows of unreadable images are zero.

    content (N,) uint64: hash of the decoded pixels; perceptual (N,) uint64; thumbs (N, 256) uint8;
    contrast (N,) float32: standard deviation of the grey levels; why: row → reason, unreadable images only.
    """

    content: np.ndarray
    perceptual: np.ndarray
    thumbs: np.ndarray
    contrast: np.ndarray
    why: dict[int, str]

    @classmethod
    def empty(cls, n: int) -> "Prints":
        """Room for n images."""
        return cls(
            np.zeros(n, np.uint64),
            np.zeros(n, np.uint64),
            np.zeros((n, THUMB * THUMB), np.uint8),
            np.zeros(n, np.float32),
            {},
        )


def content_hash(image: np.ndarray) -> int:
    """64 bits of BLAKE2b over depth, shape and pixels, without alpha; grey stored as colour counts as grey.

    Among 1.35 million images two different ones share a hash with probability 5e-8.
    """
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[:, :, :3]
    if image.ndim == 3 and image.shape[2] == 3:
        blue = image[:, :, 0]
        if np.array_equal(blue, image[:, :, 1]) and np.array_equal(blue, image[:, :, 2]):
            image = blue
    digest = hashlib.blake2b(f"{image.dtype.str}{image.shape}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image))
    return int.from_bytes(digest.digest(), "little")


def perceptual_hashes(reduced: np.ndarray) -> np.ndarray:
    """pHash (Zauner 2010): signs of the low DCT frequencies against their median, without the constant one.

    Chosen over dHash because medical images have large black areas, where neighbouring pixels are equal and
    dHash's bits carry nothing.

    Args:
        reduced: (N, 32, 32) float32.

    Returns:
        (N,) uint64, 63 bits used.
    """
    low = (_DCT @ reduced @ _DCT.T).reshape(len(reduced), 64)[:, 1:]
    bits = np.zeros((len(reduced), 64), dtype=bool)
    bits[:, 1:] = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _chunk(reader: Reader, names: list[str], window: list[float] | None) -> Prints:
    prints = Prints.empty(len(names))
    reduced = np.zeros((len(names), SIDE, SIDE), np.float32)
    for row, name in enumerate(names):
        try:
            image = reader.read(name)
            grey = to_colour(to_uint8(image, window), "grey")
        except Unreadable as why:
            prints.why[row] = str(why)
            continue
        prints.content[row] = content_hash(image)
        prints.contrast[row] = cv2.meanStdDev(grey)[1][0, 0]
        small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        reduced[row] = small
        prints.thumbs[row] = cv2.resize(small, (THUMB, THUMB), interpolation=cv2.INTER_AREA).ravel()
    prints.perceptual = perceptual_hashes(reduced)
    return prints


def fingerprint(reader: Reader, names: list[str], window: list[float] | None, threads: int) -> Prints:
    """Read every image once and fingerprint it; 290 bytes of memory per image."""
    prints = Prints.empty(len(names))

    def work(start: int, stop: int) -> tuple[int, int, Prints]:
        return start, stop, _chunk(reader, names[start:stop], window)

    for start, stop, part in over_chunks(work, len(names), threads, "audit"):
        for field in ("content", "perceptual", "thumbs", "contrast"):
            getattr(prints, field)[start:stop] = getattr(part, field)
        prints.why.update({start + row: why for row, why in part.why.items()})
    return prints
