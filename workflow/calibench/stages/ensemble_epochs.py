"""Measure the ensembles of epochs of one run (`train.snapshots`): the mean of their probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import cli
from calibench.files import write_csv
from calibench.finished import names
from calibench.finished.read import read_index, read_keys, read_record
from calibench.finished.snapshots import ensemble, sizes
from calibench.metrics import Predictions, measure_all
from calibench.tables.long import CALIBRATED

CHECKPOINT = "epochs"  # an ensemble has no single checkpoint


def ensembles_of(run_dir: Path) -> pd.DataFrame:
    """All measures of all ensembles on each part, as fractions (NLL in nats); ``calibrator`` is ``snapshots6``."""
    train, rows = read_record(run_dir)["settings"]["train"], []
    for split, parts in names.PARTS.items():
        index = read_index(run_dir, split)
        for size in sizes(train["snapshots"]):
            probs, name = ensemble(run_dir, train, split, size), f"snapshots{size}"
            for part in parts:
                mask = (index["part"] == part).to_numpy()
                if not mask.any():
                    continue
                where = f"{run_dir} ({part}, {name})"
                seen = Predictions.of_probs(probs[mask], index["target"].to_numpy()[mask], where)
                head = {"split": part, "checkpoint": CHECKPOINT, "calibrator": name, "n": int(mask.sum())}
                rows += [{**head, "metric": m, "value": v} for m, v in measure_all(seen, where).items()]
    return pd.DataFrame(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_record(parser)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    args = parser.parse_args(argv)
    keys: dict[str, Any] = read_keys(args.record.parent)
    write_csv(ensembles_of(args.record.parent).assign(**keys)[CALIBRATED], args.out)
