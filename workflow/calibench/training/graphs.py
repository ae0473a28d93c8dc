"""A training step as a CUDA graph: forward, loss, backward and update are recorded once and launched as a whole.

For small networks the launching of some hundred operations takes longer than the GPU computes. A graph repeats what was
recorded on the same memory, so everything that changes from step to step lies in memory: batch, labels and learning
rates are copied there; torch gives each launch the present seed of its generator. Weights are bit-equal to those without a
graph in deterministic mode. Not run on a GPU by us; tests record and repeat the operations on a CPU.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from calibench.errors import UserError
from calibench.training import gradients, optim
from calibench.training.step import Batch, Job, LossGuard, begin, loss_of, update

log = logging.getLogger(__name__)
EAGER = 3  # steps before the recording: they make the optimizer's averages and load kernels
IN_MEMORY = {
    "features",
    "feature_map",
    "classifier",
    "stages",
    "teacher_logits",
    "sample",
}  # needs of regimes
Record = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]


def on_gpu(work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Record ``work`` without running it: what repeats it, and its results, which each repeat overwrites."""
    graph = torch.cuda.CUDAGraph()
    # in this thread only: another one may be uploading the next batch
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = work()
    return graph.replay, results


def _why_not(job: Job) -> str | None:
    """Why the steps of a run cannot be recorded; None if they can."""
    train, augment = job.settings["train"], job.settings["augment"]
    if missing := sorted(set(job.regime.needs) - IN_MEMORY):
        return f"regime {job.regime.name} needs {missing[0]}, which the host makes at each step"
    if isinstance(job.model.body, nn.Identity):
        return "a head on features is trained together with others instead"
    if augment["mixup"] is not None or augment["cutmix"] is not None:
        return "mixup and cutmix draw a share at each step"
    return None if train["optimizer"] == "sgd" else f"the optimizer is {train['optimizer']}, not sgd"


class StepGraph:
    """The recorded step of a run, recorded again where a tensor of it has moved.

    Args:
        job: the run.
        optimizer: of its network.
        record: as :func:`on_gpu`.
    """

    def __init__(self, job: Job, optimizer: optim.SGD, record: Record = on_gpu) -> None:
        self.job, self.optimizer, self.record = job, optimizer, record
        self.left, self.epoch, self.possible = EAGER, 0, True
        self.state: list[Any] = []  # before the last step without the graph, then that of the graph
        self.batch: Batch | None = None
        self.replay: Callable[[], None] | None = None
        optim.hold_lr(optimizer, job.device)

    @classmethod
    def of(cls, job: Job, optimizer: optim.Optimizer) -> "StepGraph | None":
        """The graph of a run that asks for one (``train.cuda_graph``); None, and a line in the log, where there is none."""
        if not job.settings["train"].get("cuda_graph"):
            return None
        why = _why_not(job) if job.device.type == "cuda" else "it trains on the CPU"
        if why is None:
            return cls(job, optimizer)
        log.info("no CUDA graph for this run: %s", why)
        return None

    def takes(self, epoch: int, step: int, batch: Batch) -> bool:
        """Whether :meth:`step` does this step; the first ones, and those unlike the others, are done as without a graph."""
        train = self.job.settings["train"]
        whole = len(batch.positions) == train["batch_size"]
        if not (self.possible and whole) or (step == 0 and gradients.due(epoch, train["epochs"])):
            return False
        if self.replay and epoch == self.epoch:
            return True
        now, new_epoch, self.epoch = _state(self.job, self.optimizer), epoch != self.epoch, epoch
        same, self.state = now == self.state, now
        if not self.replay and (self.left or (new_epoch and not same)):
            self.left = max(self.left - 1, 0)
            return False
        if not self.replay and not same:
            log.info(
                "no CUDA graph for this run: a step moves the state of the regime %s", self.job.regime.name
            )
            self.possible = False
        if not same:
            self.replay = None
        return self.possible

    def step(self, guard: LossGuard, epoch: int, step: int, batch: Batch) -> None:
        """One optimizer step, as :func:`calibench.training.step.train_step`."""
        if self.batch is None:
            images = torch.empty_like(batch.images)
            self.batch = dataclasses.replace(batch, there=batch.there.clone(), images=images, plain=images)
        self.batch.there.copy_(batch.there)
        self.batch.images.copy_(batch.images)
        begin(self.job, self.optimizer, epoch, step)
        if not self.replay:
            # maps of the step before would keep its graph alive, and with it the stream that it ran on
            model = self.job.model
            model.feature_map, model.stages = None, [torch.empty(0)] * len(model.stages)
            try:
                self.replay, self.results = self.record(lambda: self._work(epoch, step))
            except RuntimeError as error:
                why = str(error).splitlines()[0]
                raise UserError(
                    f"the step cannot be recorded ({why}); set train.cuda_graph: false"
                ) from error
        self.replay()
        loss, logits, targets = self.results
        guard.add(step, loss.clone(), logits, targets, batch.there)

    def _work(self, epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        self.optimizer.zero_grad()  # so that the gradients are in the memory of the graph
        targets = self.job.train.targets[self.batch.there]
        loss, logits = loss_of(self.job, epoch, step, self.batch, targets)
        loss.backward()
        update(self.job, self.optimizer)
        return loss.detach(), logits.detach(), targets


def _state(job: Job, optimizer: optim.SGD) -> list[Any]:
    """Where all tensors of a step lie, and the numbers that the regime keeps outside of tensors."""
    averages = [a for group in optimizer.averages for a in group if a is not None]
    found: list[Any] = [t.data_ptr() for t in (*job.model.parameters(), *job.model.buffers(), *averages)]
    for module in job.regime.modules():
        for name, value in (vars(module) | module._buffers | module._parameters).items():
            if isinstance(value, Tensor):
                found.append((name, value.data_ptr()))
            elif value is None or isinstance(value, int | float | str | tuple):
                found.append((name, value))
    return found
