"""The stage evaluate: asks a trained network, reproduces what training wrote, and changes none of it."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.data.corruptions import corrupt
from calibench.errors import UserError
from calibench.finished import read
from calibench.metrics import measure
from calibench.stages import evaluate, match

from tests.training.conftest import contents, make_settings, train, write_store

WANTED = {
    "corruptions": {"names": ["noise", "blur"], "severities": [1, 5]},
    "attacks": {"fgsm4": {"method": "fgsm", "eps": 4}, "pgd40": {"method": "pgd", "eps": 40, "step_size": 5}},
}


@pytest.fixture(scope="module")
def asked(store, tmp_path_factory):
    """A run, its files as training left them, and another site's store with the classes in another order."""
    folder = tmp_path_factory.mktemp("asked")
    train(make_settings("hard", train={"lr": 0.01}), store, folder / "run")
    before = contents(folder / "run")
    site = write_store(folder / "site", {"train": 8, "select": 3, "test": 10}, seed=9)
    classes = pd.read_csv(site / "classes.csv")
    classes["label"] = ["class-2", "class-0", "class-1"]
    classes.to_csv(site / "classes.csv", index=False)
    out = ["--out", str(folder / "site.csv"), "--out-report", str(folder / "site.json")]
    match.main(["--images", str(store / "images.npy"), "--site", str(site / "images.npy"), *out])
    ask(folder / "run", store, ["--site", "b", str(site / "images.npy"), str(folder / "site.csv")])
    return folder / "run", before


def ask(run_dir, store, more=(), wanted=WANTED):
    options = ["--images", str(store / "images.npy"), "--settings", json.dumps(wanted), "--threads", "2"]
    evaluate.main(["--record", str(run_dir / "run.json"), *options, *more])


def test_training_is_left_alone(asked):
    run_dir, before = asked
    after = contents(run_dir)
    assert {name: after[name] for name in before} == before
    names = [*(f"{kind}{s}" for kind in ("noise", "blur") for s in (1, 5)), "fgsm4", "pgd40", "b"]
    new = {f"predictions/{where}test@{n}" for n in names for where in ("", "top1/")}
    assert {name.rpartition(".")[0] for name in set(after) - set(before)} == new


def test_every_set_is_a_split_like_test(asked):
    run_dir, _ = asked
    clean, index = read.read_part(run_dir, "top1", "test")
    noisy, there = read.read_part(run_dir, "top1", "test@noise1")
    assert there.drop(columns="part").equals(index.drop(columns="part"))
    assert noisy.shape == clean.shape and noisy.dtype == np.float32
    assert (
        0
        < np.abs(noisy - clean).max()
        < np.abs(read.read_part(run_dir, "top1", "test@noise5")[0] - clean).max() * 5
    )
    parts = {part for part, *_ in read.each_part(run_dir, ["test@noise1", "test@b"])}
    assert parts == {"select", "calibrate", "test", "test@noise1", "test@b"}


def test_logits_are_those_of_the_corrupted_images(asked, store, tmp_path):
    run_dir, _ = asked
    worse = write_store(tmp_path / "worse", {"train": 56, "select": 12, "calibrate": 9, "test": 15})
    images = np.load(worse / "images.npy")
    np.save(
        worse / "images.npy",
        np.stack([corrupt(image, "blur", 5, 0, row) for row, image in enumerate(images)]),
    )
    index = pd.read_csv(worse / "index.csv")
    index[index["split"] == "test"].to_csv(tmp_path / "test.csv", index=False)
    site = ["--site", "worse", str(worse / "images.npy"), str(tmp_path / "test.csv")]
    ask(run_dir, store, site, {})
    by_hand, blurred = (read.read_part(run_dir, "top1", f"test@{name}")[0] for name in ("worse", "blur5"))
    assert np.array_equal(by_hand, blurred)


def test_the_attacked_images_are_harder(asked):
    run_dir, _ = asked

    def nll(split):
        logits, index = read.read_part(run_dir, "top1", split)
        return measure(logits, index["target"].to_numpy())["nll"]

    assert nll("test") < nll("test@fgsm4") < nll("test@pgd40")


def test_targets_of_a_site_are_those_of_the_network(asked, store):
    run_dir, _ = asked
    index = read.read_index(run_dir, "test@b")
    assert len(index) == 21 and index["target"].tolist()[:3] == [2, 0, 1]


def test_a_run_without_weights_is_told(store, tmp_path):
    train(make_settings("hard", train={"epochs": 1}), store, tmp_path / "run")
    (tmp_path / "run/weights/top1.safetensors").unlink()
    with pytest.raises(UserError, match="predictions on other images need the network"):
        ask(tmp_path / "run", store)
