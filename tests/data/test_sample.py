"""Sampling: the cap, the parts of validation, the recorded priors."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.data import sampling
from calibench.data.csvfile import read_frame
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings
from calibench.stages import sample


def frame(n=300, group=False):
    rng = np.random.default_rng(0)
    split = np.array(["train", "val", "test"])[np.arange(n) % 3]
    target = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    groups = [f"{s}{i // 6}" if group else "" for i, s in enumerate(split)]
    columns = {
        "filename": [f"{i}.png" for i in range(n)],
        "label": [f"c{t}" for t in target],
        "target": target,
    }
    return pd.DataFrame({**columns, "split": split, "group": groups, "stratum": ""})


def settings(**given):
    return dataset_settings(json.dumps({"name": "toy", **given}))[0]


def test_only_train_is_capped_and_priors_are_recorded():
    listed = frame()
    drawn, report = sampling.draw(listed, settings(sample={"per_class": 20}))
    before, after = report["priors"]["before"], report["priors"]["after"]
    assert after["train"] == [min(20, n) for n in before["train"]]
    assert after["test"] == before["test"]
    assert (np.add(after["select"], after["calibrate"]) == before["val"]).all()
    assert abs(sum(after["select"]) - sum(after["calibrate"])) <= 1
    assert report["below_cap"] == [{"label": "c2", "n": before["train"][2], "split": "train"}]
    assert drawn["filename"].is_unique


def test_no_cap_keeps_everything():
    drawn, report = sampling.draw(frame(), settings())
    assert len(drawn) == 300
    assert report["below_cap"] == []


def test_validation_is_cut_by_group():
    drawn, _ = sampling.draw(frame(group=True), settings(calibrate=0.4))
    val = drawn[drawn["split"] == "val"]
    assert set(val["part"]) == {"select", "calibrate"}
    assert (val.groupby("group")["part"].nunique() == 1).all()


def test_seed_changes_the_sample():
    one, _ = sampling.draw(frame(), settings(sample={"per_class": 20, "seed": 1}))
    two, _ = sampling.draw(frame(), settings(sample={"per_class": 20, "seed": 2}))
    assert set(one["filename"]) != set(two["filename"])


def test_calibrate_zero_and_too_few_validation_images():
    drawn, _ = sampling.draw(frame(), settings(calibrate=0.0))
    assert "calibrate" not in set(drawn["part"])
    few = frame()
    few = few[(few["split"] != "val") | (np.arange(len(few)) == 1)].reset_index(drop=True)
    with pytest.raises(UserError, match=r"of the sample is empty.*datasets\.toy\.calibrate"):
        sampling.draw(few, settings())


def test_stage(tmp_path):
    frame().to_csv(tmp_path / "list.csv", index=False)
    out = tmp_path / "sample.csv"
    options = [
        "--list",
        str(tmp_path / "list.csv"),
        "--out",
        str(out),
        "--out-report",
        str(tmp_path / "r.json"),
    ]
    sample.main(["--settings", '{"name": "toy"}', *options])
    first = out.read_bytes()
    sample.main(["--settings", '{"name": "toy"}', *options])
    assert out.read_bytes() == first
    assert read_frame(out, ["part"])["part"].value_counts()["test"] == 100
