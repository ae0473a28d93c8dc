"""PENCIL against its formula, its label distributions moved by central differences; and its table in main memory."""

import math

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import build
from calibench.regimes.hosttable import HostTable
from regime_cases import CASES, check, cross_entropy, log_softmax, resumed, softmax

EPOCHS = {"correct_from": 1, "fixed_from": 3}


def prepared(size=20, **settings):
    regime = build("pencil", 5, **EPOCHS, **settings)
    regime.prepare(train_size=size, epochs=4)
    return regime


def objective(z, y, scores, alpha, beta, twice):
    """The loss of the second phase; alpha = beta = 0 gives that of the third."""
    total = 0.0
    for row, t, own in zip(z, y, scores, strict=True):
        p, log_p, log_y = softmax(row), log_softmax(row), log_softmax(own)
        total += math.fsum(a * (b - c) for a, b, c in zip(p, log_p, log_y, strict=True)) / 5
        near = log_softmax(softmax(own))[t] if twice else log_y[t]
        total -= alpha * near + beta * math.fsum(a * b for a, b in zip(p, log_p, strict=True)) / 5
    return total / len(z)


def moved(z, y, scores, lr, alpha, twice):
    """The scores after one step of gradient descent, each derivative a central difference."""
    h, result = 1e-5, [row[:] for row in scores]
    for i, row in enumerate(scores):
        for k in range(5):
            up, down = [r[:] for r in scores], [r[:] for r in scores]
            up[i][k] = row[k] + h
            down[i][k] = row[k] - h
            slope = objective(z, y, up, alpha, 0.1, twice) - objective(z, y, down, alpha, 0.1, twice)
            result[i][k] -= lr * slope / (2 * h)
    return result


@pytest.mark.parametrize("twice", [True, False])
def test_three_phases_by_the_formula(twice):
    compatibility = "softmax_twice" if twice else "label"
    regime = prepared(compatibility=compatibility, label_lr=30.0, start=2.0)
    logits, targets = CASES["odd_batch"]
    sample, y = torch.tensor([3, 1, 19, 0, 7, 8, 2]), targets.tolist()
    scores = [[2.0 * (k == t) for k in range(5)] for t in y]
    check(regime, lambda z, y, still: cross_entropy(z, y), "odd_batch", host_sample=sample)
    regime(logits, targets, host_sample=sample)
    assert regime.close_epoch() == {"phase": 1.0} and not regime.changes.rows.any()
    for scale in (1, 2):
        z = logits * scale
        check(
            regime,
            lambda z, y, still, scores=scores: objective(z, y, scores, 0.4, 0.1, twice),
            (z, targets),
            host_sample=sample,
        )
        regime(z, targets, host_sample=sample)
        scores = moved(z.double().tolist(), y, scores, 30, 0.4, twice)
        other = sum(max(range(5), key=row.__getitem__) != t for row, t in zip(scores, y, strict=True)) / 7
        assert regime.close_epoch() == {"phase": 2.0, "relabelled": pytest.approx(other)}
        start = torch.zeros(7, 5).scatter(1, targets[:, None], 2.0)
        got = regime.changes.rows[sample] + start
        assert torch.allclose(got.double(), torch.tensor(scores, dtype=torch.double), rtol=2e-4, atol=2e-4)
    untouched = sorted(set(range(20)) - set(sample.tolist()))
    assert not regime.changes.rows[untouched].any()
    table = regime.changes.rows.clone()
    check(regime, lambda z, y, still: objective(z, y, scores, 0, 0, twice), "odd_batch", host_sample=sample)
    regime(logits, targets, host_sample=sample)
    assert regime.close_epoch() == {"phase": 3.0} and torch.equal(regime.changes.rows, table)


def test_shares_of_the_epochs_begin_the_phases():
    regime = build("pencil", 3, correct_from=0.25, fixed_from=0.5)
    regime.prepare(train_size=2, epochs=8)
    assert [int(regime.close_epoch()["phase"]) for _ in range(6)] == [1, 1, 2, 2, 3, 3]
    assert resumed(regime, build("pencil", 3, correct_from=0.25, fixed_from=0.5)).phase == 3


def test_phases_in_the_wrong_order_and_a_table_too_large_are_told():
    with pytest.raises(UserError, match="learned from epoch 9 but fixed from epoch 6"):
        build("pencil", 3, correct_from=9, fixed_from=0.6).prepare(train_size=2, epochs=10)
    with pytest.raises(UserError, match=r"1,000,000,000,000 images x 165 classes takes 660000.0 GB"):
        build("pencil", 165).prepare(train_size=10**12, epochs=10)


def test_the_table_stays_where_it_is():
    table = HostTable(3)
    table.allocate("labels", 4)
    owner = torch.nn.ModuleDict({"table": table, "other": torch.nn.Linear(2, 2)}).to("meta").half()
    assert owner["other"].weight.device.type == "meta"
    assert table.rows.device.type == "cpu" and table.rows.dtype == torch.float32
    table.write(torch.tensor([2, 0]), torch.ones(2, 3))
    assert table.read(torch.tensor([0, 1]), torch.device("cpu")).tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.gpu
def test_a_gpu_holds_one_batch_of_it():
    """A table of 1.35 million images and 165 classes; rows come back as they were written."""
    images, classes, batch = 1_350_000, 165, 256
    regime = build("pencil", classes, correct_from=0, fixed_from=9)
    regime.prepare(train_size=images, epochs=10)
    regime.to("cuda")
    twin = build("pencil", classes, correct_from=0, fixed_from=9)
    twin.prepare(train_size=images, epochs=10)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    draw = torch.Generator().manual_seed(0)
    sample = torch.randperm(images, generator=draw)[:batch]
    for _ in range(3):
        logits = torch.randn(batch, classes, generator=draw)
        targets = torch.arange(batch) % classes
        regime(logits.cuda(), targets.cuda(), host_sample=sample)
        twin(logits, targets, host_sample=sample)
    assert torch.cuda.max_memory_allocated() - before < 20 * 4 * batch * classes
    rows = regime.state_dict()["changes.rows"]
    assert rows.device.type == "cpu" and torch.allclose(rows[sample], twin.changes.rows[sample], atol=1e-4)
