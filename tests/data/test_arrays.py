"""Array formats: npz, idx, CIFAR binary; read, listed, and refused where damaged or unsafe."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from calibench.data import arrays, listing
from calibench.data.decode import to_colour
from calibench.data.readers import open_reader
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings

RNG = np.random.default_rng(0)
SPLITS = {"train": 12, "val": 5, "test": 7}


def settings(root, kind, **given):
    given = {"name": "toy", "root": str(root), "format": kind, **given}
    return dataset_settings(json.dumps(given))[0]


def npz(folder, shape=(9, 9), labels_2d=True, save=np.savez_compressed, **replace):
    content = {}
    for split, n in SPLITS.items():
        content[f"{split}_images"] = RNG.integers(0, 256, (n, *shape), dtype=np.uint8)
        labels = np.arange(n) % 3
        content[f"{split}_labels"] = labels[:, None] if labels_2d else labels
    content |= replace
    save(folder / "toy.npz", **content)
    return content


@pytest.mark.parametrize("labels_2d", [True, False])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, labels_2d, save):
    content = npz(tmp_path, labels_2d=labels_2d, save=save)
    given = settings(tmp_path, "npz", files={"npz": "toy.npz"})
    frame, classes = listing.load(given)
    assert classes["label"].tolist() == ["0", "1", "2"]
    assert frame["split"].value_counts().to_dict() == SPLITS
    reader = open_reader(given)
    for name, target in zip(frame["filename"], frame["target"], strict=True):
        split, number = name.split("/")
        assert (reader.read(name) == content[f"{split}_images"][int(number)]).all()
        assert content[f"{split}_labels"].ravel()[int(number)] == target


def test_npz_as_root_colour_and_names(tmp_path):
    content = npz(tmp_path, shape=(9, 9, 3))
    given = settings(tmp_path / "toy.npz", "npz", labels=["c", "a", "b"])
    frame, classes = listing.load(given)
    assert classes["label"].tolist() == ["a", "b", "c"]
    assert frame["label"].tolist()[:3] == ["c", "a", "b"]
    assert (to_colour(open_reader(given).read("val/000002"), "rgb") == content["val_images"][2]).all()


def test_fortran_order(tmp_path):
    images = np.asfortranarray(RNG.integers(0, 256, (12, 4, 6), dtype=np.uint8))
    none = np.asfortranarray(RNG.integers(0, 256, (0, 4, 6), dtype=np.uint8))
    npz(tmp_path, train_images=images, val_images=none, val_labels=np.zeros(0, int))
    parts = arrays.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}), tmp_path)
    assert (parts["train"].images == images).all() and parts["val"].images.shape == (0, 4, 6)


BAD_NPZ = {
    "multi-label": ({"train_labels": np.zeros((12, 14), int)}, r"labels have shape \(12, 14\)"),
    "volumes": ({"train_images": np.zeros((12, 4, 4, 4), np.uint8)}, "is needed, not volumes"),
    "objects": ({"train_labels": np.array([[0], "x"] * 6, dtype=object)}, "never unpickled"),
    "counts": ({"train_labels": np.zeros(11, int)}, "12 images and 11 labels"),
    "floats": ({"train_labels": np.zeros(12)}, "whole numbers"),
    "strings": ({"train_images": np.full((12, 8, 8), "x")}, "'train_images' holds values of type <U1"),
    "complex": ({"train_images": np.zeros((12, 8, 8), complex)}, "holds values of type complex128"),
    "dates": ({"train_labels": np.zeros(12, "M8[s]")}, "'train_labels' holds values of type datetime64"),
    "no-height": (
        {"train_images": np.zeros((12, 0, 8), np.uint8)},
        r"shape \(12, 0, 8\) with a side below 1",
    ),
    "no-width-fortran": (
        {"train_images": np.zeros((12, 8, 0), np.uint8, order="F")},
        r"shape \(12, 8, 0\) with a side below 1",
    ),
    "no-width": ({"train_images": np.zeros((12, 8, 0), np.uint8)}, r"shape \(12, 8, 0\) with a side below 1"),
}


@pytest.mark.parametrize(("replace", "message"), BAD_NPZ.values(), ids=BAD_NPZ)
def test_bad_npz(tmp_path, replace, message):
    npz(tmp_path, **replace)
    with pytest.raises(UserError, match=message):
        listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}))


def test_too_few_names(tmp_path):
    npz(tmp_path)
    with pytest.raises(UserError, match="label 2, but the config has 2 names"):
        listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}, labels=["a", "b"]))


def test_damaged_npz(tmp_path):
    npz(tmp_path)
    data = (tmp_path / "toy.npz").read_bytes()
    for broken in (data[: len(data) // 2], b"nothing", b""):
        (tmp_path / "toy.npz").write_bytes(broken)
        with pytest.raises(UserError, match=r"datasets\.toy\.root"):
            listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}))
    with pytest.raises(UserError, match=r"none\.npz and its"):
        listing.load(settings(tmp_path, "npz", files={"npz": "none.npz"}))


def npy(shape=(12, 8, 8), content=b"", descr="|u1"):
    """A member whose header says ``shape``, whatever follows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def with_member(folder, member, data):
    """toy.npz as new.npz, one member of which is other bytes; the settings that name it."""
    npz(folder)
    zipped = zipfile.ZipFile(folder / "new.npz", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(folder / "toy.npz") as old, zipped as new:
        for name in old.namelist():
            new.writestr(name, data if name == f"{member}.npy" else old.read(name))
    return settings(folder, "npz", files={"npz": "new.npz"})


WHOLE = npy(content=bytes(12 * 64))
MEMBERS = {
    "promises-more": (npy((12, 900, 900)), r"truncated: fewer bytes than its shape \(12, 900, 900\) needs"),
    "promises-less": (WHOLE + b"\0", r"more bytes than its shape \(12, 8, 8\) needs"),
    "negative-side": (npy((-12, 8, 8)), r"shape \(-12, 8, 8\) with a side below 1"),
    "two-negative-sides": (npy((12, -8, -8), bytes(12 * 64)), "with a side below 1"),
    "product-beyond-64-bits": (npy((12, 2**31, 2**31)), "truncated: fewer bytes"),
    "no-images-but-large": (npy((0, 2**62, 8)), "cannot be read"),
    "broken-header": (WHOLE.replace(b"'shape': (", b"'shape': [(("), "damaged header"),
    "deep-header": (WHOLE.replace(b"(12, 8, 8)", b"(" * 40), "damaged header"),
    "endless-header": (b"\x93NUMPY\2\0\xff\xff\xff\x7f" + bytes(1 << 20), "damaged header"),
    "unknown-version": (b"\x93NUMPY\x09\0" + WHOLE[8:], "damaged header"),
    "no-npy": (b"nothing", "'train_images'"),
    "empty": (b"", "'train_images'"),
}


@pytest.mark.parametrize(("data", "message"), MEMBERS.values(), ids=MEMBERS)
def test_damaged_member(tmp_path, data, message):
    given = with_member(tmp_path, "train_images", data)
    with pytest.raises(UserError, match=message) as error:
        listing.load(given)
    assert "datasets.toy.root" in str(error.value) and len(str(error.value)) < 1000


def _entry(data, at, value):
    """Write two bytes into the first member's local header and into its entry in the directory."""
    for magic, offset in ((b"PK\3\4", at), (b"PK\1\2", at + 2)):
        start = data.index(magic) + offset
        data[start : start + 2] = value.to_bytes(2, "little")


# Deflate64 is method 9: zip tools write it, Python does not read it.
ENTRIES = {
    "encrypted": (6, 1, "encrypted"),
    "deflate64": (8, 9, "compression"),
    "lzma": (8, 14, "cannot be read"),
}


@pytest.mark.parametrize(("at", "value", "message"), ENTRIES.values(), ids=ENTRIES)
def test_members_that_python_cannot_unpack(tmp_path, at, value, message):
    npz(tmp_path)
    data = bytearray((tmp_path / "toy.npz").read_bytes())
    _entry(data, at, value)
    (tmp_path / "toy.npz").write_bytes(data)
    with pytest.raises(UserError, match=rf"datasets\.toy\.root .*{message}"):
        listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}))


class Counting(io.BytesIO):
    """Stands for the temporary file; how much was written to it."""

    written = 0

    def write(self, data):
        Counting.written += len(data)
        return super().write(data)


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_bomb_is_unpacked_no_further_than_its_header_says(tmp_path, kind, monkeypatch):
    """30 MB of zeros in 30 kB; a header that asks for 768 bytes."""
    if kind == "npz":
        given = with_member(tmp_path, "train_images", WHOLE + bytes(30_000_000))
    else:
        given = settings(tmp_path, "idx")
        for name in arrays.IDX_FILES.values():
            data = idx(np.zeros((12, 8, 8), np.uint8)) + bytes(30_000_000)
            (tmp_path / (name + ".gz")).write_bytes(gzip.compress(data))
    monkeypatch.setattr(arrays.tempfile, "TemporaryFile", Counting)
    monkeypatch.setattr(Counting, "written", 0)
    with pytest.raises(UserError, match="more bytes than its shape"):
        listing.load(given)
    assert Counting.written <= 12 * 64 + 1


def test_images_beyond_the_limit_of_pixels(tmp_path, monkeypatch):
    npz(tmp_path)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "80")
    with pytest.raises(UserError, match=r"toy\.npz, train: images have 81 pixels, more than the limit of 80"):
        listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}))


@pytest.mark.parametrize("kind", ["?", "i1", ">u2", "<i8", "f2", ">f4", "f8"])
def test_types_of_pixels(tmp_path, kind):
    images = RNG.integers(0, 2, (12, 9, 9)).astype(kind)
    npz(tmp_path, train_images=images)
    part = arrays.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}), tmp_path)["train"]
    assert part.images.dtype == np.dtype(kind) and (part.images == images).all()


def test_an_empty_split_is_as_if_not_there(tmp_path):
    npz(tmp_path, val_images=np.zeros((0, 9, 9), np.uint8), val_labels=np.zeros(0, int))
    frame, _ = listing.load(settings(tmp_path, "npz", files={"npz": "toy.npz"}, split={"val": 0.25}))
    assert frame["split"].value_counts().to_dict() == {"train": 9, "val": 3, "test": 7}


def idx(array):
    return (
        struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_idx(tmp_path, zipped):
    content = {}
    for split, n in (("train", 40), ("t10k", 10)):
        content[split] = RNG.integers(0, 256, (n, 7, 5), dtype=np.uint8)
        labels = (np.arange(n) % 4).astype(np.uint8)
        for name, array in (
            (f"{split}-images-idx3-ubyte", content[split]),
            (f"{split}-labels-idx1-ubyte", labels),
        ):
            data = idx(array)
            (tmp_path / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    given = settings(tmp_path, "idx", split={"val": 0.2})
    frame, classes = listing.load(given)
    assert frame["split"].value_counts().to_dict() == {"train": 32, "val": 8, "test": 10}
    assert (classes["val"] == 2).all()
    reader = open_reader(given)
    assert (reader.read("train/000039") == content["train"][39]).all()
    assert (reader.read("test/000003") == content["t10k"][3]).all()


def test_a_site_may_be_test_files_alone(tmp_path):
    for name, array in (
        ("images-idx3", np.zeros((40, 7, 5), np.uint8)),
        ("labels-idx1", np.arange(40, dtype=np.uint8) % 4),
    ):
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(idx(array))
    files = {f"test_{what}": arrays.IDX_FILES[f"test_{what}"] for what in ("images", "labels")}
    frame, classes = listing.load(settings(tmp_path, "idx", files=files, train_on=False))
    assert len(frame) == 40 and classes[["train", "val", "test"]].to_numpy().sum() == 40
    with pytest.raises(UserError, match="train-images-idx3-ubyte and its"):
        listing.load(settings(tmp_path, "idx", files=files))


def test_damaged_idx(tmp_path):
    for name in arrays.IDX_FILES.values():
        (tmp_path / name).write_bytes(idx(np.zeros((20, 4, 4), np.uint8))[:200])
    with pytest.raises(UserError, match="truncated"):
        listing.load(settings(tmp_path, "idx"))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x1f\x8b\x08\x00 no idx")
    with pytest.raises(UserError, match="is not an idx file"):
        listing.load(settings(tmp_path, "idx"))
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte and its \.gz file are missing"):
        listing.load(settings(tmp_path, "idx"))


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar(tmp_path, hundred):
    files = arrays.CIFAR_100 if hundred else arrays.CIFAR_10
    images = {}
    for key, name in files.items():
        images[key] = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
        fine = (np.arange(20) % 2).astype(np.uint8)[:, None]
        labels = np.hstack([np.full_like(fine, 9), fine]) if hundred else fine
        planes = images[key].transpose(0, 3, 1, 2).reshape(20, -1)
        (tmp_path / name).write_bytes(np.hstack([labels, planes]).tobytes())
    (tmp_path / ("fine_label_names.txt" if hundred else "batches.meta.txt")).write_text("cat\ndog\n")
    given = settings(tmp_path, "cifar")
    frame, classes = listing.load(given)
    assert classes["label"].tolist() == ["cat", "dog"]
    assert classes["test"].tolist() == [10, 10]
    assert (to_colour(open_reader(given).read("test/000004"), "rgb") == images["test"][4]).all()
    last = images["train" if hundred else "train_5"][-1]
    number = sum(frame["split"] != "test") - 1
    assert (to_colour(open_reader(given).read(f"train/{number:06d}"), "rgb") == last).all()


def test_cifar_pickles_are_refused(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02.")
    with pytest.raises(UserError, match="pickles, which are never loaded; use the binary version"):
        listing.load(settings(tmp_path, "cifar"))


def test_damaged_cifar(tmp_path):
    (tmp_path / "train.bin").write_bytes(b"\0" * 5000)
    (tmp_path / "test.bin").write_bytes(b"\0" * 3074)
    with pytest.raises(UserError, match=r"train\.bin: its size does not fit CIFAR's records"):
        listing.load(settings(tmp_path, "cifar"))
