"""The compressed DICOM files of hospital archives: a pydicom plug-in that hands their JPEGs to imagecodecs.

JPEG lossless (process 14) and 12-bit JPEG go to libjpeg-turbo, JPEG-LS to CharLS; both come with imagecodecs (BSD).
pydicom knows no permissive decoder for the first two: GDCM refuses 12 bits, pylibjpeg-libjpeg is GPL. Importing
this module registers the plug-in: https://pydicom.github.io/pydicom/stable/guides/decoding/decoder_plugins.html
"""

import importlib.util

from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

from calibench.data import headers
from calibench.data.limits import excess

PACKAGE = "imagecodecs"
JPEG = (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
DECODER_DEPENDENCIES = dict.fromkeys((*JPEG, *JPEG_LS), (PACKAGE,))  # pydicom asks for this name


def is_available(_uid: str) -> bool:
    """Whether the package is installed; pydicom asks."""
    return importlib.util.find_spec(PACKAGE) is not None


def decode_frame(data: bytes, runner: DecodeRunner) -> bytes:
    """Samples of one compressed frame, colours by pixel; pydicom does the rest (sign, colour space, shape).

    Raises:
        ValueError: truncated, or of another size than the tags say; imagecodecs adds its own errors.
    """
    import imagecodecs

    pixels, wrong = headers.inspect(data)  # libjpeg fills what is missing with grey, and says nothing
    if wrong := excess(pixels) or wrong:
        raise ValueError(wrong)
    if runner.transfer_syntax in JPEG_LS:
        image = imagecodecs.jpegls_decode(data)
    else:  # equal colour spaces before and behind: no conversion, as the tags say which one it is
        space = "RGB" if runner.samples_per_pixel == 3 else None
        image = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)
    if image.size != runner.rows * runner.columns * runner.samples_per_pixel:
        raise ValueError(f"the compressed image has the shape {image.shape}, the tags say another")
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * image.dtype.itemsize)
    return image.tobytes()


for syntax in DECODER_DEPENDENCIES:
    get_decoder(syntax).add_plugin(PACKAGE, (__name__, decode_frame.__name__))
