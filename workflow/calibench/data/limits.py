"""How many pixels an image may have, whatever it is kept in: what a decompression bomb can cost."""

import os

from calibench.errors import UserError

VARIABLE = (
    "OPENCV_IO_MAX_IMAGE_PIXELS"  # OpenCV's own: one limit for what it decodes and what we look at first
)
MAX_BYTES = 1 << 30  # a larger "image" is a mistake; reading it could exhaust the memory of a node
MAX_PIXELS = 1 << 27  # 11,585 x 11,585, beyond any radiograph


def max_pixels() -> int:
    """The limit: :data:`MAX_PIXELS`, or what the environment says.

    Raises:
        UserError: if that is no whole number.
    """
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not text.isdecimal():
        raise UserError(f"{VARIABLE} is '{text}'; write the number of pixels in digits")
    return int(text)


def excess(pixels: int) -> str:
    """What is wrong with so many pixels, ``''`` if nothing."""
    limit = max_pixels()
    return f"{pixels} pixels, more than the limit of {limit}" if pixels > limit else ""
