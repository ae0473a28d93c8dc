"""Snapshots: the logits of several epochs of one training, and the ensembles made from them."""

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from calibench.errors import UserError
from calibench.files import atomic_path
from calibench.finished import names


def sizes(wanted: int | list[int] | None) -> list[int]:
    """Sizes of the ensembles in ``train.snapshots``, ascending."""
    return sorted({wanted} if isinstance(wanted, int) else set(wanted or ()))


def evenly(size: int, epochs: int) -> list[int]:
    """``size`` epochs spread evenly over a training, the last one among them (Zhang et al. 2021, Table III).

    >>> evenly(6, 300)
    [50, 100, 150, 200, 250, 300]
    """
    return [round(i * epochs / size) for i in range(1, size + 1)]


def all_epochs(wanted: int | list[int] | None, epochs: int) -> list[int]:
    """The epochs, from 1, whose logits are kept for all ensembles; UserError if an ensemble needs more epochs."""
    for size in sizes(wanted):
        if size > epochs:
            raise UserError(
                f"train.snapshots is {size}, but the training has {epochs} epochs; lower it, or train longer"
            )
    return sorted({epoch for size in sizes(wanted) for epoch in evenly(size, epochs)})


def write_snapshots(folder: Path, split: str, files: list[Path]) -> None:
    """Join the logits of M epochs, one file each, to one array (M, N, K) float32; only one epoch is in memory."""
    shape = np.load(files[0], mmap_mode="r").shape
    with atomic_path(folder / names.snapshots(split)) as part:
        array = open_memmap(part, mode="w+", dtype=np.float32, shape=(len(files), *shape))
        for i, file in enumerate(files):
            array[i] = np.load(file)
        array.flush()


def ensemble(run_dir: Path, settings: dict, split: str, size: int) -> np.ndarray:
    """Mean softmax (N, K) float64 of ``size`` epochs of a run on ``val`` or ``test`` (Zhang et al. 2021, equation 10).

    ``settings`` is ``train`` of the run's settings, ``size`` one of the sizes it was trained with.
    """
    path = run_dir / names.snapshots(split)
    if not path.is_file():
        raise UserError(f"{path} is missing; set train.snapshots and train this run again")
    logits = np.load(path, mmap_mode="r")
    kept = all_epochs(settings["snapshots"], settings["epochs"])
    total = np.zeros(logits.shape[1:])
    for epoch in evenly(size, settings["epochs"]):
        one = logits[kept.index(epoch)].astype(np.float64)
        one = np.exp(one - one.max(axis=1, keepdims=True))
        total += one / one.sum(axis=1, keepdims=True)
    return total / size
