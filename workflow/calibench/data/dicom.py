"""DICOM images, an optional extra (``pip install calibench[medical]``)."""

import io
import logging
from typing import Any

import numpy as np

from calibench.data.unreadable import Unreadable, check_pixels
from calibench.errors import UserError

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # our own log has one line per unreadable file
OWN = "dicom"  # value of store.window: use each file's own window


def is_dicom(data: bytes) -> bool:
    """Whether a file starts as DICOM part 10 says."""
    return data[128:132] == b"DICM"


def _check_decoder(dataset: Any, decoder: Any) -> None:
    """Refuse a compression that no installed package can decode, and name a package that can."""
    from calibench.data.dicomjpeg import DECODER_DEPENDENCIES, PACKAGE

    packages = set(decoder.available_plugins)
    if decoder.UID.name.startswith("JPEG Extended") and dataset.BitsStored > 8:
        packages -= {"pillow"}  # can decode only 8 bits of this compression
    if decoder.is_encapsulated and not packages:
        advice = f"pip install {PACKAGE}"
        if decoder.UID not in DECODER_DEPENDENCIES:
            advice = f"install one of these: {'; '.join(decoder.missing_dependencies)}"
        raise Unreadable(f"DICOM compressed as {decoder.UID.name} needs a decoder: {advice}")
    if PACKAGE in packages:
        dataset.pixel_array_options(decoding_plugin=PACKAGE)


def _check(dataset: Any) -> None:
    """Refuse by the tags, before decoding: no image, several frames, too many pixels, no decoder."""
    from pydicom.pixels import get_decoder

    if "Rows" not in dataset or "Columns" not in dataset:
        raise Unreadable("DICOM without an image (no Rows and Columns)")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise Unreadable(f"DICOM with {frames} frames; only files with one frame can be read")
    if problem := check_pixels(int(dataset.Rows) * int(dataset.Columns)):
        raise Unreadable(problem)
    _check_decoder(dataset, get_decoder(dataset.file_meta.TransferSyntaxUID))


def _to_bgr(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Colour (H, W, 3) of ``bits`` bits as uint8 BGR: the eight highest bits."""
    eight = (pixels >> max(0, bits - 8)).astype(np.uint8)
    return np.ascontiguousarray(eight[:, :, 2::-1])


def _palette(pixels: np.ndarray, dataset: Any) -> np.ndarray:
    """Palette indices (H, W) as uint8 BGR; the eight highest bits of 16-bit tables."""
    from pydicom.pixels import apply_color_lut

    coloured = apply_color_lut(pixels, dataset)
    return _to_bgr(coloured, 8 * coloured.dtype.itemsize)


def _own_window(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Grey values in modality units as uint8, through the file's VOI table or, without one, its first window.

    Unreadable if a file of more than 8 bits has neither.
    """
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_voi, apply_windowing

    if dataset.get("VOILUTSequence"):
        shown = apply_voi(values, dataset)
        return (shown >> max(0, int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 8)).astype(np.uint8)
    if dataset.get("WindowWidth") is None or dataset.get("WindowCenter") is None:
        if values.min() >= 0 and values.max() <= 255 and dataset.BitsStored <= 8:
            return np.rint(values).astype(np.uint8)
        raise Unreadable(
            "the DICOM file has no window; set datasets.<name>.store.window to [lowest, highest]"
        )
    if not np.isfinite(values).all():
        raise Unreadable("pixels that are not finite numbers (NaN or infinity)")
    screen = Dataset()  # these tags make pydicom map the window to 0 to 255
    screen.PhotometricInterpretation, screen.BitsStored, screen.PixelRepresentation = "MONOCHROME2", 8, 0
    for tag in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
        if tag in dataset:
            setattr(screen, tag, dataset[tag].value)
    return np.rint(apply_windowing(values, screen)).astype(np.uint8)


def _inverted(pixels: np.ndarray, dataset: Any) -> np.ndarray:
    """Stored values mirrored within their range."""
    low, high = 0, (1 << dataset.BitsStored) - 1
    if dataset.PixelRepresentation:
        low, high = -(1 << dataset.BitsStored - 1), (1 << dataset.BitsStored - 1) - 1
    return (low + high - pixels.astype(np.int64)).astype(pixels.dtype)


def _pixels(dataset: Any, window: Any) -> np.ndarray:
    """Pixels of a dataset that passed :func:`_check`; see :func:`decode_dicom`."""
    from pydicom.pixels import apply_modality_lut

    pixels, kind = dataset.pixel_array, dataset.PhotometricInterpretation
    if pixels.ndim == 3:
        return _to_bgr(pixels, dataset.BitsStored)
    if kind == "PALETTE COLOR":
        return _palette(pixels, dataset)
    if window == OWN:
        shown = _own_window(apply_modality_lut(pixels, dataset), dataset)
        return 255 - shown if kind == "MONOCHROME1" else shown
    if kind == "MONOCHROME1":
        pixels = _inverted(pixels, dataset)
    return np.asarray(apply_modality_lut(pixels, dataset), dtype=np.float32)


def decode_dicom(data: bytes, window: Any = None) -> np.ndarray:
    """Pixels of a single-frame DICOM file.

    Grey values are rescaled as the file says (CT: to Hounsfield units). MONOCHROME1 (low values are bright) is first
    inverted within its stored range, so that high values are always bright. If ``window`` (``store.window``) is
    ``dicom``, grey values go through the file's own VOI table or window.

    Returns:
        (H, W) float32 in modality units, uint8 with ``dicom``; (H, W, 3) uint8 BGR for colour and palettes.

    Raises:
        Unreadable: no pydicom, no image, several frames, too large, damaged, no window although one is needed, or a
            compression that no installed package can decode.
    """
    try:
        import pydicom

        from calibench.data import dicomjpeg  # noqa: F401 - registers its decoders
    except ImportError as error:
        raise Unreadable("DICOM needs pydicom: pip install 'calibench[medical]'") from error
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        _check(dataset)
        return _pixels(dataset, window)
    except (Unreadable, UserError):
        raise
    except Exception as error:  # on damaged files pydicom and its plug-ins raise errors of almost any type
        raise Unreadable(f"DICOM: {' '.join(str(error).split())[:300] or type(error).__name__}") from error
