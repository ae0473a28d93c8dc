"""How large the gradient of a regime is, relative to that of plain cross-entropy on the same batch.

A method with a small loss trains in effect with a small learning rate. Both gradients come from one forward pass, so
measuring them changes no weights, running statistics, random numbers or state of the regime.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def due(epoch: int, epochs: int) -> bool:
    """Whether to measure at the first step of this epoch: the first, after a third and two thirds, and the last."""
    return epoch in {1, 1 + epochs // 3, 1 + 2 * epochs // 3, epochs}


def _norm(gradients: Sequence[Tensor | None]) -> Tensor:
    found = [g.double().square().sum() for g in gradients if g is not None]
    return torch.stack(found).sum().sqrt()


def cross_entropy(logits: Tensor, targets: Tensor, partners: Tensor | None, share: float) -> Tensor:
    """The loss of ``hard`` in float32; for a mixed batch ``share`` is the weight of the images' own labels."""
    own = F.cross_entropy(logits.float(), targets)
    return own if partners is None else share * own + (1 - share) * F.cross_entropy(logits.float(), partners)


def ratios(loss: Tensor, reference: Tensor, logits: Tensor, model: nn.Module) -> dict[str, float]:
    """Norm of the gradient of ``loss`` divided by that of ``reference``; the graph is kept for the training step.

    Args:
        loss: the loss of the regime.
        reference: the loss of ``hard`` for the same logits.
        logits: (B, K), a node of both graphs.
        model: the gradients are with respect to its parameters, without those of the regime (C of LS++).

    Returns:
        ``gradient_ratio`` for the parameters, ``gradient_ratio_logits`` for the logits; not finite where
        ``reference`` has no gradient.
    """
    wanted = [logits, *(p for p in model.parameters() if p.requires_grad)]
    mine, hard = (
        torch.autograd.grad(value, wanted, retain_graph=True, allow_unused=True)
        for value in (loss, reference)
    )
    return {
        "gradient_ratio": float(_norm(mine[1:]) / _norm(hard[1:])),
        "gradient_ratio_logits": float(_norm(mine[:1]) / _norm(hard[:1])),
    }
