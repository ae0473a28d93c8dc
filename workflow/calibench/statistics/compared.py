"""The finished runs of one data set, side by side: per-image values of each, made when first asked for."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.calibrators import FITS, CalibrateFold
from calibench.errors import UserError
from calibench.finished.read import read_index, read_keys, read_part
from calibench.metrics import Predictions
from calibench.statistics.paired import Blocks
from calibench.statistics.resampling import sample_values
from calibench.statistics.tested import read_tested

log = logging.getLogger(__name__)
RANKS = {"top1_error", "top5_error"}  # a temperature keeps the order of the classes, and so these


def plain(name: str) -> str:
    """``hard@temperature`` → ``hard``."""
    return name.partition("@")[0]


@dataclass(frozen=True)
class Images:
    """The test images that all runs of a data set are asked about: rows of the store, targets, group codes (N,)."""

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
    """

    def __init__(
        self, folders: dict[tuple[str, str, int], Path], checkpoint: str, metrics: list[str]
    ) -> None:
        self.folders, self.checkpoint, self.metrics = folders, checkpoint, metrics
        self.images: Images | None = None
        self.cache: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
        self.backbones = list(dict.fromkeys(backbone for backbone, _, _ in folders))
        self.names = sorted({run for _, run, _ in folders})

    @cached_property
    def calibrated(self) -> bool:
        """Whether every run kept validation images to fit a temperature on."""
        parts = (read_index(folder, "val")["part"] for folder in self.folders.values())
        return all((part == "calibrate").any() for part in parts)

    def seeds(self, backbone: str, *names: str) -> list[int]:
        """Seeds that all these runs have on a backbone (``hard@temperature`` has those of ``hard``)."""
        each = [{s for b, run, s in self.folders if (b, run) == (backbone, plain(name))} for name in names]
        return sorted(set.intersection(*each))

    def blocks(self, run: str, reference: str, metric: str, backbones: Iterable[str]) -> Blocks | None:
        """Paired differences run - reference on these backbones; None where no seed has both."""
        pairs = [(b, s) for b in backbones for s in self.seeds(b, run, reference)]
        if not pairs:
            return None
        sums = [self._sums(b, run, s)[metric] - self._sums(b, reference, s)[metric] for b, s in pairs]
        cells = np.array([self.backbones.index(b) for b, _ in pairs])
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
        run, _, calibrator = name.partition("@")
        folder = self.folders[backbone, run, seed]
        tested = read_tested(folder, self.checkpoint)
        seen = tested.seen
        if self.images is None:
            self.images = Images(tested.rows, seen.targets, tested.codes)
        if not tested.rows.equals(self.images.rows) or not np.array_equal(seen.targets, self.images.targets):
            raise UserError(
                f"{folder} was tested on other images or labels than the other runs; train those of one list only"
            )
        if not calibrator:
            return seen
        fitted = FITS[calibrator](self._fold(folder))
        return Predictions.of_probs(fitted.apply(seen.scores), seen.targets, str(folder))

    def _fold(self, folder: Path) -> CalibrateFold:
        logits, index = read_part(folder, self.checkpoint, "calibrate")
        if index.empty:
            raise UserError(
                f"{folder}: no validation images of part calibrate; set the data set's `calibrate` above 0"
            )
        return CalibrateFold(logits, index["target"].to_numpy(), index["part"], f"{folder} (calibrate)")


def by_dataset(run_dirs: Iterable[Path], checkpoint: str, metrics: list[str]) -> dict[str, Runs]:
    """The runs of each data set.

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
    return {dataset: Runs(folders, checkpoint, metrics) for dataset, folders in found.items()}
