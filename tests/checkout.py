"""A copy of this checkout's workflow, and configuration, to run in and to edit."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("workflow", "config", "envs", "slurm")


def copy_checkout(destination: Path) -> Path:
    """Copy all that a run needs to ``destination``, which may exist."""
    destination.mkdir(exist_ok=True)
    shutil.copy(ROOT / "Snakefile", destination)
    for folder in FOLDERS:
        if (ROOT / folder).exists():
            shutil.copytree(ROOT / folder, destination / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return destination
