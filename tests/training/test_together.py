"""Heads that are trained together are those that are trained alone."""

import json
import logging
import signal
import threading

import numpy as np
import pytest
import torch
from calibench.backbones.heads import Head, Products
from calibench.errors import UserError
from calibench.finished import names
from calibench.training import groups, loop, together
from calibench.training.job import train_run

from tests.training.conftest import contents, make_settings, train, write_store

RUNS = ("hard", "ols", "lspp", "focal", "acls", "ecp")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A store of features of which the class can be learnt."""
    folder = write_store(
        tmp_path_factory.mktemp("vectors") / "store", {"train": 56, "select": 12, "calibrate": 9, "test": 15}
    )
    images = np.load(folder / "images.npy")
    np.save(folder / "images.npy", images.reshape(len(images), -1).astype(np.float32) / 255)
    return folder


def head(run, regimes=None, **train):
    train = {"epochs": 3, "lr": 0.05, "batch_size": 10} | train
    return make_settings(run, "embeddings", train=train, regimes=regimes or {})


@pytest.fixture(scope="module")
def alone(vectors, tmp_path_factory):
    """The files of each head, trained by itself."""
    folder = tmp_path_factory.mktemp("alone")
    for run in RUNS:
        train(head(run), vectors, folder / run)
    return {run: contents(folder / run) for run in RUNS}


def group(vectors, folder, settings, others=()):
    """The runs as Snakemake's process lists them; the others are by the name of their regime."""
    of = {f"{folder}/{other}/run.json": settings_of for other, settings_of in dict(others).items()}
    same = {"images": str(vectors / "images.npy"), "others": of, "stage_store": 0}
    return [
        same | {"settings": found, "record": f"{folder}/{run}/run.json"} for run, found in settings.items()
    ]


def train_together(vectors, folder, settings):
    """The files of each head, trained together and then taken by its own command."""
    together.train(group(vectors, folder, settings))
    for run, found in settings.items():
        train_run(found, vectors, folder / run, [])
    return {run: contents(folder / run) for run in settings}


def test_weights_are_those_of_a_head_alone(vectors, alone, tmp_path, monkeypatch):
    served, logits = [], Products.logits
    monkeypatch.setattr(Products, "logits", lambda *given: served.append(1) or logits(*given))
    settings = {run: head(run) for run in RUNS} | {"ls": head("ls", epochs=2, lr=0.01, clip_norm=0.1)}
    found = train_together(vectors, tmp_path, settings)
    train(settings["ls"], vectors, tmp_path / "by itself")
    assert found == alone | {"ls": contents(tmp_path / "by itself")}
    # 6 steps an epoch, of which the first makes its own product; twice in the look for equal bits
    assert len(served) == 7 * 5 * 2 + 6 * 5 + 2 * 7


def test_only_the_command_of_a_run_puts_its_outputs_to_their_places(vectors, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    runs = group(vectors, tmp_path, {run: head(run) for run in RUNS[:2]})
    together.train(runs)
    assert not (tmp_path / "ols" / names.RECORD).exists()
    monkeypatch.setattr(loop, "steps", None)  # nothing is trained any more
    train_run(head("ols"), vectors, tmp_path / "ols", [])
    record = json.loads((tmp_path / "ols" / names.RECORD).read_text())
    history = [json.loads(line) for line in (tmp_path / "ols/history.jsonl").read_text().splitlines()]
    spent = sum(line["seconds"] for line in history)
    assert record["provenance"]["training_seconds"] == pytest.approx(spent / 2)
    together.train(runs)


@pytest.mark.parametrize("same", [True, False])
def test_stopped_heads_go_on_bit_for_bit(vectors, alone, tmp_path, monkeypatch, same):
    """All stopped in the second epoch; or one that had been trained alone for a while, so that the others must catch up."""
    calls, step = [], loop.train_step

    def stopping(*arguments):
        yield from step(*arguments)
        calls.append(1)
        if len(calls) == 9 * (len(RUNS) if same else 1):
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", stopping)
        with pytest.raises(loop.Interrupted):
            if same:
                together.train(group(vectors, tmp_path, {run: head(run) for run in RUNS}))
            else:
                train_run(head(RUNS[0]), vectors, tmp_path / RUNS[0], [])
    assert train_together(vectors, tmp_path, {run: head(run) for run in RUNS}) == alone


def test_heads_that_were_trained_but_not_written_are_only_written(vectors, alone, tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(together, "finish", lambda *_, **__: 1 / 0)
        together.train(group(vectors, tmp_path, {run: head(run) for run in RUNS}))
    monkeypatch.setattr(loop, "train_step", None)
    assert train_together(vectors, tmp_path, {run: head(run) for run in RUNS}) == alone


def test_a_head_that_fails_leaves_the_others_alone(vectors, alone, tmp_path, caplog):
    wrong = {"mbls": head("mbls", lr=1e30), "zipf": head("zipf")}
    settings = {"hard": head("hard"), **wrong, "ols": head("ols")}
    together.train(group(vectors, tmp_path, settings))
    assert "loss is not finite" in caplog.text and "zipf: mode dense" in caplog.text
    for run in ("hard", "ols"):
        train_run(settings[run], vectors, tmp_path / run, [])
        assert contents(tmp_path / run) == alone[run]
    with pytest.raises(UserError, match="loss is not finite"):
        train_run(settings["mbls"], vectors, tmp_path / "mbls", [])


def test_heads_that_need_other_runs_take_those_that_were_just_trained(vectors, tmp_path):
    hard = head("hard")
    wanted = {"lsplus": head("lsplus"), "kd": head("kd", regimes={"kd": {"teacher": "embeddings/hard"}})}
    runs = group(vectors, tmp_path, wanted, {"hard": hard})
    together.train(runs)
    assert not list(tmp_path.rglob("state.pt")), "nothing can be trained yet"
    together.train(group(vectors, tmp_path, {"hard": hard, "ls": head("ls")}))
    together.train(runs)
    train_run(hard, vectors, tmp_path / "hard", [])
    for run, found in wanted.items():
        train_run(found, vectors, tmp_path / run, [])
        train_run(found, vectors, tmp_path / "alone" / run, [tmp_path / "hard"])
        assert contents(tmp_path / run) == contents(tmp_path / "alone" / run)


@pytest.mark.parametrize("classes", [2, 11, 20])
def test_products_are_those_of_each_head(classes):
    torch.manual_seed(0)
    heads, features = [Head(64, classes) for _ in range(9)], torch.randn(30, 64)
    products, weights = Products(heads), torch.randn(9, classes)
    with products.sharing():
        made = [head(features) for head in heads]
        for logits, weight in zip(made, weights, strict=True):
            (logits * weight).sum().backward()
    for head, logits, weight in zip(heads, made, weights, strict=True):
        torch.testing.assert_close(logits, features @ head.weight.T + head.bias)
        torch.testing.assert_close(head.weight.grad, weight[:, None] * features.sum(0))
        torch.testing.assert_close(head.bias.grad, 30 * weight)
        assert not torch.equal(head(torch.randn(30, 64)), logits)


def listed(tmp_path, monkeypatch, seeds):
    monkeypatch.setenv(groups.FOLDER, "")
    runs = [
        {
            "settings": json.dumps(make_settings(run, "embeddings", seed)),
            "images": "images.npy",
            "record": f"{run}/seed{seed}/run.json",
            "others": [],
            "stage_store": 0,
        }
        for seed in seeds
        for run in ("hard", "ols")
    ]
    groups.write(runs)


def test_a_job_that_finds_its_group_in_work_trains_another(tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, seeds=(0, 1, 2))
    trained, begun, release = [], threading.Event(), threading.Event()

    def slow(runs):
        begun.set()
        assert release.wait(60)
        trained.append([run["record"] for run in runs])

    def quick(runs):
        trained.append([run["record"] for run in runs])
        if len(trained) == 2:
            release.set()

    first = threading.Thread(
        target=groups.train_with_others, args=("hard/seed1/run.json", "images.npy", slow)
    )
    first.start()
    assert begun.wait(60)
    groups.train_with_others("ols/seed1/run.json", "images.npy", quick)
    first.join()
    of = [[f"{run}/seed{seed}/run.json" for run in ("hard", "ols")] for seed in (2, 0, 1)]
    assert trained == of
    for record in ("ols/seed2/run.json", "other/run.json"):
        groups.train_with_others(record, "images.npy", quick)
    assert trained == of
