"""LS++: a learned matrix distributes the smoothing mass over the other classes."""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, entropy, log_probs, nll, other_classes


class LSPP(Regime):
    """H(sg(y*), p) + H(sg(p), y*), y* = (1-α)·onehot + α·softmax(C_y) on the other classes; sg stops the gradient.

    The first term trains only the network, the second only C. Parameter: ``C`` (K, K-1), logits, zero at the
    start: row y has the classes other than y in ascending order. Buffer: ``matrix`` (K, K), softmax(C) with
    a zero diagonal at the end of the last epoch, row = true class.

    Args:
        alpha: mass of the other classes, in (0, 1); 0.1 from the source.
        half: multiply the sum by 1/2: authors' code, not the paper.
        objective: "split" = as above (source); "symmetric" = H(y*, p) + H(p, y*), both training all, or
            "cross_entropy" = H(y*, p), training all: the two other rows of its Table 5.
        c_lr: learning rate of C at the start, follows the schedule; 0.1 = the network's in the authors' code.
            ``None``: the network's; if that is small, C stays uniform and LS++ is LS.
        c_weight_decay: apply the network's weight decay to C: true in the authors' code, false here.
    """

    name = "lspp"
    label = "LS++"
    shows_matrix = True
    source = "Chhabra et al. 2024, Label Smoothing++, section 3.2"

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.1,
        half: bool = False,
        objective: str = "split",
        c_lr: float | None = 0.1,
        c_weight_decay: bool = False,
    ) -> None:
        super().__init__(num_classes)
        check_range("lspp: alpha", alpha, 0, 1, open_low=True)
        if alpha == 1:
            raise UserError("lspp: alpha is 1; it must be below 1, or the label of the image would not count")
        check_choice("lspp: objective", objective, ("split", "symmetric", "cross_entropy"))
        if c_lr is not None:
            check_range("lspp: c_lr", c_lr, 0)
        self.alpha, self.objective, self.c_lr, self.c_weight_decay = alpha, objective, c_lr, c_weight_decay
        self.factor = 0.5 if half else 1.0
        self.C = nn.Parameter(torch.zeros(num_classes, num_classes - 1))
        self.C.register_hook(_mean_over_ranks)
        self.register_buffer("matrix", self.probabilities())

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """softmax(C) with a zero diagonal, (K, K)."""
        k = self.num_classes
        columns = other_classes(torch.arange(k, device=self.C.device), k)
        return torch.zeros(k, k, device=self.C.device).scatter(1, columns, self.C.float().softmax(dim=1))

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict]:
        decay = weight_decay if self.c_weight_decay else 0.0
        return [{"params": [self.C], "lr": lr if self.c_lr is None else self.c_lr, "weight_decay": decay}]

    def class_targets(self) -> Tensor:
        return (1 - self.alpha) * torch.eye(self.num_classes) + self.alpha * self.matrix.cpu()

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        others = other_classes(targets, self.num_classes)
        log_c = F.log_softmax(self.C[targets].float(), dim=1)
        split = self.objective == "split"
        total = self._label_to_network(log_p, targets, others, log_c.detach() if split else log_c)
        if self.objective != "cross_entropy":
            total = total + self._network_to_label(log_p.detach() if split else log_p, targets, others, log_c)
        return self.factor * total.mean()

    def _label_to_network(self, log_p: Tensor, targets: Tensor, others: Tensor, log_c: Tensor) -> Tensor:
        """H(y*, p), (B,)."""
        soft = -(log_c.exp() * log_p.gather(1, others)).sum(dim=1)
        return (1 - self.alpha) * nll(log_p, targets) + self.alpha * soft

    def _network_to_label(self, log_p: Tensor, targets: Tensor, others: Tensor, log_c: Tensor) -> Tensor:
        """H(p, y*), (B,), from log y*, so that no small probability is rounded to zero."""
        p = log_p.exp()
        p_target = p.gather(1, targets[:, None]).squeeze(1)
        soft = -(p.gather(1, others) * (math.log(self.alpha) + log_c)).sum(dim=1)
        return soft - p_target * math.log(1 - self.alpha)

    def close_epoch(self) -> dict[str, float]:
        """Update ``matrix``; report the mean entropy of the rows of C in nats (ln(K-1) = uniform)."""
        self.matrix.copy_(self.probabilities())
        return {"matrix_entropy": float(entropy(self.matrix).mean())}


def _mean_over_ranks(gradient: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        gradient /= dist.get_world_size()
    return gradient
