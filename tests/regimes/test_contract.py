"""What every regime promises, whatever its formula; found through the catalog, a new one is tested too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import Regime, build, contract
from calibench.regimes.catalog import catalog
from calibench.regimes.contract import CLASSES
from regime_cases import resumed, same_state
from safetensors.torch import load_file, save_file

NAMES = list(catalog())
each_regime = pytest.mark.parametrize("name", NAMES)


def ready(name, classes=CLASSES):
    return contract.ready(lambda k: build(name, k), classes)


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
@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_every_promise_is_kept(name, promise):
    promise(lambda k: build(name, k))


def test_rows_that_arrive_later_keep_the_promises_too():
    contract.never_waits(lambda k: build("ols", k, update_every=3))


def test_state_survives_safetensors(tmp_path):
    half, again = ready("ols"), build("ols", CLASSES)
    contract.train(half, range(6))
    save_file(half.state_dict(), tmp_path / "regime.safetensors")
    again.load_state_dict(load_file(tmp_path / "regime.safetensors"))
    same_state(half, again)


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
