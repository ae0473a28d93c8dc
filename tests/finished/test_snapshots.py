"""Ensembles of epochs against a mean written out, and which epochs they are made of."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.finished import names, snapshots
from calibench.stages import ensemble_epochs

from tests.finished.fake_runs import make_logits, write_run


def test_epochs_are_spread_evenly_and_the_last_is_one():
    assert snapshots.evenly(6, 300) == [50, 100, 150, 200, 250, 300]
    assert snapshots.all_epochs([2, 3], 12) == [4, 6, 8, 12]
    assert snapshots.all_epochs(None, 5) == [] and snapshots.all_epochs(5, 5) == [1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="snapshots is 20, but the training has 5 epochs; lower it"):
        snapshots.all_epochs([2, 20], 5)


def test_the_stage_measures_the_mean_of_the_probabilities(tmp_path):
    folder, rng = write_run(tmp_path, "ols", n=40, k=4), np.random.default_rng(0)
    record = json.loads((folder / "run.json").read_text())
    record["settings"]["train"] = {"epochs": 6, "snapshots": [2, 3]}
    (folder / "run.json").write_text(json.dumps(record))
    kept = {}
    for split in names.PARTS:
        targets = pd.read_csv(folder / names.index(split))["target"].to_numpy()
        files = [tmp_path / f"{split}{epoch}.npy" for epoch in (2, 3, 4, 6)]
        for file in files:
            np.save(file, make_logits(rng, targets, 4, 1.0, 1.0))
        snapshots.write_snapshots(folder, split, files)
        kept[split] = np.load(folder / names.snapshots(split)), targets
    ensemble_epochs.main(["--record", str(folder / "run.json"), "--out", str(tmp_path / "e.csv")])
    table = pd.read_csv(tmp_path / "e.csv", keep_default_na=False)
    found = table[(table["split"] == "test") & (table["calibrator"] == "snapshots3")]
    logits, targets = kept["test"]
    odds = np.exp(logits[[0, 2, 3]].astype(float))  # epochs 2, 4 and 6
    mean = (odds / odds.sum(2, keepdims=True)).mean(0)
    value = found.set_index("metric")["value"].astype(float)
    assert value["nll"] == pytest.approx(-np.log(mean[np.arange(40), targets]).mean())
    assert value["top1_error"] == pytest.approx((mean.argmax(1) != targets).mean())
    assert set(table["split"]) == {"select", "calibrate", "test"} and set(table["checkpoint"]) == {"epochs"}
