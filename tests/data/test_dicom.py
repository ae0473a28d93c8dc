"""DICOM, the optional extra: rescale, windows, palettes, compressions, frames, damage."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from calibench.data import dicomjpeg  # noqa: E402
from calibench.data.decode import decode, to_stored  # noqa: E402
from calibench.data.unreadable import Unreadable  # noqa: E402
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array  # noqa: E402

STORE = {"size": 8, "colour": "grey", "interpolation": "auto", "window": None}
PIXELS = np.arange(64, dtype=np.int16).reshape(8, 8) * 30


def dicom(pixels=PIXELS, photometric="MONOCHROME2", **tags):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_rescale_to_hounsfield_and_window():
    image = decode(dicom(RescaleSlope=2, RescaleIntercept=-1000))
    assert (image == PIXELS * 2.0 - 1000).all()
    stored = to_stored(image, STORE | {"window": [-1000, 1000]})
    assert (stored == np.rint(np.clip(PIXELS * 2 / 2000 * 255, 0, 255))).all()
    with pytest.raises(Unreadable, match=r"store\.window"):
        to_stored(image, STORE)


def test_monochrome1_is_inverted():
    pixels = PIXELS.astype(np.uint16)
    assert (decode(dicom(pixels, "MONOCHROME1")) == 4095 - pixels).all()


HUGE = {"pixels": {"Rows": 20_000, "Columns": 20_000}, "frames": {"NumberOfFrames": 10**9}}


@pytest.mark.parametrize(
    ("tags", "why"),
    [(HUGE["pixels"], "400000000 pixels, more than the limit of 134217728"), (HUGE["frames"], "frames")],
    ids=HUGE,
)
def test_too_large_is_told_before_it_is_decoded(tags, why, monkeypatch):
    def never(_dataset):
        raise AssertionError("decoded")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(never))
    with pytest.raises(Unreadable, match=why):
        decode(dicom(**tags))


def shown(**tags):
    return decode(dicom(**tags), "dicom")


def test_own_window():
    """Linear as in DICOM PS3.3 C.11.2.1.2: centre 400, width 201 is 300 to 500 in modality units."""
    values = PIXELS * 2.0 - 1003
    expected = np.rint(np.clip((values - 300) / 200 * 255, 0, 255))
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1003, "WindowCenter": [400.5, 0], "WindowWidth": [201, 1]}
    image = shown(**tags)
    assert image.dtype == np.uint8 and (image == expected).all()
    assert (to_stored(image, STORE | {"window": "dicom"}) == expected).all()
    dark = PIXELS.astype(np.uint16)
    assert (shown(pixels=dark, photometric="MONOCHROME1", **tags) == 255 - shown(pixels=dark, **tags)).all()


def test_own_table_goes_before_the_window():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 12], np.arange(4095, -1, -1, "<u2").tobytes()
    image = shown(pixels=PIXELS.astype(np.uint16), VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    assert (image == (4095 - PIXELS) >> 4).all()


def test_without_a_window_of_its_own():
    with pytest.raises(
        Unreadable, match=r"the DICOM file has no window; set datasets\.<name>\.store\.window"
    ):
        shown()
    eight = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (shown(pixels=eight, BitsAllocated=8, BitsStored=8, HighBit=7) == eight).all()


FILES = Path(pydicom.__file__).parent / "data" / "test_files"
# Files of pydicom's tests that are refused, and why; of two frames and more all are.
REFUSED = {
    "GDCMJ2K_TextGBR.dcm": "broken data stream",  # JPEG 2000 in a box that the standard does not allow
    "JPEG2000-embedded-sequence-delimiter.dcm": "pillow",  # the codestream ends where the delimiter stands
    "MR_truncated.dcm": "less than expected",
    "badVR.dcm": "invalid literal",  # "1A" frames
    "meta_missing_tsyntax.dcm": "without an image",
    "nested_priv_SQ.dcm": "without an image",
}
HAVE_DECODER = importlib.util.find_spec(dicomjpeg.PACKAGE) is not None


def with_pixels():
    """(path, dataset) of all part 10 files with pixels that come with pydicom."""
    for path in sorted(p for p in FILES.rglob("*") if p.is_file()):
        if path.read_bytes()[128:132] == b"DICM":
            dataset = pydicom.dcmread(path)
            if "PixelData" in dataset:
                yield path, dataset


def by_pydicom(dataset):
    """What pydicom makes of the pixels, in our order and depth."""
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(pixels, dataset)[:, :, ::-1] >> 8
    if pixels.ndim == 3:
        return pixels[:, :, ::-1] >> (dataset.BitsStored - 8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = (1 << dataset.BitsStored) - 1 - pixels
    return apply_modality_lut(pixels, dataset).astype(np.float32)


@pytest.mark.filterwarnings("ignore")  # pydicom warns of what is odd in its files
def test_all_files_that_come_with_pydicom():
    refused, decoded = {}, 0
    for path, dataset in with_pixels():
        try:
            image = decode(path.read_bytes())
        except Unreadable as why:
            refused[path.name] = str(why)
            continue
        assert image.dtype == (np.uint8 if image.ndim == 3 else np.float32), path.name
        assert np.array_equal(image, by_pydicom(dataset)), path.name
        decoded += 1
    if not HAVE_DECODER:
        lacking = {
            n for n, why in refused.items() if why.endswith("needs a decoder: pip install imagecodecs")
        }
        assert len(lacking) == 8
        refused = {n: why for n, why in refused.items() if n not in lacking}
    single = {n: why for n, why in refused.items() if "frames; only files with one frame" not in why}
    assert set(single) == set(REFUSED)
    for name, reason in REFUSED.items():
        assert reason in single[name]
    assert len(refused) - len(single) == 7 and decoded >= 74


needs_decoder = pytest.mark.skipif(not HAVE_DECODER, reason="imagecodecs is not installed")


@needs_decoder
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("file", "twin", "off"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm", 0),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm", 0),  # JPEG lossless
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_32bit.dcm", "SC_rgb_rle.dcm", 0),
        ("SC_rgb_jls_lossy_line.dcm", "SC_rgb_rle.dcm", 2),
        ("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_rle.dcm", 2),
    ],
)
def test_compressed_files_are_their_uncompressed_twins(file, twin, off):
    image, other = (decode((FILES / name).read_bytes()).astype(int) for name in (file, twin))
    assert image.shape == other.shape and np.abs(image - other).max() <= off


@needs_decoder
@pytest.mark.parametrize("file", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_twelve_bit_jpeg(file):
    """pylibjpeg-libjpeg 2.5 gives the first the same values, within 1; the second it refuses."""
    image = decode((FILES / file).read_bytes())
    assert image.shape == (1024, 256) and image.max() == 264
    assert image.mean() == pytest.approx(14.37, abs=0.01)


@needs_decoder
def test_damaged_compressed_pixels():
    """Cut in the middle; or of a size that the tags do not tell."""
    for file in ("SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"):
        dataset = pydicom.dcmread(FILES / file)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
        stream = io.BytesIO()
        dataset.save_as(stream)
        with pytest.raises(Unreadable, match="truncated JPEG"):
            decode(stream.getvalue())
        dataset.PixelData, dataset.Rows = encapsulate([frame]), dataset.Rows + 1
        stream = io.BytesIO()
        dataset.save_as(stream)
        with pytest.raises(Unreadable, match="the tags say another one"):
            decode(stream.getvalue())


def test_a_missing_decoder_is_named(monkeypatch):
    for syntax in dicomjpeg.DECODER_DEPENDENCIES:
        monkeypatch.setattr(pydicom.pixels.get_decoder(syntax), "_available", {})
    with pytest.raises(Unreadable, match=r"Process 14.* needs a decoder: pip install imagecodecs$"):
        decode((FILES / "SC_rgb_jpeg_gdcm.dcm").read_bytes())


def test_frames_and_damage():
    with pytest.raises(Unreadable, match="2 frames"):
        decode(dicom(np.stack([PIXELS, PIXELS]), NumberOfFrames=2))
    with pytest.raises(Unreadable, match="DICOM"):
        decode(dicom()[:-60])
