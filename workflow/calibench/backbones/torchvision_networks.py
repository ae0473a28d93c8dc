"""torchvision's classification networks, and the changes for small images.

Importing torchvision takes longer than a short training, so only runs with such a network do it.
"""

import torchvision
from torch import nn

from calibench.backbones.networks import NETWORKS
from calibench.backbones.pooling import make_deterministic
from calibench.errors import UserError


def _small_stem(channels: int) -> nn.Conv2d:
    stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


def _small_input(network: nn.Module, name: str) -> None:
    """Keep the resolution at the stem and shrink large heads, for images of 64 px and below.

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
        raise UserError(f"model.input: small is available for {known}, not for '{name}'; set it to full")


def _alexnet(network: nn.Module) -> None:
    """The AlexNet of common CIFAR code: 11×11 stem of stride 4 on 32 px, pooling by 2, one linear layer."""
    network.features[0] = nn.Conv2d(3, 64, 11, stride=4, padding=5)
    for i in (2, 5, 12):
        network.features[i] = nn.MaxPool2d(2)
    network.avgpool = nn.AdaptiveAvgPool2d(1)  # does nothing at 32 px, where one pixel is left
    network.classifier = nn.Sequential(nn.Linear(256, 1000))


def torchvision_network(name: str, input_size: str) -> nn.Module:
    """A torchvision network with its own head, ``input_size`` full or small; UserError if there is none."""
    if name not in torchvision.models.list_models(module=torchvision.models):
        own = ", ".join(NETWORKS)
        raise UserError(
            f"backbones: '{name}' is neither a torchvision classification model nor one of {own}; try resnet50"
        )
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, **options)
    if input_size == "small":
        _small_input(network, name)
    make_deterministic(network)
    return network
