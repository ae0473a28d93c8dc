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
    products, running = _products(jobs), [m for m in members if not m.ended]
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
        yield from (member.job for member in now if isinstance(member.ended, StopIteration))
        running = [member for member in running if not member.ended]
    if stopped := [m.ended for m in members if isinstance(m.ended, loop.Interrupted)]:
        raise stopped[0]


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


def _to_train(
    held: contextlib.ExitStack, runs: Sequence[tuple[dict[str, Any], Path]]
) -> list[tuple[dict[str, Any], Path]]:
    """The runs that are not finished and that no other process trains; ``held`` gets their locks."""
    found = []
    for settings, run_dir in runs:
        if (run_dir / names.RECORD).exists() and reuse.read_record(run_dir)["settings"] == settings:
            continue
        folder = CheckpointFolder(run_dir, settings)
        try:
            held.enter_context(folder.locked())
        except UserError as error:
            log.info("%s", error)
            continue
        if not folder.has_finished(names.files_of(settings["train"])):
            found.append((settings, run_dir))
    return found


def train(
    runs: Sequence[tuple[dict[str, Any], Path]], store_dir: Path, stage: bool = False, runs_per_gpu: int = 1
) -> None:
    """Train heads together; the command of each run then finds its outputs in the checkpoint folder.

    Args:
        runs: settings and folder of each; equal data set, features, seed, batch size and device.
        store_dir: folder of the features.
        stage: copy them to the node first.
        runs_per_gpu: how many processes may share a GPU.

    Raises:
        Interrupted: a signal stopped the training, after all checkpoints were written.
    """
    started = time.time()
    with contextlib.ExitStack() as held:
        todo = _to_train(held, runs)
        if len(todo) < 2:
            return
        first = todo[0][0]["train"]
        set_determinism(first["deterministic"])
        device = held.enter_context(take_device(first["device"], runs_per_gpu))
        jobs = []
        for settings, run_dir in todo:
            try:
                job, splits, index = make_job(settings, store_dir, run_dir, [], device, stage, runs_per_gpu)
            except UserError as error:
                log.warning("%s; the other heads go on", error)
                continue
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
            for job in trained:
                finish(job, splits, index, store_dir, started, snapshots[id(job)], together=len(jobs))
                job.folder.hold(names.files_of(job.settings["train"]))
                log.info("%s is trained", job.folder.folder.parent)
