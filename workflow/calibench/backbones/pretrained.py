"""Initial weights of a body: torchvision's, RadImageNet's, or those of this package."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.errors import UserError

# torchvision's ResNet children in order: RadImageNet's headless files name them backbone.0, backbone.1, …
RESNET_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"model.weights: {path} does not exist; set it to a weights file, imagenet or none"
        ) from error
    except Exception as error:  # torch raises errors of many types for a broken or hostile file
        raise UserError(
            f"model.weights: {path} is not a plain file of tensors ({type(error).__name__}); nothing was unpickled"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {k: v for k, v in state.items() if isinstance(v, Tensor)}


def _body_key(key: str) -> str:
    key = re.sub(r"^(module\.|model\.)+", "", key)
    match = re.match(r"backbone\.(\d+)\.(.*)", key)
    if match and int(match[1]) < len(RESNET_CHILDREN):
        key = f"{RESNET_CHILDREN[int(match[1])]}.{match[2]}"
    return key.removeprefix("backbone.").removeprefix("body.")


def load_pretrained(model: Classifier, path: str | Path) -> None:
    """Load a weights file into the body; the head keeps its random initialisation.

    Reads torchvision's ``state_dict`` (without its head), RadImageNet's files without a head (keys ``backbone.N``)
    and files of this package. Nothing is unpickled. UserError if a layer is missing in the file or has another shape.
    """
    state = {_body_key(k): v for k, v in _read_state(Path(path)).items()}
    wanted = model.body.state_dict()
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state or state[key].shape != tensor.shape:
            found = f"has shape {tuple(state[key].shape)}" if key in state else "is missing"
            raise UserError(
                f"model.weights: {path}: layer '{key}' {found}, wanted {tuple(tensor.shape)}; "
                "is the file for this backbone, and is model.input full?"
            )
    model.body.load_state_dict({k: state.get(k, v) for k, v in wanted.items()})
