"""Every format on its way from the user's files to the store, stage by stage."""

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.planning import checks, configuration, naming
from calibench.stages import audit, sample, store
from calibench.stages import list as list_stage

from tests.checkout import ROOT, copy_checkout
from tests.workflow.conftest import MINI, snakemake

SIZE = 12
PER_SPLIT = {"train": 12, "val": 8, "test": 6}
LABELS = ["nodule", "clear"]
SHARED = {"store": {"size": SIZE}}


def pictures(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (n, 12, 12) and labels (n,) of each split, all different."""
    draw = np.random.default_rng(seed)
    return {
        split: (draw.integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8), np.arange(n) % 2)
        for split, n in PER_SPLIT.items()
    }


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_imagefolder(root: Path) -> dict:
    for split, (images, labels) in pictures(0).items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            write_png(root / split / LABELS[label] / f"{i:02d}.png", image)
    return {"format": "imagefolder"}


def write_npz(root: Path) -> dict:
    arrays = {}
    for split, (images, labels) in pictures(1).items():
        arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, None].astype(np.uint8)}
    np.savez_compressed(root / "set.npz", **arrays)
    return {"format": "npz", "files": {"npz": "set.npz"}, "labels": LABELS}


def write_idx(root: Path) -> dict:
    for split, name in (("train", "train"), ("test", "t10k")):
        images, labels = pictures(2)[split]
        head = struct.pack(">HBB3I", 0, 8, 3, *images.shape)
        (root / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = struct.pack(">HBBI", 0, 8, 1, len(labels))
        packed = gzip.compress(head + labels.astype(np.uint8).tobytes())
        (root / f"{name}-labels-idx1-ubyte.gz").write_bytes(packed)
    return {"format": "idx", "labels": LABELS, "split": {"val": 0.34}}


def write_cifar(root: Path) -> dict:
    for split in ("train", "test"):
        images, labels = pictures(3)[split]
        large = np.kron(images[:, None], np.ones((1, 3, 3, 3), np.uint8))[:, :, :32, :32]
        records = np.concatenate([labels[:, None].astype(np.uint8), large.reshape(len(large), -1)], axis=1)
        name = "data_batch_1.bin" if split == "train" else "test_batch.bin"
        (root / name).write_bytes(records.tobytes())
    files = {"train_1": "data_batch_1.bin", "test": "test_batch.bin"}
    return {"format": "cifar", "labels": LABELS, "files": files, "split": {"val": 0.34}}


def listed(root: Path, seed: int) -> pd.DataFrame:
    """A list of 16-bit PNGs with patients of two images each."""
    rows = []
    for split, (images, labels) in pictures(seed).items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            name = f"{split}{i:02d}.png"
            write_png(root / name, image.astype(np.uint16) * 16)
            rows.append((name, LABELS[label], split, f"{split} patient {i // 4} {label}", f"site {label}"))
    return pd.DataFrame(rows, columns=["filename", "label", "split", "group", "stratum"])


def write_list(root: Path) -> dict:
    listed(root, 4).to_csv(root / "images.csv", index=False)
    store = {"size": SIZE, "window": [0, 4080]}
    return {"format": "list", "files": {"list": "images.csv"}, "store": store}


def write_semicolon(root: Path) -> dict:
    for split, rows in listed(root, 5).groupby("split"):
        lines = [f"{r.filename};{r.label}\n" for r in rows.itertuples()]
        (root / f"{split}.txt").write_text("".join(lines))
    files = {split: f"{split}.txt" for split in PER_SPLIT}
    return {"format": "semicolon", "files": files, "store": {"size": SIZE, "window": [0, 4080]}}


def write_webdataset(root: Path) -> dict:
    for split, (images, labels) in pictures(6).items():
        with tarfile.open(root / f"{split}-000.tar", "w") as archive:
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                for name, data in (
                    (f"{i:02d}.png", cv2.imencode(".png", image)[1].tobytes()),
                    (f"{i:02d}.cls", b"%d" % label),
                ):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return {"format": "webdataset", "labels": LABELS}


FORMATS = {
    "imagefolder": write_imagefolder,
    "npz": write_npz,
    "idx": write_idx,
    "cifar": write_cifar,
    "list": write_list,
    "semicolon": write_semicolon,
    "webdataset": write_webdataset,
}


def words(folder: Path, **files: str) -> list[str]:
    """Options of a stage that are files in one folder: ``out_list="list.csv"``."""
    return [f"--{key.replace('_', '-')}={folder / file}" for key, file in files.items()]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict[str, Path]:
    """Store folder of each format, made by the stages as the rules call them."""
    base, datasets = tmp_path_factory.mktemp("formats"), {}
    for name, write in FORMATS.items():
        (base / name).mkdir()
        datasets[name] = SHARED | {"root": str(base / name)} | write(base / name)
    config = configuration.complete(MINI | {"name": "formats", "runs": ["hard"], "datasets": datasets})
    folders = {name: base / "store" / name for name in FORMATS}
    for name, folder in folders.items():
        given = ["--settings", json.dumps(naming.data_settings(config, name))]
        list_stage.main([*given, *words(folder, out_list="list.csv", out_classes="classes.csv")])
        audited = words(folder, list="list.csv", out_list="audited.csv", out_report="audit.json")
        audit.main([*given, *audited, *words(folder, out_table="audit.csv", thumbnails="thumbnails")])
        sample.main([*given, *words(folder, list="audited.csv", out="sample.csv", out_report="sample.json")])
        files = words(folder, sample="sample.csv", classes="classes.csv", out="images.npy")
        store.main([*given, *files, *words(folder, out_index="index.csv", out_report="store.json")])
    return folders


@pytest.mark.parametrize("name", FORMATS)
def test_every_image_reaches_the_store_with_its_label(stored, name):
    folder = stored[name]
    images = np.load(folder / "images.npy", mmap_mode="r")
    index = pd.read_csv(folder / "index.csv", keep_default_na=False)
    assert images.dtype == np.uint8 and images.shape == (len(index), SIZE, SIZE)
    drawn = pictures(list(FORMATS).index(name))
    if name == "cifar":  # pixels change with the size; the number in the name tells which image it is
        numbers = index["filename"].str.split("/").str[1].astype(int)
        assert len(index) == PER_SPLIT["train"] + PER_SPLIT["test"]
        assert index["label"].tolist() == [LABELS[n % 2] for n in numbers]
        return
    expected = {
        image.tobytes(): LABELS[label]
        for split in (PER_SPLIT if name != "idx" else ("train", "test"))
        for image, label in zip(*drawn[split], strict=True)
    }
    found = {image.tobytes(): label for image, label in zip(images, index["label"], strict=True)}
    assert found == expected


@pytest.mark.parametrize("name", FORMATS)
def test_every_part_is_filled_and_splits_are_kept(stored, name):
    index = pd.read_csv(stored[name] / "index.csv", keep_default_na=False)
    assert set(index["part"]) == {"train", "select", "calibrate", "test"}
    counts = index["split"].value_counts().to_dict()
    if name in ("idx", "cifar"):
        assert counts["test"] == PER_SPLIT["test"]
        assert counts["train"] + counts["val"] == PER_SPLIT["train"]
    else:
        assert counts == PER_SPLIT


def test_groups_and_strata_of_a_list_reach_the_store(stored):
    index = pd.read_csv(stored["list"] / "index.csv", keep_default_na=False)
    assert index["stratum"].isin(["site 0", "site 1"]).all()
    assert index.groupby("group")["part"].nunique().max() == 1
    assert index["group"].str.startswith("val patient").sum() == PER_SPLIT["val"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_audit_has_seen_every_image(stored, name):
    report = json.loads((stored[name] / "audit.json").read_text())
    listed_rows = pd.read_csv(stored[name] / "list.csv")
    assert report["images"] == len(listed_rows) == report["kept"]


@pytest.mark.parametrize(
    "path",
    sorted(set((ROOT / "config").glob("*.yaml")) - {ROOT / "config/controls.yaml"}),
    ids=lambda p: p.stem,
)
def test_every_example_is_valid_and_its_runs_exist(path):
    config = configuration.read(path)
    checks.check_all(config)
    for dataset in config["datasets"]:
        checks.list_inputs(config, dataset)


def test_a_missing_root_is_told_with_its_key():
    config = configuration.read(ROOT / "config/imagefolder.yaml")
    with pytest.raises(UserError, match=r"datasets.images.root: 'data/images' does not exist"):
        checks.check_root(config, "images")


@pytest.mark.slow
def test_known_sets_are_planned_to_be_fetched(tmp_path):
    checkout = copy_checkout(tmp_path / "calibench")
    output = snakemake(checkout, "-n", "--until", "fetch", "--configfile", "config/fashionmnist.yaml")
    assert output.count("rule fetch:") == 4
    assert "results/data/fetch/fashionmnist/t10k-labels-idx1-ubyte.gz" in output
