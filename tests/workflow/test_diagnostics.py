"""The rules behind `sweep` and `figures: extra`, run once for real."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import planned, snakemake, write_config

EXTRA = ["entropy", "bars", "classmeans", "distances"]


@pytest.mark.slow
def test_sweep_and_extra_figures(finished, tmp_path):
    finished = Path(shutil.copytree(finished, tmp_path / "calibench"))
    changes = {
        "sweep": {"lr": [1, 3]},
        "figures": {"tsne_points": 50, "extra": EXTRA, "class": "digit-3"},
    }
    config = write_config(finished, "swept.yaml", **changes)
    plan = planned(snakemake(finished, "-n", "--configfile", config))
    assert plan["train_hard"] == plan["train_ols"] == 1  # the runs at factor 1 are those that are finished
    assert plan["figure"] >= len(EXTRA)
    assert plan["gradients"] == plan["confusions"] == plan["sweep"] == 1
    names = [f"figures/{kind}-digits-resnet20.png" for kind in EXTRA] + [
        "sweep.csv",
        "gradients.csv",
        "confusions.csv",
    ]
    snakemake(finished, *[f"results/mini/{name}" for name in names], "--configfile", config)
    swept, gradients, confused = (
        pd.read_csv(finished / "results/mini" / name, keep_default_na=False) for name in names[4:]
    )
    assert list(zip(swept["regime"], swept["value"], strict=True)) == [
        ("hard", 1),
        ("hard", 3),
        ("ols", 1),
        ("ols", 3),
    ]
    assert list(swept.groupby("regime")["chosen"].agg(lambda c: (c == "yes").sum())) == [1, 1]
    ratios = gradients.set_index(["regime", "variant"])["gradient_ratio"]
    assert abs(ratios["hard", ""] - 1) < 1e-6 and 0 < ratios["ols", ""] < 1
    assert set(confused["variant"]) == {"", "+lr3"} and set(confused["class"]) <= {
        f"digit-{d}" for d in range(10)
    }
    for name in names[:4]:
        assert (finished / "results/mini" / name).stat().st_size > 10_000
