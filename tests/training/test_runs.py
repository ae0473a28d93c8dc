"""What a run writes, that runs of one seed are paired, and what stops a run."""

import shutil

import numpy as np
import pytest
import torch
from calibench.backbones.classifier import build
from calibench.backbones.pretrained import RESNET_CHILDREN, load_pretrained
from calibench.calibrators.temperature import best_temperature
from calibench.data.stored import read_store
from calibench.errors import UserError
from calibench.finished import names, read
from calibench.finished.network import load_network, load_weights
from calibench.metrics.probabilities import log_softmax
from calibench.stages import predict
from calibench.stages import train as train_stage
from calibench.training import job
from calibench.training.device import claim_gpu
from calibench.training.inference import refined_nll

from tests.training.conftest import CLASSES, contents, make_settings, train

FULL = {"input": "full", "dropout": None, "batch_norm_momentum": None, "zero_init_residual": False}


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(make_settings("ols"), store, folder)
    return folder


def test_outputs(finished, store):
    record = read.read_record(finished)
    assert record["run"] == {
        "dataset": "tiny",
        "backbone": "resnet20",
        "regime": "ols",
        "variant": "",
        "seed": 0,
    }
    history = read.history_lines(finished / names.HISTORY)
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
    logits, _ = read.read_part(finished, "last", "test")
    assert logits.shape == (15, CLASSES) and logits.dtype == np.float32
    assert len(read.read_index(finished, "val")) == 21
    assert read.read_features(finished, "train")[0].shape == (7, 64)
    matrix = read.read_state(finished)["matrix"]
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("features", [7, 0])
def test_the_list_of_outputs_is_what_a_run_writes(finished, store, tmp_path, features):
    folder = finished
    if not features:
        folder = tmp_path
        train(make_settings("ols", train={"epochs": 1, "features": 0}), store, folder)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    wanted = set(names.all_files(bool(features)))
    assert {name for name in found if not name.startswith("checkpoint")} == wanted


def test_refined_nll_is_that_of_the_post_hoc_temperature():
    draw = np.random.default_rng(0)
    for scale, targets in ((0.1, 7), (1, 7), (30, 7), (5, 1)):  # under- and overconfident, and always right
        logits = scale * draw.normal(size=(200, 7))
        true = draw.integers(0, targets, 200) if targets > 1 else logits.argmax(1)
        best = log_softmax(logits / best_temperature(logits, true))[np.arange(200), true]
        found = refined_nll(torch.from_numpy(logits), torch.from_numpy(true))
        assert found == pytest.approx(-best.mean(), abs=1e-7)


def test_the_refined_checkpoint_is_a_fourth_one(finished, store, tmp_path, monkeypatch):
    """Best validation NLL after temperature, also if the run is stopped between; all else is as without it."""
    settings = make_settings("ols", tables={"checkpoint": "refined"})

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(job, "_reporter", lambda epochs: stop)
        for _ in range(settings["train"]["epochs"]):
            with pytest.raises(KeyboardInterrupt):
                train(settings, store, tmp_path)
    assert "resumed at epoch 4" in train(settings, store, tmp_path)
    train(settings, store, tmp_path / "quiet")
    found = contents(tmp_path / "quiet")
    assert {name for name in found if "refined" in name} == {
        "weights/refined.safetensors",
        "predictions/refined/val.npy",
        "predictions/refined/test.npy",
    }
    assert contents(finished) == {name: data for name, data in found.items() if "refined" not in name}
    best = min(read.history_lines(tmp_path / names.HISTORY), key=lambda line: line["val_refined_nll"])
    assert read.read_record(tmp_path)["epochs"]["refined"] == best["epoch"]
    logits, index = read.read_part(tmp_path, "refined", "select")
    left = refined_nll(torch.from_numpy(logits), torch.from_numpy(index["target"].to_numpy(copy=True)))
    assert left == pytest.approx(best["val_refined_nll"], abs=1e-5)
    for path in tmp_path.glob("predictions/*/*.npy"):
        path.unlink()
    again = ["--record", str(tmp_path / names.RECORD), "--images", str(store / "images.npy")]
    predict.main([*again, "--device", "cpu", "--threads", "1"])
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith("quiet")} == found


def test_it_learns(finished):
    assert read.read_history(finished)["train_top1"].iloc[-1] > 0.5


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
    files = ["--record", str(finished / names.RECORD), "--images", str(store / "images.npy")]
    predict.main([*files, "--device", "cpu", "--threads", "1"])
    assert contents(finished) == before


def test_predicting_with_another_store_leaves_the_run_as_it_is(finished, store, tmp_path):
    other = shutil.copytree(store, tmp_path / "other")
    index = (other / "index.csv").read_text()
    (other / "index.csv").write_text(index.replace(",0,", ",1,", 1))
    before = contents(finished)
    with pytest.raises(UserError, match="trained on other images or labels than those in .*other"):
        predict.main(["--record", str(finished / "run.json"), "--images", str(other / "images.npy")])
    assert contents(finished) == before


@pytest.mark.parametrize(
    "regime", ["lsplus", "ls_matched", "tfkd_self"], ids=["predictions", "state", "network"]
)
def test_a_run_that_builds_on_another(finished, store, tmp_path, regime):
    """Its record is given to the stage; without it, or with one too many, nothing is trained."""
    settings, record = make_settings(regime, train={"epochs": 1}), str(finished / names.RECORD)
    for others in ([], [record, record]):
        with pytest.raises(UserError, match=f"needs these runs: .*--others names {len(others)}"):
            train(settings, store, tmp_path, "--others", *others)
    train(settings, store, tmp_path, "--others", record)
    assert read.read_keys(tmp_path)["regime"] == regime


def test_seed_pairs_regimes(store, tmp_path):
    """With LS at ε = 0 the run is `hard` to the bit: same initial weights, order, augmentation and dropout."""
    short = {"epochs": 1}
    train(make_settings("hard", "mobilenet_v2", train=short), store, tmp_path / "hard")
    train(
        make_settings("ls", "mobilenet_v2", train=short, regimes={"ls": {"eps": 0.0}}), store, tmp_path / "ls"
    )
    hard, ls = (load_weights(tmp_path / run, "last") for run in ("hard", "ls"))
    for key, value in hard.items():
        np.testing.assert_allclose(ls[key], value, atol=1e-4, err_msg=key)


def test_memory_map_and_resident_data_train_alike(finished, store, tmp_path):
    train(make_settings("ols", train={"resident": "never"}), store, tmp_path)
    assert contents(tmp_path)["weights/last.safetensors"] == contents(finished)["weights/last.safetensors"]


def test_nan_loss_names_the_step(store, tmp_path):
    with pytest.raises(UserError, match="not finite at epoch 1, step .*lower train.lr"):
        train(make_settings(train={"lr": 1e30}), store, tmp_path)


def test_label_noise_changes_train_labels_only(store, tmp_path):
    train(make_settings("hard+noisy"), store, tmp_path)
    targets = read.read_index(tmp_path, "val")["target"]
    _, index, _ = read_store(store)
    assert list(targets) == list(index.loc[index["split"] == "val", "target"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_asked_for_and_missing_stops_the_run(store, tmp_path):
    with pytest.raises(UserError, match="set train.device to cpu"):
        train(make_settings(train={"device": "cuda"}), store, tmp_path)


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

    model = build(name, 5, FULL).eval()
    with torch.inference_mode():
        features, logits = model.features_and_logits(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 5)
    assert features.shape == (1, model.head.in_features)


def test_radimagenet_headless_weights_load(tmp_path):
    import torch
    import torchvision

    network = torchvision.models.resnet50()
    numbers = dict(zip(RESNET_CHILDREN, range(8), strict=True))
    state = {
        f"backbone.{numbers[key.split('.')[0]]}.{key.split('.', 1)[1]}": value
        for key, value in network.state_dict().items()
        if not key.startswith("fc.")
    }
    torch.save(state, tmp_path / "ResNet50.pt")
    model = build("resnet50", 4, FULL)
    load_pretrained(model, tmp_path / "ResNet50.pt")
    assert torch.equal(model.body.layer3[2].conv2.weight, network.layer3[2].conv2.weight)
    with pytest.raises(Exception, match=r"layer 'conv1.weight' has shape"):
        small = build("resnet50", 4, FULL | {"input": "small"})
        load_pretrained(small, tmp_path / "ResNet50.pt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xx", "is not JSON"),
        ("[]", "must be a JSON object, found list"),
        ('{"train": {}}', "has no 'augment'"),
    ],
)
def test_settings_by_hand_are_checked(text, message, tmp_path):
    files = ["--images", str(tmp_path / "images.npy"), "--record", str(tmp_path / "run.json")]
    with pytest.raises(UserError, match=message):
        train_stage.main(["--settings", text, *files])


def test_a_network_of_timm_at_another_size_is_read_back(store, tmp_path):
    pytest.importorskip("timm", reason="timm is not installed: pip install 'calibench[timm]'")
    settings = make_settings(
        "hard", "timm.vit_tiny_patch16_224", model={"input": "full"}, train={"epochs": 1}
    )
    train(settings, store, tmp_path)
    images, index, classes = read_store(store)
    rows = index.loc[index["split"] == "test", "row"].to_numpy()
    model = load_network(tmp_path, classes, "last")
    pixels = torch.from_numpy(images[rows]).float().div(127.5).sub(1)[:, None].expand(-1, 3, -1, -1)
    logits, _ = read.read_part(tmp_path, "last", "test")
    np.testing.assert_allclose(model(pixels).numpy(), logits, atol=1e-4)
    assert read.read_record(tmp_path)["provenance"]["timm"]
