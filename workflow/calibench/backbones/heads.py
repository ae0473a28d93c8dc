"""Heads on features, and the products that several heads with the same features share.

A product of few columns is slow, because it waits for the features: the logits of 26 heads of 11 classes, made at once,
take a third of the time that they take one by one. A head gets the same bits either way where the library of matrix
products adds up each column in the same order; :meth:`Products.exact` looks. It does so in another order if there are
very few columns, so a head has at least 16.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COLUMNS = 16  # a head alone makes a product of at least so many columns


class Head(nn.Linear):
    """A linear layer (B, D) → (B, K) that can share its products; its parameters are those of ``nn.Linear``."""

    shared: "Products | None" = None

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K)."""
        if self.shared is not None and self.shared.serves(features):
            return _SharedLogits.apply(self.weight, self.bias, features, self)
        missing = max(COLUMNS - self.out_features, 0)
        weight, bias = F.pad(self.weight, (0, 0, 0, missing)), F.pad(self.bias, (0, missing))
        return F.linear(features, weight, bias)[:, : self.out_features].contiguous()


class Products:
    """One product for the logits of several heads, and one for the gradients of their weights.

    Args:
        heads: H of them with equal shapes, on one device.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self.heads, self.places = heads, {id(head): place for place, head in enumerate(heads)}
        # they share the memory of the parameters
        self._weights = [head.weight.detach() for head in heads]
        self._biases = [head.bias.detach() for head in heads]
        self._open, self._features, self._logits = False, None, None
        self._gradients: dict[int, Tensor] = {}
        for head in heads:
            head.shared = self

    @contextlib.contextmanager
    def sharing(self) -> Iterator[None]:
        """Inside, heads that get the same features object share; afterwards those with a backward have gradients."""
        self._open = True
        try:
            yield
            self._give_gradients()
        finally:
            self._open, self._features, self._logits, self._gradients = False, None, None, {}

    def serves(self, features: Tensor) -> bool:
        """Whether the logits for these features (B, D) come from here."""
        return self._open and (self._features is None or self._features is features)

    def logits(self, head: Head, features: Tensor) -> Tensor:
        """Logits (B, K) of one head; the first call for features computes those of all."""
        if self._features is None:
            made = F.linear(features, torch.cat(self._weights), torch.cat(self._biases))
            self._features, self._logits = features, made.view(len(features), len(self.heads), -1)
        return self._logits[:, self.places[id(head)]].contiguous()

    def keep(self, head: Head, gradient: Tensor) -> None:
        """Add a gradient (B, K) of the loss of a head with respect to its logits."""
        place = self.places[id(head)]
        before = self._gradients.get(place)
        self._gradients[place] = gradient if before is None else before + gradient

    def _give_gradients(self) -> None:
        if not self._gradients:
            return
        kept = torch.zeros_like(self._logits)
        for place, gradient in self._gradients.items():
            kept[:, place] = gradient
        weights = (kept.flatten(1).t() @ self._features).view(*kept.shape[1:], -1)
        for place in self._gradients:
            self.heads[place].weight.grad = weights[place]

    def exact(self, sizes: Iterable[int]) -> bool:
        """Whether each head gets the same bits as alone, for batches of these sizes on this machine."""
        draw = torch.Generator().manual_seed(0)
        like = self.heads[0].weight
        return all(
            self._exact(size, lambda *shape: torch.randn(shape, generator=draw).to(like)) for size in sizes
        )

    def _exact(self, size: int, random: Any) -> bool:
        features = random(size, self.heads[0].in_features)
        gradients = [random(size, head.out_features) for head in self.heads]
        found: list[list[Tensor]] = []
        for together in (self.sharing(), contextlib.nullcontext()):
            with together:
                made = [head(features) for head in self.heads]
                for logits, gradient in zip(made, gradients, strict=True):
                    (logits * gradient).sum().backward()
            found.append(made + [p.grad for head in self.heads for p in (head.weight, head.bias)])
            for head in self.heads:
                head.zero_grad()
        return all(map(torch.equal, *found))


class _SharedLogits(torch.autograd.Function):
    """Logits of one head out of the product of all; its backward leaves that of the weights to the product of all."""

    @staticmethod
    def forward(ctx: Any, _weight: Tensor, _bias: Tensor, features: Tensor, head: Head) -> Tensor:
        ctx.head = head
        return head.shared.logits(head, features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None, None]:
        ctx.head.shared.keep(ctx.head, gradient)
        classes = gradient.shape[1]
        bias = F.pad(gradient, (0, max(COLUMNS - classes, 0))).sum(0)[:classes]  # padded as in a head alone
        return None, bias, None, None
