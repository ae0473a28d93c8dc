"""The store: what is in the array, and what happens to files that cannot be read."""

import json
import os

import cv2
import numpy as np
import pandas as pd
import pytest
from calibench.data.readers import FolderReader
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError
from calibench.files import read_json
from calibench.stages import store as store_stage

N = 150  # more than two chunks


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "root"
    (root / "im").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 8, 8), dtype=np.uint8)
    names = [f"im/{i:03d}.png" for i in range(N)]
    for name, image in zip(names, images, strict=True):
        cv2.imwrite(str(root / name), image)
    part = np.array(["train", "select", "calibrate", "test"])[np.arange(N) % 4]
    target = np.arange(N) // 4 % 2
    frame = pd.DataFrame({"filename": names, "label": np.array(["a", "b"])[target], "target": target})
    frame = frame.assign(
        split=np.where(np.isin(part, ["select", "calibrate"]), "val", part), group="", stratum="", part=part
    )
    frame.to_csv(tmp_path / "sample.csv", index=False)
    pd.DataFrame({"target": [0, 1], "label": ["a", "b"]}).to_csv(tmp_path / "classes.csv", index=False)
    return tmp_path, root, images, names


def build(folder, threads=2, share=1, **store):
    settings = {"name": "toy", "root": str(folder / "root"), "unreadable_share": share}
    settings["store"] = {"size": 8, **store}
    inputs = ["--sample", str(folder / "sample.csv"), "--classes", str(folder / "classes.csv")]
    outputs = [
        "--out",
        str(folder / "images.npy"),
        "--out-index",
        str(folder / "index.csv"),
        "--out-report",
        str(folder / "store.json"),
    ]
    store_stage.main(["--settings", json.dumps(settings), *inputs, *outputs, "--threads", str(threads)])
    return (
        np.load(folder / "images.npy", mmap_mode="r"),
        pd.read_csv(folder / "index.csv"),
        read_json(folder / "store.json"),
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_the_images(dataset, threads):
    folder, _, images, names = dataset
    stored, index, report = build(folder, threads)
    assert (stored == images).all()
    assert index["row"].tolist() == list(range(N))
    assert index["filename"].tolist() == names
    assert (report["n"], report["unreadable"], report["size"]) == (N, [], 8)
    assert not list(folder.glob(".*"))


def test_colour(dataset):
    folder, _, images, _ = dataset
    stored, _, _ = build(folder, colour="rgb")
    assert stored.shape == (N, 8, 8, 3)
    assert (stored[..., 1] == images).all()


def damage(root, names):
    (root / names[0]).unlink()
    (root / names[5]).write_bytes((root / names[5]).read_bytes()[:60])
    (root / names[149]).write_bytes(b"")


def test_stop_lists_all_and_leaves_nothing(dataset, caplog):
    folder, root, _, names = dataset
    damage(root, names)
    with pytest.raises(
        UserError, match=r"3 image\(s\) cannot be read.*datasets\.toy\.store\.unreadable to drop"
    ):
        build(folder)
    for i in (0, 5, 149):
        assert names[i] in caplog.text
    assert not (folder / "images.npy").exists()
    assert not list(folder.glob(".*"))


def test_many_failures_are_counted(dataset, caplog):
    folder, root, _, names = dataset
    for name in names[:30]:
        (root / name).unlink()
    with pytest.raises(UserError, match="30 image"):
        build(folder)
    assert caplog.text.count("No such file") == 20
    assert "10 more unreadable" in caplog.text


def test_more_than_a_small_share_unreadable_stops(dataset):
    folder, root, _, names = dataset
    damage(root, names)
    with pytest.raises(UserError, match=r"3 of 150 images of datasets\.toy cannot be read.*unreadable_share"):
        build(folder, unreadable="drop", share=0.01)
    assert len(build(folder, unreadable="drop", share=0.02)[1]) == 147


def test_drop_compacts(dataset):
    folder, root, images, names = dataset
    damage(root, names)
    stored, index, report = build(folder, unreadable="drop")
    keep = np.setdiff1d(np.arange(N), [0, 5, 149])
    assert stored.shape == (147, 8, 8)
    assert (stored == images[keep]).all()
    assert index["filename"].tolist() == [names[i] for i in keep]
    assert index["row"].tolist() == list(range(147))
    assert [u["filename"] for u in report["unreadable"]] == [names[i] for i in (0, 5, 149)]
    assert (folder / "images.npy").stat().st_size == 128 + 147 * 64


def test_a_class_without_training_images_stops(dataset):
    folder, root, _, _ = dataset
    sample = pd.read_csv(folder / "sample.csv")
    for name in sample["filename"][(sample["part"] == "train") & (sample["label"] == "b")]:
        (root / name).unlink()
    with pytest.raises(UserError, match="class 'b' has no readable training image;"):
        build(folder, unreadable="drop")


def test_links_out_of_the_root_are_refused(dataset):
    folder, root, images, names = dataset
    outside = folder / "outside"
    outside.mkdir()
    cv2.imwrite(str(outside / "secret.png"), images[0])
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "linked").symlink_to(outside, target_is_directory=True)
    (root / "good.png").symlink_to(root / names[1])
    reader = FolderReader(root)
    for name in ("link.png", "linked/secret.png", "../outside/secret.png", str(outside / "secret.png")):
        with pytest.raises(Unreadable, match="root"):
            reader.read(name)
    assert (reader.read("good.png") == images[1]).all()


def test_odd_files_do_not_hang(dataset):
    _, root, _, _ = dataset
    os.mkfifo(root / "pipe.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    reader = FolderReader(root)
    for name in ("pipe.png", "loop.png", "im", "missing.png"):
        with pytest.raises(Unreadable):
            reader.read(name)
