"""What a run writes, that runs of one seed are paired, and what stops a run."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.backbones import classifier as models
from calibench.errors import UserError
from calibench.stages import predict
from calibench.stages import train as training_stage
from calibench.training import predicting as outputs
from calibench.training.device import claim_gpu
from safetensors.numpy import load_file

from tests.training.conftest import CLASSES, contents, make_settings, start, train

FULL = {"input": "full", "dropout": None, "batch_norm_momentum": None, "zero_init_residual": False}


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(make_settings("ols"), store, folder)
    return folder


def test_outputs(finished, store):
    record = json.loads((finished / "run.json").read_text())
    assert record["run"] == {
        "dataset": "tiny",
        "backbone": "resnet20",
        "regime": "ols",
        "variant": "",
        "seed": 0,
    }
    history = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2, 3]
    best = max(history, key=lambda line: line["val_top1"])
    assert record["epochs"]["top1"] == best["epoch"]
    assert {
        "loss",
        "val_nll",
        "lr",
        "images_per_second",
        "memory_mb",
        "matrix_entropy",
        "fallback_classes",
    } <= set(best)
    logits = np.load(finished / "predictions/last/test.npy")
    assert logits.shape == (15, CLASSES) and logits.dtype == np.float32
    assert len(pd.read_csv(finished / "predictions/val.csv")) == 21
    assert np.load(finished / "features/train.npy").shape == (7, 64)
    matrix = load_file(finished / "regime.safetensors")["matrix"]
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("features", [7, 0])
def test_the_list_of_outputs_is_what_a_run_writes(finished, store, tmp_path, features):
    folder = finished
    settings = make_settings("ols", train={"epochs": 1, "features": features})
    if not features:
        folder = tmp_path
        train(settings, store, folder)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {name for name in found if not name.startswith("checkpoint")} == set(outputs.names(settings))


def test_it_learns(finished):
    history = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    assert history[-1]["train_top1"] > 0.5


def test_equal_seeds_are_equal_and_other_seeds_are_not(finished, store, tmp_path):
    train(make_settings("ols"), store, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(finished)
    train(make_settings("ols", seed=1), store, tmp_path / "other")
    assert (
        contents(tmp_path / "other")["weights/last.safetensors"]
        != contents(finished)["weights/last.safetensors"]
    )


def test_predict_stage_writes_the_same_predictions(finished, store, monkeypatch):
    before = contents(finished)
    for path in finished.glob("predictions/*/*.npy"):
        path.unlink()
    predict.main(["--run-dir", str(finished), "--store", str(store), "--device", "cpu", "--threads", "1"])
    assert contents(finished) == before


def test_seed_pairs_regimes(store, tmp_path):
    """With LS at ε = 0 the run is `hard` to the bit: same initial weights, order, augmentation and dropout."""
    train(make_settings("hard", "mobilenet_v2"), store, tmp_path / "hard")
    train(make_settings("ls", "mobilenet_v2", regimes={"ls": {"eps": 0.0}}), store, tmp_path / "ls")
    hard, ls = (load_file(tmp_path / r / "weights/last.safetensors") for r in ("hard", "ls"))
    for key, value in hard.items():
        np.testing.assert_allclose(ls[key], value, atol=1e-4, err_msg=key)


def test_memory_map_and_resident_data_train_alike(finished, store, tmp_path):
    train(make_settings("ols", train={"resident": "never"}), store, tmp_path)
    assert contents(tmp_path)["weights/last.safetensors"] == contents(finished)["weights/last.safetensors"]


def test_nan_loss_names_the_step(store, tmp_path):
    process = start(make_settings(train={"lr": 1e30}), store, tmp_path)
    message = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "not finite at epoch 1, step" in message and "lower train: lr" in message


def test_label_noise_changes_train_labels_only(store, tmp_path):
    train(make_settings("hard+noisy"), store, tmp_path)
    targets = pd.read_csv(tmp_path / "predictions/val.csv")["target"]
    index = pd.read_csv(store / "index.csv")
    assert list(targets) == list(index.loc[index["split"] == "val", "target"])


def test_a_gpu_that_is_asked_for_and_missing_stops_the_run(store, tmp_path):
    process = start(make_settings(train={"device": "cuda"}), store, tmp_path)
    message = process.communicate(timeout=60)[1]
    if process.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert process.returncode == 2 and "train: device: cpu" in message


def test_each_run_takes_another_gpu(tmp_path):
    with (
        claim_gpu(["0", "1"], tmp_path, wait=False) as first,
        claim_gpu(["0", "1"], tmp_path, wait=False) as second,
    ):
        assert (first, second) == (0, 1)
        with (
            pytest.raises(Exception, match="all 2 visible GPUs"),
            claim_gpu(["0", "1"], tmp_path, wait=False),
        ):
            pass
    with claim_gpu(["0", "1"], tmp_path, wait=False) as again:
        assert again == 0


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "vgg19", "densenet121", "efficientnet_b0"])
def test_backbones_give_features_and_logits(name):
    import torch

    model = models.build(name, 5, FULL).eval()
    with torch.inference_mode():
        features, logits = model.features_and_logits(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 5)
    assert features.shape == (1, model.head.in_features)


def test_radimagenet_headless_weights_load(tmp_path):
    import torch
    import torchvision

    network = torchvision.models.resnet50()
    names = dict(zip(models.RESNET_CHILDREN, range(8), strict=True))
    state = {
        f"backbone.{names[key.split('.')[0]]}.{key.split('.', 1)[1]}": value
        for key, value in network.state_dict().items()
        if not key.startswith("fc.")
    }
    torch.save(state, tmp_path / "ResNet50.pt")
    model = models.build("resnet50", 4, FULL)
    models.load_pretrained(model, tmp_path / "ResNet50.pt")
    assert torch.equal(model.body.layer3[2].conv2.weight, network.layer3[2].conv2.weight)
    with pytest.raises(Exception, match=r"layer 'conv1.weight' has shape"):
        small = models.build("resnet50", 4, FULL | {"input": "small"})
        models.load_pretrained(small, tmp_path / "ResNet50.pt")


@pytest.mark.parametrize(
    ("text", "message"),
    [("xx", "is not JSON"), ("[]", "lacks 'augment'"), ('{"train": {}}', "lacks 'augment'")],
)
def test_settings_by_hand_are_checked(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        training_stage.main(
            ["--settings", text, "--store", str(tmp_path), "--run-dir", str(tmp_path / "run")]
        )
