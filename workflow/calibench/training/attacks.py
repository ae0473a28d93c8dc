"""Adversarial attacks: FGSM and PGD, white box, infinity norm.

FGSM (Goodfellow et al. 2015): x + ε·sign(∇ loss). PGD (Madry et al. 2018; without a random start Kurakin et al. 2017):
steps of size a along the sign of the gradient; after each step the image is clipped to within ε of the clean image and
to grey levels 0 to 255. The network is in evaluation mode, in float32; changed images are not rounded to whole levels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calibench.errors import UserError

LEVEL = 2 / 255  # one grey level of images scaled to [-1, 1]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum, not mean: only the sign of each gradient counts, and in a mean small gradients may become 0."""
    return F.cross_entropy(logits, targets, reduction="sum")


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """Largest other logit minus the logit of the true class: has a gradient even if the softmax is saturated."""
    own = logits.gather(1, targets[:, None])
    others = logits.scatter(1, targets[:, None], float("-inf"))
    return (others.max(dim=1).values - own[:, 0]).sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "margin": margin}


def _gradient(model: nn.Module, images: Tensor, targets: Tensor, loss: str) -> Tensor:
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        value = LOSSES[loss](model(images.expand(-1, 3, -1, -1)), targets)
        (gradient,) = torch.autograd.grad(value, images)
    if not torch.isfinite(gradient).all():
        raise UserError(
            "the network has no finite gradient for its images, so it cannot be attacked; remove evaluate_on.attacks"
        )
    return gradient


def _start(images: Tensor, bound: float, seed: int, rows: np.ndarray) -> Tensor:
    """Uniform in the ε-ball, a pure function of (seed, row)."""
    drawn = [
        np.random.default_rng([seed, int(row)]).uniform(-bound, bound, tuple(images.shape[1:]))
        for row in rows
    ]
    return torch.from_numpy(np.stack(drawn).astype(np.float32)).to(images.device)


def attack(
    model: nn.Module, images: Tensor, targets: Tensor, rows: np.ndarray, settings: dict[str, Any], grey: bool
) -> Tensor:
    """Images changed so that the network predicts wrong classes.

    Args:
        model: in evaluation mode.
        images: (B, 3, S, S) in [-1, 1].
        targets: (B,) true classes.
        rows: (B,) rows of the store, for the random start.
        settings: ``level`` (ε) and ``step_size`` in grey levels of 0..255, ``steps``, ``random_start``, ``seed``, ``loss``;
            one step as long as the bound is FGSM.
        grey: the three channels are equal and stay equal; otherwise each is changed separately.

    Returns:
        (B, 3, S, S) in [-1, 1], at most ε from ``images``.

    Raises:
        UserError: the gradient is not finite.
    """
    bound, step = settings["level"] * LEVEL, settings["step_size"] * LEVEL
    clean = images[:, :1] if grey else images
    low, high = (clean - bound).clamp(min=-1), (clean + bound).clamp(max=1)
    changed = clean
    if settings["random_start"]:
        changed = torch.clamp(clean + _start(clean, bound, settings["seed"], rows), low, high)
    for _ in range(settings["steps"]):
        direction = _gradient(model, changed, targets, settings["loss"]).sign()
        changed = torch.clamp(changed + step * direction, low, high)
    return changed.expand(-1, 3, -1, -1)
