"""Online label smoothing: the soft label of a class is the model's mean prediction for it, an epoch ago."""

import torch
import torch.distributed as dist
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import (
    check_choice,
    check_range,
    check_steps,
    entropy,
    log_probs,
    nll,
    soft_nll,
)


class OLS(Regime):
    """α·CE + (1-α)·(-Σ_k S[y,k]·log p_k), S updated once per epoch.

    Every correctly classified training sample adds its softmax vector (from the forward pass of the loss) to row y
    of an accumulator; at the end of the epoch each row is normalised and becomes S[y].

    Buffers: ``matrix`` S (K, K), row = true class; ``accumulator`` (K, K) and ``counts`` (K,) since the last update;
    ``last_counts`` (K,) correct predictions per class at the last update; ``frozen`` (K,) bool; ``steps`` and
    ``correct``, numbers. The next epoch depends on nothing else, so resuming from them is exact.

    Args:
        alpha: weight of the hard label in [0, 1]; 0.5 from the source.
        weights: "mix" = α and 1-α (source); "sum" = 1 and 1, α unused (the authors' fine-grained script).
        start: S of the first epoch, "uniform" (source) or "zeros" (authors' CIFAR script: first epoch α·CE
            only).
        fallback: row of a class without a correct prediction since the last update: "uniform" (not in the source;
            zhangchbin's code), "zeros" (another code: the soft term vanishes) or "keep" (ours: the old row stays).
        freeze: a row whose maximum reached this value stays as it is; ``None`` = never (source), 0.88 in
            the authors' fine-grained script.
        update_every: ``None`` = once an epoch (source), or a number of training batches (its Fig. 7b).
    """

    name = "ols"
    label = "OLS"
    shows_matrix = True
    source = "Zhang et al. 2021, Delving deep into label smoothing, section III-B"

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.5,
        weights: str = "mix",
        start: str = "uniform",
        fallback: str = "uniform",
        freeze: float | None = None,
        update_every: int | None = None,
    ) -> None:
        super().__init__(num_classes)
        check_range(f"{self.name}: alpha", alpha, 0, 1)
        check_choice(f"{self.name}: weights", weights, ("mix", "sum"))
        check_choice(f"{self.name}: start", start, ("uniform", "zeros"))
        check_choice(f"{self.name}: fallback", fallback, ("uniform", "zeros", "keep"))
        if freeze is not None:
            check_range(f"{self.name}: freeze", freeze, 0, 1, open_low=True)
        check_steps(f"{self.name}: update_every", update_every)
        self.hard_weight, self.soft_weight = (alpha, 1 - alpha) if weights == "mix" else (1.0, 1.0)
        self.fallback, self.freeze, self.update_every = fallback, freeze, update_every
        k = num_classes
        self.register_buffer("matrix", torch.full((k, k), 1 / k if start == "uniform" else 0.0))
        self.register_buffer("accumulator", torch.zeros(k, k))
        self.register_buffer("counts", torch.zeros(k, dtype=torch.int64))
        self.register_buffer("frozen", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("correct", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last_counts", torch.zeros(k, dtype=torch.int64))
        self._steps: int | None = None  # `steps` on the host: reading the device at every step is slow

    def loaded(self) -> None:
        self._steps = None

    def soft_targets(self, targets: Tensor) -> Tensor:
        """Soft label of each sample, (B, K)."""
        return self.matrix[targets]

    def class_targets(self) -> Tensor:
        """The weighted mean of the hard and the soft label; halves for ``weights: sum``."""
        total = self.hard_weight + self.soft_weight
        onehot = torch.eye(self.num_classes, device=self.matrix.device)
        return (self.hard_weight * onehot + self.soft_weight * self.matrix) / total

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        soft = soft_nll(log_p, self.soft_targets(targets))
        return (self.hard_weight * nll(log_p, targets) + self.soft_weight * soft).mean()

    def observe(self, logits: Tensor, targets: Tensor, **extras) -> None:
        p = log_probs(logits).exp()
        right = logits.argmax(dim=1) == targets
        # not a product: a wrong sample may be NaN; not a boolean index: it would wait for the device
        _add_rows(self.accumulator, targets, torch.where(right[:, None], p, 0.0))
        _count_rows(self.counts, targets, right)
        self.steps += 1
        if self.update_every is not None:
            self._count_step()

    def _count_step(self) -> None:
        self._steps = int(self.steps) if self._steps is None else self._steps + 1
        if self._steps % self.update_every == 0:
            self._renew()

    def close_epoch(self) -> dict[str, float]:
        """Update S (unless ``update_every`` is set) and report.

        Returns:
            ``matrix_entropy``: mean entropy of the non-empty rows of S in nats; ``fallback_classes``: classes
            without a correct prediction at the last update; ``correct_updates``: samples in the updates since the
            last report.
        """
        if self.update_every is None:
            self._renew()
        filled = self.matrix.sum(dim=1) > 0
        report = {
            "matrix_entropy": float(entropy(self.matrix).sum() / filled.sum().clamp(min=1)),
            "fallback_classes": float((self.last_counts == 0).sum()),
            "correct_updates": float(self.correct),
        }
        self.correct.zero_()
        return report

    def _renew(self) -> None:
        """Turn the accumulator into S and empty it; over all ranks in distributed training."""
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.accumulator)
            dist.all_reduce(self.counts)
        seen = self.counts > 0
        # an empty row becomes NaN and is replaced below
        mean = self.accumulator / self.accumulator.sum(dim=1, keepdim=True)
        fresh = torch.where(seen[:, None], self.rows_of_means(mean), self._fallback_rows())
        self.matrix.copy_(torch.where(self.frozen[:, None], self.matrix, fresh))
        if self.freeze is not None:
            self.frozen |= seen & (self.matrix.amax(dim=1) >= self.freeze)
        self.last_counts.copy_(self.counts)
        self.correct += self.counts.sum()
        self.accumulator.zero_()
        self.counts.zero_()

    def rows_of_means(self, means: Tensor) -> Tensor:
        """Rows of S from the mean predictions (K, K), NaN where a class has none; the controls override this."""
        return means

    def _fallback_rows(self) -> Tensor:
        if self.fallback == "keep":
            return self.matrix
        return torch.full_like(self.matrix, 1 / self.num_classes if self.fallback == "uniform" else 0.0)


def _add_rows(accumulator: Tensor, rows: Tensor, values: Tensor) -> None:
    """accumulator[rows[i]] += values[i], also for repeated rows, and with the same bits in every run."""
    if accumulator.device.type == "cpu":
        accumulator.index_add_(0, rows, values)
        return
    # on a GPU index_add_ adds in any order, or sorts first with about twenty kernels; a product is one kernel
    accumulator.addmm_(_onehot(rows, len(accumulator)).T.to(values.dtype), values)


def _count_rows(counts: Tensor, rows: Tensor, counted: Tensor) -> None:
    """counts[rows[i]] += 1 where ``counted`` (B,) bool."""
    if counts.device.type == "cpu":
        counts.index_add_(0, rows, counted.long())
    else:
        counts += (_onehot(rows, len(counts)) & counted[:, None]).sum(dim=0)


def _onehot(rows: Tensor, classes: int) -> Tensor:
    return rows[:, None] == torch.arange(classes, device=rows.device)
