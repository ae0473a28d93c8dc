"""One small experiment, run for real once, whose copies the tests edit and plan again."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.checkout import copy_checkout
from tests.conftest import clean_environment

MINI = {
    "name": "mini",
    "datasets": {
        "digits": {
            "root": "results/data/digits",
            "files": {"train": "train.csv", "val": "val.csv", "test": "test.csv"},
            "sample": {"per_class": 8},
            "store": {"size": 16},
        }
    },
    "backbones": ["resnet20"],
    "runs": ["hard", "ols"],
    "train": {"epochs": 1, "batch_size": 40, "precision": "float32", "features": 20},
    "figures": {"tsne_points": 50},
    "resources": {"train_threads": 1},
    "protect": False,
}


def snakemake(checkout: Path, *arguments: str, check: bool = True) -> str:
    """Run Snakemake in a checkout; its whole output."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def planned(output: str) -> dict[str, int]:
    """Jobs by rule from Snakemake's table."""
    lines = output.split("Job stats:")[1].splitlines()[3:] if "Job stats:" in output else []
    rows = [line.split() for line in lines]
    table = {}
    for row in rows:
        if len(row) != 2 or row[0] == "total":
            break
        table[row[0]] = int(row[1])
    return table


def write_config(checkout: Path, file: str = "mini.yaml", /, **changes) -> str:
    """A config file beside the demo's; its path relative to the checkout."""
    (checkout / "config" / file).write_text(yaml.safe_dump(MINI | changes))
    return f"config/{file}"


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """A checkout in which the small experiment has run as far as metrics.csv: run once, copied per worker."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "finished"
    with open(f"{shared}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            running = copy_checkout(tmp_path_factory.mktemp("running") / "calibench")
            snakemake(running, "results/mini/metrics.csv", "--configfile", write_config(running))
            running.rename(shared)
    return Path(shutil.copytree(shared, tmp_path_factory.mktemp("finished") / "calibench", symlinks=True))


@pytest.fixture
def plan(finished):
    """``plan(**changes)``: what Snakemake would do after the config was changed so."""

    def jobs(*arguments: str, **changes) -> dict[str, int]:
        config = write_config(finished, "changed.yaml", **changes)
        target = [] if arguments else [f"results/{changes.get('name', 'mini')}/metrics.csv"]
        return planned(snakemake(finished, "-n", *target, *arguments, "--configfile", config))

    return jobs
