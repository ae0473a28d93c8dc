"""The first look at a data set: counts, sizes, modes, thumbnails; cheap, seeded, paged."""

import json

import cv2
import numpy as np
import pytest
from calibench.data import overview
from calibench.data.readers import FolderReader
from calibench.stages import list as stage


@pytest.fixture
def root(tmp_path):
    """Class a: 12 grey images of value 0; b: one 16-bit; c: one broken, one in colour that is grey, one in colours."""
    for name in "abc":
        (tmp_path / name).mkdir()
    for i in range(30):
        cv2.imwrite(str(tmp_path / f"a/{i}.png"), np.zeros((10, 20), np.uint8))
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"b/{i}.png"), np.arange(400, dtype=np.uint16).reshape(20, 20))
    for i in range(8):
        cv2.imwrite(str(tmp_path / f"c/{i}.png"), np.full((20, 20, 3), [255, 0, 0] if i else 255, np.uint8))
    (tmp_path / "c/9.png").touch()
    return tmp_path


def show(root, out, capsys, **given):
    settings = {"name": "toy", "root": str(root), "format": "imagefolder", **given}
    stage.main(["--settings", json.dumps(settings), "--show", str(out)])
    return capsys.readouterr().out


def test_told_and_drawn(root, tmp_path, capsys):
    out = tmp_path / "show" / "toy.png"
    told = show(root, out, capsys, split={"val": 0.1, "test": 0.2})
    lines = told.splitlines()
    assert lines[0] == "toy: 49 images of 3 classes"
    assert [line.split() for line in lines[1:6]] == [
        ["label", "train", "val", "test"],
        ["a", "21", "3", "6"],
        ["b", "7", "1", "2"],
        ["c", "7", "1", "1"],
        ["all", "35", "5", "9"],
    ]
    assert "sizes, width x height: 20x10 (30), 20x20 (18)" in told
    assert "modes: 8-bit grey (30), 16-bit grey (10), 8-bit colour (7), 8-bit colour, all grey (1)" in told
    assert "more than 8 bits need datasets.toy.store.window" in told
    assert "unreadable: 1, the first is c/9.png: empty file" in told
    picture = cv2.imread(str(out))
    assert picture.shape == (40 + 3 * 76, overview.LABEL + 720, 3)
    rows = [picture[40 + 76 * i : 40 + 76 * i + 72, overview.LABEL :] for i in range(3)]
    middle = rows[0][36].reshape(10, 72, 3)
    assert (middle == 0).all() and (
        rows[0][5] == overview.GREY
    ).all()  # ten black ones, twice as wide as high
    assert (
        rows[1][:72, :72].min() == 0 and rows[1][:72, :72].max() == 255
    )  # all of its values, without a window
    blue, crossed = (np.array(colour) for colour in ([255, 0, 0], [0, 0, 200]))  # BGR
    assert (rows[2] == blue).all(axis=2).mean() == pytest.approx(0.7)
    assert (rows[2] == crossed).all(axis=2).any()
    assert (rows[2][:, 9 * 72 :] == 255).all()  # nine images in this class


def test_classes_are_paged(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(overview, "ROWS", 2)
    told = show(root, tmp_path / "toy.png", capsys)
    assert told.endswith(f"drawn: {tmp_path / 'toy.png'}, {tmp_path / 'toy-2.png'}\n")
    assert cv2.imread(str(tmp_path / "toy-2.png")).shape[0] == 40 + 76


def test_few_images_are_read_and_always_the_same(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(overview, "SAMPLE", 2)
    read, load = [], FolderReader.load
    monkeypatch.setattr(FolderReader, "load", lambda self, name: read.append(name) or load(self, name))
    first = show(root, tmp_path / "1.png", capsys)
    assert 29 <= len(read) == len(set(read)) <= 31  # ten of a, ten of b, nine of c, two of the sample
    assert show(root, tmp_path / "1.png", capsys) == first
    assert sorted(read[: len(read) // 2]) == sorted(read[len(read) // 2 :])


def test_something_must_be_asked_for(root, capsys):
    with pytest.raises(SystemExit):
        stage.main(["--settings", "{}"])
    assert "--out-list and --out-classes, or --show" in capsys.readouterr().err
