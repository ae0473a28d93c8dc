"""The finished runs of one data set, side by side: per-image values of each, made when first asked for."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.calibrators import FITS, CalibrateFold, Calibrator
from calibench.errors import UserError
from calibench.finished.read import read_index, read_keys, read_part
from calibench.metrics import Predictions
from calibench.statistics.paired import Blocks
from calibench.statistics.resampling import sample_values
from calibench.statistics.tested import read_tested

log = logging.getLogger(__name__)
RANKS = {"top1_error", "top5_error"}  # a temperature keeps the order of the classes, and so these
ENSEMBLE = "@ensemble"  # what the name of a seed ensemble ends with


@dataclass(frozen=True)
class Images:
    """The images of an evaluation set, on which all runs of a data set are compared: rows of the store, targets, group codes (N,)."""

    rows: pd.Series
    targets: np.ndarray
    codes: np.ndarray

    @cached_property
    def sizes(self) -> np.ndarray:
        """(G,) images per group."""
        return np.bincount(self.codes)


class Runs:
    """The runs of one data set.

    Args:
        folders: {(backbone, run name, seed): folder}.
        checkpoint: which predictions.
        metrics: which per-image values to keep.
        split: the evaluation set.
        fits: calibrators that were fitted already, {(folder, calibrator): it}; those of all sets are the same.
    """

    def __init__(
        self,
        folders: dict[tuple[str, str, int], Path],
        checkpoint: str,
        metrics: list[str],
        split: str = "test",
        fits: dict[tuple[Path, str], Calibrator] | None = None,
    ) -> None:
        self.folders, self.checkpoint, self.metrics, self.split = folders, checkpoint, metrics, split
        self.fits = {} if fits is None else fits
        self.images: Images | None = None
        self.cache: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
        self.backbones = list(dict.fromkeys(backbone for backbone, _, _ in folders))
        self.names = sorted({run for _, run, _ in folders})

    @cached_property
    def calibrated(self) -> bool:
        """Whether every run kept validation images to fit a temperature on."""
        parts = (read_index(folder, "val")["part"] for folder in self.folders.values())
        return all((part == "calibrate").any() for part in parts)

    def _parts(self, name: str) -> tuple[str, str]:
        """``hard@temperature`` → (hard, temperature); a seed ensemble (``ols@ensemble``) is a run of its own."""
        run, at, calibrator = name.rpartition("@")
        return (name, "") if name in self.names or not at else (run, calibrator)

    def pairs(self, backbone: str, run: str, reference: str) -> list[tuple[list[int], list[int]]]:
        """The seeds of either that make a block (``hard@temperature`` has those of ``hard``); usually the same one.

        A seed ensemble has no seeds to be paired by: it is set beside the mean over the other's, as one block.
        """
        ours, theirs = (
            sorted(s for b, each, s in self.folders if (b, each) == (backbone, self._parts(name)[0]))
            for name in (run, reference)
        )
        if ENSEMBLE in run + reference:
            return [(ours, theirs)] if ours and theirs else []
        return [([seed], [seed]) for seed in ours if seed in theirs]

    def blocks(self, run: str, reference: str, metric: str, backbones: Iterable[str]) -> Blocks | None:
        """Paired differences run - reference on these backbones; None where no seed has both."""
        pairs = [(b, *seeds) for b in backbones for seeds in self.pairs(b, run, reference)]
        if not pairs:
            return None
        sums = [
            np.mean([self._sums(b, run, s)[metric] for s in ours], axis=0)
            - np.mean([self._sums(b, reference, s)[metric] for s in theirs], axis=0)
            for b, ours, theirs in pairs
        ]
        cells = np.array([self.backbones.index(b) for b, _, _ in pairs])
        return Blocks(np.stack(sums), self.images.sizes, cells)

    def _sums(self, backbone: str, name: str, seed: int) -> dict[str, np.ndarray]:
        """{metric: (G,) sums of the per-image values over each group of images}."""
        key = backbone, name, seed
        if key not in self.cache:
            values = sample_values(self._predictions(*key))
            codes = self.images.codes
            self.cache[key] = {m: np.bincount(codes, weights=values[m]) for m in self.metrics}
        return self.cache[key]

    def _predictions(self, backbone: str, name: str, seed: int) -> Predictions:
        run, calibrator = self._parts(name)
        folder = self.folders[backbone, run, seed]
        tested = read_tested(folder, self.checkpoint, self.split)
        seen = tested.seen
        if self.images is None:
            self.images = Images(tested.rows, seen.targets, tested.codes)
        if not tested.rows.equals(self.images.rows) or not np.array_equal(seen.targets, self.images.targets):
            raise UserError(
                f"{folder} was tested on other images or labels than the other runs; train those of one list only"
            )
        if not calibrator:
            return seen
        if (folder, calibrator) not in self.fits:
            self.fits[folder, calibrator] = FITS[calibrator](self._fold(folder))
        probs = self.fits[folder, calibrator].apply(seen.scores)
        return Predictions.of_probs(probs, seen.targets, str(folder))

    def _fold(self, folder: Path) -> CalibrateFold:
        logits, index = read_part(folder, self.checkpoint, "calibrate")
        if index.empty:
            raise UserError(
                f"{folder}: no validation images of part calibrate; set the data set's `calibrate` above 0"
            )
        return CalibrateFold(logits, index["target"].to_numpy(), index["part"], f"{folder} (calibrate)")


def by_dataset(run_dirs: Iterable[Path]) -> dict[str, dict[tuple[str, str, int], Path]]:
    """Folders of the runs of each data set, by backbone, run and seed.

    Raises:
        UserError: if two folders hold the same run.
    """
    found: dict[str, dict[tuple[str, str, int], Path]] = {}
    for path in run_dirs:
        entry = read_keys(path)
        place = found.setdefault(entry["dataset"], {})
        key = entry["backbone"], entry["regime"] + entry["variant"], entry["seed"]
        if place.setdefault(key, path) != path:
            raise UserError(f"{path} is the same run as another given folder")
    return found
