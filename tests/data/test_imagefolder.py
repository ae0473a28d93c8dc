"""Trees of folders, with and without splits."""

import errno
import json
import os

import cv2
import numpy as np
import pytest
from calibench.data import listing
from calibench.data.readers import open_reader
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings


def tree(root, *names):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.full((4, 4), i, np.uint8))


def settings(root, **given):
    given = {"name": "toy", "root": str(root), "format": "imagefolder", **given}
    return dataset_settings(json.dumps(given))[0]


def test_splits(tmp_path):
    names = ["train/a/1.png", "train/b/deep/2.PNG", "valid/a/3.jpg", "test/b/4.png"]
    tree(tmp_path, *names)
    (tmp_path / "train/a/notes.txt").touch()
    (tmp_path / "train/a/.hidden.png").touch()
    (tmp_path / ".git/x").mkdir(parents=True)
    frame, _ = listing.load(settings(tmp_path))
    assert frame["filename"].tolist() == [
        "test/b/4.png",
        "train/a/1.png",
        "train/b/deep/2.PNG",
        "valid/a/3.jpg",
    ]
    assert frame["split"].tolist() == ["test", "train", "train", "val"]
    assert frame["label"].tolist() == ["b", "a", "b", "a"]
    assert (open_reader(settings(tmp_path)).read("train/b/deep/2.PNG") == 1).all()


def test_flat_is_split_by_seed(tmp_path):
    tree(tmp_path, *[f"{c}/{i}.png" for c in ("x", "y") for i in range(10)])
    frame, classes = listing.load(settings(tmp_path, split={"val": 0.2, "test": 0.3}))
    assert classes[["train", "val", "test"]].to_numpy().tolist() == [[5, 2, 3], [5, 2, 3]]
    again, _ = listing.load(settings(tmp_path, split={"val": 0.2, "test": 0.3}))
    assert frame.equals(again)


def test_empty_tree(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="no images in folders"):
        listing.load(settings(tmp_path))


@pytest.mark.parametrize("closed", ["train", "train/c", "train/a/deep"])
def test_folders_that_cannot_be_read_do_not_vanish(tmp_path, monkeypatch, closed):
    """Any of the system's reasons; permissions do not bind root, so it is the system call that refuses here."""
    tree(tmp_path, "train/a/1.png", "train/a/deep/2.png", "train/b/3.png", "train/c/4.png")
    scandir, listdir = os.scandir, os.listdir

    def refusing(call):
        def called(path="."):
            if os.fspath(path) == str(tmp_path / closed):
                raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))
            return call(path)

        return called

    monkeypatch.setattr(os, "scandir", refusing(scandir))
    monkeypatch.setattr(os, "listdir", refusing(listdir))
    with pytest.raises(UserError, match=f"{closed}: Input/output error; make this folder readable"):
        listing.load(settings(tmp_path))


def test_names_that_are_not_utf8(tmp_path):
    tree(tmp_path, "a/1.png", "b/2.png")
    try:
        (tmp_path / "a" / b"caf\xe9.png".decode("utf-8", "surrogateescape")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    with pytest.raises(UserError, match="is not UTF-8; rename it"):
        listing.load(settings(tmp_path))
