"""Optimizer and learning-rate schedule as pure functions of the settings."""

import math
from typing import Any

import torch
from torch import nn

from calibench.regimes.base import Regime


def _groups(model: nn.Module, weight_decay: float, decay_norm_and_bias: bool) -> list[dict[str, Any]]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if decay_norm_and_bias:
        return [{"params": parameters, "weight_decay": weight_decay}]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def make_optimizer(model: nn.Module, regime: Regime, train: dict[str, Any]) -> torch.optim.Optimizer:
    """The optimizer of a run; the regime's own parameters are extra groups.

    ``base_lr`` of each group is its learning rate before the schedule; :func:`set_lr` scales all groups alike.
    """
    groups = _groups(model, train["weight_decay"], train["decay_norm_and_bias"])
    groups += regime.parameter_groups(train["lr"], train["weight_decay"])
    groups = [g for g in groups if g["params"]]
    lr = train["lr"]
    if train["optimizer"] == "sgd":
        sgd = {"momentum": train["momentum"], "nesterov": train["nesterov"], "fused": True}
        optimizer = torch.optim.SGD(groups, lr=lr, **sgd)
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


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
