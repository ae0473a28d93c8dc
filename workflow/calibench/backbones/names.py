"""Which backbones exist, without importing torch (which would add seconds to all planning)."""

import difflib
import functools
import importlib.util
import re
from pathlib import Path

from calibench.backbones.special import EMBEDDINGS, TIMM
from calibench.errors import UserError
from calibench.extensions import brought

# The same names as in calibench.backbones.networks.NETWORKS; a test compares the two.
OWN = (
    "lenet",
    "lenet_colour",
    *(f"resnet{depth}" for depth in (8, 20, 29, 32, 44, 56, 74, 110)),
    "resnext29_2x64d",
    "resnext29_8x64d",
    "resnext29_32x4d",
)
LABELS = {
    "embeddings": "Embeddings",
    "mobilenet_v2": "MobileNetV2",
    "vgg19": "VGG-19",
    "vgg19_bn": "VGG-19 (BN)",
    "densenet121": "DenseNet-121",
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
REGISTERED = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)", re.M)


@functools.cache
def known() -> frozenset[str]:
    """Names of torchvision's classification models, read from their source files, ours, and those of other packages.

    Empty without torchvision, in an environment that only plans.
    """
    found = _registered("torchvision")
    found = found and found.union(OWN, [EMBEDDINGS])
    return found and found.union(brought("backbones", found))


@functools.cache
def known_to_timm() -> frozenset[str]:
    """Names of timm's networks as a config has them, read from its sources; empty where it is not installed."""
    return frozenset(TIMM + name for name in _registered("timm"))


def _registered(package: str) -> frozenset[str]:
    """Names of the networks that a package registers in its folder ``models``, read without importing it."""
    spec = importlib.util.find_spec(package)
    sources = (Path(spec.origin).parent / "models").glob("*.py") if spec and spec.origin else ()
    return frozenset().union(*(REGISTERED.findall(path.read_text(encoding="utf-8")) for path in sources))


def check_backbone(name: str, where: str = "backbones") -> None:
    """Raise UserError if there is no such backbone; ``where`` is the config key that names it."""
    names = known_to_timm() if name.startswith(TIMM) else known()
    if name.startswith(TIMM) and not names:
        raise UserError(f"config: {where}: '{name}' needs the package timm; pip install 'calibench[timm]'")
    untagged = ".".join(name.split(".")[:2]) if name.startswith(TIMM) else name
    if names and untagged not in names:
        close = difflib.get_close_matches(name, names) or ["resnet50", "mobilenet_v2", "vgg19"]
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
    if depth := re.fullmatch(r"resnet(\d+)", name):
        return f"ResNet-{depth[1]}"
    return LABELS.get(name, name)
