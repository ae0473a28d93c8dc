"""Data sets in array files: MedMNIST's npz, idx (MNIST, FashionMNIST) and CIFAR's binary version.

Nothing is unpickled: of npz files only the headers are parsed by numpy, and CIFAR is read in its binary version only.
Images stay on disk: compressed arrays are unpacked once into a temporary file without a name and mapped.
"""

import gzip
import io
import lzma
import math
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from calibench.data.splitnames import SPLITS
from calibench.data.unreadable import VARIABLE, check_pixels
from calibench.errors import UserError

FORMATS = ("npz", "idx", "cifar")
IDX_TYPES = {0x08: ">u1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4"}
IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
CIFAR_10 = {f"train_{i}": f"data_batch_{i}.bin" for i in range(1, 6)} | {"test": "test_batch.bin"}
CIFAR_100 = {"train": "train.bin", "test": "test.bin"}
CIFAR_NAMES = ("fine_label_names.txt", "batches.meta.txt")
SIDE, PIXELS = 32, 3 * 32 * 32  # of an image of CIFAR
LONGEST_HEADER = 10_000  # bytes of a .npy header: numpy writes about a hundred
SHOWN = 80  # characters of a shape or type in a message
# zipfile raises RuntimeError for encrypted arrays, and its subclass NotImplementedError for unknown compressions.
DAMAGED = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, KeyError,
    RuntimeError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One split: ``images`` (N, H, W) grey or (N, H, W, 3) RGB, mapped from disk; ``labels`` N strings."""

    images: np.ndarray
    labels: list[str]


@dataclass(frozen=True)
class Header:
    """Type and shape of an array, before its values are read; ``name`` is for messages."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"

    @property
    def shown_shape(self) -> str:
        """The shape for a message."""
        return str(self.shape)[:SHOWN]

    def bytes_needed(self) -> int:
        """Number of bytes of the values; ValueError if they are not numbers, or a side is not positive.

        An array without images is allowed.
        """
        if self.dtype.hasobject:
            raise ValueError(f"{self.name} holds Python objects, which are never unpickled")
        if self.dtype.kind not in "biuf":
            raise ValueError(f"{self.name} holds values of type {str(self.dtype)[:SHOWN]}, not numbers")
        if min(self.shape, default=0) < 0 or 0 in self.shape[1:]:
            raise ValueError(f"{self.name} has the shape {self.shown_shape} with a side below 1")
        return self.dtype.itemsize * math.prod(self.shape)

    def check(self, size: int) -> None:
        """Raise ValueError unless the values need ``size`` bytes."""
        needed = self.bytes_needed()
        if size < needed:
            raise ValueError(f"{self.name} is truncated: fewer bytes than its shape {self.shown_shape} needs")
        if size > needed:
            raise ValueError(f"{self.name} holds more bytes than its shape {self.shown_shape} needs")


def _unpack(stream: IO[bytes], needed: int) -> IO[bytes]:
    """Unpack a compressed stream to a temporary file that disappears with its last user.

    At most one byte more than needed is unpacked, so that a decompression bomb is noticed.
    """
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the memory map keeps it open
    while block := stream.read(min(1 << 20, needed + 1 - unpacked.tell())):
        unpacked.write(block)
    unpacked.flush()
    unpacked.seek(0)
    return unpacked


def _map(stream: IO[bytes], header: Header) -> np.ndarray:
    """The rest of a file as an array; ValueError unless its length fits the header."""
    offset = stream.tell()
    header.check(stream.seek(0, 2) - offset)
    if not header.bytes_needed():  # an empty file cannot be mapped
        return np.empty(header.shape, header.dtype)
    return np.memmap(stream, header.dtype, mode="r", offset=offset, shape=header.shape, order=header.order)


def _npy_header(stream: IO[bytes], name: str) -> Header:
    """Read only the header of a ``.npy`` file; ValueError if it is damaged."""
    head = io.BytesIO(stream.read(LONGEST_HEADER))
    try:
        version = npy.read_magic(head)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(head)
    except Exception as error:  # numpy's parser raises errors of many types for damaged headers
        raise ValueError(f"{name} has a damaged header") from error
    stream.seek(head.tell())
    return Header(name, dtype, shape, "F" if fortran else "C")


def _read_npz_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz file, mapped."""
    member = archive.getinfo(name + ".npy")
    with archive.open(member) as packed:
        header = _npy_header(packed, f"{Path(str(archive.filename)).name}, array '{name}'")
        header.check(member.file_size - packed.tell())  # zipfile never gives more than file_size
        return _map(_unpack(packed, header.bytes_needed()), header)


def _part(images: np.ndarray, labels: np.ndarray, names: list[str], where: str) -> Part:
    """One split from images and labels (N,) or (N, 1).

    UserError for several labels per image, labels that are not whole numbers, volumes, or too large images.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(f"{where}: labels have shape {labels.shape}; exactly one class per image is needed")
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where}: labels have type {labels.dtype}; whole numbers are needed")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(
            f"{where}: images have shape {images.shape}; (N,H,W) or (N,H,W,3) is needed, not volumes"
        )
    if problem := check_pixels(images.shape[1] * images.shape[2]):
        raise UserError(f"{where}: images have {problem}; use smaller images or raise {VARIABLE}")
    if len(images) != len(labels):
        raise UserError(f"{where}: {len(images)} images and {len(labels)} labels; the file is damaged")
    if names and len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise UserError(f"{where}: label {labels.max()}, but the config has {len(names)} names under labels")
    return Part(images, [names[k] if names else str(k) for k in labels.tolist()])


def _find_file(root: Path, name: str, key: str) -> Path:
    """A file below the root, compressed by gzip or not."""
    for path in (root / name, root / (name + ".gz"), root / name.removesuffix(".gz")):
        if path.is_file():
            return path
    raise UserError(f"{root / name} and its .gz file are missing; check {key}.root and {key}.files")


def _load_npz(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    """Arrays {train,val,test}_images and {train,val,test}_labels, as in MedMNIST (Yang et al. 2023)."""
    if not root.is_file() and "npz" not in files:
        raise UserError(f"{key}.files.npz is not set; name the .npz file in {root}")
    path = root if root.is_file() else _find_file(root, files["npz"], key)
    with zipfile.ZipFile(path) as archive:
        arrays = {member.removesuffix(".npy") for member in archive.namelist()}
        if "train_images" not in arrays:
            raise UserError(f"{path}: array 'train_images' is missing; it has {', '.join(sorted(arrays))}")
        parts = {}
        for split in [s for s in SPLITS if f"{s}_images" in arrays]:
            images, labels = (_read_npz_array(archive, f"{split}_{kind}") for kind in ("images", "labels"))
            parts[split] = _part(images, labels, names, f"{path}, {split}")
        return parts


def _idx_header(stream: IO[bytes], name: str) -> Header:
    """Read LeCun's header: two zeros, type, number of dimensions, then the sizes, big-endian."""
    zero, kind, dims = struct.unpack(">HBB", stream.read(4))
    if zero or kind not in IDX_TYPES or not 1 <= dims <= 4:
        raise ValueError(f"{name} is not an idx file")
    return Header(name, np.dtype(IDX_TYPES[kind]), struct.unpack(f">{dims}I", stream.read(4 * dims)))


def _read_idx(path: Path) -> np.ndarray:
    """One idx array, mapped."""
    if path.suffix == ".gz":
        with gzip.open(path) as packed:
            header = _idx_header(packed, path.name)
            return _map(_unpack(packed, header.bytes_needed()), header)
    stream = open(path, "rb")  # noqa: SIM115 - the memory map keeps it open
    return _map(stream, _idx_header(stream, path.name))


def _load_idx(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    parts = {}
    for split in [s for s in SPLITS if f"{s}_images" in files]:
        images = _find_file(root, files[f"{split}_images"], key)
        labels = _find_file(root, files.get(f"{split}_labels", f"{split}-labels-idx1-ubyte"), key)
        parts[split] = _part(_read_idx(images), _read_idx(labels), names, str(images))
    return parts


def _load_cifar(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    """CIFAR-10 and -100, binary version: records of 1 or 2 label bytes and 3x32x32 bytes (RGB planes)."""
    if not files:
        files = CIFAR_100 if (root / "train.bin").is_file() else CIFAR_10
        if any((root / pickled).is_file() for pickled in ("data_batch_1", "train")):
            raise UserError(
                f"{root} holds CIFAR's Python pickles, which are never loaded; use the binary version "
                "(cifar-10-binary.tar.gz, cifar-100-binary.tar.gz) or export image folders"
            )
    if not names:
        found = [root / name for name in CIFAR_NAMES if (root / name).is_file()]
        names = found[0].read_text(encoding="utf-8").split() if found else []
    blocks: dict[str, list[np.ndarray]] = {}
    for split, name in files.items():
        path = _find_file(root, name, key)
        label_bytes = next((n for n in (1, 2) if path.stat().st_size % (PIXELS + n) == 0), 0)
        if not label_bytes:
            raise UserError(f"{path}: its size does not fit CIFAR's records; download it again")
        records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, PIXELS + label_bytes)
        blocks.setdefault(split.split("_")[0], []).append(records)
    parts = {}
    for split, part in blocks.items():
        records = np.concatenate(part)  # 154 MB at most
        images = records[:, -PIXELS:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        parts[split] = _part(images, records[:, -PIXELS - 1], names, f"{root}, {split}")
    return parts


LOADERS = {"npz": _load_npz, "idx": _load_idx, "cifar": _load_cifar}


def load(settings: dict[str, Any], root: Path) -> dict[str, Part]:
    """Open the arrays of a data set, by split.

    Settings: ``format``, ``files`` (see the loaders), ``labels`` (names of the classes 0..K-1; by default the numbers,
    or the names that come with CIFAR). UserError for missing, damaged or pickled files, and as in :func:`_part`.
    """
    key, names = f"datasets.{settings['name']}", [str(name) for name in settings["labels"] or []]
    files = settings["files"]
    if settings["format"] == "idx" and (settings.get("train_on", True) or not files):
        files = IDX_FILES | files  # a data set only for predictions may have only test files
    try:
        return LOADERS[settings["format"]](root, files, names, key)
    except DAMAGED as error:
        raise UserError(f"{key}.root {root}: an array cannot be read ({error}); download it again") from error


def read_list(settings: dict[str, Any], root: Path) -> pd.DataFrame:
    """List the images, named ``train/000123``: frame filename, label, split, group, stratum (strings)."""
    rows = [
        (f"{split}/{i:06d}", label, split)
        for split, part in load(settings, root).items()
        for i, label in enumerate(part.labels)
    ]
    frame = pd.DataFrame(rows, columns=["filename", "label", "split"], dtype="str")
    return frame.assign(group="", stratum="")


class ArrayReader:
    """Images in arrays, by their names in :func:`read_list`."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts

    def read(self, filename: str) -> np.ndarray:
        """(H, W), or (H, W, 3) BGR as from all readers."""
        split, _, number = filename.partition("/")
        image = np.asarray(self.parts[split].images[int(number)])
        return np.ascontiguousarray(image[:, :, ::-1] if image.ndim == 3 else image)
