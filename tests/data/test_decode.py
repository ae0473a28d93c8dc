"""Decoding: every kind of file, and every kind of damage."""

import io

import cv2
import numpy as np
import pytest
from calibench.data.decode import decode, resize, to_colour, to_stored, to_uint8
from calibench.data.unreadable import MAX_PIXELS, Unreadable, inspect
from calibench.errors import UserError
from PIL import Image

RNG = np.random.default_rng(0)
GREY = cv2.GaussianBlur(RNG.integers(0, 256, (40, 40), dtype=np.uint8), (9, 9), 0)
BGR = np.dstack([GREY, GREY.T, 255 - GREY])


def encoded(image, extension, *options):
    return cv2.imencode(extension, image, list(options))[1].tobytes()


def pil(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def store(**given):
    return {"size": 40, "colour": "grey", "interpolation": "auto", "window": None, **given}


@pytest.mark.parametrize("extension", [".png", ".tiff", ".bmp", ".pgm"])
def test_grey_is_exact(extension):
    assert (decode(encoded(GREY, extension)) == GREY).all()


def test_colour_orders():
    image = decode(encoded(BGR, ".png"))
    assert (to_colour(image, "bgr") == BGR).all()
    assert (to_colour(image, "rgb") == BGR[:, :, ::-1]).all()
    luma = BGR @ np.array([0.114, 0.587, 0.299])
    assert np.abs(to_colour(image, "grey") - luma).max() <= 1
    assert (to_colour(GREY, "rgb") == GREY[:, :, None]).all()


def test_alpha_is_dropped():
    bgra = np.dstack([BGR, np.full_like(GREY, 7)])
    assert (to_colour(decode(encoded(bgra, ".png")), "bgr") == BGR).all()
    grey_alpha = pil(Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (40, 40), 9)]), "PNG")
    assert np.abs(to_colour(decode(grey_alpha), "grey").astype(int) - GREY).max() <= 1


def test_palette_and_one_bit():
    palette = Image.fromarray(BGR[:, :, ::-1].copy()).quantize(16)
    expected = np.array(palette.convert("RGB"))
    assert (to_colour(decode(pil(palette, "PNG")), "rgb") == expected).all()
    bits = (GREY > 128).astype(np.uint8) * 255
    assert (decode(pil(Image.fromarray(bits).convert("1"), "PNG")) == bits).all()


def test_cmyk_jpeg_is_near_its_colours():
    data = pil(Image.fromarray(BGR[:, :, ::-1].copy()).convert("CMYK"), "JPEG", quality=98, subsampling=0)
    assert np.abs(to_colour(decode(data), "bgr").astype(int) - BGR).mean() < 4


def test_sixteen_bits_need_a_window():
    deep = GREY.astype(np.uint16) * 16  # 12-bit data, as scanners write it
    image = decode(encoded(deep, ".png"))
    assert image.dtype == np.uint16
    with pytest.raises(Unreadable, match=r"uint16 pixels need a window; .*\.store\.window"):
        to_stored(image, store())
    assert (to_stored(image, store(window=[0, 255 * 16])) == GREY).all()


def test_window_clips_and_rounds():
    values = np.array([[-5, 0, 50, 100, 101]], dtype=np.float32)
    assert to_uint8(values, [0, 100]).tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("size", [16, 40, 64])
@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_stored_shape(size, colour):
    stored = to_stored(BGR, store(size=size, colour=colour))
    assert stored.dtype == np.uint8
    assert stored.shape == ((size, size) if colour == "grey" else (size, size, 3))


def test_auto_shrinks_by_area_and_grows_linearly():
    assert (resize(GREY, 20) == cv2.resize(GREY, (20, 20), interpolation=cv2.INTER_AREA)).all()
    assert (resize(GREY, 60) == cv2.resize(GREY, (60, 60), interpolation=cv2.INTER_LINEAR)).all()
    assert resize(GREY[:, :20], 40).shape == (40, 40)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tiff", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated(extension, share):
    data = encoded(GREY, extension)
    with pytest.raises(Unreadable):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("tail", [b"\0" * 100, b"trailing bytes of a scanner"])
def test_bytes_behind_the_end_are_fine(tail):
    for extension in (".png", ".jpg"):
        data = encoded(GREY, extension)
        assert (decode(data + tail) == decode(data)).all()


def test_thumbnail_does_not_hide_a_cut():
    """An EXIF thumbnail brings its own end marker, before the picture's."""
    whole = encoded(GREY, ".jpg")
    thumbnail = b"\xff\xe1" + (len(whole) + 2).to_bytes(2, "big") + whole
    assert inspect(whole[:2] + thumbnail + whole[2:]) == (1600, "")
    with pytest.raises(Unreadable, match="truncated JPEG"):
        decode(whole[:2] + thumbnail + whole[2:-40])


def test_progressive_jpeg():
    data = encoded(GREY, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert decode(data).shape == (40, 40)
    with pytest.raises(Unreadable, match="truncated"):
        decode(data[:-30])


def test_flipped_bits_in_png():
    data = bytearray(encoded(GREY, ".png"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(Unreadable):
        decode(bytes(data))


def test_bomb_is_not_decoded():
    data = bytearray(encoded(GREY, ".png"))
    data[16:24] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(Unreadable, match=f"limit of {MAX_PIXELS}"):
        decode(bytes(data))


def test_the_limit_can_be_moved(monkeypatch):
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1599")
    with pytest.raises(Unreadable, match="1600 pixels, more than the limit of 1599"):
        decode(encoded(GREY, ".png"))
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1600")
    assert (decode(encoded(GREY, ".png")) == GREY).all()
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "100MB")
    with pytest.raises(
        UserError, match="OPENCV_IO_MAX_IMAGE_PIXELS is '100MB'; set it to a number of pixels"
    ):
        decode(encoded(GREY, ".png"))


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x00" * 50]
)
def test_no_image(data):
    with pytest.raises(Unreadable):
        decode(data)
