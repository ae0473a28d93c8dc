"""Data sets that are a few arrays, not many files: MedMNIST's npz, idx (MNIST, FashionMNIST), CIFAR binary.

Nothing is ever unpickled: npz members are read with ``allow_pickle=False``, CIFAR only in its binary version.
Images stay on disk: compressed arrays are unpacked once into an unnamed temporary file and mapped.
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
from numpy.lib import format as npy

from calibench.data.limits import VARIABLE, excess
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
SIDE = 32
LONGEST_HEADER = 10_000  # bytes of a .npy header: numpy writes about a hundred, and parses no more than this
NPY_VERSIONS = (b"\1\0", b"\2\0", b"\3\0")
NUMBERS = "biuf"  # kinds of numpy types: bool, int, uint, float
SHOWN = 80  # characters of a shape or type in a message
# RuntimeError is what zipfile has for encrypted members, NotImplementedError (one of them) for compressions.
DAMAGED = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, KeyError,
    RuntimeError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Images and labels of one split.

    ``images`` (N, H, W) grey or (N, H, W, 3) RGB, mapped; ``labels`` N strings.
    """

    images: np.ndarray
    labels: list[str]


@dataclass(frozen=True)
class Header:
    """What is known of an array before its values are read; ``what`` names it in messages."""

    what: str
    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"

    def need(self) -> int:
        """How many bytes the values take.

        Raises:
            ValueError: a type that is no number, a negative side, or a side of 0 (no images at all are allowed).
        """
        if self.dtype.hasobject:
            raise ValueError(f"{self.what} holds Python objects, which are never unpickled")
        if self.dtype.kind not in NUMBERS:
            raise ValueError(f"{self.what} holds values of type {str(self.dtype)[:SHOWN]}, not numbers")
        if min(self.shape, default=0) < 0 or 0 in self.shape[1:]:
            raise ValueError(f"{self.what} has the shape {self.shown()} with a side below 1")
        return self.dtype.itemsize * math.prod(self.shape)

    def shown(self) -> str:
        """The shape for a message."""
        return str(self.shape)[:SHOWN]

    def check(self, size: int) -> None:
        """Raise ValueError unless ``size`` is what the values take."""
        need = self.need()
        if size < need:
            raise ValueError(f"{self.what} is truncated: fewer bytes than its shape {self.shown()} needs")
        if size > need:
            raise ValueError(f"{self.what} holds more bytes than its shape {self.shown()} needs")


def _unpacked(stream: IO[bytes], need: int) -> IO[bytes]:
    """Copy a compressed stream to a temporary file that vanishes with its last user.

    At most one byte more than is needed, so that a bomb is noticed and not unpacked.
    """
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the memory map keeps it open
    while block := stream.read(min(1 << 20, need + 1 - spool.tell())):
        spool.write(block)
    spool.flush()
    spool.seek(0)
    return spool


def _map(stream: IO[bytes], header: Header) -> np.ndarray:
    """The rest of a file as an array; ValueError unless it is as long as the header says."""
    offset = stream.tell()
    header.check(stream.seek(0, 2) - offset)
    if not header.need():  # an empty file cannot be mapped
        return np.empty(header.shape, header.dtype)
    return np.memmap(stream, header.dtype, mode="r", offset=offset, shape=header.shape, order=header.order)


def _npy_header(stream: IO[bytes], what: str) -> Header:
    """Read the header of a ``.npy``, of which nothing is believed; ValueError if it is none."""
    magic = stream.read(npy.MAGIC_LEN)
    width = 2 if magic[6:7] == b"\1" else 4
    length = stream.read(width)
    size = int.from_bytes(length, "little")
    read = npy.read_array_header_1_0 if width == 2 else npy.read_array_header_2_0
    if magic[:6] != npy.MAGIC_PREFIX or magic[6:] not in NPY_VERSIONS or size > LONGEST_HEADER:
        raise ValueError(f"{what} has a damaged header")
    data = length + stream.read(size)
    try:
        shape, fortran, dtype = read(io.BytesIO(data))
    except Exception as error:  # numpy's parser raises nearly anything on damaged headers
        raise ValueError(f"{what} has a damaged header") from error
    return Header(what, dtype, shape, "F" if fortran else "C")


def _npz_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz as a memory map."""
    member = archive.getinfo(name + ".npy")
    with archive.open(member) as packed:
        header = _npy_header(packed, f"{Path(str(archive.filename)).name}, array '{name}'")
        header.check(member.file_size - packed.tell())  # zipfile gives no more than that
        return _map(_unpacked(packed, header.need()), header)


def _as_classes(labels: np.ndarray, where: str) -> np.ndarray:
    """Integer labels (N,) from (N,) or (N, 1).

    Raises:
        UserError: several labels per image, or labels that are no whole numbers.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(
            f"{where}: labels of shape {labels.shape}; one class per image is needed, not several"
        )
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where}: labels of type {labels.dtype}; whole numbers are needed")
    return np.asarray(labels)


def _part(images: np.ndarray, labels: np.ndarray, names: list[str], where: str) -> Part:
    classes = _as_classes(labels, where)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(
            f"{where}: images of shape {images.shape}; (N,H,W) or (N,H,W,3) is needed, volumes are not read"
        )
    if problem := excess(images.shape[1] * images.shape[2]):
        raise UserError(f"{where}: images of {problem}; store smaller ones or raise {VARIABLE}")
    if len(images) != len(classes):
        raise UserError(f"{where}: {len(images)} images and {len(classes)} labels; the file is damaged")
    if names and len(classes) and not 0 <= classes.min() <= classes.max() < len(names):
        raise UserError(f"{where}: label {classes.max()} but only {len(names)} names under 'labels'")
    return Part(images, [names[c] if names else str(c) for c in classes.tolist()])


def _file(root: Path, name: str, key: str) -> Path:
    """A file below the root, gzipped or not."""
    for path in (root / name, root / (name + ".gz"), root / name.removesuffix(".gz")):
        if path.is_file():
            return path
    raise UserError(f"{root / name} is missing (nor is it there as .gz); check {key}.root and {key}.files")


def _load_npz(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    """MedMNIST's keys: {train,val,test}_images and {train,val,test}_labels (Yang et al. 2023)."""
    if root.is_file():
        path = root
    elif "npz" in files:
        path = _file(root, files["npz"], key)
    else:
        raise UserError(f"{key}.files.npz is not set; name the .npz file in {root}")
    with zipfile.ZipFile(path) as archive:
        members = {member.removesuffix(".npy") for member in archive.namelist()}
        splits = [s for s in ("train", "val", "test") if f"{s}_images" in members]
        if "train" not in splits:
            raise UserError(f"{path}: array 'train_images' is missing; it has {', '.join(sorted(members))}")
        return {
            s: _part(
                _npz_member(archive, f"{s}_images"),
                _npz_member(archive, f"{s}_labels"),
                names,
                f"{path}, {s}",
            )
            for s in splits
        }


def _idx_header(stream: IO[bytes], what: str) -> Header:
    """Read the header of LeCun's format: magic, sizes big-endian."""
    zero, kind, dims = struct.unpack(">HBB", stream.read(4))
    if zero or kind not in IDX_TYPES or not 1 <= dims <= 4:
        raise ValueError(f"{what} is no idx file")
    return Header(what, np.dtype(IDX_TYPES[kind]), struct.unpack(f">{dims}I", stream.read(4 * dims)))


def _idx(path: Path) -> np.ndarray:
    """One idx array as a memory map."""
    if path.suffix == ".gz":
        with gzip.open(path) as packed:
            header = _idx_header(packed, path.name)
            return _map(_unpacked(packed, header.need()), header)
    raw = open(path, "rb")  # noqa: SIM115 - the memory map keeps it open
    return _map(raw, _idx_header(raw, path.name))


def _load_idx(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    parts = {}
    for split in [s for s in ("train", "val", "test") if f"{s}_images" in files]:
        images = _file(root, files[f"{split}_images"], key)
        labels = _file(root, files.get(f"{split}_labels", f"{split}-labels-idx1-ubyte"), key)
        parts[split] = _part(_idx(images), _idx(labels), names, str(images))
    return parts


def _cifar_names(root: Path) -> list[str]:
    for name in CIFAR_NAMES:
        if (root / name).is_file():
            return (root / name).read_text(encoding="utf-8").split()
    return []


def _load_cifar(root: Path, files: dict[str, str], names: list[str], key: str) -> dict[str, Part]:
    """CIFAR-10 and -100, binary version: records of 1 or 2 label bytes and 3x32x32 bytes (RGB planes)."""
    if not files:
        files = CIFAR_100 if (root / "train.bin").is_file() else CIFAR_10
        if any((root / pickled).is_file() for pickled in ("data_batch_1", "train")):
            raise UserError(
                f"{root} holds CIFAR's Python pickles, which are never loaded; use the binary version "
                "(cifar-10-binary.tar.gz, cifar-100-binary.tar.gz) or export image folders"
            )
    names = names or _cifar_names(root)
    blocks: dict[str, list[np.ndarray]] = {}
    for split, name in files.items():
        path = _file(root, name, key)
        pixels = 3 * SIDE * SIDE
        label_bytes = next((n for n in (1, 2) if path.stat().st_size % (pixels + n) == 0), 0)
        if not label_bytes:
            raise UserError(f"{path}: no whole number of CIFAR records; download it again")
        records = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, pixels + label_bytes)
        blocks.setdefault(split.split("_")[0], []).append(records)
    return {split: _cifar_part(records, names, f"{root}, {split}") for split, records in blocks.items()}


def _cifar_part(blocks: list[np.ndarray], names: list[str], where: str) -> Part:
    records = np.concatenate(blocks)  # 154 MB at most
    images = records[:, -3 * SIDE * SIDE :].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return _part(images, records[:, -3 * SIDE * SIDE - 1], names, where)


LOADERS = {"npz": _load_npz, "idx": _load_idx, "cifar": _load_cifar}


def load(settings: dict[str, Any], root: Path) -> dict[str, Part]:
    """Open the arrays of a dataset.

    Settings: ``format`` (npz, idx, cifar), ``files`` (see the loaders), ``labels`` (names of the classes
    0..K-1; without them the numbers are the names, but CIFAR's come with its files).

    Raises:
        UserError: naming the file: missing, damaged, pickled, several labels per image, volumes.
    """
    key = f"datasets.{settings['name']}"
    files = settings["files"]
    if settings["format"] == "idx" and (settings.get("train_on", True) or not files):
        files = IDX_FILES | files  # a site may be the test files of a set alone
    try:
        return LOADERS[settings["format"]](root, files, [str(n) for n in settings["labels"] or []], key)
    except DAMAGED as error:
        raise UserError(
            f"{key}.root {root}: an array cannot be read ({error}); check or download it again"
        ) from error


def name_of(split: str, number: int) -> str:
    """Name of an image in the list: ``train/000123``."""
    return f"{split}/{number:06d}"


class ArrayReader:
    """Images out of arrays, by the names that :func:`name_of` gives."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts

    def read(self, filename: str) -> np.ndarray:
        """(H, W), or (H, W, 3) in the order BGR of all readers; KeyError or IndexError for a foreign name."""
        split, _, number = filename.partition("/")
        image = np.asarray(self.parts[split].images[int(number)])
        if image.ndim == 3 and image.shape[2] == 3:
            return np.ascontiguousarray(image[:, :, ::-1])
        return np.ascontiguousarray(image)
