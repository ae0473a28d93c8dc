"""Why an image cannot be used: the exception, the size limits, and checks of the bytes of a file.

OpenCV decodes a truncated JPEG without an error, so the end of a file is checked here before decoding.
"""

import os

from calibench.errors import UserError

# OpenCV's own variable, so that OpenCV and our check have the same limit.
VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
MAX_PIXELS = 1 << 27  # 11,585 x 11,585, larger than any radiograph
MAX_BYTES = 1 << 30  # a larger "image" is a mistake that could fill the memory of a node

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SOS, EOI = 0xDA, 0xD9
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers without a payload: TEM, RSTn, SOI
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOFn, and JPEG-LS: they hold the size


class Unreadable(Exception):
    """An image that cannot be used; the message says why, without the name of the file."""


def check_pixels(count: int) -> str:
    """Why ``count`` pixels are too many, ``''`` if they are not; UserError if the limit in the environment is wrong."""
    limit = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not limit.isdecimal():
        raise UserError(f"{VARIABLE} is '{limit}'; set it to a number of pixels")
    return f"{count} pixels, more than the limit of {limit}" if count > int(limit) else ""


def check_bytes(count: int) -> None:
    """Raise Unreadable for a file that is too large to be an image."""
    if count > MAX_BYTES:
        raise Unreadable(f"{count} bytes, more than the limit of {MAX_BYTES}")


def _inspect_jpeg(data: bytes) -> tuple[int, str]:
    """Read the segments up to the first scan; after it, the bytes of EOI can only mean the end of the image."""
    pixels, at = 0, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return pixels, "damaged JPEG (a marker is missing)"
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in NO_LENGTH:
            at += 2
            continue
        if marker in FRAMES and at + 9 <= len(data):
            pixels = int.from_bytes(data[at + 5 : at + 7]) * int.from_bytes(data[at + 7 : at + 9])
        if marker == SOS:
            complete = data.rfind(b"\xff\xd9", at) > 0
            return pixels, "" if complete else "truncated JPEG (no end-of-image marker)"
        if marker == EOI:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return pixels, "truncated JPEG (no image data)"


def inspect(data: bytes) -> tuple[int, str]:
    """Number of pixels of a PNG or JPEG file (0 for other formats), and what is wrong with it (``''`` = nothing)."""
    if data.startswith(JPEG):
        return _inspect_jpeg(data)
    if not data.startswith(PNG):
        return 0, ""
    if len(data) < 24:
        return 0, "truncated PNG"
    pixels = int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])
    return pixels, "" if data.rfind(b"IEND") > 0 else "truncated PNG (no IEND chunk)"
