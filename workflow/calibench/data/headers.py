"""What the bytes of an image file say about its size and wholeness (OpenCV is silent on both)."""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_SOS, _EOI = 0xDA, 0xD9
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RSTn, SOI: markers without a payload
# SOFn (0xF7 is JPEG-LS's): the payload holds the image's size
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


def _png(data: bytes) -> tuple[int, str]:
    if len(data) < 24:
        return 0, "truncated PNG"
    pixels = int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    return pixels, "" if data.rfind(b"IEND") > 0 else "truncated PNG (no IEND chunk)"


def _jpeg(data: bytes) -> tuple[int, str]:
    """Walk the segments to the first scan; after it, EOI's two bytes can only be the end of the image."""
    pixels, at = 0, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return pixels, "damaged JPEG (no marker where one is due)"
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _NO_LENGTH:
            at += 2
            continue
        if marker in _FRAMES and at + 9 <= len(data):
            pixels = int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(
                data[at + 7 : at + 9], "big"
            )
        if marker == _SOS:
            whole = data.rfind(b"\xff\xd9", at) > 0
            return pixels, "" if whole else "truncated JPEG (no end-of-image marker)"
        if marker == _EOI:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return pixels, "truncated JPEG (no image data)"


def inspect(data: bytes) -> tuple[int, str]:
    """Look at a file's first and last bytes.

    Returns:
        Number of pixels (0 = not known for this format) and what is wrong (``''`` = nothing seen).
    """
    if data.startswith(PNG):
        return _png(data)
    if data.startswith(JPEG):
        return _jpeg(data)
    return 0, ""
