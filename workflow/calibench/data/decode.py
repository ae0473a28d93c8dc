"""From the bytes of an image file to the uint8 pixels of the store, each step explicit."""

import os
from collections.abc import Sequence
from typing import Any

from calibench.data.limits import MAX_PIXELS, VARIABLE, excess

os.environ.setdefault(VARIABLE, str(MAX_PIXELS))  # OpenCV reads it once, on import
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # unreadable files get our line, not OpenCV's

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from calibench.data import headers  # noqa: E402
from calibench.data.dicom import OWN, decode_dicom, is_dicom  # noqa: E402
from calibench.data.unreadable import Unreadable  # noqa: E402

Window = Sequence[float] | str | None  # [lowest, highest], "dicom", or none
INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def decode(data: bytes, window: Window = None) -> np.ndarray:
    """Decode an image file as it is stored.

    The orientation tag of EXIF is not applied and of an animation the first frame is taken. CMYK, YCbCr and
    palettes become BGR in OpenCV.

    Args:
        data: the whole file (PNG, JPEG, TIFF, BMP, WebP, PGM, …; DICOM with the extra).
        window: ``store.window``; only ``dicom`` matters here, for a DICOM file's own window is in its tags.

    Returns:
        (H, W), (H, W, 3) BGR or (H, W, 4) BGRA in the file's own depth.

    Raises:
        Unreadable: empty, truncated, too large, or no image that OpenCV knows.
        UserError: if the environment's limit of pixels is no number.
    """
    if not data:
        raise Unreadable("empty file")
    if is_dicom(data):
        return decode_dicom(data, window)
    pixels, wrong = headers.inspect(data)
    if problem := excess(pixels) or wrong:
        raise Unreadable(problem)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Unreadable(f"OpenCV: {error.err or error}") from error
    if image is None or image.size == 0:
        raise Unreadable("not an image that OpenCV can decode, or damaged")
    return image


def to_uint8(image: np.ndarray, window: Window = None) -> np.ndarray:
    """Map pixels to 0..255: 8-bit as they are, anything else through ``window`` = [lowest, highest].

    With such a window, 8-bit images are windowed too. Values outside are clipped; rounding is to nearest.
    ``dicom`` (each file's own window) was applied by :func:`decode`.

    Raises:
        Unreadable: more than 8 bits and no window (guessing one would make 12-bit data near-black), or NaN.
    """
    if window is None or window == OWN:
        if image.dtype != np.uint8:
            raise Unreadable(
                f"{image.dtype} pixels need an explicit window; set store.window: [lowest, highest]"
            )
        return image
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise Unreadable("pixels that are not finite numbers (NaN or infinity)")
    low, high = window
    scaled = (image.astype(np.float32) - low) * (255.0 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def to_colour(image: np.ndarray, colour: str) -> np.ndarray:
    """Grey (H, W) or three channels (H, W, 3) in the order of ``colour`` (grey, rgb, bgr); alpha is dropped.

    Grey is OpenCV's 0.299 R + 0.587 G + 0.114 B. Dropping alpha is what OpenCV's own colour reading does.

    Raises:
        Unreadable: two channels or more than four.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        grey = image.reshape(image.shape[:2])
        return grey if colour == "grey" else np.repeat(grey[:, :, None], 3, axis=2)
    if channels not in (3, 4):
        raise Unreadable(f"{channels} channels; 1, 3 and 4 are understood")
    if colour == "grey":
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if channels == 3 else cv2.COLOR_BGRA2GRAY)
    if colour == "rgb":
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGB)
    return image if channels == 3 else np.ascontiguousarray(image[:, :, :3])


def resize(image: np.ndarray, size: int, interpolation: str = "auto") -> np.ndarray:
    """Resize to ``size`` x ``size`` without keeping the aspect (as the target paper does).

    ``auto`` averages over areas where the image gets fewer pixels, else it interpolates linearly.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if interpolation == "auto":
        interpolation = "area" if height * width > size * size else "linear"
    return cv2.resize(image, (size, size), interpolation=INTERPOLATIONS[interpolation])


def to_stored(image: np.ndarray, store: dict[str, Any]) -> np.ndarray:
    """Pixels as the store keeps them: window, colour, size.

    Returns:
        uint8 (size, size), or (size, size, 3).

    Raises:
        Unreadable: see :func:`to_uint8` and :func:`to_colour`.
    """
    image = to_colour(to_uint8(image, store.get("window")), store["colour"])
    return resize(image, store["size"], store["interpolation"])
