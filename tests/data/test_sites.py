"""Another site: classes matched by name, copies of training images left out, what does not fit refused."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.data.sites import match
from calibench.errors import UserError
from calibench.stages import match as stage


def make_store(labels, of_images, seed=0, side=8):
    """Images, index and classes of a store; every third image is test, the others train."""
    images = np.random.default_rng(seed).integers(0, 256, (len(of_images), side, side), dtype=np.uint8)
    index = pd.DataFrame({"row": range(len(of_images)), "label": of_images})
    index["target"] = [labels.index(label) for label in of_images]
    index["split"] = ["test" if i % 3 == 2 else "train" for i in index["row"]]
    index["filename"] = [f"{seed}-{i}.png" for i in index["row"]]
    index["group"] = index["stratum"] = ""
    return images, index, pd.Series(labels)


SOURCE = make_store(["cyst", "mass", "none"], ["cyst", "mass", "none"] * 3)


def test_classes_are_matched_by_name_and_the_others_told():
    site = make_store(["mass", "cyst", "scar"], ["mass", "cyst", "scar", "scar", "cyst", "mass"], seed=1)
    index, report = match(SOURCE, site, ("a", "b"), every=True)
    assert index["row"].tolist() == [0, 1, 4, 5] and index["target"].tolist() == [1, 0, 0, 1]
    assert report == {
        "source": "a", "site": "b", "common": ["cyst", "mass"], "missing": ["none"], "unknown": {"scar": 2},
        "copies": 0, "copied": [], "n": 4,
    }  # fmt: skip


def test_of_a_site_that_is_trained_on_only_the_test_images_are_asked_about():
    index, _ = match(SOURCE, SOURCE, ("a", "a"), every=False)
    assert index["row"].tolist() == [2, 5, 8] and index["target"].tolist() == [2, 2, 2]


def test_copies_of_training_images_are_left_out():
    site = make_store(["cyst", "mass"], ["cyst", "mass"] * 3, seed=2)
    site[0][3] = SOURCE[0][4]  # a training image
    site[0][5] = SOURCE[0][2]  # a test image
    index, report = match(SOURCE, site, ("a", "b"), every=True)
    assert index["row"].tolist() == [0, 1, 2, 4, 5]
    assert report["copies"] == 1 and report["copied"] == ["2-3.png"]


@pytest.mark.parametrize(
    ("site", "sentence"),
    [
        (
            make_store(["Cyst", "mass"], ["Cyst", "mass"]),
            r"'b' has 1 of the classes of 'a'.*a: cyst, mass.*b: Cyst",
        ),
        (make_store(["cyst", "mass"], ["cyst"] * 3, side=9), r"stored as \(9, 9\).*datasets.b.store"),
        ((SOURCE[0], SOURCE[1].query("split == 'train'"), SOURCE[2]), "are copies of training images"),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(site, sentence):
    with pytest.raises(UserError, match=sentence):
        match(SOURCE, site, ("a", "b"), every=True)


def test_stage_writes_index_and_report(tmp_path):
    folders = []
    for name, (images, index, classes) in {
        "a": SOURCE,
        "b": make_store(["mass", "cyst"], ["mass"] * 4, seed=3),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "images.npy", images)
        index.to_csv(folder / "index.csv", index=False)
        classes.rename("label").rename_axis("target").reset_index().to_csv(
            folder / "classes.csv", index=False
        )
        folders.append(str(folder / "images.npy"))
    out = ["--out", str(tmp_path / "b.csv"), "--out-report", str(tmp_path / "b.json")]
    stage.main(["--images", folders[0], "--site", folders[1], "--names", "a", "b", *out])
    assert pd.read_csv(tmp_path / "b.csv")["target"].tolist() == [1] * 4
    assert json.loads((tmp_path / "b.json").read_text())["n"] == 4
