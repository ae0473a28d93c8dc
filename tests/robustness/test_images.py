"""Bad and unusual image files on their way through list, sample and store."""

import io
import os
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from calibench.errors import UserError
from calibench.stages import store as store_stage
from PIL import Image

from tests.robustness.conftest import SIZE

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
RGB = np.dstack([GREY, GREY.T, 255 - GREY])


def encoded(image, extension=".png"):
    return cv2.imencode(extension, image)[1].tobytes()


def pil(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def luma(rgb):
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def bomb():
    """A PNG of a few hundred kilobytes that would be 2.5 GB of pixels."""
    side = 50_000
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    squeeze = zlib.compressobj(9)
    data = b"".join(squeeze.compress(bytes(side + 1)) for _ in range(2000)) + squeeze.flush()
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    packed = [len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


JPEG = encoded(cv2.resize(GREY, (64, 64)), ".jpg")
PNG = encoded(GREY)
REFUSED = {
    "truncated-jpeg": (JPEG[: len(JPEG) // 2], "truncated JPEG"),
    "truncated-png": (PNG[: len(PNG) // 2], "truncated PNG"),
    "zero-bytes": (b"", "empty file"),
    "text": (b"<html>please log in</html>", "not an image"),
    "decompression-bomb": (bomb(), "2500000000 pixels, more than the limit"),
    "16-bit": (
        encoded(GREY.astype(np.uint16) * 16),
        "uint16 pixels need a window; set datasets.<name>.store.window to [lowest",
    ),
    "nan": (
        encoded(np.full((SIZE, SIZE), np.nan, np.float32), ".tiff"),
        "float32 pixels need a window",
    ),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(dataset, data, why, caplog):
    """It stops the store, naming file, reason and the key that drops such files; with it, it is left out and listed."""
    dataset.add("odd.img", data)
    dataset.write_lists()
    with pytest.raises(
        UserError, match=r"1 image\(s\) cannot be read, the first is odd\.img: .*unreadable to drop"
    ):
        dataset.build()
    assert f"odd.img: {why}" in caplog.text
    assert dataset.left_nothing()
    images, unreadable = dataset.build(unreadable="drop")
    assert "odd.img" not in images and len(images) == 18
    assert unreadable["odd.img"].startswith(why)


def test_a_name_in_the_log_of_the_store(dataset, caplog):
    """What a terminal would obey is shown, not sent."""
    dataset.add("odd\x9b2J\u2028error: forged.png", b"")
    dataset.write_lists()
    dataset.build(unreadable="drop")
    (line,) = [r.getMessage() for r in caplog.records if "empty file" in r.getMessage()]
    assert line == r"odd\x9b2J\u2028error: forged.png: empty file"


def test_missing(dataset):
    dataset.add("odd.png")
    dataset.write_lists()
    assert dataset.build(unreadable="drop")[1] == {"odd.png": "No such file or directory"}


def test_folder_instead_of_file(dataset):
    dataset.add("odd.png").mkdir()
    dataset.write_lists()
    assert dataset.build(unreadable="drop")[1] == {"odd.png": "Is a directory"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_link_out_of_the_root(dataset, kind):
    (dataset.folder / "outside").mkdir()
    (dataset.folder / "outside/secret.png").write_bytes(PNG)
    if kind == "file":
        dataset.add("odd.png").symlink_to(dataset.folder / "outside/secret.png")
    else:
        (dataset.root / "folder").symlink_to(dataset.folder / "outside")
        dataset.add("folder/secret.png")
    dataset.write_lists()
    (why,) = dataset.build(unreadable="drop")[1].values()
    assert why == "the path or a symbolic link leads outside the data set's root"


def as_nobody(work):
    """Run ``work`` in a child that is not root (root may read everything); its returned text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            text = work()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


def open_to_all(folder):
    """pytest's folders are private; the child needs to pass them."""
    for path in (folder, *folder.parents):
        if path.owner() == folder.owner() and path != path.parent and str(path).startswith("/tmp/"):
            path.chmod(path.stat().st_mode | 0o011)


@pytest.mark.parametrize("what", ["image", "first-image", "folder", "list"])
def test_unreadable_permissions(dataset, what):
    """Told with the file's name and `Permission denied`, at the list stage if that meets it first."""
    dataset.add("odd.png", PNG)
    (dataset.root / "closed").mkdir()
    if what == "folder":
        (dataset.root / "closed/odd.png").write_bytes(PNG)
        dataset.rows["val"].insert(0, ("closed/odd.png", "a"))
    dataset.write_lists()
    dataset.sample()
    targets = {"image": "odd.png", "first-image": "train0.png", "folder": "closed", "list": "train.csv"}
    (dataset.root / targets[what]).chmod(0)
    dataset.folder.chmod(0o777)
    open_to_all(dataset.folder)
    for path in dataset.folder.glob("*.*"):
        path.chmod(0o666)

    def work():
        if what in ("folder", "list"):
            dataset.list_images()
        else:
            store_stage.main(dataset.arguments())
        return "went through"

    said = as_nobody(work)
    assert said.startswith("UserError: ") and "Permission denied" in said and "\n" not in said
    assert targets[what] in said


@pytest.mark.parametrize("closed", ["train", "train/c", "train/a/deep"])
def test_unreadable_class_folder(dataset, closed):
    """A class that cannot be looked into must not be missing in silence."""
    for name in ("train/a", "train/a/deep", "train/b", "train/c", "val/a", "test/a"):
        (dataset.root / name).mkdir(parents=True)
        (dataset.root / name / "1.png").write_bytes(PNG)
    dataset.settings |= {"format": "imagefolder", "files": {}}
    dataset.folder.chmod(0o777)
    open_to_all(dataset.folder)
    (dataset.root / closed).chmod(0)
    said = as_nobody(lambda: dataset.list_images() and "went through")
    (dataset.root / closed).chmod(0o755)
    assert said == (
        f"UserError: {dataset.root / closed}: Permission denied; make this folder readable or remove it from "
        "the data set, then start again"
    )


ACCEPTED = {
    "1-bit": (pil(Image.fromarray((GREY > 128).astype(np.uint8) * 255).convert("1")), (GREY > 128) * 255),
    "palette": (
        pil(Image.fromarray(RGB).quantize(8)),
        luma(np.array(Image.fromarray(RGB).quantize(8).convert("RGB"))),
    ),
    "alpha": (encoded(np.dstack([RGB[..., ::-1], GREY])), luma(RGB)),
    "grey-alpha": (pil(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY.T.copy())])), GREY),
    "cmyk": (pil(Image.fromarray(RGB).convert("CMYK"), "TIFF"), luma(RGB)),
}


@pytest.mark.parametrize(("data", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(dataset, data, expected):
    dataset.add("odd.img", data)
    dataset.write_lists()
    images, unreadable = dataset.build()
    assert unreadable == {}
    assert np.abs(images["odd.img"].astype(int) - expected).max() <= 1


def test_cmyk_jpeg(dataset):
    smooth = cv2.resize(RGB, (64, 64), interpolation=cv2.INTER_CUBIC)
    data = pil(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=98, subsampling=0)
    dataset.add("odd.jpg", data)
    dataset.write_lists()
    images, _ = dataset.build(size=64)
    assert np.abs(images["odd.jpg"].astype(int) - luma(smooth)).mean() < 3


def test_16_bit_with_a_window(dataset):
    dataset.add("odd.png", encoded(GREY.astype(np.uint16) * 16))
    dataset.write_lists()
    images, unreadable = dataset.build(window=[0, 255 * 16])
    assert (images["odd.png"] == GREY).all() and unreadable == {}


def test_nan_with_a_window(dataset):
    image = GREY.astype(np.float32)
    image[3, 3] = np.nan
    dataset.add("odd.tiff", encoded(image, ".tiff"))
    dataset.write_lists()
    _, unreadable = dataset.build(window=[0, 255], unreadable="drop")
    assert unreadable == {"odd.tiff": "pixels that are not finite numbers (NaN or infinity)"}


def npz(dataset, **replace):
    content = {}
    for split in ("train", "val", "test"):
        content[f"{split}_images"] = RNG.random((8, SIZE, SIZE)).astype(np.float32)
        content[f"{split}_labels"] = np.arange(8) % 2
    np.savez(dataset.root / "toy.npz", **(content | replace))
    dataset.settings |= {"format": "npz", "files": {"npz": "toy.npz"}}


def test_nan_in_a_float_npz(dataset):
    images = RNG.random((8, SIZE, SIZE)).astype(np.float32)
    images[5, 0, 0] = np.nan
    npz(dataset, train_images=images)
    with pytest.raises(UserError, match="float32 pixels need a window"):
        dataset.build()
    with pytest.raises(
        UserError, match=r"the first is train/000005: pixels that are not finite numbers \(NaN"
    ):
        dataset.build(window=[0, 1])
    assert dataset.left_nothing()
    assert len(dataset.build(window=[0, 1], unreadable="drop")[0]) == 23


def member(shape, content=b"", descr="|u1"):
    """A member of an npz whose header says ``shape``, whatever follows."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def encrypted(data):
    """The flag of a first member that is encrypted, in both places where a zip file keeps it."""
    data = bytearray(data)
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


def deflate64(data):
    """Compression method 9, which Python cannot unpack."""
    data = bytearray(data)
    for magic, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(magic) + offset] = 9
    return bytes(data)


WHOLE = member((8, SIZE, SIZE), bytes(8 * SIZE * SIZE))
DAMAGED = {
    "npz-bomb": (WHOLE + bytes(30_000_000), "more bytes than its shape"),
    "npz-truncated": (WHOLE[:-1], "truncated: fewer bytes than its shape"),
    "npz-negative-side": (member((-8, SIZE, SIZE)), "with a side below 1"),
    "npz-empty-side": (member((8, 0, SIZE)), "with a side below 1"),
    "npz-broken-header": (WHOLE.replace(b"'shape': (", b"'shape': [(("), "damaged header"),
    "npz-strings": (member((8, SIZE, SIZE), bytes(32 * SIZE * SIZE), "<U1"), "values of type <U1"),
    "npz-encrypted": (encrypted, "encrypted"),
    "npz-deflate64": (deflate64, "compression"),
}


@pytest.mark.parametrize(("damage", "why"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_npz(dataset, damage, why):
    """Told by the stage list, and by the store if it happens in between."""
    npz(dataset)
    dataset.sample()
    path = dataset.root / "toy.npz"
    if callable(damage):
        path.write_bytes(damage(path.read_bytes()))
    else:
        with zipfile.ZipFile(path) as old:
            members = {name: old.read(name) for name in old.namelist()} | {"train_images.npy": damage}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, data in members.items():
                new.writestr(name, data)
    for work in (dataset.list_images, lambda: store_stage.main(dataset.arguments(window=[0, 255]))):
        with pytest.raises(UserError, match=f"an array cannot be read .*{why}"):
            work()
    assert dataset.left_nothing()


class Bomb:
    def __reduce__(self):
        return (os.system, (f"touch /tmp/calibench-npz-bomb-{os.getpid()}",))


@pytest.mark.parametrize("array", ["train_images", "train_labels"])
def test_objects_in_an_npz(dataset, array):
    npz(dataset, **{array: np.array([Bomb()] * 8, dtype=object)})
    with pytest.raises(UserError, match=rf"array '{array}' holds Python objects, which are never unpickled"):
        dataset.list_images()
    assert not os.path.exists(f"/tmp/calibench-npz-bomb-{os.getpid()}")
