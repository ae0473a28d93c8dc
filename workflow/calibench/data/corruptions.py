"""Image corruptions as scanners, cameras and files cause them: twelve kinds in five severities.

Every kind is a pure function of (image, severity, seed, row), so an image is corrupted in the same way for every run
and on every machine. Images are uint8 as in a store, (H, H) grey or (H, H, 3).

The strengths are those of Hendrycks and Dietterich (2019) for their kinds: of CIFAR-C for images of up to 64 pixels
per side, of ImageNet-C for larger ones. Lengths in pixels hold for 32 and 224 pixels and are scaled with the image.
Unlike theirs, images are not JPEG-compressed at the end. Other kinds name their source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from calibench.errors import UserError

SMALL, SMALL_SIDE, LARGE_SIDE = 64, 32, 224  # pixels
SEVERITIES = (1, 2, 3, 4, 5)
Image = np.ndarray  # float32 in [0, 1], (H, H) or (H, H, 3)


def _normal(image: Image, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers, one for every pixel and channel."""
    return rng.standard_normal(image.shape, dtype=np.float32)


def noise(image: Image, sigma: float, rng: np.random.Generator, scale: float) -> Image:
    """Gaussian noise: x + σ·n."""
    return image + sigma * _normal(image, rng)


def rician(image: Image, sigma: float, rng: np.random.Generator, scale: float) -> Image:
    """Noise of MR magnitude images: √((x + σ·n₁)² + (σ·n₂)²) (Gudbjartsson and Patz 1995)."""
    return np.hypot(image + sigma * _normal(image, rng), sigma * _normal(image, rng))


def speckle(image: Image, sigma: float, rng: np.random.Generator, scale: float) -> Image:
    """Noise proportional to the signal, as in ultrasound: x + x·σ·n."""
    return image + image * sigma * _normal(image, rng)


def blur(image: Image, sigma: float, rng: np.random.Generator, scale: float) -> Image:
    """Gaussian blur."""
    return cv2.GaussianBlur(image, (0, 0), sigma * scale, borderType=cv2.BORDER_REFLECT_101)


def motion(image: Image, shape: tuple[float, float], rng: np.random.Generator, scale: float) -> Image:
    """Motion blur along a line at an angle between -45 and 45 degrees, with Gaussian weights."""
    length, sigma = shape[0] * scale, shape[1] * scale
    angle = np.deg2rad(rng.uniform(-45, 45))
    steps = np.arange(0, length + 1e-9, 0.5)
    reach = int(np.ceil(length)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    x, y = reach + steps * np.cos(angle), reach + steps * np.sin(angle)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for down, across in np.ndindex(2, 2):  # a point between pixels is divided among the four around it
        share = np.abs(1 - across - (x - left)) * np.abs(1 - down - (y - top))
        np.add.at(kernel, (top + down, left + across), weights * share)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def contrast(image: Image, share: float, rng: np.random.Generator, scale: float) -> Image:
    """Less contrast: (x - m)·c + m, m the mean of each channel."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    return (image - mean) * share + mean


def brightness(image: Image, added: float, rng: np.random.Generator, scale: float) -> Image:
    """Brighter: the value of each pixel (of HSV, the largest channel) plus c, at most white."""
    if image.ndim == 2:
        return image + added
    value = image.max(axis=2, keepdims=True)
    raised = np.minimum(value + added, 1)
    return np.where(value > 0, image * (raised / np.maximum(value, 1e-6)), raised)


def gamma(image: Image, exponent: float, rng: np.random.Generator, scale: float) -> Image:
    """Darker in the middle greys: x^γ; γ of MedMNIST-C's abdominal CT (Di Salvo et al. 2024)."""
    return image**exponent


def jpeg(image: Image, quality: int, rng: np.random.Generator, scale: float) -> Image:
    """JPEG compression."""
    levels = np.rint(image * 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(packed, cv2.IMREAD_UNCHANGED).astype(np.float32) / 255


def pixelate(image: Image, share: float, rng: np.random.Generator, scale: float) -> Image:
    """Fewer, larger pixels: reduced to a share of the side and enlarged again."""
    side = image.shape[0]
    small = max(1, int(side * share))
    shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_NEAREST)


def rotation(image: Image, degrees: float, rng: np.random.Generator, scale: float) -> Image:
    """Rotated left or right, mirrored at the border (no new black corners). Angles: ours."""
    side, angle = image.shape[0], degrees if rng.random() < 0.5 else -degrees
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1)
    options = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
    return cv2.warpAffine(image, turn, (side, side), **options)


def bias_field(image: Image, amplitude: float, rng: np.random.Generator, scale: float) -> Image:
    """Uneven sensitivity of an MR coil: x·exp(f) over its mean, f a quadratic of the position with max |f| = amplitude.

    There is no constant term, and the field is divided by its mean, so that the mean brightness stays. Amplitudes:
    ours; the form is that of TorchIO's RandomBiasField.
    """
    along = np.linspace(-1, 1, image.shape[0], dtype=np.float32)
    u, v = along[:, None], along[None, :]
    terms = (u + 0 * v, v + 0 * u, u * u + 0 * v, u * v, v * v + 0 * u)
    exponent = sum(c * term for c, term in zip(rng.uniform(-1, 1, len(terms)), terms, strict=True))
    field = np.exp(exponent * (amplitude / np.abs(exponent).max())).astype(np.float32)
    field /= field.mean()
    return image * (field if image.ndim == 2 else field[..., None])


@dataclass(frozen=True)
class Kind:
    """A corruption and its strength at severity 1 to 5, for small and for large images."""

    function: Callable[[Image, Any, np.random.Generator, float], Image]
    small: Sequence[Any]
    large: Sequence[Any]


KINDS = {
    "noise": Kind(noise, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "rician": Kind(rician, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),  # those of noise
    "speckle": Kind(speckle, (0.06, 0.10, 0.12, 0.16, 0.20), (0.15, 0.20, 0.35, 0.45, 0.60)),
    "blur": Kind(blur, (0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6)),
    "motion": Kind(
        motion, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    ),
    "contrast": Kind(contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "brightness": Kind(brightness, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "gamma": Kind(gamma, (1.3, 1.4, 1.6, 1.8, 2.0), (1.3, 1.4, 1.6, 1.8, 2.0)),
    "jpeg": Kind(jpeg, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
    "pixelate": Kind(pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
    "rotation": Kind(rotation, (5, 10, 15, 20, 30), (5, 10, 15, 20, 30)),
    "bias_field": Kind(bias_field, (0.2, 0.4, 0.6, 0.8, 1.0), (0.2, 0.4, 0.6, 0.8, 1.0)),
}


def corrupt(image: np.ndarray, name: str, severity: int, seed: int, row: int) -> np.ndarray:
    """One corrupted image, uint8 of the same shape, rounded and clipped to 0..255.

    Args:
        image: uint8 (H, H) or (H, H, 3), as stored.
        name: a key of :data:`KINDS`.
        severity: 1 to 5.
        seed: of the random part.
        row: row of the image in the store; every row has its own random numbers.

    Raises:
        UserError: there is no such corruption or severity.
    """
    if name not in KINDS or severity not in SEVERITIES:
        raise UserError(
            f"there is no corruption '{name}' of severity {severity}; there are {', '.join(KINDS)}, with severities 1 to 5"
        )
    kind, side = KINDS[name], image.shape[0]
    small = side <= SMALL
    strength = (kind.small if small else kind.large)[severity - 1]
    scale = side / (SMALL_SIDE if small else LARGE_SIDE)
    rng = np.random.default_rng([seed, row, *name.encode()])  # severities differ only in strength
    worse = kind.function(image.astype(np.float32) / 255, strength, rng, scale)
    return np.rint(np.clip(worse, 0, 1) * 255).astype(np.uint8)


class CorruptedStore:
    """A store whose images are corrupted when they are read, with the array methods that a reader of batches uses.

    ``store`` is uint8 (N, H, H[, 3]), usually a memory map; ``name``, ``severity`` and ``seed`` are as for
    :func:`corrupt`; ``over`` is like the builtin ``map``, for several threads.
    """

    def __init__(
        self, store: np.ndarray, name: str, severity: int, seed: int, over: Callable[..., Any] = map
    ) -> None:
        self.store, self.over, self.shape = store, over, store.shape
        self._corrupt = partial(_corrupt_row, store, name, severity, seed)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Images (B, H, H[, 3]) of these rows (B,)."""
        return np.stack(list(self.over(self._corrupt, rows)))


def _corrupt_row(store: np.ndarray, name: str, severity: int, seed: int, row: int) -> np.ndarray:
    return corrupt(store[row], name, severity, seed, int(row))
