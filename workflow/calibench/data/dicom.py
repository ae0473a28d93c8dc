"""DICOM images, an optional extra (``pip install calibench[medical]``)."""

import io
from typing import Any

import numpy as np

from calibench.data.limits import excess
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError


def is_dicom(data: bytes) -> bool:
    """Whether the preamble of DICOM part 10 is there."""
    return data[128:132] == b"DICM"


def _check_size(dataset: Any) -> None:
    """Refuse several frames and too many pixels by what the tags say, before anything is decoded."""
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise Unreadable(f"DICOM with {frames} frames; list single frames")
    if problem := excess(int(dataset.Rows) * int(dataset.Columns)):
        raise Unreadable(problem)


def decode_dicom(data: bytes) -> np.ndarray:
    """Pixels of a single-frame DICOM file after its rescale (for CT: Hounsfield units).

    MONOCHROME1 (low values bright) is inverted within its stored range before, so that bright is always high.

    Returns:
        (H, W) float32 in modality units, or (H, W, 3) uint8 BGR for colour.

    Raises:
        Unreadable: no pydicom, several frames, too large, or a compression that no installed plug-in knows.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut
    except ImportError as error:
        raise Unreadable("DICOM needs pydicom: pip install pydicom") from error
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        _check_size(dataset)
        pixels = dataset.pixel_array
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            low, high = (-(1 << dataset.BitsStored - 1), (1 << dataset.BitsStored - 1) - 1)
            if not dataset.PixelRepresentation:
                low, high = 0, (1 << dataset.BitsStored) - 1
            pixels = (low + high - pixels.astype(np.int32)).astype(pixels.dtype)
        if pixels.ndim == 3:
            return np.ascontiguousarray(pixels[:, :, ::-1])
        return np.asarray(apply_modality_lut(pixels, dataset), dtype=np.float32)
    except (Unreadable, UserError):
        raise
    except Exception as error:  # pydicom and its plug-ins raise nearly anything on damaged files
        raise Unreadable(
            f"DICOM: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
