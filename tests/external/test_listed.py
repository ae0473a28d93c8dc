"""Predictions of other programs matched with a store, and the stage that makes a run of them."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.external.given import read_given
from calibench.external.listed import matched
from calibench.finished import names
from calibench.finished.read import each_part, read_keys
from calibench.stages import external

CLASSES = ["cat", "dog", "owl"]


@pytest.fixture
def store(rng):
    """index.csv of 30 images: 6 of train, 12 of validation, 12 of test."""
    target = rng.integers(0, 3, 30)
    part = ["train"] * 6 + ["select", "calibrate"] * 6 + ["test"] * 12
    frame = pd.DataFrame(
        {"row": range(30), "filename": [f"{i}.png" for i in range(30)], "target": target, "part": part}
    )
    return frame.assign(
        label=[CLASSES[t] for t in target], group=[f"p{i // 2}" for i in range(30)], stratum="CT"
    )


def logits_of(target):
    """Logits that say which image and class they are."""
    return (np.arange(len(target))[:, None] / 100 + np.eye(3)[target]).astype(np.float32)


def write(path, store, order, **arrays):
    """A file with its classes in another order, and its images in the given one."""
    columns = np.array([2, 0, 1])
    logits = logits_of(store["target"].to_numpy())[order][:, columns]
    labels = store["label"].to_numpy(dtype=str)[order]
    own = {
        "class_names": np.array(CLASSES)[columns],
        "filename": store["filename"].to_numpy(dtype=str)[order],
    }
    np.savez(path, logits=logits, labels=labels, **(own | arrays))
    return read_given(path)


def test_images_and_classes_are_matched_by_name(tmp_path, store, rng):
    found = matched(write(tmp_path / "a.npz", store, rng.permutation(30)), store, CLASSES)
    held = store[store["part"] != "train"]
    assert list(found.index["row"]) == list(held["row"]) and list(found.index["group"]) == list(held["group"])
    assert (found.logits == logits_of(store["target"].to_numpy())[6:]).all() and found.classes == CLASSES


def test_without_names_it_is_test_in_order_and_without_validation_there_is_none(tmp_path, store):
    test = np.arange(18, 30)
    for name, more in {"named": {}, "plain": {"filename": np.full(12, "")}}.items():
        found = matched(write(tmp_path / f"{name}.npz", store, test, **more), store, CLASSES)
        assert list(found.index["row"]) == list(test) and set(found.index["part"]) == {"test"}


@pytest.mark.parametrize(
    ("order", "more", "message"),
    [
        (range(18, 29), {}, "lacks the image '29.png' .test"),
        ([*range(7, 30)], {}, "lacks the image '6.png' .select"),
        ([*range(30), 29], {}, "names '29.png' twice"),
        (
            range(18, 29),
            {"filename": np.full(11, "")},
            "11 predictions without file names for 12 test images",
        ),
        (
            range(30),
            {"class_names": np.array(["owl", "cat", "emu"])},
            "the class 'emu', which the data set lacks|not a class",
        ),
        (range(30), {"labels": np.full(30, "cat")}, "has the label 'cat' but '(dog|owl)' in the list"),
    ],
)
def test_what_does_not_fit_the_list_is_told(tmp_path, store, order, more, message):
    with pytest.raises(UserError, match=message):
        given = (
            write(tmp_path / "a.npz", store, np.array(list(order)), **more) if "labels" not in more else None
        )
        if given is None:
            np.savez(
                tmp_path / "a.npz",
                logits=logits_of(store["target"].to_numpy()),
                filename=store["filename"].to_numpy(dtype=str),
                class_names=CLASSES,
                **more,
            )
            given = read_given(tmp_path / "a.npz")
        matched(given, store, CLASSES)


def test_the_stage_writes_all_that_is_read_of_a_run(tmp_path, store):
    write(tmp_path / "a.npz", store, np.arange(30))
    np.save(tmp_path / "images.npy", np.zeros((30, 2, 2, 1), np.uint8))
    store.assign(split="test").to_csv(tmp_path / "index.csv", index=False)
    (tmp_path / "classes.csv").write_text(
        "target,label\n" + "".join(f"{i},{c}\n" for i, c in enumerate(CLASSES))
    )
    run = dict(zip(names.KEYS, ("d", "b", "external", "+a", 0), strict=True))
    folder = tmp_path / "run"
    external.main(
        [
            str(tmp_path / "a.npz"),
            "--images",
            str(tmp_path / "images.npy"),
            "--run",
            json.dumps(run),
            "--record",
            str(folder / "run.json"),
        ]
    )
    assert read_keys(folder) == run and all((folder / file).is_file() for file in names.all_predictions())
    parts = {(part, checkpoint): len(index) for part, checkpoint, _, index in each_part(folder)}
    assert parts[("test", "nll")] == 12 and parts[("calibrate", "top1")] == 6
    with pytest.raises(UserError, match="--run lacks seed"):
        external.main(
            [
                str(tmp_path / "a.npz"),
                "--images",
                str(tmp_path / "images.npy"),
                "--record",
                "x",
                "--run",
                json.dumps({k: v for k, v in run.items() if k != "seed"}),
            ]
        )
