"""Stage: how large each regime's gradient was beside that of hard labels, at four points of training, mean over seeds."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from calibench.cli import run
from calibench.evaluate import read_run
from calibench.figures import read_history
from calibench.files import write_csv

KEYS = ["dataset", "backbone", "regime", "variant"]
RATIOS = ["gradient_ratio", "gradient_ratio_logits"]
COLUMNS = [*KEYS, "epoch", *RATIOS, "seeds"]


def collect(run_dirs: Sequence[Path]) -> pd.DataFrame:
    """One row per run (seeds together) and point of training; empty for runs trained before it was recorded.

    Raises:
        UserError: if a run has no history.
    """
    frames = []
    for path in run_dirs:
        history = read_history(path).reindex(columns=["epoch", *RATIOS]).dropna()
        frames.append(history.assign(**read_run(path)))
    rows = pd.concat(frames, ignore_index=True)
    rows["order"] = rows.groupby([*KEYS], sort=False).ngroup()
    means = rows.groupby(["order", *KEYS, "epoch"]).agg(
        **{ratio: (ratio, "mean") for ratio in RATIOS}, seeds=("seed", "nunique")
    )
    return means.reset_index()[COLUMNS]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.gradient_norms", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument("run_dirs", nargs="+", type=Path, metavar="RUN_DIR")
    args = parser.parse_args(argv)
    write_csv(collect(args.run_dirs), args.out)


if __name__ == "__main__":
    run(main)
