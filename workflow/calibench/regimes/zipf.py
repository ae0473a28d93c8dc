"""Zipf's label smoothing: the target for the wrong classes is Zipf's law in the order the network ranks them."""

import torch
from torch import Tensor, nn

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, kl, log_probs, nll


class Zipf(Regime):
    """CE + λ·KL(w ‖ softmax over the K-1 other logits), w ∝ 1/rank; ranks have no gradient.

    Tied classes share the smallest of their ranks; so do classes without votes.

    Args:
        lam: λ ≥ 0; 0.1 from the source for CIFAR and ImageNet (Tiny-ImageNet: 1).
        mode: "dense" = rank by votes of the classifier at every position of the last feature map (source;
            needs a classifier on pooled features), "rank" = rank by the sample's own logits.
        rank_among: "others" = the K-1 other classes are ranked; "all" = the target takes a rank as well and
            is left out afterwards (authors' code: 1/2, 1/3, … once the target comes first).
    """

    name = "zipf"
    label = "Zipf's LS"
    source = "Liang et al. 2022, Efficient one pass self-distillation with Zipf's label smoothing"
    needs = ("feature_map", "classifier")

    def __init__(
        self, num_classes: int, *, lam: float = 0.1, mode: str = "dense", rank_among: str = "others"
    ) -> None:
        super().__init__(num_classes)
        check_range("zipf: lam", lam, 0)
        check_choice("zipf: mode", mode, ("dense", "rank"))
        check_choice("zipf: rank_among", rank_among, ("others", "all"))
        self.lam, self.mode, self.rank_among = lam, mode, rank_among

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        feature_map: Tensor | None = None,
        classifier: nn.Module | None = None,
        **extras,
    ) -> Tensor:
        log_p = log_probs(logits)
        with torch.no_grad():
            scores = (
                votes(feature_map, classifier, self.num_classes) if self.mode == "dense" else logits.float()
            )
            weights = zipf_weights(scores, targets, self.rank_among == "all")
        column = targets[:, None]
        others = log_probs(logits.float().scatter(1, column, -torch.inf)).scatter(1, column, 0.0)
        return (nll(log_p, targets) + self.lam * kl(weights, others)).mean()


def zipf_weights(scores: Tensor, targets: Tensor, target_takes_a_rank: bool) -> Tensor:
    """1/rank by descending score, 0 on the target, rows sum to 1; (B, K)."""
    column = targets[:, None]
    ranked = scores if target_takes_a_rank else scores.scatter(1, column, -torch.inf)
    ascending = ranked.sort(dim=1).values
    higher = scores.shape[1] - torch.searchsorted(ascending, ranked.contiguous(), right=True)
    weights = (1 / (1 + higher).float()).scatter(1, column, 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def votes(feature_map: Tensor | None, classifier: nn.Module | None, num_classes: int) -> Tensor:
    """How many positions of the feature map (B, C, H, W) the classifier assigns to each class, (B, K).

    UserError if either is missing or the classifier cannot be applied to single positions.
    """
    if feature_map is None or classifier is None:
        raise UserError(
            "zipf: mode dense needs feature_map and classifier; pass them to loss() or set mode: rank"
        )
    batch, channels = feature_map.shape[:2]
    first = next((m for m in classifier.modules() if isinstance(m, nn.Linear)), None)
    if first is not None and first.in_features != channels:
        raise UserError(
            "zipf: mode dense needs a classifier on pooled features; this one has "
            f"{first.in_features} inputs and the feature map {channels} channels: set mode: rank"
        )
    was_training = classifier.training
    classifier.eval()  # dropout would make the ranks random
    positions = classifier(feature_map.detach().float().permute(0, 2, 3, 1).reshape(-1, channels))
    classifier.train(was_training)
    choice = positions.argmax(dim=1).view(batch, -1)
    counts = torch.zeros(batch, num_classes, device=feature_map.device)
    return counts.scatter_add(1, choice, torch.ones_like(choice, dtype=counts.dtype))
