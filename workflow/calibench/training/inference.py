"""Running a model over a split without augmentation."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.data.batches import Images, centre_window


def as_input(images: Tensor, memory_format: str) -> Tensor:
    """Lay a batch out in memory as the run's settings say."""
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    return images.contiguous(memory_format=layout)


def _batches(
    images: Images, positions: np.ndarray, size: int, batch: int, memory_format: str
) -> Iterator[Tensor]:
    for start in range(0, len(positions), batch):
        chunk = positions[start : start + batch]
        window = centre_window(len(chunk), images.stored_size, size)
        yield as_input(images.batch(chunk, window, size), memory_format)


@torch.inference_mode()
def predict(
    model: Classifier,
    images: Images,
    size: int,
    batch: int,
    memory_format: str,
    positions: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Penultimate features (n, D) and logits (n, K), float32 on the CPU, model in evaluation mode.

    Precision is the caller's: wrap the call in autocast for monitoring, or not at all for what is stored.

    Args:
        model: the classifier; its mode is restored afterwards.
        images: the split.
        size: input side in pixels.
        batch: images per forward pass.
        memory_format: channels_last | contiguous.
        positions: which images, in order; all by default.
    """
    positions = np.arange(len(images)) if positions is None else positions
    was_training = model.training
    model.eval()
    pairs = [model.features_and_logits(x) for x in _batches(images, positions, size, batch, memory_format)]
    model.train(was_training)
    return torch.cat([f.float().cpu() for f, _ in pairs]), torch.cat([z.float().cpu() for _, z in pairs])


@torch.inference_mode()
def logits_of(model: Classifier, images: Images, size: int, batch: int, memory_format: str) -> Tensor:
    """Logits (n, K) float32, kept on the device; for monitoring during training."""
    was_training = model.training
    model.eval()
    parts = [model(x).float() for x in _batches(images, np.arange(len(images)), size, batch, memory_format)]
    model.train(was_training)
    return torch.cat(parts)


def monitor(logits: Tensor, targets: Tensor, split: str = "val") -> dict[str, float]:
    """Measures of one epoch on a split: ``val_top1`` and ``val_top5`` accuracy, ``val_nll`` in nats."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
    return {
        f"{split}_top1": ranked[:, 0].float().mean().item(),
        f"{split}_top5": ranked.any(1).float().mean().item(),
        f"{split}_nll": torch.nn.functional.cross_entropy(logits.double(), targets).item(),
    }
