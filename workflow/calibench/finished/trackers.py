"""Histories of runs, finished or still training, as TensorBoard and MLflow read them: written from files, offline."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.errors import UserError
from calibench.files import read_json
from calibench.finished import names
from calibench.finished.read import history_lines

TAG = "calibench.run"  # by which a run is found again in MLflow


@dataclass(frozen=True)
class Curve:
    """The history of one run: ``name`` is its path below the given folder, ``settings`` of its record, {} while it trains."""

    name: str
    lines: list[dict[str, Any]]
    settings: dict[str, Any]


def curves(folder: Path) -> Iterator[Curve]:
    """Every run at or below a folder that has a history, in the order of their names.

    Raises:
        UserError: if there is none.
    """
    found = {path.parent for path in folder.rglob(names.HISTORY)}
    runs = sorted(
        {path.parent if path.name == "checkpoint" else path for path in found if path.name != "finished"}
    )
    if not runs:
        raise UserError(f"{folder}: no {names.HISTORY} in it; name the folder of an experiment or of a run")
    for run in runs:
        done = (run / names.HISTORY).exists()
        lines = history_lines(run / names.HISTORY if done else run / "checkpoint" / names.HISTORY)
        settings = read_json(run / names.RECORD)["settings"] if (run / names.RECORD).exists() else {}
        yield Curve(str(run.relative_to(folder)) if run != folder else run.name, lines, settings)


def numbers(line: dict[str, Any]) -> dict[str, float]:
    """What of a line of history can be drawn: all numbers but the epoch."""
    return {
        key: float(value) for key, value in line.items() if key != "epoch" and isinstance(value, int | float)
    }


def flat(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as ``train.lr`` → text."""
    return {key: str(value) for key, value in pd.json_normalize(settings).iloc[0].items()}


def to_tensorboard(curve: Curve, out: Path) -> None:
    """Write the run's event file anew.

    Raises:
        UserError: if tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--to tensorboard needs its package; pip install tensorboard") from error
    folder = out / curve.name
    older = list(folder.glob("events.out.tfevents.*"))
    with SummaryWriter(str(folder)) as writer:
        for line in curve.lines:
            for key, value in numbers(line).items():
                writer.add_scalar(key, value, line["epoch"])
    for path in older:  # only now: a reader that looks meanwhile sees the old one
        path.unlink()


def to_mlflow(curve: Curve, out: Path, experiment: str) -> None:
    """Add what is new of the run to a database of MLflow in the folder ``out``.

    Raises:
        UserError: if mlflow is not installed.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError as error:
        raise UserError("--to mlflow needs its package; pip install mlflow") from error
    out.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{out.resolve()}/mlflow.db")
    if known := client.get_experiment_by_name(experiment):
        number = known.experiment_id
    else:
        number = client.create_experiment(experiment, (out / "artifacts").resolve().as_uri())
    found = client.search_runs([number], f"tags.`{TAG}` = '{curve.name}'")
    run = found[0] if found else client.create_run(number, tags={TAG: curve.name}, run_name=curve.name)
    seen = int(run.data.metrics.get("epoch", 0)) if found else 0
    new = [line for line in curve.lines if line["epoch"] > seen]
    for line in new:
        epoch = line["epoch"]
        values = numbers(line) | {"epoch": float(epoch)}
        client.log_batch(run.info.run_id, [Metric(key, value, 0, epoch) for key, value in values.items()])
    if curve.settings and not run.data.params:
        client.log_batch(run.info.run_id, params=[Param(*pair) for pair in flat(curve.settings).items()])
        client.set_terminated(run.info.run_id)
