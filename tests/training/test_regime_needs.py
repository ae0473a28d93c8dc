"""What the trainer gives the regimes that ask for more, and that they resume in the middle of an epoch, bit for bit."""

import pytest
import torch
from calibench.errors import UserError
from calibench.training import loop
from calibench.training.job import make_job
from calibench.training.randomness import epoch_order
from calibench.training.step import batches, forward, review

from tests.training.conftest import make_settings

CPU = torch.device("cpu")
MIXUP = {"augment": {"mixup": 32}}
RUNS = {  # run → parts of its config
    "pencil": {"regimes": {"pencil": {"correct_from": 1, "fixed_from": 2}}, **MIXUP},
    "arazo": {"regimes": {"arazo": {"bootstrap_from": 1}}, **MIXUP},
    "data_distortion": {},
    "byot": {"regimes": {"byot": {"of": "ols"}}},
    "mix": {"regimes": {"mix": {"of": {"ols": 1, "cals": 1}}}},
    "ols_single": MIXUP,
}


def job_of(store, folder, run, **more):
    parts = RUNS[run] | {"train": {"epochs": 3, "lr": 0.02, "checkpoint_minutes": 1e-9}} | more
    return make_job(make_settings(run, **parts), store, folder, [], CPU)[0]


def states(job):
    return {**{f"model {k}": v for k, v in job.model.state_dict().items()}, **job.regime.state_dict()}


@pytest.mark.parametrize("run", RUNS)
def test_a_stopped_run_ends_as_an_undisturbed_one(store, tmp_path, monkeypatch, run):
    straight = job_of(store, tmp_path / "straight", run)
    loop.fit(straight)
    calls, step = [], loop.train_step

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 9:  # of six steps an epoch
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            loop.fit(job_of(store, tmp_path / "stopped", run))
    again = job_of(store, tmp_path / "stopped", run)
    torch.manual_seed(99)
    loop.fit(again)
    assert len(calls) == 9 and len(again.history) == 3
    one, other = states(straight), states(again)
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
    told = [
        {k: v for k, v in line.items() if "second" not in k and "memory" not in k} for line in again.history
    ]
    assert all(line.items() <= first.items() for line, first in zip(told, straight.history, strict=True))


def first_step(job):
    job.model.train()
    order = epoch_order(job.seed, 1, len(job.train.images))
    return next(batches(job, 1, order))


def test_logits_before_mixing_are_those_of_the_images_themselves(store, tmp_path):
    job = job_of(store, tmp_path, "arazo", regimes={"arazo": {"bootstrap_from": 0}})
    batch = first_step(job)
    assert not torch.equal(batch.images, batch.plain)
    logits, extras = forward(job, 1, 0, batch)
    evaluated = job.model.eval()(batch.plain)
    assert torch.equal(extras["eval_logits"], evaluated)
    assert torch.equal(extras["plain_logits"], job.model.train()(batch.plain))
    assert not torch.allclose(extras["plain_logits"], logits) and not extras["plain_logits"].requires_grad


def test_a_review_shows_every_training_image_once_as_it_is_evaluated(store, tmp_path, monkeypatch):
    job = job_of(store, tmp_path, "arazo")
    seen = []
    monkeypatch.setattr(job.regime, "review", lambda logits, targets: seen.append((logits, targets)))
    before = {k: v.clone() for k, v in job.model.state_dict().items()}
    review(job, 1)
    assert torch.cat([targets for _, targets in seen]).tolist() == job.train.targets.tolist()
    assert all(torch.equal(v, before[k]) for k, v in job.model.state_dict().items()) and job.model.training


def test_the_second_view_is_another_cut_of_the_same_images(store, tmp_path):
    job = job_of(store, tmp_path, "data_distortion")
    batch = first_step(job)
    logits, extras = forward(job, 1, 0, batch)
    other, features = extras["second_view"]
    assert logits.shape == other.shape == (10, 3) and features.shape == extras["features"].shape
    assert not torch.allclose(logits, other)
    again, _ = forward(job, 1, 0, batch)
    assert torch.equal(logits, again)


def test_heads_are_trained_and_gone_at_test(store, tmp_path):
    job = job_of(store, tmp_path, "byot")
    heads = [p.clone() for p in job.regime.heads.parameters()]
    network = set(job.model.state_dict())
    loop.fit(job)
    assert all(not torch.equal(a, b) for a, b in zip(heads, job.regime.heads.parameters(), strict=True))
    assert set(job.model.state_dict()) == network


def test_a_table_too_large_is_told_before_anything_trains(store, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    with pytest.raises(UserError, match="of 56 images x 3 classes takes"):
        job_of(store, tmp_path, "pencil")
