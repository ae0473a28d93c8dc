"""How large a regime's gradient is beside that of plain cross-entropy on the same batch.

A method whose loss is small trains with a hidden small learning rate. Both gradients come from one forward graph, so
looking changes neither weights, nor running statistics, nor random numbers, nor the regime's state.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def due(epoch: int, epochs: int) -> bool:
    """Whether the first step of this epoch (from 1) is looked at: the first, those after a third and two thirds, the last."""
    return epoch in {1, 1 + epochs // 3, 1 + 2 * epochs // 3, epochs}


def _norm(gradients: Sequence[Tensor | None]) -> Tensor:
    found = [g.double().square().sum() for g in gradients if g is not None]
    return torch.stack(found).sum().sqrt()


def cross_entropy(logits: Tensor, targets: Tensor, partners: Tensor | None, share: float) -> Tensor:
    """The loss of ``hard`` in float32; of a mixed batch ``share`` of the own labels and the rest of the partners'."""
    own = F.cross_entropy(logits.float(), targets)
    return own if partners is None else share * own + (1 - share) * F.cross_entropy(logits.float(), partners)


def ratios(loss: Tensor, reference: Tensor, logits: Tensor, model: nn.Module) -> dict[str, float]:
    """Norm of the gradient of ``loss`` over that of ``reference``; the graph is kept for the step itself.

    Args:
        loss: the regime's loss.
        reference: that of ``hard`` on the same logits.
        logits: (B, K), a node of both graphs.
        model: its parameters are those differentiated by; the regime's own (LS++'s C) are left out.

    Returns:
        ``gradient_ratio`` by the parameters, ``gradient_ratio_logits`` by the logits; not finite where
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
