"""DICOM, the optional extra: rescale, inversion, frames, damage."""

import io

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from calibench.data.decode import decode, to_stored  # noqa: E402
from calibench.data.unreadable import Unreadable  # noqa: E402
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402

STORE = {"size": 8, "colour": "grey", "interpolation": "auto"}
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


def test_frames_and_damage():
    with pytest.raises(Unreadable, match="2 frames"):
        decode(dicom(np.stack([PIXELS, PIXELS]), NumberOfFrames=2))
    with pytest.raises(Unreadable, match="DICOM"):
        decode(dicom()[:-60])
