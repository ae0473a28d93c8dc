"""A training step on a GPU, seen without one: nothing waits for the device, and nothing is copied that could wait.

Tensors of torch's FakeTensorMode claim to be on "cuda": reading one on the host raises, copies can be counted. Those on
the device "meta" can be differentiated as well.
"""

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from calibench.backbones.classifier import build
from calibench.data import augment, randaugment, transfer
from calibench.data.batches import Images, _gather, random_crop
from calibench.errors import UserError
from calibench.finished.network import load_network
from calibench.training import device, job, loop
from calibench.training.step import batches
from calibench.training.writing import Writer, host_copy
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.conftest import CLASSES, make_settings, train

CPU, CUDA, META = torch.device("cpu"), torch.device("cuda"), torch.device("meta")
CROP = {"crop": True, "pad": None, "flip": 0.5}


class Copies(TorchDispatchMode):
    """Remembers operations, and of copies from the host whether the host waits for them."""

    def __init__(self):
        super().__init__()
        self.names, self.waits = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        self.names.append(name)
        if name == "_to_copy" and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            self.waits.append(not kwargs.get("non_blocking", False))
        if name == "copy_" and args[0].device.type == "cuda" != args[1].device.type:
            self.waits.append(not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False)))
        return function(*args, **kwargs)


@pytest.fixture
def no_gpu(monkeypatch):
    """What a machine without a GPU cannot do even with fake tensors: page-locked memory."""
    asked = []
    monkeypatch.setattr(transfer, "pinned", lambda host: asked.append(host) or host)
    fakes = lambda h, w, device, **_: (  # noqa: E731
        torch.zeros(h * w, dtype=torch.int64, device=device),
        torch.zeros(h, w, dtype=torch.bool, device=device),
    )
    monkeypatch.setattr(randaugment, "_sources", fakes)
    return asked


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("pad_mode", ["reflect", "zero"])
def test_a_batch_is_cut_without_waiting(no_gpu, resident, colour, pad_mode):
    store = np.zeros((9, 16, 16, 3) if colour else (9, 16, 16), np.uint8)
    images = Images(store, np.arange(9), CPU, "never")
    images.device = CUDA
    window = random_crop(np.random.default_rng(0), 4, 16, 16, CROP)
    with FakeTensorMode(allow_non_fake_inputs=True):
        if resident:
            images._pixels = torch.empty(store.shape, dtype=torch.uint8, device=CUDA)
        with Copies() as copies:
            batch = images.batch(np.arange(4), window, 16, pad_mode)
    assert batch.shape == (4, 3, 16, 16) and batch.device.type == "cuda"
    assert copies.waits == [False] * (1 if resident else 2) and len(no_gpu) == len(copies.waits)


@pytest.mark.parametrize("name", ["cutout", "mixup", "cutmix", "randaugment"])
def test_augmentations_do_not_wait(no_gpu, name):
    with FakeTensorMode(allow_non_fake_inputs=True), Copies() as copies:
        getattr(randaugment if name == "randaugment" else augment, name)(
            torch.empty(64, 3, 16, 16, device=CUDA), np.random.default_rng(0)
        )
    assert copies.waits == [False] and len(no_gpu) == 1


def test_randaugment_moves_the_batch_once_per_round(no_gpu):
    """Not once per operation and sign: 56 groups, each gathered and put back."""
    with FakeTensorMode(allow_non_fake_inputs=True), Copies() as copies:
        pixels = torch.empty(512, 3, 16, 16, dtype=torch.uint8, device=CUDA)
        randaugment.randaugment(pixels, np.random.default_rng(0))
    whole_batch = 3  # before each of two rounds, and back
    moved = 2 * 2 * 5  # rounds, signs, moving operations: their pixels are gathered
    assert copies.names.count("index") <= whole_batch + moved
    assert not {"nonzero", "_local_scalar_dense"} & set(copies.names)


@pytest.fixture
def meta_job(store, tmp_path, monkeypatch, no_gpu):
    """``meta_job(run, …)``: a run of which only shapes are computed, so that any look at a number raises."""

    def make(run, **parts):
        made = job.make_job(make_settings(run, **parts), store, tmp_path, [], CPU)[0]
        made.model, made.regime = made.model.to(META).train(), made.regime.to(META).train()
        made.device = made.train.images.device = META
        made.train.images._pixels = made.train.images._pixels.to(META)
        made.train.targets = made.train.targets.to(META)
        return made

    monkeypatch.setattr(loop, "autocast", lambda *_: contextlib.nullcontext())
    return make


@pytest.mark.parametrize("run", ["hard", "ols", "ols_single", "zipf"])
@pytest.mark.parametrize("augmented", [{}, {"mixup": 0.4}, {"cutout": 0.5}])
def test_a_whole_step_looks_at_no_number(meta_job, run, augmented):
    made = meta_job(run, augment=augmented)
    guard = loop.LossGuard(made)
    optimizer = SimpleNamespace(param_groups=[], zero_grad=lambda **_: None, step=lambda: None)
    batch = next(batches(made, 2, np.arange(len(made.train.images)), 1))
    list(loop.train_step(made, optimizer, guard, 2, 1, batch))
    with pytest.raises((RuntimeError, NotImplementedError)):
        guard.check(made)  # this one looks, once in many steps


def test_a_loss_that_is_not_finite_is_found_at_its_step(store, tmp_path):
    made = job.make_job(make_settings(), store, tmp_path, [], CPU)[0]
    guard, targets, rows = loop.LossGuard(made), torch.tensor([0, 1]), torch.tensor([0, 1])
    logits = torch.tensor([[2.0, 0, 0], [2.0, 0, 0]])
    for step, loss in enumerate([0.5, 0.25, float("nan"), 1.0]):
        guard.add(step, torch.tensor(loss), logits, targets, rows)
    with pytest.raises(UserError, match="epoch 1, step 3 of 6"):
        guard.check(made)
    guard = loop.LossGuard(made)
    guard.add(0, torch.tensor(0.5), logits, targets, rows)
    guard.check(made)
    guard.add(1, torch.tensor(0.25), logits, targets, rows)
    guard.check(made)
    assert guard.loss == 1.5 and guard.correct == 2


def test_teacher_lies_in_memory_as_the_batches_do(store, tmp_path):
    train(make_settings("hard", train={"epochs": 1, "memory_format": "contiguous"}), store, tmp_path / "hard")
    settings = make_settings("kd", regimes={"kd": {"teacher": "resnet20/hard"}})
    made = job.make_job(settings, store, tmp_path / "kd", [tmp_path / "hard"], CPU)[0]
    weight = next(m for m in made.teacher.modules() if isinstance(m, torch.nn.Conv2d)).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    plain = next(
        m for m in load_network(tmp_path / "hard", CLASSES).modules() if isinstance(m, torch.nn.Conv2d)
    )
    assert not plain.weight.is_contiguous(memory_format=torch.channels_last)


def test_training_goes_on_while_a_checkpoint_is_written(store, tmp_path, monkeypatch):
    """The first checkpoint's writing ends only once the second epoch has trained a step."""
    made = job.make_job(make_settings(train={"epochs": 2}), store, tmp_path, [], CPU)[0]
    trained, step, save = threading.Event(), loop.train_step, made.folder.save

    def train_step(*arguments):
        yield from step(*arguments)
        if arguments[3] == 2:
            trained.set()

    def slow_save(state):
        if state["progress"]["epoch"] == 2:
            assert trained.wait(60), "training waited for the disk"
        save(state)

    monkeypatch.setattr(loop, "train_step", train_step)
    monkeypatch.setattr(made.folder, "save", slow_save)
    loop.fit(made)
    assert trained.is_set() and made.folder.state_file.exists()


def test_what_is_written_is_what_was_given():
    weights = {"w": torch.zeros(3), "steps": [torch.ones(1), 7]}
    copy = host_copy(weights)
    weights["w"] += 1
    assert copy["w"].tolist() == [0, 0, 0] and copy["steps"] == [torch.ones(1), 7]


def test_a_failed_write_stops_those_after_it_and_the_run():
    done = []

    def fail():
        raise UserError("cannot write state.pt: No space left on device")

    with pytest.raises(UserError, match="No space left"), Writer() as writer:
        writer.give(done.append, "best")
        writer.give(fail)
        writer.give(done.append, "state")
    assert done == ["best"]


@pytest.mark.parametrize(
    ("backbone", "depthwise"),
    [("mobilenet_v2", True), ("shufflenet_v2_x1_0", True), ("resnet20", False), ("resnext29_2x64d", False)],
)
def test_depthwise_networks_are_known(backbone, depthwise):
    model = {"input": "small", "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}
    assert build(backbone, 3, model).depthwise == depthwise


@pytest.mark.parametrize(
    ("wanted", "kind", "fast", "depthwise", "chosen"),
    [
        ("auto", CPU, True, False, "bfloat16"),
        ("auto", CPU, True, True, "float32"),
        ("auto", CPU, False, False, "float32"),
        ("auto", CUDA, True, True, "bfloat16"),
        ("bfloat16", CPU, False, True, "bfloat16"),
        ("float32", CUDA, True, False, "float32"),
    ],
)
def test_precision_goes_by_device_and_network(monkeypatch, wanted, kind, fast, depthwise, chosen):
    monkeypatch.setattr(device, "fast_bfloat16", lambda _: fast)
    assert device.choose_precision(wanted, kind, depthwise) == chosen


def test_a_run_that_goes_on_elsewhere_keeps_its_precision(store, tmp_path, monkeypatch):
    settings = make_settings(train={"epochs": 2, "precision": "auto"})
    monkeypatch.setattr(device, "fast_bfloat16", lambda _: True)
    first = job.make_job(settings, store, tmp_path, [], CPU)[0]

    def stop(_line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.fit(first, stop)
    monkeypatch.setattr(device, "fast_bfloat16", lambda _: False)
    again = job.make_job(settings, store, tmp_path, [], CPU)[0]
    assert (first.precision, again.precision) == ("bfloat16", "float32")
    loop.fit(again)
    assert again.precision == "bfloat16" and again.progress["epoch"] == 3


def test_pixels_are_those_of_direct_indexing():
    draw = np.random.default_rng(0)
    store = torch.from_numpy(draw.integers(0, 256, (5, 9, 9, 3), dtype=np.uint8))
    rows, y, x = (torch.from_numpy(draw.integers(0, n, s)) for n, s in ((5, 4), (9, (4, 6)), (9, (4, 6))))
    for images in (store, store[..., 0].contiguous()):
        expected = images[rows[:, None, None], y[:, :, None], x[:, None, :]]
        assert torch.equal(_gather(images, rows, y, x), expected)
