"""From the bytes of an image file to the uint8 pixels of the store, step by step."""

import os
from collections.abc import Sequence
from typing import Any

from calibench.data.unreadable import MAX_PIXELS, VARIABLE, Unreadable, check_pixels, inspect

os.environ.setdefault(VARIABLE, str(MAX_PIXELS))  # OpenCV reads it once, on import
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # our own log has one line per unreadable file

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from calibench.data.dicom import OWN, decode_dicom, is_dicom  # noqa: E402

Window = Sequence[float] | str | None  # [lowest, highest], "dicom", or none
INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
CONVERSIONS = {  # from three and from four channels
    "grey": (cv2.COLOR_BGR2GRAY, cv2.COLOR_BGRA2GRAY),
    "rgb": (cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGB),
    "bgr": (None, cv2.COLOR_BGRA2BGR),
}


def decode(data: bytes, window: Window = None) -> np.ndarray:
    """Decode an image file to (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, in the file's own depth.

    The EXIF orientation is not applied. Of an animation the first frame is taken. CMYK, YCbCr and palettes become BGR.

    Args:
        data: content of a PNG, JPEG, TIFF, BMP, WebP, PGM, GIF or (optional extra) DICOM file.
        window: ``store.window``; matters here only if it is ``dicom``: that window is in the file's tags.

    Raises:
        Unreadable: empty, truncated, too large, or not an image that OpenCV can decode.
    """
    if not data:
        raise Unreadable("empty file")
    if is_dicom(data):
        return decode_dicom(data, window)
    pixels, problem = inspect(data)
    if problem := check_pixels(pixels) or problem:
        raise Unreadable(problem)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Unreadable(f"OpenCV: {error.err or error}") from error
    if image is None or image.size == 0:
        raise Unreadable("not an image that OpenCV can decode, or damaged")
    return image


def to_uint8(image: np.ndarray, window: Window = None) -> np.ndarray:
    """Map pixels to 0..255: 8-bit images stay as they are, all others need a window [lowest, highest].

    A given window is applied to 8-bit images as well. Values outside it are clipped, others rounded to the nearest.
    :func:`decode` has already applied the window ``dicom``.

    Raises:
        Unreadable: more than 8 bits and no window (a guess would make 12-bit data almost black), or NaN.
    """
    if window is None or window == OWN:
        if image.dtype != np.uint8:
            raise Unreadable(
                f"{image.dtype} pixels need a window; set datasets.<name>.store.window to [lowest, highest]"
            )
        return image
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise Unreadable("pixels that are not finite numbers (NaN or infinity)")
    low, high = window
    scaled = (image.astype(np.float32) - low) * (255.0 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def to_colour(image: np.ndarray, colour: str) -> np.ndarray:
    """uint8 grey (H, W), or (H, W, 3) with the channels in the order of ``colour`` (grey, rgb, bgr).

    An alpha channel is dropped. Grey is OpenCV's 0.299 R + 0.587 G + 0.114 B.

    Raises:
        Unreadable: two channels, or more than four.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        grey = image.reshape(image.shape[:2])
        return grey if colour == "grey" else np.repeat(grey[:, :, None], 3, axis=2)
    if channels not in (3, 4):
        raise Unreadable(f"{channels} channels; only 1, 3 and 4 can be used")
    conversion = CONVERSIONS[colour][channels - 3]
    return image if conversion is None else cv2.cvtColor(image, conversion)


def resize(image: np.ndarray, size: int, interpolation: str = "auto") -> np.ndarray:
    """Resize to ``size`` x ``size`` without keeping the aspect ratio (as the target paper does).

    ``auto`` averages over areas if the image gets smaller, and interpolates linearly otherwise.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if interpolation == "auto":
        interpolation = "area" if height * width > size * size else "linear"
    return cv2.resize(image, (size, size), interpolation=INTERPOLATIONS[interpolation])


def to_stored(image: np.ndarray, store: dict[str, Any]) -> np.ndarray:
    """Pixels as the store keeps them, uint8 (size, size) or (size, size, 3); Unreadable as in the steps above."""
    image = to_colour(to_uint8(image, store["window"]), store["colour"])
    return resize(image, store["size"], store["interpolation"])
