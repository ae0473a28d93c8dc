"""Where the stages of a network end, from the names of its modules."""

from torch import nn

from calibench.errors import UserError

LAST = ("layer4", "conv5", "features")  # the first of these modules that exists has the output that is pooled
NAMED = (
    ("layer1", "layer2", "layer3"),  # ResNets
    ("stage2", "stage3"),  # ShuffleNetV2
    ("features.transition1", "features.transition2", "features.transition3"),  # DenseNets
)


def last_map(body: nn.Module) -> nn.Module | None:
    """The module whose output is the last feature map before pooling; None if it is not known."""
    return next((getattr(body, name) for name in LAST if hasattr(body, name)), None)


def shallow(body: nn.Module) -> list[nn.Module]:
    """The last module of each stage of a network except the last stage, in order; UserError if they are not known.

    A stage ends where the next module reduces the map. In VGGs and MobileNetV2 only the last three such places count:
    the earlier maps show edges, and a head on them is expensive.
    """
    modules = dict(body.named_modules())
    for names in NAMED:
        if set(names) <= set(modules):
            return [modules[name] for name in names]
    features = getattr(body, "features", None)
    if not isinstance(features, nn.Sequential):
        raise UserError(
            f"byot needs the stages of the network, which are not known for {type(body).__name__}; choose another backbone"
        )
    ends = [before for before, after in zip(features[:-1], features[1:], strict=True) if _shrinks(after)]
    return ends[-3:]


def _shrinks(module: nn.Module) -> bool:
    """Whether a module, or a layer inside it, has a stride."""
    layers = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    strides = [layer.stride for layer in module.modules() if isinstance(layer, layers)]
    return any(max(s if isinstance(s, tuple) else (s,)) > 1 for s in strides)
