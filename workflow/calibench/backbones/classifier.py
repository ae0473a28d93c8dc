"""Backbones: a body that gives penultimate features and a linear head that gives logits."""

import functools
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from calibench.backbones import resnet_cifar, resnext_cifar, stages
from calibench.backbones.networks import NETWORKS
from calibench.errors import UserError


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
        """From now on keep each pass's last feature map (B, D, h, w) in ``feature_map``; Zipf's method reads it.

        Raises:
            UserError: if the backbone does not pool its last map into the features of the head.
        """
        last = stages.last_map(self.body)
        if last is None:
            raise UserError(
                f"zipf: mode dense knows no last feature map of {type(self.body).__name__}; set mode: rank"
            )
        last.register_forward_hook(self._keep_map)

    def _keep_map(self, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        densenet = isinstance(
            self.body, torchvision.models.DenseNet
        )  # its last ReLU comes after its `features`
        self.feature_map = output.relu() if densenet else output

    def watch_stages(self, size: int) -> list[list[int]]:
        """From now on keep the maps that each pass's stages end with, all but the last, in ``stages``.

        Args:
            size: side of the images in pixels.

        Returns:
            Channels, height and width of each, and of the last map with the head's inputs for its channels.

        Raises:
            UserError: if the backbone has no stages that are known.
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


def _set_module(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, last = path.rpartition(".")
    setattr(network.get_submodule(parent) if parent else network, last, module)


def _small_stem(channels: int) -> nn.Conv2d:
    stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


def _small_input(network: nn.Module, name: str) -> None:
    """Keep resolution at the stem and shrink large heads: for images of 64 px and below.

    ResNets and DenseNets: 3×3 stride-1 stem, no max pooling (as in the CIFAR literature). MobileNetV2: stride-1
    stem. ShuffleNetV2: that, and no max pooling. VGG: global average pooling and one linear layer instead of
    25,088 × 4,096. AlexNet: :func:`_alexnet`.
    """
    if isinstance(network, torchvision.models.ResNet):
        network.conv1 = _small_stem(64)
        network.maxpool = nn.Identity()
    elif isinstance(network, torchvision.models.DenseNet):
        network.features.conv0 = _small_stem(network.features.conv0.out_channels)
        network.features.pool0 = nn.Identity()
    elif isinstance(network, torchvision.models.ShuffleNetV2):
        network.conv1[0].stride = (1, 1)
        network.maxpool = nn.Identity()
    elif isinstance(network, torchvision.models.MobileNetV2):
        network.features[0][0].stride = (1, 1)
    elif isinstance(network, torchvision.models.AlexNet):
        _alexnet(network)
    elif isinstance(network, torchvision.models.VGG):
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Sequential(nn.Linear(512, 1000))
    else:
        known = "ResNet, DenseNet, ShuffleNetV2, MobileNetV2, AlexNet and VGG"
        raise UserError(f"model: input: small is known for {known}, not for '{name}'; use full")


def _alexnet(network: nn.Module) -> None:
    """The AlexNet of the CIFAR code bases: 11×11 stem of stride 4 on 32 px, pooling by 2, one linear layer."""
    network.features[0] = nn.Conv2d(3, 64, 11, stride=4, padding=5)
    for i in (2, 5, 12):
        network.features[i] = nn.MaxPool2d(2)
    network.avgpool = nn.AdaptiveAvgPool2d(1)  # does nothing at 32 px, where one pixel is left
    network.classifier = nn.Sequential(nn.Linear(256, 1000))


def _apply_settings(network: nn.Module, settings: dict[str, Any]) -> None:
    for module in network.modules():
        if settings["zero_init_residual"] and isinstance(module, Bottleneck | BasicBlock):
            nn.init.zeros_(module.bn3.weight if isinstance(module, Bottleneck) else module.bn2.weight)
        if settings["zero_init_residual"] and isinstance(module, resnet_cifar.Block | resnext_cifar.Block):
            nn.init.zeros_(module.residual[-1].weight)
        if isinstance(module, nn.Dropout) and settings["dropout"] is not None:
            module.p = settings["dropout"]
        if isinstance(module, nn.BatchNorm2d) and settings["batch_norm_momentum"] is not None:
            module.momentum = settings["batch_norm_momentum"]


def _network(name: str, num_classes: int, input_size: str) -> nn.Module:
    if name in NETWORKS:
        return NETWORKS[name](num_classes)  # made for small images: model: input changes nothing
    if name not in torchvision.models.list_models(module=torchvision.models):
        own = ", ".join(NETWORKS)
        raise UserError(
            f"backbones: torchvision has no classification model '{name}', nor is it one of {own}; try resnet50"
        )
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, **options)
    if input_size == "small":
        _small_input(network, name)
    return network


def build(name: str, num_classes: int, settings: dict[str, Any]) -> Classifier:
    """A backbone by its name, freshly initialised from torch's global generator.

    Args:
        name: one of :data:`calibench.backbones.networks.NETWORKS`, or any torchvision classification model whose last
            layer is linear.
        num_classes: K.
        settings: the ``model`` part of a run's settings.

    Raises:
        UserError: if there is no such model.
    """
    network = _network(name, num_classes, settings["input"])
    _apply_settings(network, settings)
    path = _last_linear(network, name)
    head = nn.Linear(network.get_submodule(path).in_features, num_classes)
    _set_module(network, path, nn.Identity())
    return Classifier(network, head)
