"""The contract of a regime: a loss, the state it carries, and how an epoch ends."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Regime(nn.Module):
    """One way to turn logits and labels into a training loss.

    A subclass sets literal class attributes ``name``, ``label``, ``source`` and ``needs`` and takes its settings
    as keyword arguments with literal defaults (the workflow reads both without importing torch). Everything it
    must remember lives in buffers, so that a checkpoint holds it.

    Args:
        num_classes: number of classes K.

    Shapes: ``logits`` (B, K) of any float type, ``targets`` (B,) int64.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes

    def loss(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Scalar loss, mean over the batch, in float32; changes no state."""
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, logits: Tensor, targets: Tensor) -> None:
        """Update the state from one batch of the training pass; by default there is none."""

    def forward(self, logits: Tensor, targets: Tensor, **extras: Any) -> Tensor:
        """Loss of one batch; in training mode the state sees the batch afterwards."""
        loss = self.loss(logits, targets, **extras)
        if self.training:
            self.observe(logits.detach(), targets)
        return loss

    @torch.no_grad()
    def close_epoch(self) -> dict[str, float]:
        """End an epoch: renew what is renewed once an epoch; return diagnostics for the history."""
        return {}
