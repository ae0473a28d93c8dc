"""OLS at the level of samples: the soft label is one other image's prediction."""

import torch
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll, soft_nll, step_generator


class OLSSingle(Regime):
    """α·CE + (1-α)·(-Σ_k s_k·log p_k), s = prediction of the last epoch for a random other image of the class.

    The prediction may be right or wrong: the source does not restrict it. Where there is none (first epoch, the only
    image of its class) s is uniform. Buffers, N = number of training images: ``last`` and ``running`` (N, K) float16
    predictions of the last and of this epoch, ``labels`` (N,) with -1 = not used yet, ``fresh`` (N,) used in this
    epoch; ``members`` (N,) images by class, ``first`` (K+1,) where each class starts in it, ``place`` (N,) of an
    image in its class.

    Args:
        alpha: weight of the hard label in [0, 1]; 0.5 from the source.
    """

    name = "ols_single"
    label = "OLS-Single"
    source = "Zhang et al. 2021, Delving deep into label smoothing, section V-E, sample-level soft labels"
    needs = ("sample", "step_seed")
    inputs = ("train_size",)

    def __init__(self, num_classes: int, *, alpha: float = 0.5) -> None:
        super().__init__(num_classes)
        check_range("ols_single: alpha", alpha, 0, 1)
        self.alpha = alpha
        self.register_buffer("first", torch.zeros(num_classes + 1, dtype=torch.int64))
        self._size_buffers(0)

    def _size_buffers(self, n: int) -> None:
        k, device = self.num_classes, self.first.device
        self.register_buffer("last", torch.zeros(n, k, dtype=torch.float16, device=device))
        self.register_buffer("running", torch.zeros(n, k, dtype=torch.float16, device=device))
        self.register_buffer("labels", torch.full((n,), -1, device=device))
        self.register_buffer("fresh", torch.zeros(n, dtype=torch.bool, device=device))
        self.register_buffer("members", torch.zeros(n, dtype=torch.int64, device=device))
        self.register_buffer("place", torch.zeros(n, dtype=torch.int64, device=device))

    def take(self, train_size) -> None:
        if int(train_size) < 1:
            raise UserError(
                f"ols_single: train_size is {train_size}; it must be the number of training images"
            )
        self._size_buffers(int(train_size))

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        labels = state_dict.get(prefix + "labels")
        if labels is not None and len(labels) != len(self.labels):
            self._size_buffers(len(labels))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def soft_targets(self, targets: Tensor, sample: Tensor, step_seed: int) -> Tensor:
        """Soft label of each sample, (B, K) float32."""
        draw = torch.rand(len(targets), generator=step_generator(step_seed)).to(
            targets.device, non_blocking=True
        )
        begin = self.first[targets]
        size = self.first[targets + 1] - begin
        # an image in the list must not draw itself; a new image, not in the list yet, may draw any
        listed = (self.place[sample] < size) & (
            self.members[(begin + self.place[sample]).clamp(max=self._top)] == sample
        )
        choices = size - listed.long()
        chosen = (draw * choices).long().clamp(max=(choices - 1).clamp(min=0))
        chosen = chosen + (listed & (chosen >= self.place[sample])).long()
        rows = self.last[self.members[(begin + chosen).clamp(max=self._top)]].float()
        rows = rows / rows.sum(dim=1, keepdim=True)
        return torch.where((choices > 0)[:, None], rows, 1 / self.num_classes)

    @property
    def _top(self) -> int:
        return len(self.members) - 1

    def loss(self, logits: Tensor, targets: Tensor, *, sample: Tensor, step_seed: int, **extras) -> Tensor:
        log_p = log_probs(logits)
        soft = soft_nll(log_p, self.soft_targets(targets, sample, step_seed))
        return (self.alpha * nll(log_p, targets) + (1 - self.alpha) * soft).mean()

    def observe(self, logits: Tensor, targets: Tensor, *, sample: Tensor, **extras) -> None:
        self.running[sample] = log_probs(logits).exp().half()
        self.labels[sample] = targets
        self.fresh[sample] = True

    def close_epoch(self) -> dict[str, float]:
        """Update predictions and lists; report ``single_classes``, classes with fewer than two images."""
        self.last.copy_(torch.where(self.fresh[:, None], self.running, self.last))
        self.fresh.zero_()
        unseen = self.labels < 0
        key = torch.where(unseen, self.num_classes, self.labels)  # the unseen go behind the last class
        self.members.copy_(key.argsort(stable=True))
        counts = torch.zeros(self.num_classes + 1, dtype=torch.int64, device=key.device)
        counts.index_add_(0, key, torch.ones_like(key))
        self.first[1:] = counts[:-1].cumsum(0)
        begin = self.first[key]
        self.place[self.members] = torch.arange(len(key), device=key.device) - begin[self.members]
        return {"single_classes": float((counts[:-1] < 2).sum())}
