"""Which backbones exist, without importing torch (which would add seconds to all planning)."""

import difflib
import functools
import importlib.util
import re
from pathlib import Path

from calibench.errors import UserError
from calibench.extensions import brought

# The same names as in calibench.backbones.networks.NETWORKS; a test compares the two.
OWN = (
    "lenet",
    "lenet_colour",
    *(f"resnet{depth}" for depth in (20, 29, 32, 44, 56, 74, 110)),
    "resnext29_2x64d",
    "resnext29_8x64d",
    "resnext29_32x4d",
)
LABELS = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mobilenet_v2": "MobileNetV2",
    "vgg19": "VGG-19",
    "vgg19_bn": "VGG-19 (BN)",
    "densenet121": "DenseNet-121",
    "resnet29": "ResNet-29",
    "resnet56": "ResNet-56",
    "resnet74": "ResNet-74",
    "resnet110": "ResNet-110",
    "resnext29_2x64d": "ResNeXt-29 (2x64d)",
    "resnext29_32x4d": "ResNeXt-29 (32x4d)",
    "lenet": "LeNet",
    "alexnet": "AlexNet",
    "shufflenet_v2_x1_0": "ShuffleNetV2",
    "efficientnet_b7": "EfficientNet-B7",
}
# Families with known stages, for regimes with auxiliary heads: the start of their names.
WITH_STAGES = (
    *("resnet", "resnext", "wide_resnet", "densenet", "shufflenet_v2", "mobilenet_v2"),
    *("vgg", "efficientnet", "alexnet", "lenet"),
)
REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)", re.M)


@functools.cache
def known() -> frozenset[str]:
    """Names of torchvision's classification models, read from their source files, ours, and those of other packages.

    Empty without torchvision, in an environment that only plans.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return frozenset()
    sources = (Path(spec.origin).parent / "models").glob("*.py")
    found = frozenset(OWN).union(*(REGISTERED.findall(path.read_text(encoding="utf-8")) for path in sources))
    return found.union(brought("backbones", found))


def check_backbone(name: str, where: str = "backbones") -> None:
    """Raise UserError if there is no such backbone; ``where`` is the config key that names it."""
    if known() and name not in known():
        close = difflib.get_close_matches(name, known()) or ["resnet50", "mobilenet_v2", "vgg19"]
        raise UserError(
            f"config: {where}: there is no backbone '{name}'; did you mean {', '.join(close)}? "
            "`calibench config --backbones` lists them all"
        )


def check_stages(name: str, where: str) -> None:
    """Raise UserError if the stages of a backbone are not known; ``where`` is the config key that needs them."""
    if not name.startswith(WITH_STAGES):
        raise UserError(
            f"{where} needs auxiliary heads on the stages of the network, but the stages of '{name}' are not known; "
            f"use one of the families {', '.join(WITH_STAGES)}"
        )


def backbone_label(name: str) -> str:
    """``resnet50`` → ``ResNet-50``; an unknown backbone keeps its name."""
    return LABELS.get(name, name)
