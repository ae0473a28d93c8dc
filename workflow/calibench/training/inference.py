"""Run a model over a split without augmentation."""

import logging
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.data.batches import Images, centre_crop
from calibench.training.ahead import ahead
from calibench.training.device import free_memory

log = logging.getLogger(__name__)


def as_input(images: Tensor, memory_format: str) -> Tensor:
    """A batch in the memory layout of the settings; features stay as they are."""
    if images.ndim == 2:
        return images
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    return images.contiguous(memory_format=layout)


def _each_batch(
    images: Images,
    positions: np.ndarray,
    size: int,
    batch: int,
    memory_format: str,
    use: Callable[[Tensor, slice], None],
) -> None:
    """Call ``use(batch, its slice of the positions)`` for all batches; halve them if the device has too little memory."""
    start = 0
    while start < len(positions):
        made = _batches(images, positions, size, range(start, len(positions), batch), memory_format)
        try:
            for part, x in ahead(made, images.device, not images.resident):
                use(x, part)
                start = part.stop
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch = (batch + 1) // 2
        else:
            return
        made = x = None
        free_memory(images.device)  # not inside except: there the exception still keeps tensors alive
        log.warning("too little memory on the device; evaluation batches halved to %d images", batch)


def _batches(
    images: Images, positions: np.ndarray, size: int, starts: range, memory_format: str
) -> Iterator[tuple[slice, Tensor]]:
    for start in starts:
        part = slice(start, min(start + starts.step, len(positions)))
        chunk = positions[part]
        crop = centre_crop(len(chunk), images.stored_size, size)
        yield part, as_input(images.batch(chunk, crop, size), memory_format)


@torch.inference_mode()
def predict(
    model: Classifier,
    images: Images,
    size: int,
    batch: int,
    memory_format: str,
    positions: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Penultimate features (n, D) and logits (N, K), float32 on the CPU, with the model in evaluation mode.

    Args:
        model: the classifier; its mode is restored afterwards.
        images: the split.
        size: input side in pixels.
        batch: images per forward pass, fewer if memory is short.
        memory_format: channels_last | contiguous.
        positions: which N images, in order; default: all.
        keep: sorted indices (n,) into the positions, whose features are returned; default: all.
    """
    positions = np.arange(len(images)) if positions is None else positions
    keep = np.arange(len(positions)) if keep is None else keep
    features, logits = [], []

    def use(x: Tensor, part: slice) -> None:
        first, end = np.searchsorted(keep, (part.start, part.stop))
        found, scores = model.features_and_logits(x)
        wanted = torch.from_numpy(keep[first:end] - part.start)
        # both before the appends: memory may run out
        pair = found.float().cpu()[wanted], scores.float().cpu()
        features.append(pair[0])
        logits.append(pair[1])

    was_training = model.training
    model.eval()
    _each_batch(images, positions, size, batch, memory_format, use)
    model.train(was_training)
    return torch.cat(features), torch.cat(logits)


@torch.inference_mode()
def logits_of(model: Classifier, images: Images, size: int, batch: int, memory_format: str) -> Tensor:
    """Logits (n, K) float32 on the device, for monitoring during training."""
    was_training = model.training
    model.eval()
    parts: list[Tensor] = []
    positions = np.arange(len(images))
    _each_batch(images, positions, size, batch, memory_format, lambda x, _: parts.append(model(x).float()))
    model.train(was_training)
    return torch.cat(parts)


def refined_nll(logits: Tensor, targets: Tensor) -> float:
    """NLL in nats after the temperature in [0.01, 100] that is best for these images (Berta et al. 2025, arXiv 2501.19195).

    NLL is convex in 1/T, so the sign of its slope halves the range until T is known to a relative 1e-6. The map
    ``temperature`` is not used: a change in its code must train no run again.
    """
    logits = logits.double()
    own, low, high = logits.gather(1, targets[:, None])[:, 0], math.log(1e-2), math.log(1e2)
    for _ in range(23):
        middle = (low + high) / 2
        slope = ((logits * math.exp(middle)).softmax(1).mul(logits).sum(1) - own).mean()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return torch.nn.functional.cross_entropy(logits * math.exp((low + high) / 2), targets).item()


def monitor(logits: Tensor, targets: Tensor, split: str = "val") -> dict[str, float]:
    """Measures of one epoch on a split: ``val_top1`` and ``val_top5`` accuracy, ``val_nll`` in nats."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
    return {
        f"{split}_top1": ranked[:, 0].float().mean().item(),
        f"{split}_top5": ranked.any(1).float().mean().item(),
        f"{split}_nll": torch.nn.functional.cross_entropy(logits.double(), targets).item(),
    }
