"""A private Slurm cluster for a whole test session, and checkouts to run in."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import copy_checkout
from tests.slurm.harness import HERE, RUN, Disturbed, Slurm, start, wait_for

CLUSTER = HERE / "cluster.sh"


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker("slurm")
            item.add_marker("slow")  # ten minutes: `-m "not slow"` stays quick where there is a Slurm, too


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Start the cluster; stop it at the end, unless it was already running."""
    was_running = subprocess.run([CLUSTER, "status"], capture_output=True, check=False).returncode == 0
    subprocess.run([CLUSTER, "start"], check=True, stdin=subprocess.DEVNULL, timeout=180)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SNAKEMAKE_"))}
    clean.pop("PYTHONPATH", None)
    bin_folder = subprocess.run([CLUSTER, "env"], check=True, capture_output=True, text=True).stdout.split(
        "'"
    )[1]
    clean["PATH"] = f"{bin_folder}:{Path(sys.executable).parent}:{clean['PATH']}"
    clean["SNAKEMAKE_SLURM_PARTITIONS"] = str(HERE / "site.yaml")
    yield Slurm(clean)
    if not was_running:
        subprocess.run([CLUSTER, "stop"], check=False, stdin=subprocess.DEVNULL, timeout=120)


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory) -> Path:
    """A checkout in which the run that the tests disturb was trained locally, once, from start to end."""
    checkout = copy_checkout(tmp_path_factory.mktemp("undisturbed"))
    shutil.copy(HERE / "config.yaml", checkout / "slurm-test.yaml")
    finished = start(cluster, checkout, "--cores", "1", str(RUN / "run.json")).wait(300)
    assert finished == 0, (checkout / "snakemake.log").read_text()[-4000:]
    return checkout


@pytest.fixture
def checkout(undisturbed, tmp_path) -> Path:
    """A fresh checkout whose images are stored but in which nothing is trained."""
    copy = tmp_path / "calibench"
    shutil.copytree(undisturbed, copy)
    shutil.rmtree(copy / RUN.parts[0] / RUN.parts[1])
    (copy / "snakemake.log").unlink()
    return copy


@pytest.fixture
def disturbed(cluster, checkout, undisturbed):
    """``disturbed(*options)`` starts the run on the cluster and returns once two epochs are checkpointed."""
    started = []

    def begin(*options: str) -> Disturbed:
        started.append(Disturbed(cluster, checkout, undisturbed, *options))
        return started[-1]

    yield begin
    for run in started:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
    cluster("scancel", "--user", str(os.getuid()))
    wait_for(lambda: not cluster("squeue", "-h"), 60, "the cluster to be empty")
