"""Whole runs on a GPU: no waiting within a step, resume, sharing, memory, precision, locks."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from calibench.errors import UserError
from calibench.regimes.catalog import catalog
from calibench.training import loop, optim
from calibench.training.ahead import ahead
from calibench.training.gpus import usable_gpus
from calibench.training.job import make_job
from calibench.training.step import batches

from tests.conftest import clean_environment
from tests.training.conftest import WORKFLOW, contents, make_settings, start, train
from tests.training.test_resume import wait_for_checkpoint

GPU = torch.device("cuda", 0)
PAPER = ["resnet50", "mobilenet_v2", "vgg19"]
# tables in main memory wait by their nature
NO_TABLE = {name: info for name, info in catalog().items() if "host_sample" not in info.needs}
ALONE = [name for name, info in NO_TABLE.items() if not info.other_runs]
MIXED = [{"mixup": 0.4}, {"cutmix": 1.0}, {"cutout": 0.5}, {"randaugment": {}}, {"pad_mode": "zero"}]


def on_gpu(run="ols", backbone="resnet20", **parts):
    """Settings of a run on the GPU with torchvision's own layers."""
    train_settings = {"device": "cuda", "precision": "auto", "epochs": 2, "lr": 0.01} | parts.pop("train", {})
    return make_settings(run, backbone, model={"input": "full"}, train=train_settings, **parts)


def steps(store, folder, **options):
    """A job on the GPU and a function that trains steps of it."""
    job = make_job(on_gpu(**options), store, folder, [], GPU)[0]
    job.model.train(), job.regime.train()
    optimizer = optim.make_optimizer(job.model, job.regime, job.settings["train"])
    guard, order = loop.LossGuard(job), np.arange(len(job.train.images))
    return lambda step: list(
        loop.train_step(job, optimizer, guard, 2, step, next(batches(job, 2, order, step)))
    )


@pytest.fixture
def no_waiting():
    """From ``no_waiting()`` on, torch refuses to wait for the device."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("run", ALONE)
def test_a_step_of_a_regime_never_waits(store, tmp_path, no_waiting, run):
    step = steps(store, tmp_path, run=run)
    step(1)  # the first may: kernels are loaded, counters read
    no_waiting()
    step(2)
    step(3)


@pytest.mark.parametrize("resident", ["always", "never"])
@pytest.mark.parametrize("augmented", MIXED, ids=lambda a: next(iter(a)))
def test_an_augmented_step_never_waits(store, tmp_path, no_waiting, augmented, resident):
    step = steps(store, tmp_path, augment=augmented, train={"resident": resident})
    for number in (1, 2, 3, 4):
        step(number)  # RandAugment finds out where pixels come from, once for each operation
    no_waiting()
    step(1)
    step(2)


def differing(one, other):
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.parametrize("backbone", PAPER)
def test_killed_run_resumes_bit_equal(store, tmp_path, backbone):
    settings = on_gpu(backbone=backbone, train={"checkpoint_minutes": 1e-9})
    train(settings, store, tmp_path / "straight")
    process = start(settings, store, tmp_path / "killed")
    wait_for_checkpoint(process, tmp_path / "killed", 0.2)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/run.json").exists()
    assert "resumed at epoch" in train(settings, store, tmp_path / "killed")
    assert not differing(contents(tmp_path / "killed"), contents(tmp_path / "straight"))


def test_memory_map_and_resident_train_alike(store, tmp_path):
    for resident in ("always", "never"):
        train(on_gpu(train={"resident": resident}), store, tmp_path / resident)
    assert not differing(contents(tmp_path / "always"), contents(tmp_path / "never"))


@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("backbone", ["resnet20", "mobilenet_v2", "vgg19"])
def test_a_graph_trains_as_the_same_steps_without(store, tmp_path, backbone, precision):
    """Also dropout, whose seed changes at every step, and a learning rate that decays in the second epoch."""
    options = {"batch_size": 8, "epochs": 3, "precision": precision, "clip_norm": 1.0}
    for graph in (True, False):
        told = train(
            on_gpu(backbone=backbone, train=options | {"cuda_graph": graph}), store, tmp_path / str(graph)
        )
        assert "no CUDA graph" not in told
    assert not differing(contents(tmp_path / "True"), contents(tmp_path / "False"))


def test_batches_made_ahead_are_those_made_when_needed(store, tmp_path):
    job = make_job(on_gpu(train={"resident": "never"}), store, tmp_path, [], GPU)[0]
    order, busy = np.arange(len(job.train.images)), torch.randn(4096, 4096, device=GPU)
    direct = [batch.images.clone() for batch in batches(job, 1, order)]
    for one, batch in zip(direct, ahead(batches(job, 1, order), GPU, True), strict=True):
        busy = busy @ busy  # the side stream is faster than this one
        assert torch.equal(one, batch.images)


def first_visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def test_two_runs_on_one_gpu_are_as_each_alone(store, tmp_path, monkeypatch):
    settings = {run: on_gpu(run, "mobilenet_v2", train={"epochs": 4}) for run in ("hard", "ols")}
    for run, wanted in settings.items():
        train(wanted, store, tmp_path / "alone" / run)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", first_visible())
    both = [
        start(wanted, store, tmp_path / "shared" / run, "--runs-per-gpu", "2")
        for run, wanted in settings.items()
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not any("waiting for one" in text for text in said)
    for run in settings:
        assert not differing(contents(tmp_path / "shared" / run), contents(tmp_path / "alone" / run))


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_precision_is_recorded_and_trains_alike(store, tmp_path):
    found = {}
    for precision in ("auto", "float32"):
        train(on_gpu(train={"precision": precision}), store, tmp_path / precision)
        record = json.loads((tmp_path / precision / "run.json").read_text())
        found[record["precision"]["training"]] = history(tmp_path / precision)[0]["loss"]
        assert record["precision"]["predictions"] == "float32 (IEEE)"
    if torch.cuda.get_device_capability()[0] >= 8:
        assert found["bfloat16"] == pytest.approx(found["float32 (convolutions in TF32)"], rel=0.05)


def test_gpu_and_cpu_train_alike(store, tmp_path):
    """The first epoch; later ones part, as rounding grows from step to step."""
    for device in ("cuda", "cpu"):
        train(on_gpu(train={"precision": "float32", "device": device}), store, tmp_path / device)
    gpu, cpu = (history(tmp_path / device)[0] for device in ("cuda", "cpu"))
    assert gpu["loss"] == pytest.approx(cpu["loss"], rel=0.02)


def test_too_little_memory_is_one_sentence(store, tmp_path):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-3)
    try:
        with pytest.raises(UserError, match=r"the GPU's memory is too small: .* lower train: batch_size"):
            train(on_gpu(backbone="vgg19", train={"batch_size": 56}), store, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


NAME = "from calibench.training.gpus import usable_gpus; print(list(usable_gpus()))"


def lock_names(visible):
    environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW), "CUDA_VISIBLE_DEVICES": visible}
    done = subprocess.run(
        [sys.executable, "-c", NAME], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_gpu_has_one_lock_however_it_is_named():
    uuid = next(iter(usable_gpus()))
    assert lock_names(first_visible()) == lock_names(
        uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    )


def test_every_mig_instance_has_a_lock_of_its_own():
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    instances = [word.rstrip(")") for word in listed.split() if word.startswith("MIG-")]
    if not instances:
        pytest.skip("no MIG instance on this machine")
    assert [lock_names(name) for name in instances] == [str([name]) for name in instances]
