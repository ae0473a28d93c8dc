"""PENCIL: learns a label distribution for every training image together with the network."""

import torch
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, log_probs, nll
from calibench.regimes.hosttable import HostTable


class PENCIL(Regime):
    """Phase 1: CE; phase 2: KL(p ‖ ŷ)/K + α·L_o + β·H(p)/K while ŷ learns; phase 3: KL(p ‖ ŷ)/K with ŷ fixed.

    ŷ_i = softmax(ỹ_i) is the label distribution of image i; at the start ỹ_i is ``start`` on its given label y and 0
    elsewhere. At each step of the second phase ỹ ← ỹ - λ·∂L/∂ỹ, L the mean over the batch: for an image,
    λ/B·[(ŷ - p)/K + α·∂L_o/∂ỹ]. L_o keeps ŷ near the given label and acts on ŷ only. The learning rate follows the
    config in all phases: the authors keep it constant in the first two and raise it in the third.

    State, N = number of training images: ``changes`` (N, K) float32, ỹ minus its start, in main memory; buffers
    ``epoch``, ``begins`` (2,) first epochs of the second and third phase, ``moved`` and ``seen``, numbers.

    Args:
        correct_from: first epoch (from 0) of the second phase; below 1 a share of all epochs. 70 of 320 from
            the source.
        fixed_from: first epoch of the third phase, likewise; 200 of 320 from the source.
        alpha: α ≥ 0; 0.4 from the source for CIFAR-10.
        beta: β ≥ 0; 0.1 from the source for CIFAR-10.
        label_lr: λ ≥ 0; 600 from the source for CIFAR-10 with batches of 128.
        start: 10 from the source, whatever the number of classes.
        compatibility: L_o: "softmax_twice" = -log softmax(ŷ)_y (authors' code, with which α and λ were tuned)
            or "label" = -log ŷ_y (the paper).
    """

    name = "pencil"
    label = "PENCIL"
    source = "Yi and Wu 2019, Probabilistic end-to-end noise correction for learning with noisy labels"
    needs = ("host_sample",)
    inputs = ("train_size", "epochs")

    def __init__(
        self,
        num_classes: int,
        *,
        correct_from: float = 0.21875,
        fixed_from: float = 0.625,
        alpha: float = 0.4,
        beta: float = 0.1,
        label_lr: float = 600.0,
        start: float = 10.0,
        compatibility: str = "softmax_twice",
    ) -> None:
        super().__init__(num_classes)
        given = {"correct_from": correct_from, "fixed_from": fixed_from, "alpha": alpha, "beta": beta}
        for key, value in (given | {"label_lr": label_lr, "start": start}).items():
            check_range(f"pencil: {key}", value, 0)
        check_choice("pencil: compatibility", compatibility, ("softmax_twice", "label"))
        self.phases, self.alpha, self.beta = (correct_from, fixed_from), alpha, beta
        self.label_lr, self.start, self.twice = label_lr, start, compatibility == "softmax_twice"
        self.changes = HostTable(num_classes)
        self.register_buffer("begins", torch.zeros(2, dtype=torch.float64))
        for name in ("epoch", "moved", "seen"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        self._phase: int | None = None  # copy on the host: reading the device at every step is slow

    def take(self, train_size: int, epochs: int) -> None:
        begins = [share * int(epochs) if share < 1 else share for share in self.phases]
        if begins[0] > begins[1]:
            raise UserError(
                f"pencil: the labels are learned from epoch {begins[0]:g} but fixed from epoch {begins[1]:g}; "
                "lower correct_from or raise fixed_from"
            )
        self.begins.copy_(torch.tensor(begins))
        self.changes.allocate("pencil: a label distribution", int(train_size))

    def loaded(self) -> None:
        self._phase = None

    @property
    def phase(self) -> int:
        """1, 2 or 3, of this epoch."""
        if self._phase is None:
            self._phase = 1 + int((self.epoch >= self.begins).sum())
        return self._phase

    def _scores(self, targets: Tensor, host_sample: Tensor) -> Tensor:
        """ỹ, (B, K)."""
        rows = self.changes.read(host_sample, targets.device)
        return rows.scatter_add(1, targets[:, None], rows.new_full((len(rows), 1), self.start))

    def loss(self, logits: Tensor, targets: Tensor, *, host_sample: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        if self.phase == 1:
            return nll(log_p, targets).mean()
        log_y = log_probs(self._scores(targets, host_sample))
        p = log_p.exp()
        divergence = (p * (log_p - log_y)).mean()  # over batch and classes
        if self.phase == 3:
            return divergence
        near = nll(log_probs(log_y.exp()) if self.twice else log_y, targets).mean()
        return divergence + self.alpha * near - self.beta * (p * log_p).mean()

    def observe(self, logits: Tensor, targets: Tensor, *, host_sample: Tensor, **extras) -> None:
        if self.phase != 2:
            return
        scores = self._scores(targets, host_sample)
        p, y = log_probs(logits).exp(), scores.softmax(dim=1)
        gradient = (y - p) / self.num_classes + self.alpha * self._pull(y, targets)
        scores -= self.label_lr / len(targets) * gradient
        self.moved += (scores.argmax(dim=1) != targets).sum()
        self.seen += len(targets)
        self.changes.write(
            host_sample,
            scores.scatter_add(1, targets[:, None], scores.new_full((len(scores), 1), -self.start)),
        )

    def _pull(self, y: Tensor, targets: Tensor) -> Tensor:
        """∂L_o/∂ỹ of each image, (B, K)."""
        onehot = torch.zeros_like(y).scatter(1, targets[:, None], 1.0)
        if not self.twice:
            return y - onehot
        slope = y.softmax(dim=1) - onehot
        return y * (slope - (slope * y).sum(dim=1, keepdim=True))

    def close_epoch(self) -> dict[str, float]:
        """Report ``phase`` and, in the second, ``relabelled``: share of images whose ŷ prefers another label."""
        report = {"phase": float(self.phase)}
        if self.phase == 2:
            report["relabelled"] = float(self.moved / self.seen.clamp(min=1))
        self.moved.zero_()
        self.seen.zero_()
        self.epoch += 1
        self._phase = None
        return report
