"""Memory of the device: what is freed, halved and told. Out-of-memory errors are made up."""

import gc
import json
import weakref

import numpy as np
import pytest
import torch
from calibench.data import transfer
from calibench.data.batches import Images
from calibench.errors import UserError
from calibench.training import device, inference, job, loop, optim

from tests.training.conftest import make_settings, train

CPU = torch.device("cpu")


def no_memory(*_arguments, **_options):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def job_of(store, folder, **parts):
    return job.make_job(make_settings("ols", **parts), store, folder, [], CPU)[0]


def test_out_of_memory_while_resuming_spares_the_checkpoint(store, tmp_path, monkeypatch):
    first = job_of(store, tmp_path, train={"epochs": 1})
    loop.fit(first)
    again = job_of(store, tmp_path, train={"epochs": 1})
    monkeypatch.setattr(again.model, "load_state_dict", no_memory)
    optimizer = optim.make_optimizer(again.model, again.regime, again.settings["train"])
    with pytest.raises(torch.OutOfMemoryError):
        loop.restore_state(again, optimizer)


def test_out_of_memory_is_one_sentence(store, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 12 * 2**30))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 11 * 2**30)
    monkeypatch.setattr(loop, "train_step", no_memory)
    with pytest.raises(UserError, match=r"up to 11.0 of 12.0 GB .*; lower train.batch_size") as told:
        train(make_settings(), store, tmp_path)
    assert "\n" not in str(told.value)


class Picky(torch.nn.Module):
    """A classifier that has memory for so many images."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seen = most, []

    def features_and_logits(self, images):
        if len(images) > self.most:
            no_memory()
        self.seen.append(len(images))
        flat = images.flatten(1)
        return flat[:, :4], flat[:, :3]

    def forward(self, images):
        return self.features_and_logits(images)[1]


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (21, 8, 8), dtype=np.uint8)
    return Images(pixels, np.arange(21), CPU)


def test_evaluation_halves_its_batch(images, caplog):
    roomy, tight = Picky(99), Picky(3)
    expected = inference.predict(roomy, images, 8, 16, "channels_last")
    found = inference.predict(tight, images, 8, 16, "channels_last")
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert roomy.seen == [16, 5] and tight.seen == [2] * 10 + [1]
    assert caplog.text.count("halved to") == 3
    assert torch.equal(inference.logits_of(Picky(3), images, 8, 16, "channels_last"), expected[1])


def test_memory_for_no_image_at_all_is_an_error(images):
    with pytest.raises(torch.OutOfMemoryError):
        inference.predict(Picky(0), images, 8, 16, "channels_last")


def test_only_chosen_features_are_kept(images):
    features, logits = inference.predict(Picky(99), images, 8, 4, "channels_last")
    keep = np.array([0, 3, 4, 5, 19, 20])
    some, all_logits = inference.predict(Picky(99), images, 8, 4, "channels_last", keep=keep)
    assert torch.equal(some, features[keep]) and torch.equal(all_logits, logits)


def test_training_has_made_room_when_predictions_begin(store, tmp_path, monkeypatch):
    seen, optimizers, make = [], [], optim.make_optimizer

    def look(_folder, model, _weights, _epochs, splits, *_):
        gc.collect()
        seen.append([p.grad for p in model.parameters() if p.grad is not None])
        seen.append([s for s in splits.values() if s.resident])
        seen.append([o for o in optimizers if o() is not None])
        raise InterruptedError

    def remembered(*arguments):
        made = make(*arguments)
        optimizers.append(weakref.ref(made))
        return made

    monkeypatch.setattr(optim, "make_optimizer", remembered)
    monkeypatch.setattr(job.predicting, "write_all_predictions", look)
    with pytest.raises(InterruptedError):
        train(make_settings(train={"epochs": 1, "resident": "always"}), store, tmp_path)
    assert seen == [[], [], []] and optimizers


class Counting(np.ndarray):
    """An array that remembers how many bytes were asked of it at once."""

    most = 0

    def __getitem__(self, rows):
        found = super().__getitem__(rows)
        Counting.most = max(Counting.most, found.nbytes)
        return found


def test_images_reach_the_device_in_chunks(monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 10 * 64)
    pixels = np.random.default_rng(0).integers(0, 256, (500, 8, 8), dtype=np.uint8)
    rows = np.random.default_rng(1).permutation(500)[:301]
    Counting.most = 0
    loaded = transfer.load_rows(pixels.view(Counting), rows, CPU)
    assert torch.equal(loaded, torch.from_numpy(pixels[rows]))
    assert 0 < Counting.most <= 10 * 64


@pytest.mark.parametrize(("sharers", "fits"), [(1, True), (4, False)])
def test_runs_that_share_a_gpu_divide_its_memory(monkeypatch, sharers, fits):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 1200))
    images = Images(np.zeros((6, 8, 8), np.uint8), np.arange(6), CPU, "never")
    images.device = torch.device("cuda")
    assert images._fits(sharers) == fits


def test_predictions_are_made_without_tf32(store, tmp_path, monkeypatch):
    flags = []
    seen = inference.predict

    def look(*arguments, **options):
        flags.append((torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision))
        return seen(*arguments, **options)

    monkeypatch.setattr(job.predicting, "predict", look)
    before = torch.backends.cudnn.conv.fp32_precision
    train(make_settings(train={"epochs": 1}), store, tmp_path)
    assert set(flags) == {("ieee", "ieee")} and torch.backends.cudnn.conv.fp32_precision == before
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["precision"] == {"training": "float32", "predictions": "float32 (IEEE)"}
    assert device.precision_record(torch.device("cuda"), "float32")["training"].endswith("in TF32)")
