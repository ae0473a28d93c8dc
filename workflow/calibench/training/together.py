"""Heads on the same features, trained side by side in one process: a batch is read once, and one product serves them all.

Each head goes through the loop that trains it alone, which pauses before each step and before each update. Here the
heads wait for each other there, so all see the same batch at the same time. Weights are those of a head trained alone,
bit for bit, and each head has its own checkpoint and outputs.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from calibench import cli
from calibench.backbones.heads import Products
from calibench.errors import UserError
from calibench.finished import names, reuse
from calibench.training import loop
from calibench.training.checkpoint import CheckpointFolder
from calibench.training.device import set_determinism, take_device
from calibench.training.job import finish, make_job
from calibench.training.snapshots import Snapshots
from calibench.training.step import Batch, Job, batches

log = logging.getLogger(__name__)


@dataclass
class Member:
    """One head among those that are trained together."""

    job: Job
    steps: Iterator[loop.Pause]
    position: tuple[int, int] = (0, 0)  # epoch and number of the step that comes next
    ended: BaseException | None = None

    @property
    def trained(self) -> bool:
        """Whether it came to its last epoch."""
        return isinstance(self.ended, StopIteration)

    def advance(self) -> None:
        """Go on to the next pause, or to the end."""
        if self.ended:
            return
        try:
            self.position = next(self.steps) or self.position
        except (StopIteration, loop.Interrupted) as end:
            self.ended = end
        except UserError as error:
            log.warning("%s; the other heads go on", error)
            self.ended = error


class Batches:
    """The batches of an epoch, each made once, by the head that comes first to its step."""

    def __init__(self) -> None:
        self.made: Batch | None = None
        self.position = self.following = (0, 0)  # of this batch, and of the next one in the source
        self.source: Iterator[Batch] = iter(())

    def __call__(self, job: Job, epoch: int, order: np.ndarray, first: int) -> Iterator[Batch]:
        """As :func:`calibench.training.step.batches`."""
        for step in range(first, job.steps):
            if self.position != (epoch, step):
                if self.following != (epoch, step):
                    self.source = batches(job, epoch, order, step)
                self.made = next(self.source)
                self.position, self.following = (epoch, step), (epoch, step + 1)
            yield self.made


def fit(jobs: Sequence[Job], report: Callable, keep: Callable) -> Iterator[Job]:
    """Train heads to their last epochs, each from its checkpoint if there is one, and give each when it is trained.

    A head whose training fails is left out with a warning; trained alone it fails with the same error.

    Args:
        jobs: with the same training images, seed and batch size, on one device.
        report: called with each history line of each head.
        keep: called with job and epoch before the checkpoint of an epoch is written.

    Raises:
        Interrupted: a signal stopped the training, after all checkpoints were written.
    """
    stop = loop.StopRequest()
    feed = Batches()
    members = [Member(job, loop.steps(job, stop, report, keep, feed)) for job in jobs]
    for member in members:
        member.advance()
    yield from (member.job for member in members if member.trained)  # stopped before their files were written
    products, running = _products(jobs), [member for member in members if not member.ended]
    while running:
        first = min(member.position for member in running)
        now = [member for member in running if member.position == first]
        # the first step of an epoch may compute gradients of its own
        share = products is not None and len(now) > 1 and first[1] > 0
        with products.sharing() if share else contextlib.nullcontext():
            for member in now:
                member.advance()
        for member in now:
            member.advance()
        yield from (member.job for member in now if member.trained)
        running = [member for member in running if not member.ended]
    if stop.signal:
        raise loop.Interrupted(128 + stop.signal)


def _products(jobs: Sequence[Job]) -> Products | None:
    """The shared products of heads; None if a head would not get the bits that it gets alone."""
    if any(job.precision != "float32" for job in jobs):
        return None
    batch, images = jobs[0].settings["train"]["batch_size"], len(jobs[0].train.images)
    products = Products([job.model.head for job in jobs])
    if products.exact({min(batch, images), images % batch} - {0}):
        return products
    log.info("one product for all heads would change the last bits of their weights: each makes its own")
    return None


def _others_of(run: dict[str, Any]) -> list[Path] | None:
    """Folders of the finished runs that a run needs; None if one is not finished.

    One that was just trained may not have its files in their places yet.
    """
    found = []
    for record, settings in run["others"].items():
        folder = Path(record).parent
        if not Path(record).exists() or settings not in (None, reuse.read_record(folder)["settings"]):
            held = settings and CheckpointFolder(folder, settings)
            if not held or not held.has_finished(names.files_of(settings["train"])):
                return None
            folder = held.finished
        found.append(folder)
    return found


def _to_train(held: contextlib.ExitStack, runs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The runs that can be trained and are not finished or being trained; ``held`` gets their locks."""
    for run in runs:
        settings, run_dir, others = run["settings"], Path(run["record"]).parent, _others_of(run)
        finished = Path(run["record"]).exists() and reuse.read_record(run_dir)["settings"] == settings
        if finished or others is None:
            continue
        folder = CheckpointFolder(run_dir, settings)
        try:
            held.enter_context(folder.locked())
        except UserError as error:
            log.info("%s", error)
            continue
        if not folder.has_finished(names.files_of(settings["train"])):
            yield {"settings": settings, "run_dir": run_dir, "others": others}


def train(runs: Sequence[dict[str, Any]], sharers: int = 1) -> None:
    """Train heads together; the command of each run then finds its outputs in the checkpoint folder.

    Args:
        runs: a group, as :func:`calibench.training.groups.write` lists it.
        sharers: how many processes may share a GPU.

    Raises:
        Interrupted: a signal stopped the training, after all checkpoints were written.
    """
    started, store_dir, stage = time.time(), Path(runs[0]["images"]).parent, bool(runs[0]["stage_store"])
    with contextlib.ExitStack() as held:
        todo = list(_to_train(held, runs))
        if len(todo) < 2:
            return
        first = todo[0]["settings"]["train"]
        set_determinism(first["deterministic"])
        device = held.enter_context(take_device(first["device"], sharers))
        jobs = []
        for run in todo:
            try:
                job, splits, index = make_job(
                    **run, store_dir=store_dir, device=device, stage=stage, runs_per_gpu=sharers
                )
            except UserError as error:
                log.warning("%s; the other heads go on", error)
            else:
                jobs.append(job)
        if not jobs:
            return
        log.info("%d heads together: %s", len(jobs), loop.describe(jobs[0]))
        snapshots = {id(job): Snapshots(job.settings, splits, job.folder) for job in jobs}
        total = sum(job.settings["train"]["epochs"] for job in jobs)
        with tqdm(total=total, unit="epoch", disable=None) as bar:
            trained = fit(
                jobs, lambda _: bar.update(), lambda job, epoch: snapshots[id(job)].take(job, epoch)
            )
            try:
                for job in trained:
                    finish(job, splits, index, store_dir, started, snapshots[id(job)], together=len(jobs))
                    job.folder.hold(names.files_of(job.settings["train"]))
                    log.info("%s is trained", job.folder.folder.parent)
            except loop.Interrupted:
                cli.tell(
                    f"{len(jobs)} heads stopped, with checkpoints; the same command continues from there"
                )
                raise
