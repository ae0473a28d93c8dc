"""Which backbones exist, without importing torch (that would cost every plan seconds)."""

import difflib
import functools
import importlib.util
import re
from pathlib import Path

from calibench.errors import UserError

# calibench.backbones.NETWORKS has the same names; a test holds the two together.
OWN = (
    "lenet",
    "lenet_colour",
    *(f"resnet{depth}" for depth in (20, 29, 32, 44, 56, 74, 110)),
    "resnext29_2x64d",
    "resnext29_8x64d",
    "resnext29_32x4d",
)
REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)", re.M)


@functools.cache
def known() -> frozenset[str]:
    """Names of torchvision's classification models, read from their sources, and ours.

    Empty where torchvision is not installed: an environment that only plans.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return frozenset()
    sources = (Path(found.origin).parent / "models").glob("*.py")
    return frozenset(OWN).union(*(REGISTERED.findall(path.read_text(encoding="utf-8")) for path in sources))


def check_backbone(name: str, where: str = "backbones") -> None:
    """Check that a backbone exists; ``where`` is the key of the config that names it.

    Raises:
        UserError: with the closest names.
    """
    if known() and name not in known():
        close = difflib.get_close_matches(name, known()) or ["resnet50", "mobilenet_v2", "vgg19"]
        raise UserError(f"config: {where}: there is no backbone '{name}'; did you mean {', '.join(close)}?")
