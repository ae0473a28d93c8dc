"""The training loop of one run: resumable at any step, bit for bit on the CPU."""

import copy
import logging
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from calibench.data.batches import padding
from calibench.data.vectors import Vectors
from calibench.finished import names
from calibench.training import inference, optim
from calibench.training.ahead import ahead
from calibench.training.device import autocast, peak_memory_mb
from calibench.training.graphs import StepGraph
from calibench.training.randomness import epoch_order
from calibench.training.step import Batch, Job, LossGuard, Split, batches, review, train_step
from calibench.training.writing import Writer, host_copy

log = logging.getLogger(__name__)
Feed = Callable[..., Iterator[Batch]]
Pause = tuple[int, int] | None  # before a step its epoch and number, before an update None
CHECK_LOSS_EVERY = 25  # steps between two checks of the loss: each makes the host wait for the device


class Interrupted(SystemExit):
    """A signal stopped the run, and its checkpoint is written."""


class StopRequest:
    """Remembers SIGTERM, SIGINT or SIGUSR1, so that the loop can stop between two steps."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: Any) -> None:
        self.signal = number


def save_state(job: Job, optimizer: optim.Optimizer, writer: Writer) -> None:
    """Start writing the resume checkpoint with the present state."""
    state = {
        "model": job.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "regime": job.regime.state_dict(),
        "precision": job.precision,
    }
    state = host_copy(state) | copy.deepcopy({"progress": job.progress, "history": job.history})
    writer.give(job.folder.save, state)
    writer.give(job.folder.drop_older, {which: best["epoch"] for which, best in job.progress["best"].items()})


def restore_state(job: Job, optimizer: optim.Optimizer) -> None:
    """Load the last checkpoint of these settings, if there is one; UserError if its tensors do not fit this run."""
    state = job.folder.load()
    if state is None:
        return
    try:
        job.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        job.regime.load_state_dict(state["regime"])
        # the precision stays the same on another machine
        job.precision = state.get("precision", job.precision)
    except torch.OutOfMemoryError:  # also a RuntimeError, but the checkpoint is good
        raise
    except (KeyError, RuntimeError, ValueError) as error:  # torch's errors for other names or shapes
        raise job.folder.unusable("its tensors do not fit this run") from error
    job.progress, job.history = state["progress"], state["history"]
    log.info("resumed at epoch %d, step %d", job.progress["epoch"], job.progress["step"])


def _store_progress(job: Job, step: int, guard: LossGuard, begun: float) -> None:
    """Check the loss, and keep the progress of this epoch; ``begun`` is its start, later by all interruptions."""
    guard.check(job)
    seconds = time.monotonic() - begun
    job.progress |= {"step": step, "loss": guard.loss, "correct": guard.correct, "seconds": seconds}
    if guard.noise:
        job.progress |= {"noise": guard.noise.counts.tolist(), "noise_line": guard.noise.line()}


def train_epoch(
    job: Job,
    optimizer: optim.Optimizer,
    stop: StopRequest,
    writer: Writer,
    feed: Feed = batches,
    graph: StepGraph | None = None,
) -> Iterator[Pause]:
    """Train from ``progress['step']`` to the end of the epoch, with checkpoints by time and on a stop request."""
    epoch = job.progress["epoch"]
    order = epoch_order(job.seed, epoch, len(job.train.images))
    guard, saved = LossGuard(job), time.monotonic()
    begun = saved - job.progress["seconds"]
    job.model.train()
    job.regime.train()
    first, images = job.progress["step"], job.train.images
    made = ahead(feed(job, epoch, order, first), job.device, not images.resident)
    for step, batch in enumerate(made, first):
        yield epoch, step
        if graph and graph.takes(epoch, step, batch):
            graph.step(guard, epoch, step, batch)
        else:
            yield from train_step(job, optimizer, guard, epoch, step, batch)
        if (step + 1) % CHECK_LOSS_EVERY == 0:
            guard.check(job)
        due = time.monotonic() - saved > 60 * job.settings["train"]["checkpoint_minutes"]
        if due or stop.signal:
            _store_progress(job, step + 1, guard, begun)
            writer.wait()
            save_state(job, optimizer, writer)
            saved = time.monotonic()
        if stop.signal:
            writer.wait()
            log.warning("signal %d: checkpoint written at epoch %d, step %d", stop.signal, epoch, step + 1)
            raise Interrupted(128 + stop.signal)
    _store_progress(job, job.steps, guard, begun)


def _logits(job: Job, split: Split) -> Tensor:
    train = job.settings["train"]
    return inference.logits_of(
        job.model, split.images, job.size, train["eval_batch_size"], train["memory_format"]
    )


@torch.no_grad()
def close_epoch(job: Job) -> dict[str, Any]:
    """Validate, let the regime close its epoch, and return the history line; test is measured but never used."""
    train, progress, watched = job.settings["train"], job.progress, {}
    with autocast(job.device, job.precision):
        logits = _logits(job, job.select)
        if job.regime.reviews:
            review(job, progress["epoch"])
        if job.test is not None:
            watched = inference.monitor(_logits(job, job.test), job.test.targets, "test")
    if train.get(names.REFINED):
        watched["val_refined_nll"] = inference.refined_nll(logits, job.select.targets)
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


def keep_best(job: Job, line: dict[str, Any], writer: Writer) -> None:
    """Keep the weights if this epoch is the best by a measure on the part `select` (the first of equal epochs)."""
    best, epoch, weights = job.progress["best"], line["epoch"], None
    measured = {"top1": line["val_top1"], "nll": -line["val_nll"]}
    if "val_refined_nll" in line:
        measured[names.REFINED] = -line["val_refined_nll"]
    for which, value in measured.items():
        if which not in best or value > best[which]["value"]:
            best[which] = {"value": value, "epoch": epoch}
            weights = host_copy(job.model.state_dict()) if weights is None else weights
            writer.give(job.folder.keep_best, which, epoch, weights)


def fit(job: Job, report: Any = None, keep: Any = None) -> None:
    """Train to the last epoch, from the last checkpoint if there is one: :func:`steps` without a pause."""
    for _ in steps(job, StopRequest(), report, keep):
        pass


def steps(
    job: Job, stop: StopRequest, report: Any = None, keep: Any = None, feed: Feed = batches
) -> Iterator[Pause]:
    """Train to the last epoch; pauses before each step and each update, where heads that are trained together wait.

    Args:
        job: the run; at the end its model has the weights of the last epoch.
        stop: asked after each step and each epoch.
        report: called with the history line of each epoch.
        keep: called with job and epoch before the checkpoint of the epoch is written.
        feed: makes the batches of an epoch, as :func:`batches`.

    Raises:
        UserError: the loss is not finite.
        Interrupted: a signal stopped the run, after its checkpoint was written.
    """
    optimizer = optim.make_optimizer(job.model, job.regime, job.settings["train"])
    restore_state(job, optimizer)
    graph = StepGraph.of(job, optimizer)
    with Writer() as writer:
        while job.progress["epoch"] <= job.settings["train"]["epochs"]:
            yield from train_epoch(job, optimizer, stop, writer, feed, graph)
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
    """Where a stopped run will continue, for a message."""
    epoch, step, epochs = job.progress["epoch"], job.progress["step"], job.settings["train"]["epochs"]
    if step == 0:
        return f"stopped after epoch {epoch - 1} of {epochs}, with a checkpoint"
    return f"stopped in epoch {epoch} of {epochs} after {step} of {job.steps} steps, with a checkpoint"


def describe(job: Job) -> str:
    """One line about the training, for the log."""
    length = f"{job.steps} steps per epoch, {job.settings['train']['epochs']} epochs on {job.device}"
    if isinstance(job.train.images, Vectors):
        number = len(job.train.images.copies)
        copies = f", {number} augmented copies of each" if number else ""
        return f"a head on features of {len(job.train.images)} training images{copies}, {length}"
    where = "on the device" if job.train.images.resident else "from the memory map"
    wanted = job.settings["augment"]
    crop = f"crops with {padding(wanted, job.size)} px padding" if wanted["crop"] else "no crop"
    crop = crop if wanted.get("scale") is None else "random resized crops"
    return f"{len(job.train.images)} training images {where}, {job.size} px, {crop}, {length}"
