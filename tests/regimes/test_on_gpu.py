"""What regimes do on a GPU, seen without one: no refused operation, no sorting, the same sums."""

import contextlib

import pytest
import torch
from calibench.regimes import ols
from calibench.regimes.contract import extras
from calibench.regimes.functional import log_probs, nll
from test_contract import NAMES, ready
from torch.utils._pytree import tree_map

from tests.backbones.test_deterministic import OPERATIONS, Seen

SORTED = {"gather", "gather_backward", "scatter_add", "scatter_add_", "index_put", "index_put_", "index_add_"}


def on(device):
    """What brings a tensor or a module to a device."""
    return lambda x: x.to(device) if isinstance(x, torch.Tensor | torch.nn.Module) else x


def on_meta(name):
    """Operations of a step of a regime, backward and update of its state included."""
    regime = ready(name).train()
    logits, targets = torch.zeros(7, 5), torch.arange(7) % 5
    given = extras(regime, logits, 0)
    regime(logits, targets, **given)  # the first step after a start may ask once
    regime = regime.to("meta")
    given = {k: v if k == "host_sample" else tree_map(on("meta"), v) for k, v in given.items()}
    logits = torch.empty(7, 5, device="meta", requires_grad=True)
    with Seen() as seen:
        regime(logits, torch.empty(7, dtype=torch.int64, device="meta"), **given).backward()
    return set(seen.names)


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """The device "meta" has none."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


@pytest.mark.parametrize("name", NAMES)
def test_no_operation_is_refused_in_deterministic_mode(name):
    assert not on_meta(name) & OPERATIONS


@pytest.mark.parametrize("name", ["hard", "ls", "tfkd_reg", "ols"])
def test_the_papers_regimes_sort_nothing(name):
    assert not on_meta(name) & SORTED


def test_nll_is_the_picked_log_probability_to_the_bit():
    logits = torch.randn(64, 9, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(64) % 9
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    picked = -log_probs(leaves[0]).gather(1, targets[:, None]).squeeze(1)
    ours = nll(log_probs(leaves[1]), targets)
    assert torch.equal(picked, ours)
    picked.mean().backward(), ours.mean().backward()
    assert torch.equal(leaves[0].grad, leaves[1].grad)


def test_sums_by_class_as_a_product_are_those_by_index(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    rows, values = torch.randint(5, (40,), generator=draw), torch.rand(40, 5, generator=draw)
    counted = torch.rand(40, generator=draw) > 0.5
    sums, counts = torch.ones(5, 5), torch.ones(5, dtype=torch.int64)
    expected = sums.clone().index_add_(0, rows, values), counts.clone().index_add_(0, rows, counted.long())
    monkeypatch.setattr(torch.Tensor, "device", torch.device("cuda"))
    monkeypatch.setattr(ols.torch, "arange", lambda n, device: torch.tensor(range(n)))
    ols._add_rows(sums, rows, values)
    ols._count_rows(counts, rows, counted)
    monkeypatch.undo()
    torch.testing.assert_close(sums, expected[0])
    assert torch.equal(counts, expected[1])
