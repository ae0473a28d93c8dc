"""One training step: its batch, the forward passes that the regime needs, its loss, and the update."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.data import augment
from calibench.data.batches import Images
from calibench.data.transfer import upload
from calibench.data.vectors import Vectors
from calibench.errors import UserError
from calibench.regimes.base import OF_ONE_IMAGE, Regime
from calibench.training import gradients, inference, optim
from calibench.training.checkpoint import CheckpointFolder
from calibench.training.device import autocast
from calibench.training.labelnoise import NoiseCount
from calibench.training.randomness import Purpose, seed_torch, torch_seed
from calibench.training.views import View, views


@dataclass
class Split:
    """Images of a split and their labels (n,) int64 on the device; ``clean`` are the true ones if some are wrong."""

    images: Images | Vectors
    targets: Tensor
    clean: Tensor | None = None


@dataclass
class Job:
    """Everything one training run needs; the loop changes only ``model``, ``regime``, ``progress`` and ``history``."""

    settings: dict[str, Any]
    model: Classifier
    regime: Regime
    train: Split
    select: Split
    device: torch.device
    folder: CheckpointFolder
    teacher: Classifier | None = None
    precision: str = "float32"
    test: Split | None = None  # measured after each epoch, never used
    progress: dict[str, Any] = field(
        default_factory=lambda: {"epoch": 1, "step": 0, "loss": 0.0, "correct": 0, "seconds": 0.0, "best": {}}
    )
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.settings["run"]["seed"]

    @property
    def size(self) -> int:
        """Input side in pixels."""
        return self.settings["train"]["input_size"] or self.train.images.stored_size

    @property
    def steps(self) -> int:
        """Optimizer steps per epoch."""
        batch, images = self.settings["train"]["batch_size"], len(self.train.images)
        return max(images // batch, 1) if self.settings["train"]["drop_last"] else math.ceil(images / batch)


@dataclass(frozen=True)
class Batch:
    """Images of one step."""

    positions: np.ndarray  # (B,) in the training part
    there: Tensor  # the same on the device
    images: Tensor  # (B, 3, S, S), input of the network
    plain: Tensor  # the same before mixup or CutMix
    mixed: augment.Mixed | None
    second: Tensor | None  # the same augmented again, for regimes that need it


def _views(job: Job, purpose: Purpose, epoch: int, order: np.ndarray, steps: range) -> Iterator[View]:
    return views(job.train.images, order, job.settings, purpose, epoch, steps)


def _mixed(pixels: Tensor, draw: np.random.Generator, options: dict[str, Any]) -> augment.Mixed | None:
    for name, mix in (("mixup", augment.mixup), ("cutmix", augment.cutmix)):
        if options[name] is not None:
            return mix(pixels, draw, options[name])
    return None


def batches(job: Job, epoch: int, order: np.ndarray, first: int = 0) -> Iterator[Batch]:
    """The images of each step of an epoch from step ``first`` on: pure functions of (seed, epoch, step)."""
    options, layout = job.settings["augment"], job.settings["train"]["memory_format"]
    steps = range(first, job.steps)
    again = "second_view" in job.regime.needs
    seconds = (
        _views(job, Purpose.SECOND_VIEW, epoch, order, steps) if again else itertools.repeat(None, len(steps))
    )
    firsts = _views(job, Purpose.AUGMENT, epoch, order, steps)
    for (positions, plain, draw), second in zip(firsts, seconds, strict=True):
        mixed = _mixed(plain, draw, options)
        images = inference.as_input(plain if mixed is None else mixed.images, layout)
        there = upload(positions, job.device)
        yield Batch(positions, there, images, plain, mixed, None if second is None else second[1])


def forward(job: Job, epoch: int, step: int, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
    """Logits (B, K) of the network, and all other arguments that the regime ``needs`` (:class:`Regime`)."""
    wanted, extras = set(job.regime.needs), {}
    size = len(batch.images)
    images = batch.images
    if batch.second is not None:
        both = torch.cat([batch.images, batch.second])
        images = inference.as_input(both, job.settings["train"]["memory_format"])
    features, logits = job.model.features_and_logits(images)
    if "second_view" in wanted:
        extras["second_view"] = logits[size:], features[size:]
        features, logits = features[:size], logits[:size]
    if "features" in wanted:
        extras["features"] = features
    if "feature_map" in wanted:
        extras |= {"feature_map": job.model.feature_map[:size], "classifier": job.model.head}
    if "stages" in wanted:
        extras["stages"] = [stage[:size] for stage in job.model.stages]
    if "sample" in wanted:
        extras["sample"] = batch.there
    if "host_sample" in wanted:
        extras["host_sample"] = torch.as_tensor(batch.positions)
    if "step_seed" in wanted:
        extras["step_seed"] = torch_seed(job.seed, Purpose.REGIME, epoch, step)
    with torch.no_grad():
        if "teacher_logits" in wanted:
            extras["teacher_logits"] = job.teacher(batch.images).float()
        if "plain_logits" in wanted:
            extras |= _plain_logits(job, batch, logits)
    return logits, extras


def _plain_logits(job: Job, batch: Batch, logits: Tensor) -> dict[str, Tensor]:
    """Logits of the images before mixing, with the network in training mode and in evaluation mode."""
    plain = inference.as_input(batch.plain, job.settings["train"]["memory_format"])
    training = logits.detach() if batch.mixed is None else job.model(plain)
    job.model.eval()
    evaluated = job.model(plain)
    job.model.train()
    return {"plain_logits": training.float(), "eval_logits": evaluated.float()}


def regime_loss(
    regime: Regime, logits: Tensor, targets: Tensor, mixed: augment.Mixed | None, extras: dict[str, Any]
) -> Tensor:
    """The loss of the regime; for a mixed batch λ·loss(own labels) + (1-λ)·loss(partners' labels).

    A mixed batch updates the state of the regime once, with the label of the larger share.
    """
    if mixed is None:
        return regime(logits, targets, **extras)
    partners = {
        key: value[mixed.partner.to(value.device)] if key in OF_ONE_IMAGE else value
        for key, value in extras.items()
    }
    own = regime.loss(logits, targets, **extras)
    other = regime.loss(logits, targets[mixed.partner], **partners)
    dominant = extras if mixed.lam >= 0.5 else partners
    with torch.no_grad():
        regime.observe(logits.detach(), mixed.dominant(targets), **dominant)
    return mixed.lam * own + (1 - mixed.lam) * other


@torch.no_grad()
def review(job: Job, epoch: int) -> None:
    """Call ``regime.review`` with all training images: augmented, not mixed, the network in evaluation mode."""
    train, count = job.settings["train"], len(job.train.images)
    job.model.eval()
    steps = range(math.ceil(count / train["batch_size"]))
    for positions, pixels, _ in _views(job, Purpose.REVIEW, epoch, np.arange(count), steps):
        logits = job.model(inference.as_input(pixels, train["memory_format"]))
        job.regime.review(logits, job.train.targets[upload(positions, job.device)])
    job.model.train()


class LossGuard:
    """Sums loss and correct predictions, and finds the first step whose loss is not finite.

    The values of a step stay on the device until :meth:`check` reads all of them at once.
    """

    def __init__(self, job: Job) -> None:
        self.loss: float = job.progress["loss"]
        self.correct: int = job.progress["correct"]
        self._steps: list[tuple[int, Tensor, Tensor]] = []
        self.noise, train = None, job.train
        if train.clean is not None:
            self.noise = NoiseCount(train.clean, train.targets, job.progress.get("noise", [0] * 5))

    def add(self, step: int, loss: Tensor, logits: Tensor, targets: Tensor, rows: Tensor) -> None:
        """Count one batch (its loss weighted by its size); ``rows`` (B,) are its images."""
        predicted = logits.detach().argmax(1)
        self._steps.append((step, loss.detach(), predicted == targets))
        if self.noise:
            self.noise.add(rows, predicted, targets)

    def check(self, job: Job) -> None:
        """Wait for the device; UserError if a loss was not finite. The last good checkpoint stays."""
        steps, self._steps = self._steps, []
        if not steps:
            return
        losses = torch.stack([loss for _, loss, _ in steps]).tolist()
        self.correct += int(torch.cat([right for _, _, right in steps]).sum())
        for (step, _, right), loss in zip(steps, losses, strict=True):
            if not math.isfinite(loss):
                raise UserError(
                    f"{job.folder.folder.parent}: the loss is not finite at epoch {job.progress['epoch']}, step {step + 1} "
                    f"of {job.steps}; lower train.lr, or set train.clip_norm or train.warmup_epochs (the last good "
                    "checkpoint is kept)"
                )
            self.loss += loss * len(right)


def note_gradients(
    job: Job, loss: Tensor, logits: Tensor, targets: Tensor, mixed: augment.Mixed | None
) -> None:
    """Keep the size of this step's gradient relative to that of ``hard`` for the history line of the epoch."""
    partners, share = (None, 1.0) if mixed is None else (targets[mixed.partner], mixed.lam)
    reference = gradients.cross_entropy(logits, targets, partners, share)
    job.progress["gradients"] = gradients.ratios(loss, reference, logits, job.model)


def train_step(
    job: Job, optimizer: optim.Optimizer, guard: LossGuard, epoch: int, step: int, batch: Batch
) -> Iterator[None]:
    """One optimizer step; pauses once, between the gradients and the update."""
    targets = job.train.targets[batch.there]
    begin(job, optimizer, epoch, step)
    loss, logits = loss_of(job, epoch, step, batch, targets)
    if step == 0 and gradients.due(epoch, job.settings["train"]["epochs"]):
        note_gradients(job, loss, logits, targets, batch.mixed)
    optimizer.zero_grad()
    loss.backward()
    yield
    update(job, optimizer)
    guard.add(step, loss, logits, targets, batch.there)


def begin(job: Job, optimizer: optim.Optimizer, epoch: int, step: int) -> None:
    """What is a function of the step: the seed of dropout and the learning rate."""
    seed_torch(job.seed, Purpose.DROPOUT, epoch, step)
    optim.set_lr(optimizer, optim.lr_factor(job.settings["train"], epoch, step, job.steps))


def loss_of(job: Job, epoch: int, step: int, batch: Batch, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and logits (B, K) of a batch; the regime updates its state."""
    with autocast(job.device, job.precision):
        logits, extras = forward(job, epoch, step, batch)
    return regime_loss(job.regime, logits, targets, batch.mixed, extras), logits


def update(job: Job, optimizer: optim.Optimizer) -> None:
    """Change the weights along their gradients."""
    if (norm := job.settings["train"]["clip_norm"]) is not None:
        torch.nn.utils.clip_grad_norm_(job.model.parameters(), norm)
    optimizer.step()
