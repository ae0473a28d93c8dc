"""Trees of folders: with splits, without, and such that it cannot be told; trees that bring their labels in a file."""

import errno
import json
import logging
import os
import re

import cv2
import numpy as np
import pytest
from calibench.data import listing
from calibench.data.readers import open_reader
from calibench.data.splitnames import split_of
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings


def tree(root, *names):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.full((4, 4), i, np.uint8))


def settings(root, **given):
    given = {"name": "toy", "root": str(root), "format": "imagefolder", **given}
    return dataset_settings(json.dumps(given))[0]


def test_splits(tmp_path, caplog):
    names = ["train/a/1.png", "train/b/deep/2.PNG", "valid/a/3.jpg", "test/b/4.png"]
    tree(tmp_path, *names)
    for stray in ("train/a/notes.txt", "train/a/.hidden.png", "train/a/Thumbs.db"):
        (tmp_path / stray).touch()
    (tmp_path / ".git/x").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    with caplog.at_level(logging.INFO):
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
    assert (
        "read as splits: test = 'test' (1 classes, 1 images), train = 'train' (2 classes, 2 images)"
        in caplog.text
    )
    for told in (
        "1 hidden folders",
        "1 hidden files",
        "1 .txt files",
        "1 .db files",
        "without images: 'docs/'",
    ):
        assert told in caplog.text


@pytest.mark.parametrize(
    "names", ["Training Testing", "Train Test", "train Testing", "TR ts", "train Validation"]
)
def test_usual_spellings_are_splits(tmp_path, names):
    """The two most downloaded brain-MR collections have Training and Testing."""
    tree(
        tmp_path, *[f"{split}/{c}/{i}.png" for split in names.split() for c in ("x", "y") for i in range(10)]
    )
    frame, classes = listing.load(settings(tmp_path))
    assert classes["label"].tolist() == ["x", "y"]
    drawn = frame.groupby(frame["filename"].str.split("/").str[0])["split"].unique().map(set)
    second = split_of(names.split()[1])
    assert drawn[names.split()[1]] == {second}
    assert drawn[names.split()[0]] == {"train", "val", "test"} - {second}


# Trees of which it cannot be told whether their first level are splits or classes.
UNCERTAIN = {
    "images directly": (
        ["train/1.png", "train/2.png", "test/3.png"],
        "no images in <split>/<class>/; without",
    ),
    "a vehicle": (["car/1.png", "bus/1.png", "train/1.png"], r"3 classes 'bus \(1 images\)', 'car"),
    "one more folder": (["train/a/1.png", "test/a/1.png", "masks/a/1.png"], r"without 'masks \(1 images\)'"),
    "test without labels": (
        ["train/a/1.png", "train/b/1.png", "test/1.png"],
        r"without 'test/\* \(1 images\)'",
    ),
    "no training": (["val/a/1.png", "test/a/1.png"], r"test = 'test' \(1 classes, 1 images\), val = 'val'"),
    "two tests": (["train/a/1.png", "test/a/1.png", "Testing/a/1.png"], "test = 'Testing'"),
    "no common class": (["train/a/1.png", "train/b/1.png", "test/images/1.png"], "train = 'train'"),
}


@pytest.mark.parametrize(("names", "shown"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_both_readings_are_shown(tmp_path, names, shown):
    tree(tmp_path, *names)
    with pytest.raises(
        UserError, match="can be read in two ways; set datasets.toy.split.folders to splits for "
    ) as error:
        listing.load(settings(tmp_path))
    assert re.search(shown, str(error.value))


def test_a_tree_packed_in_one_more_folder(tmp_path):
    tree(tmp_path, "archive/train/a/1.png", "archive/train/b/1.png", "archive/test/a/1.png")
    with pytest.raises(
        UserError,
        match=r"single folder 'archive' only; .* set datasets\.toy\.root to \S+/archive; if it is a class",
    ):
        listing.load(settings(tmp_path))


def test_splits_below_classes(tmp_path):
    tree(tmp_path, *[f"{c}/{s}/{i}.png" for c in "ab" for s in ("Train", "test") for i in range(5)])
    with pytest.raises(UserError, match=r"splits inside its folders \('Train', 'test'\).* move them up"):
        listing.load(settings(tmp_path))
    frame, _ = listing.load(settings(tmp_path, split={"folders": "classes"}))
    assert sorted(set(frame["label"])) == ["a", "b"] and len(frame) == 20


def test_the_key_decides_and_what_is_left_out_is_named(tmp_path, caplog):
    tree(
        tmp_path,
        *[f"{top}/{c}/{i}.png" for top in ("train", "test", "masks") for c in "ab" for i in range(10)],
    )
    frame, classes = listing.load(settings(tmp_path, split={"folders": "splits"}))
    assert classes["label"].tolist() == ["a", "b"] and len(frame) == 40
    assert "left out, because not in a class folder of a split: 'masks (20 images)'" in caplog.text
    _, classes = listing.load(settings(tmp_path, split={"folders": "classes"}))
    assert classes["label"].tolist() == ["masks", "test", "train"]


def metadata(root, text, folder=""):
    (root / folder / "metadata.csv").write_text(text)


def test_hugging_face_metadata(tmp_path, caplog):
    names = [f"{split}/{i}.png" for split in ("train", "validation", "test") for i in range(4)]
    tree(tmp_path, *names)
    rows = [f"{i}.png,{'xy'[i % 2]},p{i}" for i in range(4)]
    for split in ("train", "validation"):
        metadata(tmp_path, "\n".join(["file_name,label,group", *rows]), split)
    metadata(tmp_path, "\n".join(["file_name,label,group", *rows[:3]]), "test")
    frame, classes = listing.load(settings(tmp_path))
    assert classes[["label", "train", "val", "test"]].to_numpy().tolist() == [["x", 2, 2, 2], ["y", 2, 2, 1]]
    assert frame.set_index("filename").loc["validation/1.png", ["label", "group"]].tolist() == ["y", "p1"]
    assert "1 images are left out, because no metadata.csv names them: 'test/3.png'" in caplog.text


def test_hugging_face_metadata_at_the_root(tmp_path):
    names = [f"{split}/{c}/{i}.png" for split in ("train", "val", "test") for c in "ab" for i in range(2)]
    tree(tmp_path, *names)
    rows = [f"{name},{'xy'[i % 2]}" for i, name in enumerate(names)]
    metadata(tmp_path, "\n".join(["file_name,label", *rows]))
    frame, _ = listing.load(settings(tmp_path))
    assert frame["label"].tolist() == ["x", "y"] * 6 and frame["split"].tolist()[::4] == [
        "train",
        "val",
        "test",
    ]
    metadata(tmp_path, "\n".join(["file_name,label", *rows, "train/a/9.png,x"]))
    with pytest.raises(UserError, match=r"metadata\.csv, line 14: 'train/a/9\.png' does not exist"):
        listing.load(settings(tmp_path))
    metadata(tmp_path, "\n".join(["file_name,text", *rows]))
    with pytest.raises(UserError, match=r"metadata\.csv: column 'label' is missing"):
        listing.load(settings(tmp_path))
    metadata(tmp_path, "id,sex\n1,f\n")  # of another program: the folders are the labels
    assert listing.load(settings(tmp_path))[1]["label"].tolist() == ["a", "b"]
    (tmp_path / "train/metadata.jsonl").touch()
    with pytest.raises(UserError, match=r"metadata\.jsonl is not supported; save it as metadata\.csv"):
        listing.load(settings(tmp_path))


def test_tiny_imagenet(tmp_path, caplog):
    names = [f"train/{c}/images/{c}_{i}.JPEG" for c in ("n01", "n02") for i in range(10)]
    tree(tmp_path, *names, *[f"val/images/val_{i}.JPEG" for i in range(3)], "test/images/test_0.JPEG")
    annotations = tmp_path / "val/val_annotations.txt"
    annotations.write_text("val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t0\t0\t1\t1\n")
    frame, classes = listing.load(settings(tmp_path, split={"val": 0.2}))
    assert classes.to_numpy().tolist() == [[0, "n01", 8, 2, 1], [1, "n02", 8, 2, 1]]
    test = frame[frame["split"] == "test"]
    assert dict(zip(test["filename"], test["label"], strict=True)) == {
        "val/images/val_0.JPEG": "n02",
        "val/images/val_1.JPEG": "n01",
    }
    assert (
        "2 images are left out, because they have no label: 'test/images/test_0.JPEG', 'val/images/val_2"
        in caplog.text
    )
    annotations.write_text("val_0.JPEG\tn02\nval_7.JPEG\tn01\n")
    with pytest.raises(
        UserError, match=r"val_annotations\.txt, line 2: 'val/images/val_7\.JPEG' does not exist"
    ):
        listing.load(settings(tmp_path))


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
