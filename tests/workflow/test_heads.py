"""Heads in the workflow: features are computed once, and embeddings go to a report."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from calibench.backbones import classifier
from calibench.finished.write import save_tensors

from tests.workflow.conftest import MINI, planned, snakemake

MODEL = {"input": "full", "dropout": None, "batch_norm_momentum": None, "zero_init_residual": False}


def write(checkout, **changes):
    (checkout / "config/mine.yaml").write_text(yaml.safe_dump(MINI | changes))
    return "--configfile", "config/mine.yaml"


def test_features_are_planned_once_for_all_regimes_and_seeds(checkout):
    save_tensors(checkout / "r.safetensors", classifier.build("resnet20", 10, MODEL).state_dict())
    model = {"freeze": "body", "weights": "r.safetensors"}
    options = write(checkout, model=model, runs=["hard", "ols"], seeds=[0, 1])
    plan = planned(snakemake(checkout, "-n", "results/mini/metrics.csv", *options))
    assert plan["features"] == 1 and plan["train_ols"] == 2 and plan["store"] == 1


@pytest.mark.slow
def test_frozen_bodies_go_to_a_report(checkout):
    torch.manual_seed(0)
    save_tensors(checkout / "r.safetensors", classifier.build("resnet20", 10, MODEL).state_dict())
    model = {"freeze": "body", "weights": "r.safetensors", "copies": 1}
    snakemake(checkout, *write(checkout, model=model, runs=["hard", "tfkd_self"]))
    frozen = pd.read_csv(checkout / "results/mini/metrics.csv")
    assert set(frozen["regime"]) == {"hard", "tfkd_self"}
    assert "train_hard" not in planned(snakemake(checkout, "-n", *write(checkout, model=model)))


@pytest.mark.slow
def test_embeddings_go_to_a_report(checkout):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 300)
    vectors = (draw.normal(size=(3, 16))[labels] + draw.normal(size=(300, 16))).astype(np.float32)
    (checkout / "data").mkdir()
    np.savez(checkout / "data/x.npz", features=vectors, label=labels)
    data = {"emb": {"root": "data", "format": "embeddings", "files": {"features": "x.npz"}}}
    changes = {"name": "emb", "datasets": data, "backbones": ["embeddings"], "runs": ["hard", "ols"]}
    changes["train"] = MINI["train"] | {"epochs": 5, "lr": 0.1}
    snakemake(checkout, *write(checkout, **changes))
    assert "2 heads together" in " ".join(
        log.read_text() for log in (checkout / "results/emb").rglob("train.log")
    )
    metrics = pd.read_csv(checkout / "results/emb/metrics.csv")
    assert metrics.loc[metrics["metric"] == "top1_error", "value"].max() < 0.3
    assert "Embeddings" in (checkout / "results/emb/report.html").read_text()
