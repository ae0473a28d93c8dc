"""Where the stages of a network end, by the names that its family gives its modules."""

from torch import nn

from calibench.backbones.names import WITH_STAGES
from calibench.errors import UserError

LAST = ("layer4", "conv5", "features")  # modules whose output is pooled, the first that there is
NAMED = (
    ("layer1", "layer2", "layer3"),  # ResNets
    ("stage2", "stage3"),  # ShuffleNetV2
    ("features.transition1", "features.transition2", "features.transition3"),  # DenseNets
)


def last_map(body: nn.Module) -> nn.Module | None:
    """The module whose output is the last feature map before pooling; None where it is not known."""
    return next((getattr(body, name) for name in LAST if hasattr(body, name)), None)


def shallow(body: nn.Module) -> list[nn.Module]:
    """The modules that end the stages of a network, all but the last stage, in their order.

    A stage ends where the next module makes the map smaller. Of VGGs and MobileNetV2 the last three such places
    count: the first ones hold edges, and a head on them is costly.

    Raises:
        UserError: if the network's stages are not known.
    """
    modules = dict(body.named_modules())
    for names in NAMED:
        if set(names) <= set(modules):
            return [modules[name] for name in names]
    features = getattr(body, "features", None)
    if not isinstance(features, nn.Sequential):
        raise UserError(
            f"{type(body).__name__} has no stages that are known, and byot puts heads on them; take one of the families "
            f"{', '.join(WITH_STAGES)}"
        )
    ends = [before for before, after in zip(features[:-1], features[1:], strict=True) if _shrinks(after)]
    return ends[-3:]


def _shrinks(module: nn.Module) -> bool:
    """Whether a module's own layers, or those within it, have a stride."""
    layers = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    strides = [layer.stride for layer in module.modules() if isinstance(layer, layers)]
    return any(max(s if isinstance(s, tuple) else (s,)) > 1 for s in strides)
