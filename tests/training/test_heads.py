"""Heads on features of a network that is not trained, and data sets that are embeddings."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from calibench.backbones import classifier
from calibench.data import embeddings
from calibench.data.corruptions import corrupt
from calibench.data.stored import read_store
from calibench.data.vectors import Vectors
from calibench.errors import UserError
from calibench.finished import read
from calibench.finished.network import load_network
from calibench.finished.write import save_tensors
from calibench.metrics import measure
from calibench.stages import evaluate
from calibench.stages import features as features_stage
from calibench.stages import predict as predict_stage
from calibench.training import loop

from tests.training.conftest import SIZE, contents, make_settings, train

MODEL = {"input": "small", "dropout": None, "batch_norm_momentum": None, "zero_init_residual": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet20.safetensors"
    save_tensors(path, classifier.build("resnet20", 3, MODEL).state_dict())
    return path


def write_features(store, weights, folder, copies=0):
    settings = {
        **{"backbone": "resnet20", "model": MODEL | {"weights": str(weights)}, "input_size": SIZE},
        **{
            "copies": copies,
            "augment": make_settings()["augment"],
            "memory_format": "channels_last",
            "batch_size": 32,
        },
    }
    files = {"--out": "images.npy", "--out-index": "index.csv", "--out-classes": "classes.csv"}
    options = [word for key, name in files.items() for word in (key, str(folder / name))]
    options += ["--settings", json.dumps(settings), "--images", str(store / "images.npy"), "--device", "cpu"]
    features_stage.main([*options, "--out-report", str(folder / "features.json")])
    return folder


@pytest.fixture(scope="module")
def vectors(store, weights, tmp_path_factory):
    return write_features(store, weights, tmp_path_factory.mktemp("features"))


def frozen(run, weights, **parts):
    parts = {"train": {"epochs": 3, "input_size": SIZE, "lr": 0.003} | parts.pop("train", {})} | parts
    return make_settings(run, model={"freeze": "body", "weights": str(weights)}, **parts)


@pytest.mark.parametrize("run", ["ols", "pencil"])
def test_a_head_is_a_run_like_any_other_and_predicts_images_again(store, vectors, weights, tmp_path, run):
    train(frozen(run, weights), vectors, tmp_path)
    history = read.history_lines(tmp_path / "history.jsonl")
    learnt = history[-1]["loss"] < history[0]["loss"]
    assert len(history) == 3 and (learnt or run == "pencil")  # whose loss is another in each phase
    logits, _ = read.read_part(tmp_path, "top1", "test")
    before = contents(tmp_path)
    for folder, exact in ((vectors, True), (store, False)):
        predict_stage.main(
            [
                "--record",
                str(tmp_path / "run.json"),
                "--images",
                str(folder / "images.npy"),
                "--device",
                "cpu",
            ]
        )
        again, _ = read.read_part(tmp_path, "top1", "test")
        np.testing.assert_allclose(again, logits, atol=1e-5)
        assert not exact or contents(tmp_path) == before
    body = load_network(tmp_path, 3).body.state_dict()
    assert all(
        torch.equal(body[key], value)
        for key, value in load_network(tmp_path, 3, "last").body.state_dict().items()
    )


def test_a_frozen_body_is_asked_about_changed_images(store, vectors, weights, tmp_path):
    """Body and head see them: logits are those of features of the changed images, and an attack reaches the pixels."""
    run, worse = tmp_path / "run", shutil.copytree(store, tmp_path / "worse")
    train(frozen("hard", weights), vectors, run)
    before = contents(run)
    sets = {"corruptions": {"names": ["blur"], "severities": [5]}}
    sets |= {"attacks": {"fgsm8": {"method": "fgsm", "eps": 8}}}
    record = ["--record", str(run / "run.json"), "--threads", "1"]
    evaluate.main([*record, "--images", str(store / "images.npy"), "--settings", json.dumps(sets)])
    after = contents(run)
    assert {name: after[name] for name in before} == before

    def nll(split):
        logits, index = read.read_part(run, "top1", split)
        return measure(logits, index["target"].to_numpy())["nll"]

    assert nll("test@fgsm8") > nll("test")
    images = np.load(store / "images.npy")
    blurred = [corrupt(image, "blur", 5, 0, row) for row, image in enumerate(images)]
    np.save(worse / "images.npy", np.stack(blurred))
    features = write_features(worse, weights, tmp_path / "features")
    predict_stage.main([*record, "--images", str(features / "images.npy"), "--device", "cpu"])
    pair = [read.read_part(run, "top1", split)[0] for split in ("test@blur5", "test")]
    np.testing.assert_allclose(*pair, atol=1e-5)


def test_a_teacher_of_a_head_is_a_head(vectors, weights, tmp_path):
    teacher, student = tmp_path / "hard", tmp_path / "kd"
    train(frozen("hard", weights), vectors, teacher)
    settings = frozen("kd", weights, regimes={"kd": {"teacher": "resnet20/hard", "alpha": 1.0}})
    train(settings, vectors, student, "--others", str(teacher / "run.json"))
    both = [read.read_part(folder, "last", "test")[0].argmax(1) for folder in (teacher, student)]
    assert (both[0] == both[1]).mean() > 0.6


@pytest.mark.parametrize("copies", [0, 2])
def test_a_stopped_head_goes_on_bit_for_bit(store, weights, tmp_path, monkeypatch, copies):
    vectors = write_features(store, weights, tmp_path / "features", copies)
    settings = frozen("ols", weights)
    train(settings, vectors, tmp_path / "straight")
    steps, real = [], loop.train_step

    def stopping(*arguments):
        yield from real(*arguments)
        steps.append(1)
        if len(steps) == 9:  # in the second epoch
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(SystemExit):
        train(settings, vectors, tmp_path / "stopped")
    assert "resumed at epoch 2, step 3" in train(settings, vectors, tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


def test_training_draws_among_the_copies(store, weights, tmp_path):
    folder = write_features(store, weights, tmp_path, copies=2)
    values, index, _ = read_store(folder)
    assert len(values) == len(index) + 2 * 56
    rows = index.loc[index["split"] == "train", "row"].to_numpy()
    copies = np.arange(len(index), len(values)).reshape(2, -1)
    found = Vectors(values, rows, torch.device("cpu"), copies)
    drawn = found.augmented(np.arange(56), np.random.default_rng(0)).numpy()
    which = [[np.array_equal(drawn[i], values[copies[c, i]]) for c in range(2)] for i in range(56)]
    assert np.array(which).any(0).all() and np.array(which).any(1).all()
    assert not np.array_equal(values[copies[0]], values[copies[1]])
    np.testing.assert_array_equal(found.batch(np.arange(3)).numpy(), values[rows[:3]])


def test_a_damaged_store_of_features_is_told(vectors, tmp_path):
    for name in ("index.csv", "classes.csv"):
        (tmp_path / name).write_bytes((vectors / name).read_bytes())
    np.save(tmp_path / "images.npy", np.zeros((93, 4), np.float32))
    with pytest.raises(UserError, match="index.csv has 92 rows, but images.npy 93"):
        read_store(tmp_path)


COLUMNS = {"label": [0, 1, 0, 1, 0, 1], "split": ["train", "train", "val", "val", "test", "test"]}
VECTORS = np.arange(12, dtype=np.float32).reshape(6, 2)


def given(folder, kind):
    """``files`` of a data set of embeddings of this kind."""
    if kind == "npz":
        np.savez(folder / "x.npz", features=VECTORS, **{k: np.array(v) for k, v in COLUMNS.items()})
    elif kind == "npy":
        np.save(folder / "x.npy", VECTORS)
        pd.DataFrame(COLUMNS).to_csv(folder / "x.csv", index=False)
        return {"features": "x.npy", "list": "x.csv"}
    else:
        pd.DataFrame(COLUMNS).assign(features=list(VECTORS)).to_parquet(folder / "x.parquet")
    return {"features": f"x.{kind}"}


@pytest.mark.parametrize("kind", ["npz", "npy", "parquet"])
def test_embeddings_are_read(tmp_path, kind):
    frame, values = embeddings.load({"name": "x", "files": given(tmp_path, kind)}, tmp_path)
    assert frame["label"].tolist() == ["0", "1"] * 3 and frame["split"].tolist() == COLUMNS["split"]
    assert frame["filename"][5] == "00000005" and (frame["group"] == "").all()
    np.testing.assert_array_equal(values, VECTORS)
    embeddings.write(tmp_path / "out.npy", values, ["00000004", "00000001"])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), VECTORS[[4, 1]])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"features": VECTORS}, "'label' is missing; it has nothing but vectors"),
        ({"features": VECTORS, "label": np.zeros(5)}, r"6 vectors, but 'label' has the shape \(5,\)"),
        ({"features": VECTORS.astype(int), "label": np.zeros(6)}, "float numbers"),
        (
            {"features": np.where(VECTORS == 1, np.nan, VECTORS), "label": np.zeros(6)},
            "vector 0 is not finite",
        ),
        ({"label": np.zeros(6)}, "cannot be read"),
        ({"features": VECTORS, "label": np.array([{}] * 6)}, "nothing was unpickled"),
    ],
)
def test_embeddings_that_cannot_be_right_are_told(tmp_path, arrays, sentence):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=sentence):
        embeddings.load({"name": "x", "files": {"features": "x.npz"}}, tmp_path)
