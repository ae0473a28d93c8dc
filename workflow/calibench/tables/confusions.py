"""Which classes each run confuses on test, the most frequent first, and their soft labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.data.stored import read_classes
from calibench.errors import UserError
from calibench.finished.read import read_keys, read_part, read_state

KEYS = ["dataset", "backbone", "regime", "variant"]
COLUMNS = [*KEYS, "class", "images", "accuracy", "correct_updates"]
COLUMNS += ["rank", "taken_for", "share", "soft_label"]


def confusion_counts(run_dir: Path, checkpoint: str, k: int) -> np.ndarray:
    """(K, K) int64: test images by class (row) and prediction (column)."""
    logits, index = read_part(run_dir, checkpoint, "test")
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (index["target"].to_numpy(), logits.argmax(axis=1)), 1)
    return counts


def rows_of(run_dirs: Sequence[Path], checkpoint: str, labels: list[str], top: int) -> list[dict]:
    """Rows for all seeds of one run together; none for a class that is never confused.

    ``share`` is the share of the test images of the class, ``correct_updates`` the number of correct predictions in its
    row of the matrix in the last epoch (mean over seeds), ``soft_label`` the entry of this row for the other class;
    both are NaN for regimes without a matrix.
    """
    k, entry = len(labels), read_keys(run_dirs[0])
    counts = sum(confusion_counts(path, checkpoint, k) for path in run_dirs)
    states = [read_state(path) for path in run_dirs]
    matrix, updates = _mean(states, "matrix", (k, k)), _mean(states, "last_counts", (k,))
    rows = []
    for y in range(k):
        wrong, total = counts[y].copy(), counts[y].sum()
        wrong[y] = 0
        order = np.argsort(-wrong, kind="stable")[:top]
        for rank, other in enumerate(order[wrong[order] > 0], start=1):
            rows.append(
                {key: entry[key] for key in KEYS}
                | {"class": labels[y], "images": int(total), "accuracy": counts[y, y] / total}
                | {"correct_updates": updates[y], "rank": rank, "taken_for": labels[other]}
                | {"share": wrong[other] / total, "soft_label": matrix[y, other]}
            )
    return rows


def _mean(states: list[dict[str, np.ndarray]], name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = [state[name].astype(np.float64) for state in states if name in state]
    return np.mean(found, axis=0) if found else np.full(shape, np.nan)


def collect(run_dirs: Sequence[Path], classes: dict[str, Path], checkpoint: str, top: int) -> pd.DataFrame:
    """The table of all runs, in the given order, with all seeds of a run together."""
    groups: dict[tuple, list[Path]] = {}
    for path in run_dirs:
        entry = read_keys(path)
        groups.setdefault(tuple(entry[key] for key in KEYS), []).append(path)
    rows = []
    for key, paths in groups.items():
        if key[0] not in classes:
            raise UserError(
                f"{paths[0]}: the classes of '{key[0]}' are not given; pass --classes {key[0]}=classes.csv"
            )
        rows += rows_of(paths, checkpoint, list(read_classes(classes[key[0]])), top)
    return pd.DataFrame(rows, columns=COLUMNS)
