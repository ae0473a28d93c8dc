"""The progress of a running experiment: runs done, running, waiting; epoch, accuracy, time left.

It reads only files of the runs (``checkpoint/history.jsonl``, ``history.jsonl``, ``run.json``), so it works while
Snakemake or Slurm jobs run, on any machine that can read the results.
"""

import fcntl
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibench.finished import names
from calibench.finished.read import history_lines
from calibench.planning.plan import Plan
from calibench.planning.settings import settings_of


@dataclass(frozen=True)
class RunStatus:
    """One run: ``state`` is done, running, failed, stopped or waiting; times in seconds."""

    name: str
    state: str
    epoch: int
    epochs: int
    best_top1: float | None
    seconds_left: float | None
    why: str = ""


def _error(log: Path) -> str:
    """The error at the end of the log of a run, if there is one."""
    if not log.exists():
        return ""
    with open(log, "rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4096))
        lines = stream.read().decode("utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.removeprefix("error: ") if last.startswith("error: ") else ""


def _is_locked(path: Path) -> bool | None:
    """Whether a trainer has locked the run folder, on this machine or, if locks are shared, on any; None: unknown."""
    if not path.exists():
        return None
    with open(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks: use the age of the checkpoint
            return None
    return False


def _was_here(lock: Path) -> bool:
    """Whether the last trainer of a run was on this machine; then a free lock means that it has ended."""
    try:
        return lock.read_text(encoding="utf-8").endswith(f" on {socket.gethostname()}")
    except (OSError, UnicodeDecodeError):
        return False


def _alive(folder: Path, lines: list[dict[str, Any]]) -> bool:
    locked = _is_locked(folder / "lock")
    if locked or (locked is False and _was_here(folder / "lock")):
        return bool(locked)
    state = folder / "state.pt"  # locks of another node may be invisible; a recent checkpoint is not
    usual = max((line["seconds"] for line in lines), default=0.0)
    return state.exists() and time.time() - state.stat().st_mtime < 3 * usual + 60


def run_status(folder: Path, name: str, epochs: int) -> RunStatus:
    """State of one run from its folder."""
    finished = (folder / names.RECORD).exists()
    checkpoint = folder / "checkpoint"
    lines = history_lines(folder / names.HISTORY) if finished else history_lines(checkpoint / names.HISTORY)
    best = max((line["val_top1"] for line in lines), default=None)
    if finished:
        return RunStatus(name, "done", epochs, epochs, best, 0.0)
    if not checkpoint.exists():
        return RunStatus(name, "waiting", 0, epochs, None, None)
    alive = _alive(checkpoint, lines)
    why = "" if alive else _error(folder / "train.log")
    state = "running" if alive else "failed" if why else "stopped"
    recent = [line["seconds"] for line in lines[-3:]]
    left = (epochs - len(lines)) * sum(recent) / len(recent) if recent else None
    return RunStatus(name, state, len(lines), epochs, best, left, why)


def experiment_status(settings: dict[str, Any], root: Path) -> list[RunStatus]:
    """All runs of a completed configuration, in order; ``root`` is the folder that contains ``results/``."""
    found = []
    plan = Plan(settings)
    for dataset, backbone, run, seed in plan.all_runs:
        folder = plan.run_dir(dataset, backbone, run, seed)
        epochs = settings_of(settings, run, dataset, backbone, seed)["train"]["epochs"]
        found.append(run_status(root / folder, folder.removeprefix(f"{plan.folder}/"), epochs))
    return found


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {int(seconds % 60):02d} s"


def render(found: list[RunStatus], everything: bool) -> str:
    """The table for the user; waiting and finished runs are only counted, unless ``everything``."""
    shown = found if everything else [s for s in found if s.state in ("running", "failed", "stopped")]
    width = max((len(s.name) for s in shown), default=0)
    rows = [
        f"{s.name:<{width}}  {s.state:<8} epoch {s.epoch:>3}/{s.epochs:<3} "
        f"best validation Top-1 {'  –  ' if s.best_top1 is None else f'{s.best_top1:.3f}'}  "
        f"left {_duration(s.seconds_left)}" + (f"\n    {s.why}" if s.why else "")
        for s in shown
    ]
    states = ("done", "running", "failed", "stopped", "waiting")
    counts = {state: sum(s.state == state for s in found) for state in states}
    rows.append(f"{len(found)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    if counts["failed"]:
        rows.append(
            "failed runs: correct the mistake in the message, then start the same snakemake command again"
        )
    if counts["stopped"]:
        rows.append("stopped runs: start the same snakemake command again to continue from the checkpoint")
    return "\n".join(rows)
