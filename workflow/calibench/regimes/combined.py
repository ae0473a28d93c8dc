"""Base of regimes made of others: it passes everything on to the parts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from calibench.regimes import build
from calibench.regimes.base import Regime
from calibench.regimes.parts import other_runs, parts


class Combined(Regime):
    """A regime with the state and the needs of its ``parts``, a dictionary of regimes.

    ``needs``, ``inputs`` and ``other_runs`` are those of the class and of all parts. Numbers for the history have the
    name of the part in front, as ``ols.matrix_entropy``.
    """

    def __init__(
        self, num_classes: int, of: str | Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]
    ) -> None:
        given = {"of": of, "settings": settings}
        built = {name: build(name, num_classes, **own) for name, own in parts(self.name, given).items()}
        own_needs, own_inputs = type(self).needs, type(self).inputs
        self.needs = tuple(dict.fromkeys([*own_needs, *(n for p in built.values() for n in type(p).needs)]))
        self.inputs = tuple(dict.fromkeys([*own_inputs, *(n for p in built.values() for n in p.inputs)]))
        self.other_runs = {key: wanted for key, (wanted, _) in other_runs(self.name, given).items()}
        super().__init__(num_classes)
        self.parts = nn.ModuleDict(built)

    def take(self, **arrays: Any) -> None:
        for part in self.parts.values():
            part.prepare(**arrays)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        return [group for part in self.parts.values() for group in part.parameter_groups(lr, weight_decay)]

    def observe(self, logits: Tensor, targets: Tensor, **extras: Any) -> None:
        for part in self.parts.values():
            part.observe(logits, targets, **extras)

    def validated(self, logits: Tensor, targets: Tensor) -> None:
        for part in self.parts.values():
            part.validated(logits, targets)

    @property
    def reviews(self) -> bool:
        return any(part.reviews for part in self.parts.values())

    def review(self, logits: Tensor, targets: Tensor) -> None:
        for part in self.parts.values():
            if part.reviews:
                part.review(logits, targets)

    def close_epoch(self) -> dict[str, float]:
        """End the epoch of every part; each number under ``part.name``."""
        return {f"{n}.{k}": v for n, part in self.parts.items() for k, v in part.close_epoch().items()}
