"""Recorded steps: what is recorded here on the CPU is repeated as a CUDA graph would, on the same memory and without Python."""

import logging

import pytest
import torch
from calibench.regimes.catalog import catalog
from calibench.regimes.hard import Hard
from calibench.training import graphs, loop
from calibench.training.job import make_job
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.training.conftest import make_settings

CPU = torch.device("cpu")
ALONE = sorted(
    name
    for name, regime in catalog().items()
    if not (regime.other_runs or regime.combines or set(regime.needs) - graphs.IN_MEMORY)
)


class Through(TorchDispatchMode):
    """Changes nothing, but inside any such mode gradients of a MobileNetV2 differ in their last bits."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return function(*arguments, **(options or {}))


class Recorder(TorchDispatchMode):
    """Notes every operation."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        results = function(*arguments, **(options or {}))
        self.calls.append((function, arguments, options or {}, results))
        return results


def recorder_of(job, optimizer, recorded):
    """As ``graphs.on_gpu``: the operations, which are repeated into the memory of their first results."""

    def record(work):
        averages = [a for group in optimizer.averages for a in group]
        tensors = [*job.model.state_dict().values(), *job.regime.state_dict().values(), *averages]
        before, drawn = [t.clone() for t in tensors], torch.get_rng_state()
        with Recorder() as recorder:
            results = work()
        for tensor, value in zip(tensors, before, strict=True):
            tensor.detach().copy_(value)
        torch.set_rng_state(drawn)
        recorded.append(len(recorder.calls))
        return lambda: repeat(recorder.calls), results

    return record


@torch.no_grad()
def repeat(calls):
    for function, arguments, options, results in calls:
        again = function(*arguments, **options)
        for old, new in zip(tree_leaves(results), tree_leaves(again), strict=True):
            if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)


def trained(store, folder, monkeypatch, graph, run="hard", backbone="resnet20", **train):
    """A run, with or without recorded steps, and the number of operations of each recording."""
    settings = make_settings(run, backbone, train={"epochs": 3, "batch_size": 8, "clip_norm": 1.0} | train)
    settings["model"]["dropout"] = 0.5
    job = make_job(settings, store, folder, [], CPU)[0]
    recorded = []

    def of(job, optimizer):
        return graphs.StepGraph(job, optimizer, recorder_of(job, optimizer, recorded)) if graph else None

    monkeypatch.setattr(graphs.StepGraph, "of", of)
    with Through():
        loop.fit(job)
    return job, recorded


def states(job):
    measured = ("images_per_second", "seconds", "memory_mb")
    history = [{k: v for k, v in line.items() if k not in measured} for line in job.history]
    return [*job.model.state_dict().values(), *job.regime.state_dict().values()], history


@pytest.mark.parametrize(
    ("run", "backbone"), [*((run, "resnet20") for run in ALONE), ("ols", "mobilenet_v2")]
)
def test_weights_are_those_without_a_graph(store, tmp_path, monkeypatch, run, backbone):
    pair = [trained(store, tmp_path / str(on), monkeypatch, on, run, backbone) for on in (True, False)]
    (one, history), (other, same) = (states(job) for job, _ in pair)
    assert all(map(torch.equal, one, other)) and str(history) == str(same)
    assert pair[0][1][0] > 50  # operations


def test_a_resumed_run_records_anew(store, tmp_path, monkeypatch):
    straight, _ = trained(store, tmp_path / "straight", monkeypatch, False, "ols")
    calls, step = [], graphs.StepGraph.step

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        step(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(graphs.StepGraph, "step", stop)
        trained(store, tmp_path / "stopped", patched, True, "ols")
    again, recorded = trained(store, tmp_path / "stopped", monkeypatch, True, "ols")
    assert recorded and all(map(torch.equal, states(straight)[0], states(again)[0]))


def test_a_step_that_moves_its_state_is_not_recorded(store, tmp_path, monkeypatch, caplog):
    """A regime that counts steps in Python, or puts a new tensor in the place of a buffer, would repeat its first step."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(
        Hard, "observe", lambda self, *_, **__: setattr(self, "steps", getattr(self, "steps", 0) + 1)
    )
    job, recorded = trained(store, tmp_path, monkeypatch, True)
    assert not recorded and job.regime.steps == 21
    assert "a step moves the state of the regime hard" in caplog.text


@pytest.mark.parametrize(
    ("run", "parts", "why"),
    [
        ("hard", {}, "it trains on the CPU"),
        ("disturb", {"train": {"device": "cuda"}}, "regime disturb needs step_seed"),
        ("hard", {"augment": {"mixup": 0.4}}, "mixup and cutmix"),
        ("hard", {"train": {"optimizer": "adam"}}, "the optimizer is adam"),
    ],
)
def test_runs_that_cannot_be_recorded_say_why(store, tmp_path, caplog, run, parts, why):
    caplog.set_level(logging.INFO)
    settings = make_settings(run, **parts)
    settings["train"]["cuda_graph"] = True
    job = make_job(settings, store, tmp_path, [], CPU)[0]
    if why != "it trains on the CPU":
        job.device = torch.device("cuda")
    assert graphs.StepGraph.of(job, None) is None
    assert why in caplog.text
