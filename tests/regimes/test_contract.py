"""What every regime promises, whatever its formula; found through the catalog, a new one is tested too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import Regime, build
from calibench.regimes.catalog import catalog
from regime_cases import CASES, resumed, same_state
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

NAMES = list(catalog())
each_regime = pytest.mark.parametrize("name", NAMES)
CLASSES, TRAIN_SIZE = 5, 40


def ready(name, classes=CLASSES):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # for weights of its own
    regime = build(name, classes)
    matrix = torch.rand(classes, classes, generator=generator)
    if regime.inputs:
        regime.prepare(
            val_logits=torch.randn(30, classes, generator=generator),
            val_targets=torch.arange(30) % classes,
            matrix=matrix / matrix.sum(1, keepdim=True),
            other_settings={"alpha": 0.5, "weights": "mix"},
            train_size=TRAIN_SIZE,
            epochs=4,
            stage_shapes=[[8, 4, 4], [5, 4, 4], [6, 2, 2]],
        )
    return regime


def extras(regime, logits, step):
    """All extras there are; only those of ``needs`` are handed on."""
    generator = torch.Generator().manual_seed(100 + step)
    batch, classes = logits.shape
    torch.manual_seed(0)
    everything = {
        "features": torch.randn(batch, 6, generator=generator),
        "feature_map": torch.randn(batch, 6, 2, 2, generator=generator),
        "classifier": nn.Linear(6, classes),
        "teacher_logits": torch.randn(batch, classes, generator=generator),
        "sample": torch.randperm(TRAIN_SIZE, generator=generator)[:batch],
        "step_seed": step,
        "stages": [torch.randn(batch, c, 4, 4, generator=generator) for c in (8, 5)],
        "second_view": (
            torch.randn(batch, classes, generator=generator),
            torch.randn(batch, 6, generator=generator),
        ),
    }
    everything["host_sample"] = everything["sample"]
    together = {"plain_logits": ("plain_logits", "eval_logits")}
    for key in ("plain_logits", "eval_logits"):
        everything[key] = torch.randn(batch, classes, generator=generator)
    return {key: everything[key] for need in regime.needs for key in together.get(need, (need,))}


def train(regime, steps, classes=CLASSES, learning_rate=0.1):
    """Steps of a linear model on fixed images; returns its weight. A pure function of state and steps."""
    weight = nn.Parameter(torch.zeros(8, classes))
    groups = [{"params": [weight]}, *regime.parameter_groups(learning_rate, 0.0)]
    optimizer = torch.optim.SGD(groups, lr=learning_rate)
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 8, generator=generator)
        targets = torch.randint(classes, (8,), generator=generator)
        logits = images @ weight + 0.5 * torch.randn(8, classes, generator=generator)
        optimizer.zero_grad()
        regime(logits, targets, **extras(regime, logits, step)).backward()
        optimizer.step()
        if step % 4 == 3:
            regime.validated(logits.detach(), targets)
            if regime.reviews:
                regime.review(logits.detach(), targets)
            regime.close_epoch()
        weight.data = weight.data.clone()
    return weight.detach()


@each_regime
def test_catalog_and_class_agree(name):
    info, regime = catalog()[name], build(name, 3)
    assert isinstance(regime, Regime)
    for key in ("name", "label", "source", "needs", "inputs", "other_runs"):
        assert getattr(info, key) == getattr(type(regime), key), key
    assert info.shows_matrix == regime.shows_matrix
    assert info.source and set(info.other_runs) <= set(info.settings)
    assert not regime.shows_matrix or regime.matrix.shape == (3, 3)
    assert all("/" in info.settings[key] for key in info.other_runs)


def test_labels_tell_regimes_apart():
    labels = [info.label for info in catalog().values()]
    assert len(set(labels)) == len(labels)


@each_regime
@pytest.mark.parametrize("case", CASES)
def test_every_input_gives_a_finite_loss_and_gradient(name, case):
    logits, targets = CASES[case]
    regime = ready(name, logits.shape[1])
    for epoch in range(2):
        leaf = logits.clone().requires_grad_()
        loss = regime(leaf, targets, **extras(regime, logits, epoch))
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite()
        assert leaf.grad.dtype == logits.dtype and leaf.grad.isfinite().all() and leaf.grad.any()
        regime.validated(logits, targets)
        report = regime.close_epoch()
        assert all(type(v) is float and v == v for v in report.values())


@each_regime
@pytest.mark.parametrize("cut", [2, 6])
def test_state_survives_a_resume_in_the_middle_of_an_epoch(name, cut, tmp_path):
    straight, half, again = ready(name), ready(name), build(name, CLASSES)
    train(straight, range(cut)), train(half, range(cut))
    save_file(half.state_dict(), tmp_path / "regime.safetensors")
    again.load_state_dict(load_file(tmp_path / "regime.safetensors"))
    same_state(half, again)
    assert torch.equal(train(straight, range(cut, 10)), train(again, range(cut, 10)))
    same_state(straight, again)


@each_regime
def test_no_other_random_numbers_are_drawn(name):
    regime = ready(name)
    logits = CASES["odd_batch"][0]
    given = extras(regime, logits, 0)
    before = torch.get_rng_state()
    regime(logits, CASES["odd_batch"][1], **given)
    regime.close_epoch()
    assert torch.equal(before, torch.get_rng_state())


class Operations(TorchDispatchMode):
    """Remembers the operators that ran."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*NAMES, "ols every 3"])
def test_a_step_never_waits_for_the_device(name):
    regime = build("ols", CLASSES, update_every=3) if " " in name else ready(name)
    logits, targets = CASES["odd_batch"]
    given = extras(regime, logits, 0)
    regime(logits, targets, **given)  # the first step after a start may ask once
    with Operations() as operations:
        regime(logits.clone().requires_grad_(), targets, **given).backward()
    waiting = {"_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero", "unique"}
    assert not operations.seen & waiting


@each_regime
def test_evaluation_mode_changes_no_state(name):
    regime = ready(name)
    train(regime, range(6))
    before = {k: v.clone() for k, v in regime.state_dict().items()}
    logits, targets = CASES["odd_batch"]
    regime.eval()(logits, targets, **extras(regime, logits, 1))
    for key, value in regime.state_dict().items():
        assert torch.equal(before[key], value)


@each_regime
def test_autocast_leaves_the_loss_in_float32(name):
    logits, targets = CASES["odd_batch"]
    plain, cast = ready(name), ready(name)
    given = extras(plain, logits, 0)
    if "feature_map" in given:
        given["feature_map"] = torch.ones(7, 6, 1, 1)  # one clear vote, the same in bf16
    expected = plain(logits, targets, **given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = cast(logits, targets, **given)
    assert got.dtype == torch.float32 and torch.allclose(got, expected, rtol=1e-6)
    same_state(plain, cast)


def test_unknown_names_and_settings_are_told():
    with pytest.raises(UserError, match="unknown regime 'olss'; there are: .*ols"):
        build("olss", 3)
    with pytest.raises(UserError, match="regime 'ols' has no setting 'aplha'; it takes: alpha"):
        build("ols", 3, aplha=0.5)
    with pytest.raises(UserError, match="'ols_single' needs 'train_size'"):
        build("ols_single", 3).prepare()


RANK = """
import sys, torch, torch.distributed as dist
from calibench.regimes import LSPP, OLS
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(0)
logits, targets = torch.randn(8, 3) * 2, torch.arange(8) % 3
half = slice(0, 5) if rank == 0 else slice(5, 8)
regime, lspp = OLS(3), LSPP(3)
regime(logits[half], targets[half])
report = regime.close_epoch()
lspp(logits[half], targets[half]).backward()
torch.save({"matrix": regime.matrix, "correct": report["correct_updates"], "grad": lspp.C.grad}, sys.argv[3])
dist.barrier()
dist.destroy_process_group()
"""


def test_ranks_share_what_they_saw(tmp_path):
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root / "workflow"), "OMP_NUM_THREADS": "1"}
    out = [tmp_path / "0.pt", tmp_path / "1.pt"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(r), str(tmp_path / "store"), str(out[r])], env=environment
        )
        for r in (0, 1)
    ]
    assert [p.wait(timeout=120) for p in ranks] == [0, 0]
    torch.manual_seed(0)
    logits, targets = torch.randn(8, 3) * 2, torch.arange(8) % 3
    alone = build("ols", 3)
    alone(logits, targets)
    report = alone.close_epoch()
    gradients = []
    for part in (slice(0, 5), slice(5, 8)):
        lspp = build("lspp", 3)
        lspp(logits[part], targets[part]).backward()
        gradients.append(lspp.C.grad)
    for path in out:
        got = torch.load(path, weights_only=True)
        assert torch.allclose(got["matrix"], alone.matrix) and got["correct"] == report["correct_updates"]
        assert torch.allclose(got["grad"], sum(gradients) / 2)


def test_resumed_helper_really_compares():
    with pytest.raises(AssertionError):
        same_state(ready("pt_lspp"), build("pt_lspp", CLASSES))
    same_state(ready("pt_lspp"), resumed(ready("pt_lspp"), build("pt_lspp", CLASSES)))
