"""The audit: what it finds in a planted set, what each policy does, what it writes."""

import json
import logging

import cv2
import numpy as np
import pandas as pd
import pytest
from calibench.data import findings
from calibench.data.listing import LIST_COLUMNS
from calibench.errors import UserError
from calibench.files import read_json
from calibench.stages import audit as audit_stage
from hypothesis import given
from hypothesis import strategies as st


def scene(seed, side=64):
    """A picture unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.random((6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise * 255, 0, 255).astype(np.uint8)


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


# name → (bytes, label, split); what is wrong is in the name
PLANTED = {
    "test_original.png": (png(scene(100)), "a", "test"),
    "train_exact_copy_of_test.png": (png(cv2.cvtColor(scene(100), cv2.COLOR_GRAY2BGR)), "b", "train"),
    "val_near_copy_of_test.jpg": (jpeg(scene(100)), "a", "val"),
    "conflict_1.png": (png(scene(101)), "a", "train"),
    "conflict_2.png": (png(scene(101)), "a", "train"),
    "conflict_3.png": (png(scene(101)), "b", "train"),
    "near_1.png": (png(scene(102)), "b", "val"),
    "near_2.jpg": (jpeg(scene(102)), "b", "val"),
    "blank.png": (png(np.full((64, 64), 40, np.uint8)), "a", "train"),
    "blank_in_test.png": (png(np.full((64, 64), 41, np.uint8)), "a", "test"),
    "truncated.jpg": (jpeg(scene(103))[:-80], "a", "train"),
    "broken_in_test.png": (b"no image", "a", "test"),
}


@pytest.fixture
def planted(tmp_path):
    content = dict(PLANTED)
    for i in range(30):
        content[f"fine_{i:02d}.png"] = (png(scene(i)), "ab"[i % 2], ("train", "val", "test")[i % 3])
    (tmp_path / "root").mkdir()
    rows = []
    for name, (data, label, split) in content.items():
        (tmp_path / "root" / name).write_bytes(data)
        rows.append((name, label, "ab".index(label), split, "", ""))
    pd.DataFrame(rows, columns=LIST_COLUMNS).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def audit(folder, threads=2, **policy):
    settings = json.dumps({"name": "toy", "root": str(folder / "root"), "audit": policy})
    outputs = ["--out-table", "audit.csv", "--out-list", "audited.csv", "--out-report", "audit.json"]
    outputs = [o if o.startswith("--") else str(folder / o) for o in outputs]
    thumbnails = ["--thumbnails", str(folder / "thumbnails"), "--threads", str(threads)]
    audit_stage.main(["--settings", settings, "--list", str(folder / "list.csv"), *outputs, *thumbnails])
    read = {"keep_default_na": False, "index_col": "filename"}
    return (
        pd.read_csv(folder / "audit.csv", **read),
        pd.read_csv(folder / "audited.csv", **read),
        read_json(folder / "audit.json"),
    )


UNREADABLE = {"truncated.jpg", "broken_in_test.png"}
COPIES = {"train_exact_copy_of_test.png", "val_near_copy_of_test.jpg"}


def gone(table, audited):
    missing = set(table.index) - set(audited.index)
    assert missing == set(table.index[table["dropped"] != ""])
    return missing


@pytest.mark.parametrize("threads", [1, 3])
def test_default_policy(planted, threads):
    table, audited, report = audit(planted, threads)
    assert gone(table, audited) == UNREADABLE | COPIES
    assert table.loc["train_exact_copy_of_test.png", "dropped"] == "copy of test"
    assert "truncated JPEG" in table.loc["truncated.jpg", "problem"]
    assert set(table.index[table["blank"] == 1]) == {"blank.png", "blank_in_test.png"}
    conflicting = {
        "conflict_1.png",
        "conflict_2.png",
        "conflict_3.png",
        "test_original.png",
        "train_exact_copy_of_test.png",
    }
    assert set(table.index[table["conflict"] == 1]) == conflicting
    assert report["exact"] == {
        "clusters": 2,
        "images": 5,
        "clusters_within_class": 0,
        "clusters_across_classes": 2,
        "clusters_across_splits": 1,
    }
    assert report["copies_of_test"] == {"exact": 1, "near": 1}
    assert report["truncated"] == 1
    assert report["dropped"]["copy of test"] == {"train": 1, "val": 1, "test": 0}
    assert report["blank"] == {"train": 1, "val": 0, "test": 1}
    # 2 of the 40 readable images are wrong at best: one of each conflicting cluster.
    assert report["error_floor"]["all"] == pytest.approx(2 / 40)
    assert report["error_floor"]["test"] == 0
    assert report["kept"] == len(audited) == 38


def test_near_duplicates_become_groups(planted):
    table, audited, _ = audit(planted)
    assert audited.loc["near_1.png", "group"] == audited.loc["near_2.jpg", "group"] == "near:near_1.png"
    assert audited.loc["fine_00.png", "group"] == ""
    assert table.loc["near_1.png", "near"] == table.loc["near_2.jpg", "near"] != ""
    _, plain, _ = audit(planted, near_as_group=False)
    assert set(plain["group"]) == {""}


def test_listed_groups_are_kept(planted):
    frame = pd.read_csv(planted / "list.csv", keep_default_na=False)
    frame.loc[frame["filename"] == "near_1.png", "group"] = "patient 7"
    frame.to_csv(planted / "list.csv", index=False)
    _, audited, _ = audit(planted)
    assert audited.loc["near_1.png", "group"] == "patient 7"
    assert audited.loc["near_2.jpg", "group"] == "near:near_2.jpg"


def test_other_policies(planted):
    table, audited, _ = audit(planted, test_copies="keep", conflicts="drop", blank="drop")
    conflicts = {"conflict_1.png", "conflict_2.png", "conflict_3.png", "train_exact_copy_of_test.png"}
    assert gone(table, audited) == UNREADABLE | conflicts | {"blank.png"}
    test = table["split"] == "test"
    assert set(table.index[test & (table["dropped"] != "")]) == {"broken_in_test.png"}


def test_stop_on_unreadable(planted):
    with pytest.raises(
        UserError, match=r"2 image\(s\) cannot be read.*datasets\.toy\.audit\.unreadable to drop"
    ):
        audit(planted, unreadable="stop")


def test_disabled_passes_the_list_on(run_snakemake, checkout):
    """Without an audit the sample is drawn from the list itself."""
    switched_off = {"datasets": {"digits": {"audit": {"enabled": False}}}}
    (checkout / "off.yaml").write_text(json.dumps(switched_off))
    planned = run_snakemake("-n", "--configfile", "config/config.yaml", "off.yaml").stdout
    sample = planned.partition("rule sample:")[2].partition("output:")[0]
    assert "/list.csv" in sample and "audited.csv" not in planned and "rule audit:" not in planned


def test_thumbnails_show_the_pairs(planted):
    _, _, report = audit(planted)
    kinds = {(e["kind"], e["where"]) for e in report["examples"]}
    assert ("exact", "across splits") in kinds
    assert ("near", "within class") in kinds
    for example in report["examples"]:
        assert cv2.imread(str(planted / "thumbnails" / example["thumbnail"]), 0).shape == (128, 260)


def test_a_class_that_would_vanish_stops(planted):
    frame = pd.read_csv(planted / "list.csv", keep_default_na=False)
    rows = (
        (frame["label"] == "b")
        & (frame["split"] == "train")
        & (frame["filename"] != "train_exact_copy_of_test.png")
    )
    frame[~rows].to_csv(planted / "list.csv", index=False)
    with pytest.raises(UserError, match=r"leaves class 'b' without training images.*datasets\.toy\.audit"):
        audit(planted)


def test_counted_but_few_lines(planted, caplog):
    caplog.set_level(logging.WARNING)
    audit(planted)
    assert caplog.text.count("truncated.jpg: ") == 1


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 3)), max_size=40))
def test_error_floor_against_counting(rows):
    exact, target = (np.array([r[i] for r in rows], dtype=int) for i in (0, 1))
    kept = [(e, t) for e, t in rows if e >= 0]
    wrong = 0
    for cluster in {e for e, _ in kept}:
        labels = [t for e, t in kept if e == cluster]
        wrong += len(labels) - max(labels.count(t) for t in labels)
    assert findings.error_floor(exact, target) == pytest.approx(wrong / len(kept) if kept else 0)
