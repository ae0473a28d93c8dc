"""Tar files in WebDataset style: listed, read where they lie, and refused where damaged."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest
from calibench.data import listing
from calibench.data.readers import open_reader
from calibench.data.shards import split_of_shard
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings


def settings(root, **given):
    return dataset_settings(json.dumps({"name": "toy", "root": str(root), "format": "webdataset", **given}))[
        0
    ]


def png(value):
    return cv2.imencode(".png", np.full((4, 4), value, np.uint8))[1].tobytes()


def shard(path, **content):
    """A tar file of these members; ``__`` in a name stands for the dot, as Python has no dots in names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def three(root):
    """Six images in train, two in each of val and test; numbers are classes, the value of a pixel the number."""
    for k, (split, n) in enumerate((("train", 6), ("val", 2), ("test", 2))):
        content = {}
        for i in range(n):
            content |= {
                f"s{i}__png": png(10 * k + i),
                f"s{i}__cls": b"%d\n" % (i % 2),
                f"s{i}__seg__png": b"x",
            }
        shard(root / f"brain-{split}-000.tar", **content)


def test_listed_and_read(tmp_path, caplog):
    three(tmp_path)
    with caplog.at_level("INFO"):
        frame, classes = listing.load(settings(tmp_path, labels=["healthy", "tumour"]))
    assert classes.to_numpy().tolist() == [[0, "healthy", 3, 1, 1], [1, "tumour", 3, 1, 1]]
    assert "skipped in tar files: 10 .seg.png files" in caplog.text
    reader = open_reader(settings(tmp_path))
    for name, value in (("brain-train-000.tar/s5.png", 5), ("brain-test-000.tar/s1.png", 21)):
        assert name in set(frame["filename"])
        assert (reader.read(name) == value).all()
    with pytest.raises(Unreadable, match="no longer in the tar files"):
        reader.read("brain-test-000.tar/s9.png")


def test_json_brings_groups_and_folders_are_splits(tmp_path):
    for split in ("Training", "valid", "test"):
        content = {}
        for label in ("a", "b"):
            content |= {
                f"./x/{label}__jpg": png(1),
                f"./x/{label}__json": json.dumps({"label": label, "group": f"p-{split}"}).encode(),
            }
        shard(tmp_path / split / "000.tar", **content)
    frame, _ = listing.load(settings(tmp_path))
    assert frame["filename"].tolist()[:2] == ["Training/000.tar/x/a.jpg", "Training/000.tar/x/b.jpg"]
    assert frame["split"].tolist() == ["train", "train", "test", "test", "val", "val"]
    assert frame["group"].tolist()[::2] == ["p-Training", "p-test", "p-valid"]
    assert (open_reader(settings(tmp_path)).read("valid/000.tar/x/b.jpg") == 1).all()


def test_splits_in_names():
    assert [split_of_shard(n) for n in ("a-train-01.tar", "dev/7.tar", "trainer.tar")] == ["train", "val", ""]
    with pytest.raises(UserError, match="names two splits, test and train; rename"):
        split_of_shard("train/test-0.tar")


BAD = {
    "no label": ({"s0__png": b"", "s1__cls": b"1"}, r"s0\.png has no label; add s0\.cls or \.json"),
    "several labels": ({"s0__png": b"", "s0__json": b'{"label": [1, 2]}'}, "is not one class"),
    "no key": ({"s0__png": b"", "s0__json": b'{"cls": 1}'}, "no label"),
    "no text": ({"s0__png": b"", "s0__cls": b"\xff"}, "no label"),
    "no names": ({"s0__png": b"", "s0__cls": b"7"}, "label '7', but the config has 2 names"),
    "no images": ({"s0__cls": b"7"}, "no images in its tar files"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_refused(tmp_path, content, message):
    shard(tmp_path / "000.tar", **content)
    with pytest.raises(UserError, match=message):
        listing.load(settings(tmp_path, labels=["a", "b"]))


def test_damaged_and_foreign_tar_files(tmp_path):
    three(tmp_path)
    path = tmp_path / "brain-val-000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:600])  # within the first image
    with pytest.raises(UserError, match=r"brain-val-000\.tar is not a tar file, or damaged \(unexpected end"):
        listing.load(settings(tmp_path))
    path.write_bytes(b"no tar file" * 100)
    with pytest.raises(UserError, match=r"brain-val-000\.tar is not a tar file"):
        listing.load(settings(tmp_path))
    path.unlink()
    path.symlink_to(shard(tmp_path.parent / f"{tmp_path.name}-outside.tar", s0__png=b""))
    with pytest.raises(UserError, match="is a symbolic link to a file outside"):
        listing.load(settings(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "train.tar.gz").touch()
    with pytest.raises(UserError, match=r"has no \.tar file; train\.tar\.gz is compressed"):
        listing.load(settings(empty))


def test_a_file_cut_after_listing(tmp_path):
    three(tmp_path)
    reader = open_reader(settings(tmp_path))
    path = tmp_path / "brain-test-000.tar"
    path.write_bytes(path.read_bytes()[:530])
    with pytest.raises(Unreadable, match="ends within"):
        reader.read("brain-test-000.tar/s0.png")
