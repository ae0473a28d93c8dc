"""Backbones: a body for the penultimate features and a linear head for the logits."""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from calibench.backbones import resnet_cifar, resnext_cifar, stages
from calibench.backbones.heads import Head
from calibench.backbones.networks import NETWORKS
from calibench.backbones.special import TIMM
from calibench.backbones.timm_networks import fit_to_size, timm_network
from calibench.errors import UserError
from calibench.extensions import brought


class Classifier(nn.Module):
    """A backbone cut in two at its last linear layer.

    Args:
        body: maps images (B, 3, H, W) to penultimate features (B, D).
        head: linear layer (D → K).
    """

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.feature_map: Tensor | None = None
        self.stages: list[Tensor] = []

    def watch_feature_map(self) -> None:
        """Keep the last feature map (B, D, h, w) of each pass in ``feature_map``, for the regime ``zipf``.

        UserError if the backbone has no last map that is pooled into the features of the head.
        """
        last = stages.last_map(self.body)
        if last is None:
            raise UserError(
                f"zipf: mode dense needs the last feature map, which is not known for {type(self.body).__name__}; "
                "set mode: rank"
            )
        last.register_forward_hook(self._keep_map)

    def _keep_map(self, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        densenet = type(self.body).__name__ == "DenseNet"  # its last ReLU comes after its `features`
        self.feature_map = output.relu() if densenet else output

    @property
    def depthwise(self) -> bool:
        """Whether it has depthwise convolutions (one filter per channel), which bf16 does not speed up on a CPU."""
        convolutions = (m for m in self.modules() if isinstance(m, nn.Conv2d))
        return any(m.groups == m.in_channels > 1 for m in convolutions)

    def watch_stages(self, size: int) -> list[list[int]]:
        """Keep the last map of each stage of each pass, except the last stage, in ``stages``.

        Returns:
            For images of ``size`` px: channels, height and width of each map, then of the last map of the network,
            with the number of inputs of the head as its channels.

        Raises:
            UserError: the stages of the backbone are not known.
        """
        shapes: list[list[int]] = []

        def keep(_module: nn.Module, _inputs: tuple, output: Tensor, place: int) -> None:
            self.stages[place] = output

        def note(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            shapes.append([self.head.in_features, *output.shape[2:]])

        shallow = stages.shallow(self.body)
        self.stages = [torch.empty(0)] * len(shallow)
        for place, module in enumerate(shallow):
            module.register_forward_hook(functools.partial(keep, place=place))
        noting = stages.last_map(self.body).register_forward_hook(note)
        parameter, training = next(self.parameters()), self.training
        with torch.no_grad():
            self.eval()(torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype))
        self.train(training)
        noting.remove()
        return [list(stage.shape[1:]) for stage in self.stages] + shapes

    def fit_to_size(self, size: int) -> None:
        """Take images of ``size`` px, where the network knows one size only; after its pretrained weights are loaded.

        Raises:
            UserError: if it cannot.
        """
        fit_to_size(self.body, size)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.body(images))

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Penultimate features (B, D) and logits (B, K)."""
        features = self.body(images)
        return features, self.head(features)


def _last_linear(network: nn.Module, name: str) -> str:
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(
            f"backbones: '{name}' has no final linear layer to take features from; choose another"
        )
    return linear[-1]


def _last_norm_of_residual(module: nn.Module) -> nn.Module | None:
    """The last batch norm of a residual block; None for any other module."""
    if isinstance(module, resnet_cifar.Block | resnext_cifar.Block):
        return module.residual[-1]
    last = {"Bottleneck": "bn3", "BasicBlock": "bn2"}.get(type(module).__name__)  # torchvision's, by name
    return getattr(module, last) if last else None


def _apply_settings(network: nn.Module, settings: dict[str, Any]) -> None:
    for module in network.modules():
        if settings["zero_init_residual"] and (norm := _last_norm_of_residual(module)) is not None:
            nn.init.zeros_(norm.weight)
        if isinstance(module, nn.Dropout) and settings["dropout"] is not None:
            module.p = settings["dropout"]
        if isinstance(module, nn.BatchNorm2d) and settings["batch_norm_momentum"] is not None:
            module.momentum = settings["batch_norm_momentum"]


def _network(name: str, num_classes: int, input_size: str) -> nn.Module:
    if name in NETWORKS:
        return NETWORKS[name](num_classes)  # made for small images: model.input changes nothing
    if name in brought("backbones"):
        return brought("backbones")[name](num_classes)
    if name.startswith(TIMM):
        if input_size != "full":
            raise UserError(f"model.input: small is not available for '{name}'; set it to full")
        return timm_network(name)
    from calibench.backbones.torchvision_networks import torchvision_network

    return torchvision_network(name, input_size)


def build(name: str, num_classes: int, settings: dict[str, Any]) -> Classifier:
    """A backbone by its name, initialised from torch's global generator.

    Args:
        name: one of :data:`calibench.backbones.networks.NETWORKS`, a backbone of an installed package, ``timm.<name>``,
            or any torchvision classification model with a linear last layer.
        num_classes: K.
        settings: ``model`` of a run's settings.

    Raises:
        UserError: there is no such model.
    """
    network = _network(name, num_classes, settings["input"])
    _apply_settings(network, settings)
    path = _last_linear(network, name)
    head = nn.Linear(network.get_submodule(path).in_features, num_classes)
    network.set_submodule(path, nn.Identity())
    return Classifier(network, head)


def head_alone(features: int, num_classes: int) -> Classifier:
    """A head on features (B, D) that were computed before; what would be images are features."""
    return Classifier(nn.Identity(), Head(features, num_classes))
