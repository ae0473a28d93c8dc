"""Which GPU a run takes: made-up GPUs of every kind, MIG instances, and several runs on one."""

from types import SimpleNamespace

import pytest
import torch
from calibench.errors import UserError
from calibench.training import gpus

LOCKED = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def machine(monkeypatch):
    """``machine((7, 0), (8, 0))`` gives this process GPUs of these capabilities."""

    def make(*capabilities, built_for=LOCKED):
        cuda = {
            "device_count": lambda: len(capabilities),
            "get_device_capability": lambda i: capabilities[i],
            "get_device_name": lambda i: f"GPU of sm_{capabilities[i][0]}{capabilities[i][1]}",
            "get_device_properties": lambda i: SimpleNamespace(uuid=f"uuid-{i}"),
            "get_arch_list": lambda: list(built_for),
        }
        for name, function in cuda.items():
            monkeypatch.setattr(torch.cuda, name, function)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return make


def test_a_gpu_without_kernels_is_told(machine):
    machine((7, 0))
    with pytest.raises(
        UserError, match=r"no kernels for GPU of sm_70 \(sm_70\), only for sm_75.* TORCH=cu126"
    ):
        gpus.usable_gpus()


def test_a_gpu_without_kernels_is_passed_over(machine):
    machine((7, 0), (8, 0), (6, 1), (9, 0))
    assert gpus.usable_gpus() == {"uuid-1": 1, "uuid-3": 3}


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 9), LOCKED, True),  # kernels of sm_86 run on sm_89
        ((12, 1), LOCKED, True),
        ((7, 0), LOCKED, False),
        ((11, 0), LOCKED, False),
        ((11, 0), [*LOCKED, "compute_90"], True),  # compiled at its first use
        ((9, 0), ["sm_90a"], True),
        ((8, 0), ["sm_86"], False),
    ],
)
def test_which_kernels_run_where(capability, built_for, runs):
    assert gpus._runs_on(capability, built_for) == runs


@pytest.mark.parametrize(
    ("visible", "name"),
    [
        (None, "uuid-0"),
        ("0", "uuid-0"),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "uuid-0"),
        ("MIG-11c29e81-e611-50b5-b5ef-609c0a0fe58b", "MIG-11c29e81-e611-50b5-b5ef-609c0a0fe58b"),
        ("MIG-GPU-8932f937/1/0,MIG-GPU-8932f937/2/0", "MIG-GPU-8932f937/1/0"),
    ],
)
def test_mig_instances_of_one_gpu_have_locks_of_their_own(machine, monkeypatch, visible, name):
    machine((9, 0))
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.usable_gpus() == {name: 0}


@pytest.mark.parametrize(
    ("files", "hidden", "there"),
    [
        ([], None, False),
        (["nvidiactl", "nvidia-uvm", "nvidia-caps"], None, False),
        (["nvidia0"], None, True),
        (["nvidia7"], None, True),  # a container that was given one of eight
        (["dxg"], None, True),  # WSL
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
    ],
)
def test_a_machine_with_a_gpu_is_known_by_its_devices(monkeypatch, tmp_path, files, hidden, there):
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus.has_gpu() == there


def claim(folder, runs, names=("a", "b")):
    return gpus.claim_gpu(list(names), folder, wait=False, runs_per_gpu=runs)


def test_runs_that_share_fill_every_gpu_before_they_double(tmp_path):
    with claim(tmp_path, 2) as one, claim(tmp_path, 2) as two, claim(tmp_path, 2) as three:
        assert (one, two, three) == (0, 1, 0)
        with claim(tmp_path, 2) as four, pytest.raises(UserError, match="all 2 visible GPUs are in use"):
            assert four == 1
            claim(tmp_path, 2).__enter__()


def test_a_run_that_wants_a_gpu_alone_has_it_alone(tmp_path):
    with claim(tmp_path, 4, ["a"]):
        with pytest.raises(UserError, match="are in use"):
            claim(tmp_path, 1, ["a"]).__enter__()
        with claim(tmp_path, 4, ["a"]):
            pass
    with claim(tmp_path, 1, ["a"]), pytest.raises(UserError, match="are in use"):
        claim(tmp_path, 4, ["a"]).__enter__()
    with claim(tmp_path, 1, ["a"]):
        pass
