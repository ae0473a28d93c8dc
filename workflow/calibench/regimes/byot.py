"""Be your own teacher: auxiliary heads on the stages of the network learn from its last layer, with any regime."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from calibench.regimes.combined import Combined
from calibench.regimes.functional import check_range, log_probs, soft_nll


class BYOT(Combined):
    """a·L(z) + Σ_i [b·L(z_i) + α·T²·CE(sg softmax(z/T), z_i/T) + β·‖f_i - sg f‖²], mean over the batch.

    L is the loss of the regime ``of``, whose state is updated with the logits z of the network only; z_i and f_i are
    logits and features of a head on stage i, f the penultimate features of the network. ‖·‖² sums over the features
    with f_i > 0 or f > 0. The heads train with the learning rate of the network and are dropped afterwards: the
    network is tested without them. A head is a bottleneck (a quarter of the channels of the stage), a convolution
    that reduces the map to the size of the last one, global pooling and a linear layer. Its batch normalisation has
    no running statistics, as it is never used for prediction.

    The defaults are those of the public code that Zhang et al. 2021 build on; the paper gives none except
    ``last: 1``. Zhang's BYOT+OLS is {of: ols, last: 1.5, shallow: 0.5, alpha: 0, beta: 0}; his script trains only z
    in the first epoch and gives the soft part of the heads half of that weight, which is not done here.

    Parameters: ``heads``; buffer ``shapes`` (stages, 3), channels, height and width of the maps, the last map at the
    end.

    Args:
        of: the regime, by its name.
        settings: its settings, as {ols: {alpha: 0.4}}.
        last: a ≥ 0.
        shallow: b ≥ 0.
        alpha: α ≥ 0.
        T: temperature of both sides of the soft term.
        beta: β ≥ 0; 1e-6 times a batch of 128, that code's sum over the batch.
    """

    name = "byot"
    label = "BYOT"
    source = "Zhang et al. 2019, Be your own teacher"
    needs = ("features", "stages")
    inputs = ("stage_shapes",)
    combines = True

    def __init__(
        self,
        num_classes: int,
        *,
        of: str = "hard",
        settings: Mapping[str, Mapping[str, Any]] = {},
        last: float = 0.9,
        shallow: float = 0.9,
        alpha: float = 0.1,
        T: float = 3.0,
        beta: float = 1.28e-4,
    ) -> None:
        super().__init__(num_classes, of, settings)
        for key, value in {"last": last, "shallow": shallow, "alpha": alpha, "beta": beta}.items():
            check_range(f"byot: {key}", value, 0)
        check_range("byot: T", T, 0, open_low=True)
        self.last, self.shallow, self.soft, self.T, self.beta = last, shallow, alpha * T**2, T, beta
        self.heads = nn.ModuleList()
        self.register_buffer("shapes", torch.zeros(0, 3, dtype=torch.int64))

    @property
    def inner(self) -> nn.Module:
        """The regime ``of``, which the network and all heads are trained with."""
        return next(iter(self.parts.values()))

    def take(self, stage_shapes: Sequence[Sequence[int]], **arrays: Any) -> None:
        """Make the heads; their weights come from torch's global generator."""
        self._build(torch.as_tensor(stage_shapes))
        super().take(**arrays)

    def _build(self, shapes: Tensor) -> None:
        self.shapes = shapes.to(self.shapes)
        *stages, (features, height, _) = shapes.tolist()
        heads = [
            Head(channels, max(size // height, 1), features, self.num_classes) for channels, size, _ in stages
        ]
        self.heads = nn.ModuleList(heads).to(self.shapes.device)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        shapes = state_dict.get(prefix + "shapes")
        if shapes is not None and not torch.equal(shapes.cpu(), self.shapes.cpu()):
            self._build(shapes)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        own = {"params": list(self.heads.parameters()), "lr": lr, "weight_decay": weight_decay}
        return [own, *super().parameter_groups(lr, weight_decay)]

    def class_targets(self) -> Tensor | None:
        return self.inner.class_targets()

    def loss(
        self, logits: Tensor, targets: Tensor, *, features: Tensor, stages: Sequence[Tensor], **extras
    ) -> Tensor:
        extras["features"] = features
        total = self.last * self.inner.loss(logits, targets, **extras)
        teacher = log_probs(logits.detach().float() / self.T).exp()
        goal = features.detach().float()
        for head, stage in zip(self.heads, stages, strict=True):
            hint, own = head(stage)
            total = total + self.shallow * self.inner.loss(own, targets, **extras)
            total = total + self.soft * soft_nll(log_probs(own.float() / self.T), teacher).mean()
            gap = torch.where((hint > 0) | (goal > 0), hint - goal, 0.0)
            total = total + self.beta * gap.square().sum(dim=1).mean()
        return total


class Head(nn.Module):
    """Bottleneck, downsampling, pooling and a linear layer on the map of one stage.

    Args:
        channels: of the map.
        factor: side of the map divided by the side of the network's last map.
        features: inputs of the network's last layer, D.
        num_classes: K.
    """

    def __init__(self, channels: int, factor: int, features: int, num_classes: int) -> None:
        super().__init__()
        narrow = max(channels // 4, 1)
        self.adapter = nn.Sequential(
            *_convolution(channels, narrow),
            *_convolution(narrow, narrow, factor),
            *_convolution(narrow, features),
        )
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, stage: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, D) and logits (B, K), float32, of a map (B, C, H, W), computed in the precision of the map."""
        half = stage.dtype in (torch.bfloat16, torch.float16)  # the network ran under autocast
        precision = {"dtype": stage.dtype} if half else {"enabled": False}
        with torch.autocast(stage.device.type, **precision):
            features = self.adapter(stage).mean(dim=(2, 3))
            logits = self.classifier(features)
        return features.float(), logits.float()


def _convolution(channels: int, out: int, factor: int = 1) -> list[nn.Module]:
    normalise = nn.BatchNorm2d(out, track_running_stats=False)
    return [nn.Conv2d(channels, out, factor, factor, bias=False), normalise, nn.ReLU()]
