"""Stage: how certain each number of a data set's runs is: group bootstrap intervals, and ECE's null band."""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.evaluate import KEYS, read_index, read_logits, read_run
from calibench.files import write_csv
from calibench.metrics import Predictions
from calibench.metrics.debiased import null_distribution
from calibench.metrics.resampling import bootstrap, group_codes

log = logging.getLogger(__name__)
COLUMNS = [*KEYS, "split", "checkpoint", "metric", "kind", "value", "low", "high", "se", "n", "groups"]
DEFAULTS: dict[str, Any] = {"resamples": 1000, "seed": 0, "level": 0.95}
NO_INTERVAL = {"ece"}  # a percentile bootstrap of ECE does not cover: resampling adds its bias once more


def check_settings(text: str) -> dict[str, Any]:
    """Parse the stage's part of the settings `statistics`; other keys are other stages' and are ignored.

    Raises:
        UserError: no JSON object, fewer than 10 resamples, a level outside (0, 1).
    """
    try:
        settings = DEFAULTS | json.loads(text)
    except (ValueError, TypeError) as error:
        raise UserError(f"--settings is not a JSON object: {error}") from error
    if not isinstance(settings["resamples"], int) or settings["resamples"] < 10:
        raise UserError(f"statistics: resamples: {settings['resamples']} is too few; use 1000 (at least 10)")
    if not 0 < settings["level"] < 1:
        raise UserError(f"statistics: level: {settings['level']} is no coverage; use 0.95")
    return settings


def read_test(run_dir: Path, checkpoint: str) -> tuple[Predictions, np.ndarray, pd.Series]:
    """Predictions on test, (N,) group codes, and the rows they are of."""
    index = read_index(run_dir / "predictions" / "test.csv")
    logits = read_logits(run_dir, checkpoint, "test", len(index))
    groups = index["group"] if "group" in index else np.full(len(index), "")
    seen = Predictions.of(logits, index["target"].to_numpy(), f"{run_dir} (test, checkpoint {checkpoint})")
    return seen, group_codes(np.asarray(groups)), index["row"]


def resample_run(run_dir: Path, checkpoint: str, settings: dict[str, Any]) -> pd.DataFrame:
    """The intervals of one run, columns :data:`COLUMNS`.

    kind ``interval``: percentile interval over resampled groups (empty for ECE, whose row gives the spread
    only); kind ``null`` / ``null_groups``: mean and band of the ECE of a perfectly calibrated model with
    these confidences, images independent / all images of a group right or wrong together.
    """
    seen, codes, _ = read_test(run_dir, checkpoint)
    n, groups = len(codes), len(np.unique(codes))
    if groups < 2:
        log.warning("%s: all test images are of one group; its numbers have no intervals", run_dir)
    elif groups < 30:
        log.warning("%s: %d groups only; percentile intervals will be too narrow", run_dir, groups)
    tails = [(1 - settings["level"]) / 2, (1 + settings["level"]) / 2]
    head = {**read_run(run_dir), "split": "test", "checkpoint": checkpoint, "n": n, "groups": groups}
    point = _point(seen, codes)
    nothing = {metric: np.full(2, np.nan) for metric in point}
    drawn = bootstrap(seen, codes, settings["resamples"], settings["seed"]) if groups > 1 else nothing
    rows = []
    for metric, values in drawn.items():
        low, high = (np.nan, np.nan) if metric in NO_INTERVAL else np.quantile(values, tails)
        spread = {"low": low, "high": high, "se": float(values.std(ddof=1))}
        rows.append({**head, "metric": metric, "kind": "interval", "value": point[metric], **spread})
    for kind, codes_used in {"null": None, "null_groups": codes}.items():
        if codes_used is not None and groups == n:
            continue
        null = null_distribution(seen.confidence, settings["resamples"], settings["seed"], codes_used)
        low, high = np.quantile(null, tails)
        spread = {"low": low, "high": high, "se": float(null.std(ddof=1))}
        rows.append({**head, "metric": "ece", "kind": kind, "value": float(null.mean()), **spread})
    return pd.DataFrame(rows, columns=COLUMNS)


def _point(seen: Predictions, codes: np.ndarray) -> dict[str, float]:
    from calibench.metrics.resampling import Sums

    sums = Sums(seen, codes)
    return {name: float(value[0]) for name, value in sums.values(np.ones((sums.groups, 1))).items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.resample", description=__doc__)
    parser.add_argument("--settings", default="{}", help=f"JSON object, any of {', '.join(DEFAULTS)}")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    parser.add_argument("--out", type=Path, required=True, help="intervals.csv to write")
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR")
    args = parser.parse_args(argv)
    settings = check_settings(args.settings)
    frames = [resample_run(path, args.checkpoint, settings) for path in args.run_dirs]
    write_csv(pd.concat(frames, ignore_index=True), args.out)


if __name__ == "__main__":
    run_stage(main)
