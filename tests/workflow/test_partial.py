"""One run that cannot succeed does not take the others' tables with it."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import MINI, planned, snakemake, write_config

BROKEN = {"runs": [*MINI["runs"], "hard+broken"], "variants": {"broken": {"train": {"lr": 1e30}}}}


@pytest.mark.slow
def test_tables_and_report_of_what_is_there(finished, tmp_path):
    finished = Path(shutil.copytree(finished, tmp_path / "calibench"))
    table = "results/mini/tables/table1.csv"
    config = write_config(finished, "broken.yaml", **BROKEN)
    said = snakemake(finished, table, "--keep-going", "--configfile", config, check=False)
    assert "not finite at epoch 1, step" in said and "lower train.lr" in said
    assert not (finished / table).exists()
    assert (finished / "results/mini/metrics.csv").exists(), "of an earlier, whole experiment"

    config = write_config(finished, "broken.yaml", partial=True, **BROKEN)
    plan = planned(snakemake(finished, "-n", "report", "--configfile", config))
    assert plan["report"] == 1 and not any(rule.startswith("train") for rule in plan)
    snakemake(finished, table, "--configfile", config)
    (row,) = pd.read_csv(finished / table).to_dict("records")
    assert row["OLS, Top-1 error (%)"] > 0 and row["Hard labels, Top-1 error (%)"] > 0
    assert row["Hard labels + broken, Top-1 error (%)"] == "–"
