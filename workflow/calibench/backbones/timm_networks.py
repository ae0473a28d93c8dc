"""Classification networks of timm, by ``timm.<its name>``: with their own mean and standard deviation, at any size.

A name may have the tag of timm's weights, ``timm.vit_small_patch16_224.dino``: mean and deviation are then theirs. timm is an optional package; only runs with such a network import it.
"""

import torch
from torch import nn

from calibench.backbones.pooling import make_deterministic
from calibench.backbones.special import TIMM
from calibench.errors import UserError


def timm_network(name: str) -> nn.Module:
    """One of timm's networks, freshly initialised, for images scaled to [-1, 1] as ours are.

    Raises:
        UserError: if timm is not installed or has no such network, or it does not end with one linear layer.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise UserError(
            f"backbones: '{name}' needs the package timm; pip install 'calibench[timm]'"
        ) from error
    if not timm.is_model(name.removeprefix(TIMM)):
        raise UserError(f"backbones: timm {timm.__version__} has no network '{name.removeprefix(TIMM)}'")
    try:
        # a head of any size: some tags, as dino's, have none
        network = timm.create_model(name.removeprefix(TIMM), pretrained=False, num_classes=2)
    except RuntimeError as error:  # timm: there is no such tag
        raise UserError(f"backbones: '{name}': {error}") from error
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear or network.get_classifier() is not linear[-1]:
        raise UserError(
            f"backbones: '{name}' does not end with one linear layer to take features from; choose another"
        )
    _take_own_scale(network)
    make_deterministic(network)
    return network


def _take_own_scale(network: nn.Module) -> None:
    """Have it scale images x in [-1, 1] to (p - mean) / std, p = (x + 1) / 2, before its first layer.

    The numbers are in no state dict, so that files of weights keep their keys.
    """
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    network.register_buffer("own_factor", 0.5 / std, persistent=False)
    network.register_buffer("own_shift", (0.5 - mean) / std, persistent=False)
    network.register_forward_pre_hook(lambda n, inputs: inputs[0] * n.own_factor + n.own_shift)


def fit_to_size(network: nn.Module, size: int) -> None:
    """Make a network that knows one size of images take those of ``size`` px; others are left as they are.

    Position embeddings are interpolated once, from the weights it has, as timm does it.

    Raises:
        UserError: if it cannot take that size.
    """
    known = getattr(network, "pretrained_cfg", {})
    own = known["input_size"][-1] if known.get("fixed_input_size") else size
    if own == size:
        return
    try:
        network.set_input_size(img_size=size)
    except (AttributeError, AssertionError, RuntimeError, ValueError) as error:  # none of timm's own
        raise UserError(
            f"backbones: {type(network).__name__} takes images of {own} px and cannot be fitted to {size} px; set "
            f"train.input_size to {own} (and store.size to at least that), or choose another network"
        ) from error
