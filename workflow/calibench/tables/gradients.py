"""How large the gradient of each regime was relative to hard labels, at four points of training, mean over seeds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from calibench.finished.read import read_history, read_keys

KEYS = ["dataset", "backbone", "regime", "variant"]
RATIOS = ["gradient_ratio", "gradient_ratio_logits"]
COLUMNS = [*KEYS, "epoch", *RATIOS, "seeds"]


def collect(run_dirs: Sequence[Path]) -> pd.DataFrame:
    """One row per run (seeds together) and point of training; none for runs of versions that did not record it."""
    frames = []
    for path in run_dirs:
        history = read_history(path).reindex(columns=["epoch", *RATIOS]).dropna()
        frames.append(history.assign(**read_keys(path)))
    rows = pd.concat(frames, ignore_index=True)
    rows["order"] = rows.groupby([*KEYS], sort=False).ngroup()
    means = rows.groupby(["order", *KEYS, "epoch"]).agg(
        **{ratio: (ratio, "mean") for ratio in RATIOS}, seeds=("seed", "nunique")
    )
    return means.reset_index()[COLUMNS]
