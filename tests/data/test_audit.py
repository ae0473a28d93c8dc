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


def scene(seed, side=64, texture=None):
    """A picture unlike those of other seeds; with another texture it is one of the same series."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.random((6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    fine = np.random.default_rng(seed if texture is None else texture).normal(0, 25, (side, side))
    own = np.random.default_rng(seed).normal(0, 25, (side, side))
    both = cv2.GaussianBlur((0.7 * own + 0.3 * fine).astype(np.float32), (0, 0), 1)
    return np.clip(noise * 200 + 20 + both, 0, 255).astype(np.uint8)


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


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
    "copy_1.png": (png(scene(102)), "b", "val"),
    "copy_2.jpg": (jpeg(scene(102)), "b", "val"),
    "series_1.png": (png(scene(104)), "a", "train"),
    "series_2.png": (png(scene(104, texture=5)), "a", "train"),
    "twin_1.png": (png(scene(105)), "b", "test"),
    "twin_2.png": (png(scene(105)[:, ::-1]), "b", "test"),
    "val_original.png": (png(scene(106)), "a", "val"),
    "train_copy_of_val.jpg": (jpeg(scene(106)), "a", "train"),
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
        rows.append((name, label, "ab".index(label), split, "", "", 0))
    pd.DataFrame(rows, columns=[*LIST_COLUMNS, "drawn"]).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def audit(folder, threads=2, share=1, **policy):
    settings = json.dumps(
        {"name": "toy", "root": str(folder / "root"), "audit": policy, "unreadable_share": share}
    )
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
COPIES = {"train_exact_copy_of_test.png", "val_near_copy_of_test.jpg", "train_copy_of_val.jpg"}


def gone(table, audited):
    missing = set(table.index) - set(audited.index)
    assert missing == set(table.index[table["dropped"] != ""])
    return missing


@pytest.mark.parametrize("threads", [1, 3])
def test_default_policy(planted, threads):
    table, audited, report = audit(planted, threads)
    assert gone(table, audited) == UNREADABLE | COPIES
    assert table.loc["train_exact_copy_of_test.png", "dropped"] == "copy of test"
    assert table.loc["train_copy_of_val.jpg", "dropped"] == "copy of validation"
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
    assert report["exact"] == {"clusters": 2, "images": 5, "clusters_across_classes": 2}
    assert report["exact_between_listed_splits"] == {"train-val": 0, "train-test": 1, "val-test": 0}
    assert report["leaks"]["before"] == {
        "train-val": {"exact": 0, "copy": 2, "series": 0},  # one of them by way of the test image
        "train-test": {"exact": 1, "copy": 0, "series": 0},
        "val-test": {"exact": 0, "copy": 1, "series": 0},
    }
    assert all(set(n.values()) == {0} for n in report["leaks"]["after"].values())
    assert report["truncated"] == 1
    assert report["dropped"]["copy of test"] == {"train": 1, "val": 1, "test": 0}
    assert report["blank"] == {"train": 1, "val": 0, "test": 1}
    # 2 of the 46 readable images are wrong at best: one of each conflicting cluster.
    assert report["error_floor"]["all"] == pytest.approx(2 / 46)
    assert report["error_floor"]["test"] == 0
    assert report["kept"] == len(audited) == 43
    # 14 test images in 13 groups: 14² / (12 + 2²) = 12.25
    twins = {
        "images": 14,
        "exact": 0,
        "copy": 2,
        "series": 2,
        "groups": 13,
        "effective": 12.2,
        "widening": 1.069,
    }
    assert report["within_test"] == twins


def test_like_images_become_groups(planted):
    table, audited, _ = audit(planted)
    assert audited.loc["copy_1.png", "group"] == audited.loc["copy_2.jpg", "group"] == "like:copy_1.png"
    assert audited.loc["series_1.png", "group"] == audited.loc["series_2.png", "group"] == "like:series_1.png"
    assert audited.loc["fine_00.png", "group"] == ""
    assert table.loc["copy_1.png", "copies"] == table.loc["copy_2.jpg", "copies"] != ""
    assert table.loc["series_1.png", "series"] == table.loc["series_2.png", "series"] != ""
    assert table.loc["series_1.png", "copies"] == ""
    _, copies, _ = audit(planted, group_by="copies")
    assert copies.loc["copy_1.png", "group"] != "" == copies.loc["series_1.png", "group"]
    _, plain, _ = audit(planted, group_by="none")
    assert set(plain["group"]) == {""}


def test_a_chain_of_all_images_is_not_a_group(planted, monkeypatch, caplog):
    monkeypatch.setattr(findings, "SERIES", (1, 1, 0.0))
    _, audited, _ = audit(planted)
    assert audited.loc["copy_1.png", "group"] != "" == audited.loc["series_1.png", "group"]
    assert "too large for one patient" in caplog.text


def draw(folder, listed):
    """Rewrite the list as if the seed had drawn all splits that are not in ``listed``."""
    frame = pd.read_csv(folder / "list.csv", keep_default_na=False)
    frame["drawn"] = (~frame["split"].isin(listed)).astype(int)
    frame.to_csv(folder / "list.csv", index=False)


@pytest.mark.parametrize("listed", [(), ("test",)])
def test_a_drawn_split_is_drawn_again_with_like_images_together(planted, listed):
    draw(planted, listed)
    table, audited, report = audit(planted, val_copies="keep")
    drawn = table[~table["split"].isin(listed)]
    for column in ("copies", "series"):
        clusters = drawn[drawn[column] != ""]
        assert len(clusters) and (clusters.groupby(column)["split"].nunique() == 1).all()
    assert report["leaks"]["after"]["train-val"] == {"exact": 0, "copy": 0, "series": 0}
    if listed:
        assert set(table.index[table["split"] == "test"]) == {
            n for n, row in PLANTED.items() if row[2] == "test"
        } | {f"fine_{i:02d}.png" for i in range(2, 30, 3)}
        assert report["exact_between_listed_splits"] == {"train-test": 1}
    else:
        assert report["exact_between_listed_splits"] == {}
        assert "copy of test" not in report["dropped"]
    _, as_drawn, _ = audit(planted, group_by="none", test_copies="keep", val_copies="keep")
    listing = pd.read_csv(planted / "list.csv", index_col="filename")
    assert (as_drawn["split"] == listing["split"].loc[as_drawn.index]).all()


def test_listed_groups_are_kept(planted):
    frame = pd.read_csv(planted / "list.csv", keep_default_na=False)
    frame.loc[frame["filename"] == "copy_1.png", "group"] = "patient 7"
    frame.to_csv(planted / "list.csv", index=False)
    _, audited, _ = audit(planted)
    assert audited.loc["copy_1.png", "group"] == "patient 7"
    assert audited.loc["copy_2.jpg", "group"] == "like:copy_2.jpg"


def test_other_policies(planted):
    table, audited, _ = audit(planted, test_copies="keep", val_copies="keep", conflicts="drop", blank="drop")
    conflicts = {"conflict_1.png", "conflict_2.png", "conflict_3.png", "train_exact_copy_of_test.png"}
    assert gone(table, audited) == UNREADABLE | conflicts | {"blank.png"}
    test = table["split"] == "test"
    assert set(table.index[test & (table["dropped"] != "")]) == {"broken_in_test.png"}


def test_more_than_a_small_share_unreadable_stops(planted):
    with pytest.raises(
        UserError, match=r"2 of \d+ images of datasets\.toy cannot be read, .*unreadable_share"
    ):
        audit(planted, share=0.01)


def test_what_is_left_out_is_told_on_the_terminal(planted, monkeypatch, tmp_path):
    with open(tmp_path / "terminal", "w+") as terminal:
        monkeypatch.setenv("STAGE_TERMINAL", str(terminal.fileno()))
        audit(planted)
        terminal.seek(0)
        said = terminal.read()
    assert said.startswith("note: datasets.toy: 2 of ") and said.endswith("audit.csv names them\n")


def test_stop_on_unreadable(planted):
    with pytest.raises(
        UserError, match=r"2 image\(s\) cannot be read.*datasets\.toy\.audit\.unreadable to drop"
    ):
        audit(planted, unreadable="stop")


def test_thumbnails_show_the_pairs(planted):
    _, _, report = audit(planted)
    kinds = {(e["kind"], e["where"]) for e in report["examples"]}
    assert ("exact", "across splits") in kinds
    assert {("copy", "within class"), ("flipped copy", "within class"), ("series", "within class")} <= kinds
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
