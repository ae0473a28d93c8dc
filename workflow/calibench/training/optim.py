"""Optimizer and learning-rate schedule as pure functions of the settings."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from calibench.regimes.base import Regime


class SGD:
    """Stochastic gradient descent with momentum and weight decay: ``torch.optim.SGD(fused=True)``, bit for bit.

    Any optimizer of ``torch.optim`` imports ``torch._dynamo``, which doubles the start of a process, and looks for
    hooks at every step. Both slow down runs of a few seconds.

    Args:
        groups: dicts with ``params``, and ``lr`` and ``weight_decay`` if a group has its own.
        lr: learning rate of the other groups.
        momentum: 0 for none; the first step starts the average with its gradient.
        nesterov: look ahead along the average.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, nesterov: bool) -> None:
        self.param_groups = [{"lr": lr, "weight_decay": 0.0, **group} for group in groups]
        self.momentum, self.nesterov = momentum, nesterov
        self.averages: list[list[Tensor | None]] = [[None] * len(g["params"]) for g in groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group, averages in zip(self.param_groups, self.averages, strict=True):
            moving, first = [], []  # places in the group
            for i, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    (first if averages[i] is None else moving).append(i)
            for i in first if self.momentum else ():
                averages[i] = torch.empty_like(group["params"][i])
            self._update(group, averages, moving, is_first_step=False)
            self._update(group, averages, first, is_first_step=True)

    def _update(
        self, group: dict[str, Any], averages: list[Tensor | None], places: list[int], is_first_step: bool
    ) -> None:
        if not places:
            return
        parameters = [group["params"][i] for i in places]
        torch._fused_sgd_(
            parameters,
            [p.grad for p in parameters],
            [averages[i] for i in places] if self.momentum else [],
            weight_decay=group["weight_decay"],
            momentum=self.momentum,
            lr=group["lr"],
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            is_first_step=is_first_step,
        )

    def state_dict(self) -> dict[str, Any]:
        """The averages, for a checkpoint."""
        return {"averages": self.averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the averages of a checkpoint; ValueError if they do not fit the parameters."""
        for group, averages in zip(self.param_groups, state["averages"], strict=True):
            for parameter, average in zip(group["params"], averages, strict=True):
                if average is not None and average.shape != parameter.shape:
                    raise ValueError(f"average of shape {tuple(average.shape)} for {tuple(parameter.shape)}")
        self.averages = [
            [
                a if a is None else torch.empty_like(p).copy_(a)
                for p, a in zip(g["params"], averages, strict=True)
            ]
            for g, averages in zip(self.param_groups, state["averages"], strict=True)
        ]


Optimizer = SGD | torch.optim.Optimizer


def _groups(model: nn.Module, weight_decay: float, decay_norm_and_bias: bool) -> list[dict[str, Any]]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if decay_norm_and_bias:
        return [{"params": parameters, "weight_decay": weight_decay}]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def make_optimizer(model: nn.Module, regime: Regime, train: dict[str, Any]) -> Optimizer:
    """The optimizer of a run; the regime's own parameters are extra groups.

    ``base_lr`` of each group is its learning rate before the schedule; :func:`set_lr` scales all groups alike.
    """
    groups = _groups(model, train["weight_decay"], train["decay_norm_and_bias"])
    groups += regime.parameter_groups(train["lr"], train["weight_decay"])
    groups = [g for g in groups if g["params"]]
    lr = train["lr"]
    if train["optimizer"] == "sgd":
        optimizer = SGD(groups, lr, train["momentum"], train["nesterov"])
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train["optimizer"]]
        optimizer = kind(groups, lr=lr, fused=True)
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def milestones(train: dict[str, Any]) -> list[float]:
    """Milestones in epochs; values below 1 are shares of all epochs."""
    return [m * train["epochs"] if m < 1 else m for m in train["milestones"]]


def lr_factor(train: dict[str, Any], epoch: int, step: int, steps: int) -> float:
    """Factor on the base learning rate at ``step`` (from 0) of ``epoch`` (from 1) with ``steps`` per epoch."""
    done = epoch - 1 + step / steps
    warmup = train["warmup_epochs"]
    if done < warmup:
        return (done * steps + 1) / (warmup * steps + 1)
    if train["schedule"] == "constant":
        return 1.0
    if train["schedule"] == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(train["epochs"] - warmup, 1e-9)))
    return train["decay"] ** sum(epoch - 1 >= m for m in milestones(train))


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times ``factor``, as float32: what a rate in device memory can hold."""
    for group in optimizer.param_groups:
        rate = float(np.float32(group["base_lr"] * factor))
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def hold_lr(optimizer: SGD, device: torch.device) -> None:
    """Keep the learning rates in device memory, where a recorded step finds those of the present step."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
