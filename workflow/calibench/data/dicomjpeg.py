"""A pydicom plug-in that decodes JPEGs inside DICOM files with imagecodecs. Importing this module registers it.

libjpeg-turbo decodes lossless JPEG (process 14) and 12-bit JPEG, CharLS decodes JPEG-LS; imagecodecs (BSD) has both.
Of the decoders that pydicom supports for the first two, GDCM cannot read 12 bits and pylibjpeg-libjpeg is GPL.
Source: https://pydicom.github.io/pydicom/stable/guides/decoding/decoder_plugins.html
"""

import importlib.util

from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

from calibench.data.unreadable import check_pixels, inspect

PACKAGE = "imagecodecs"
JPEG = (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
DECODER_DEPENDENCIES = dict.fromkeys((*JPEG, *JPEG_LS), (PACKAGE,))  # pydicom asks for this name


def is_available(_uid: str) -> bool:
    """Whether the package is installed; called by pydicom."""
    return importlib.util.find_spec(PACKAGE) is not None


def decode_frame(data: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame with interleaved colours; pydicom does the rest (sign, colour space, shape).

    Raises:
        ValueError: truncated, or another size than the tags say; imagecodecs raises errors of its own.
    """
    import imagecodecs

    pixels, problem = inspect(data)  # libjpeg would fill missing parts with grey, without an error
    if problem := check_pixels(pixels) or problem:
        raise ValueError(problem)
    if runner.transfer_syntax in JPEG_LS:
        image = imagecodecs.jpegls_decode(data)
    else:  # the same colour space in and out: no conversion, pydicom converts as the tags say
        space = "RGB" if runner.samples_per_pixel == 3 else None
        image = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)
    if image.size != runner.rows * runner.columns * runner.samples_per_pixel:
        raise ValueError(f"the compressed image has shape {image.shape}, the tags say another one")
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * image.dtype.itemsize)
    return image.tobytes()


for syntax in DECODER_DEPENDENCIES:
    get_decoder(syntax).add_plugin(PACKAGE, (__name__, decode_frame.__name__))
