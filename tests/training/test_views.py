"""Batches of an epoch: cut several at once, or one by one, they are the same."""

import pytest
import torch
from calibench.training import views
from calibench.training.job import make_job
from calibench.training.randomness import epoch_order
from calibench.training.step import batches

from tests.training.conftest import make_settings

CPU = torch.device("cpu")


def images_of(job, first=0):
    order = epoch_order(job.seed, 2, len(job.train.images))
    return [batch.images for batch in batches(job, 2, order, first)]


@pytest.mark.parametrize("resident", ["always", "never"])
@pytest.mark.parametrize("augmented", [{}, {"pad_mode": "zero", "cutout": 0.5}, {"mixup": 0.4}])
def test_batches_cut_together_are_those_cut_alone(store, tmp_path, monkeypatch, augmented, resident):
    job = make_job(make_settings(augment=augmented, train={"resident": resident}), store, tmp_path, [], CPU)[
        0
    ]
    calls, real = [], type(job.train.images).batch
    monkeypatch.setattr(
        type(job.train.images), "batch", lambda *given: calls.append(len(given[1])) or real(*given)
    )
    together, later = images_of(job), images_of(job, 3)
    assert calls == [56, 26]
    monkeypatch.setattr(views, "AT_ONCE", 1)
    alone = images_of(job)
    assert calls[2:] == [10] * 5 + [6] and [len(batch) for batch in alone] == calls[2:]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(later, alone[3:], strict=True))


@pytest.mark.parametrize("augmented", [{"scale": [0.3, 1.0]}, {"randaugment": {}}])
def test_batches_whose_rounding_may_depend_on_their_shape_are_cut_alone(store, tmp_path, augmented):
    options = make_settings(augment=augmented)["augment"]
    job = make_job(make_settings(augment=augmented), store, tmp_path, [], CPU)[0]
    assert views._at_once(job.train.images, 1, options) == 1
