"""The training loop of one run: resumable at any step, bit for bit on the CPU."""

import copy
import logging
import math
import signal
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibench.data import augment
from calibench.data.batches import padding
from calibench.data.vectors import Vectors
from calibench.errors import UserError
from calibench.training import gradients, inference, optim
from calibench.training.device import autocast, peak_memory_mb
from calibench.training.labelnoise import NoiseCount
from calibench.training.randomness import Purpose, epoch_order, seed_torch
from calibench.training.step import Job, forward, regime_loss, review, train_batch
from calibench.training.writing import Writer, host_copy

log = logging.getLogger(__name__)
CHECK_LOSS_EVERY = 25  # steps between looks at the loss: a look makes the host wait for the device


class Interrupted(SystemExit):
    """The run was told to stop and has written its checkpoint."""


class StopRequest:
    """Remembers that SIGTERM, SIGINT or SIGUSR1 arrived, so that the loop can stop between two steps."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: Any) -> None:
        self.signal = number


class LossGuard:
    """Adds up loss and correct predictions, and finds the first step whose loss is not finite.

    What a step gives stays on the device as it is until :meth:`check` takes all of it at once.
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
        """Wait for the device and stop the run if a loss was not finite.

        Raises:
            UserError: naming epoch and step; the last good checkpoint stays.
        """
        steps, self._steps = self._steps, []
        if not steps:
            return
        losses = torch.stack([loss for _, loss, _ in steps]).tolist()
        self.correct += int(torch.cat([right for _, _, right in steps]).sum())
        for (step, _, right), loss in zip(steps, losses, strict=True):
            if not math.isfinite(loss):
                raise UserError(
                    f"{job.folder.folder.parent}: the loss is not finite at epoch {job.progress['epoch']}, step {step + 1} "
                    f"of {job.steps}; lower train: lr, set train: clip_norm or warmup_epochs (the last good checkpoint is kept)"
                )
            self.loss += loss * len(right)


def note_gradients(
    job: Job, loss: Tensor, logits: Tensor, targets: Tensor, mixed: augment.Mixed | None
) -> None:
    """Keep the size of this step's gradient beside that of ``hard`` for the epoch's history line."""
    partners, share = (None, 1.0) if mixed is None else (targets[mixed.partner], mixed.lam)
    reference = gradients.cross_entropy(logits, targets, partners, share)
    job.progress["gradients"] = gradients.ratios(loss, reference, logits, job.model)


def train_step(
    job: Job, optimizer: torch.optim.Optimizer, guard: LossGuard, epoch: int, step: int, order: np.ndarray
) -> None:
    """One optimizer step."""
    train = job.settings["train"]
    batch = train_batch(job, epoch, step, order)
    targets = job.train.targets[batch.there]
    seed_torch(job.seed, Purpose.DROPOUT, epoch, step)
    optim.set_lr(optimizer, optim.lr_factor(train, epoch, step, job.steps))
    with autocast(job.device, job.precision):
        logits, extras = forward(job, epoch, step, batch)
    loss = regime_loss(job.regime, logits, targets, batch.mixed, extras)
    if step == 0 and gradients.due(epoch, train["epochs"]):
        note_gradients(job, loss, logits, targets, batch.mixed)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if train["clip_norm"] is not None:
        torch.nn.utils.clip_grad_norm_(job.model.parameters(), train["clip_norm"])
    optimizer.step()
    guard.add(step, loss, logits, targets, batch.there)


def save_state(job: Job, optimizer: torch.optim.Optimizer, writer: Writer) -> None:
    """Have the resume checkpoint written as all is now."""
    state = {
        "model": job.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "regime": job.regime.state_dict(),
        "precision": job.precision,
    }
    state = host_copy(state) | copy.deepcopy({"progress": job.progress, "history": job.history})
    writer.give(job.folder.save, state)
    writer.give(job.folder.drop_older, {which: best["epoch"] for which, best in job.progress["best"].items()})


def restore_state(job: Job, optimizer: torch.optim.Optimizer) -> None:
    """Take up the last checkpoint of these settings, if there is one.

    Raises:
        UserError: if its tensors have other names or shapes than this run's.
    """
    state = job.folder.load()
    if state is None:
        return
    try:
        job.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        job.regime.load_state_dict(state["regime"])
        # a run that goes on elsewhere computes as it began
        job.precision = state.get("precision", job.precision)
    except torch.OutOfMemoryError:  # a RuntimeError, too, but the checkpoint is a good one
        raise
    except (KeyError, RuntimeError, ValueError) as error:  # what torch makes of other names or shapes
        raise job.folder.unusable("its tensors are not those of this run") from error
    job.progress, job.history = state["progress"], state["history"]
    log.info("resumed at epoch %d, step %d", job.progress["epoch"], job.progress["step"])


class Clock:
    """Time spent in this epoch, over resumptions, and time since the last checkpoint."""

    def __init__(self, job: Job) -> None:
        self.before = job.progress["seconds"]
        self.start = self.saved = time.monotonic()

    def seconds(self) -> float:
        """Seconds spent training in this epoch."""
        return self.before + time.monotonic() - self.start


def _store_progress(job: Job, step: int, guard: LossGuard, clock: Clock) -> None:
    job.progress |= {
        "step": step,
        "loss": guard.loss,
        "correct": guard.correct,
        "seconds": clock.seconds(),
    }
    if guard.noise:
        job.progress |= {"noise": guard.noise.counts.tolist(), "noise_line": guard.noise.line()}


def train_epoch(job: Job, optimizer: torch.optim.Optimizer, stop: StopRequest, writer: Writer) -> None:
    """Train from ``progress['step']`` to the end of the epoch, checkpointing on a timer and when told to stop."""
    epoch = job.progress["epoch"]
    order = epoch_order(job.seed, epoch, len(job.train.images))
    guard, clock = LossGuard(job), Clock(job)
    job.model.train()
    job.regime.train()
    for step in range(job.progress["step"], job.steps):
        train_step(job, optimizer, guard, epoch, step, order)
        if (step + 1) % CHECK_LOSS_EVERY == 0:
            guard.check(job)
        due = time.monotonic() - clock.saved > 60 * job.settings["train"]["checkpoint_minutes"]
        if due or stop.signal:
            guard.check(job)
            _store_progress(job, step + 1, guard, clock)
            writer.wait()
            save_state(job, optimizer, writer)
            clock.saved = time.monotonic()
        if stop.signal:
            writer.wait()
            log.warning("signal %d: checkpoint written at epoch %d, step %d", stop.signal, epoch, step + 1)
            raise Interrupted(128 + stop.signal)
    guard.check(job)
    _store_progress(job, job.steps, guard, clock)


def close_epoch(job: Job) -> dict[str, Any]:
    """Validate, let the regime close its epoch, and return the history line."""
    train, progress = job.settings["train"], job.progress
    with autocast(job.device, job.precision):
        logits = inference.logits_of(
            job.model, job.select.images, job.size, train["eval_batch_size"], train["memory_format"]
        )
        if job.regime.reviews:
            review(job, progress["epoch"])
        watched = _watched(job)
    job.regime.validated(logits, job.select.targets)
    seen = min(job.steps * train["batch_size"], len(job.train.images))
    line = {
        "epoch": progress["epoch"],
        "loss": progress["loss"] / seen,
        "train_top1": progress["correct"] / seen,
        **inference.monitor(logits, job.select.targets),
        **watched,
        **progress.pop("noise_line", {}),
        "lr": train["lr"] * optim.lr_factor(train, progress["epoch"], job.steps - 1, job.steps),
        "images_per_second": seen / progress["seconds"],
        "seconds": progress["seconds"],
        "memory_mb": peak_memory_mb(job.device),
    }
    return line | progress.pop("gradients", {}) | job.regime.close_epoch()


def _watched(job: Job) -> dict[str, float]:
    """Measures on test where ``train: watch_test`` asks for them; nothing is chosen by them."""
    if job.test is None:
        return {}
    train = job.settings["train"]
    logits = inference.logits_of(
        job.model, job.test.images, job.size, train["eval_batch_size"], train["memory_format"]
    )
    return inference.monitor(logits, job.test.targets, "test")


def keep_best(job: Job, line: dict[str, Any], writer: Writer) -> None:
    """Keep the weights if this epoch is the best by validation Top-1 or NLL (the earliest of equals)."""
    best, epoch, weights = job.progress["best"], line["epoch"], None
    for which, value in (("top1", line["val_top1"]), ("nll", -line["val_nll"])):
        if which not in best or value > best[which]["value"]:
            best[which] = {"value": value, "epoch": epoch}
            weights = host_copy(job.model.state_dict()) if weights is None else weights
            writer.give(job.folder.keep_best, which, epoch, weights)


def fit(job: Job, report: Any = None, keep: Any = None) -> None:
    """Train to the last epoch, from the last checkpoint if there is one.

    Args:
        job: the run; its model ends with the last epoch's weights.
        report: called with each epoch's history line.
        keep: called with the job and the epoch before its checkpoint is written.

    Raises:
        UserError: if the loss is not finite.
        Interrupted: after a checkpoint, when a signal asked the run to stop.
    """
    stop = StopRequest()
    optimizer = optim.make_optimizer(job.model, job.regime, job.settings["train"])
    restore_state(job, optimizer)
    with Writer() as writer:
        while job.progress["epoch"] <= job.settings["train"]["epochs"]:
            train_epoch(job, optimizer, stop, writer)
            line = close_epoch(job)
            writer.wait()
            keep_best(job, line, writer)
            if keep:
                keep(job, line["epoch"])
            job.history.append(line)
            job.progress |= {"epoch": line["epoch"] + 1, "step": 0, "loss": 0.0, "correct": 0, "seconds": 0.0}
            job.progress.pop("noise", None)
            save_state(job, optimizer, writer)
            writer.give(job.folder.write_history, list(job.history))
            if report:
                report(line)
            if stop.signal:
                writer.wait()
                raise Interrupted(128 + stop.signal)


def stopped_at(job: Job) -> str:
    """Where the checkpoint of a run that was told to stop goes on."""
    epoch, step, epochs = job.progress["epoch"], job.progress["step"], job.settings["train"]["epochs"]
    if step == 0:
        return f"stopped after epoch {epoch - 1} of {epochs}, with a checkpoint"
    return f"stopped in epoch {epoch} of {epochs} after {step} of {job.steps} steps, with a checkpoint"


def describe(job: Job) -> str:
    """One line on what is trained, for the log."""
    length = f"{job.steps} steps per epoch, {job.settings['train']['epochs']} epochs on {job.device}"
    if isinstance(job.train.images, Vectors):
        copies = (
            f", {len(job.train.images.copies)} augmented copies of each"
            if len(job.train.images.copies)
            else ""
        )
        return f"a head on features of {len(job.train.images)} training images{copies}, {length}"
    where = "on the device" if job.train.images.resident else "from the memory map"
    wanted = job.settings["augment"]
    crop = f"crop padding {padding(wanted, job.size)} px" if wanted["crop"] else "no crop"
    crop = crop if wanted.get("scale") is None else "random resized crops"
    return f"{len(job.train.images)} training images {where}, {job.size} px, {crop}, {length}"
