"""Fingerprints of images, short "prints", to find copies: exact content, coarse form, fine detail, contrast."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.fft import dct

from calibench.data.decode import Window, to_colour, to_uint8
from calibench.data.pool import over_chunks
from calibench.data.readers import Reader
from calibench.data.unreadable import Unreadable

SIDE = 32  # pixels per side of the reduced image, from which all but the content hash is computed
FORM = 8  # frequencies per direction in the coarse form
BLUR = 1.2  # sigma in pixels of the reduced image: the fine detail is what this blur removes
SMALLEST = 16  # pixels per side; a smaller image has no detail: two 1s of 8x8 pixels are not a series
STEPS = 2.8  # steps of the stored detail per standard deviation; clipped at 7 steps = 2.5 deviations


# the first rows of the discrete cosine transform DCT-II
_DCT = dct(np.eye(SIDE), axis=0, norm="ortho")[:FORM].astype(np.float32)


@dataclass
class Prints:
    """Prints of N images, 650 bytes each; rows of unreadable images are zero."""

    content: np.ndarray  # (N,) uint64: hash of the decoded pixels
    form: np.ndarray  # (N, 63) float16, see forms()
    detail: np.ndarray  # (N, 512) uint8, see details()
    contrast: np.ndarray  # (N,) float32: standard deviation of the grey levels
    unreadable: dict[int, str]  # row → reason

    @classmethod
    def zeros(cls, n: int) -> "Prints":
        """Space for n images."""
        form, detail = np.zeros((n, FORM * FORM - 1), np.float16), np.zeros((n, SIDE * SIDE // 2), np.uint8)
        return cls(np.zeros(n, np.uint64), form, detail, np.zeros(n, np.float32), {})


def content_hash(image: np.ndarray) -> int:
    """64 bits of BLAKE2b over depth, shape and pixels, without alpha. Grey stored as colour counts as grey.

    With 1.35 million images, two different ones share a hash with probability 5e-8.
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


def forms(reduced: np.ndarray) -> np.ndarray:
    """Low DCT frequencies without the constant one, at unit length: dot products are correlations of blurred images.

    (N, 63) float16 from (N, 32, 32) float32; zero where the image is constant.
    """
    low = (_DCT @ reduced @ _DCT.T).reshape(len(reduced), -1)[:, 1:]
    return (low / np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6)).astype(np.float16)


def details(reduced: np.ndarray) -> np.ndarray:
    """What a blur removes, as signed square roots in 15 steps, two pixels per byte: (N, 512) uint8 from (N, 32, 32).

    The square root makes faint texture count beside strong edges. Texture differs between neighbouring slices, but
    not when brightness, contrast or sharpness change.
    """
    fine = np.stack([image - cv2.GaussianBlur(image, (0, 0), BLUR) for image in reduced])
    fine = (np.sign(fine) * np.sqrt(np.abs(fine))).reshape(len(reduced), -1)
    scale = STEPS / np.maximum(fine.std(axis=1, keepdims=True), 1e-6)
    steps = (np.clip(np.round(fine * scale), -7, 7) + 8).astype(np.uint8)
    return steps[:, ::2] << 4 | steps[:, 1::2]


def unpack(detail: np.ndarray) -> np.ndarray:
    """(N, 1024) float32 of zero mean and unit length, from (N, 512) of :func:`details`; constant rows are zero."""
    steps = np.stack([detail >> 4, detail & 15], axis=-1).reshape(len(detail), -1).astype(np.float32)
    steps -= steps.mean(axis=1, keepdims=True)
    return steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-6)


def _prints_of(reader: Reader, names: list[str], window: Window) -> Prints:
    prints = Prints.zeros(len(names))
    reduced = np.zeros((len(names), SIDE, SIDE), np.float32)
    small = np.zeros(len(names), bool)
    for row, name in enumerate(names):
        try:
            image = reader.read(name)
            grey = to_colour(to_uint8(image, window), "grey")
        except Unreadable as error:
            prints.unreadable[row] = str(error)
            continue
        prints.content[row] = content_hash(image)
        prints.contrast[row] = cv2.meanStdDev(grey)[1][0, 0]
        small[row] = min(grey.shape) < SMALLEST
        reduced[row] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    prints.form, prints.detail = forms(reduced), details(reduced)
    prints.detail[small] = 0
    return prints


def take_prints(reader: Reader, names: list[str], window: Window, threads: int) -> Prints:
    """Read every image once and make its prints."""
    prints = Prints.zeros(len(names))

    def work(start: int, stop: int) -> tuple[int, Prints]:
        return start, _prints_of(reader, names[start:stop], window)

    for start, part in over_chunks(work, len(names), threads, "audit"):
        rows = slice(start, start + len(part.content))
        prints.content[rows], prints.contrast[rows] = part.content, part.contrast
        prints.form[rows], prints.detail[rows] = part.form, part.detail
        prints.unreadable |= {start + row: reason for row, reason in part.unreadable.items()}
    return prints
