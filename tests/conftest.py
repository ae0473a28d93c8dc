"""What all tests share: which can run here, a copy of the workflow to run in, and Snakemake itself."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.checkout import copy_checkout

# fixed examples in continuous integration; no deadlines, the machines are shared
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def missing(marker: str) -> str | None:
    """Why tests with this marker cannot run here; None if they can."""
    if marker == "slurm":
        programs = ("munged", "slurmctld", "slurmd", "sbatch")
        lacking = [p for p in programs if not shutil.which(p, path=f"{os.environ['PATH']}:/usr/sbin")]
        return lacking and f"no {', '.join(lacking)}: sudo tests/slurm/cluster.sh install"
    if marker == "gpu":
        import torch

        return None if torch.cuda.is_available() else "no usable GPU"
    if marker == "network":
        wanted = os.environ.get("CALIBENCH_NETWORK_TESTS") == "1"
        return None if wanted else "CALIBENCH_NETWORK_TESTS is not 1"
    return None


def pytest_runtest_setup(item):
    for marker in ("slurm", "gpu", "network"):
        if item.get_closest_marker(marker) and (why := missing(marker)):
            # continuous integration installs Slurm, so there a missing one is a defect
            if marker == "slurm" and os.environ.get("CI"):
                pytest.fail(why, pytrace=False)
            pytest.skip(why)


@pytest.fixture(autouse=True)
def own_process():
    """A run that trains in this process sets signal handlers and torch's switches; put back what was."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    if "torch" in sys.modules:
        sys.modules["torch"].set_deterministic_debug_mode("default")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout's workflow and configuration: run in it, edit it."""
    return copy_checkout(tmp_path / "calibench")


@pytest.fixture
def run_snakemake(checkout: Path):
    """``run_snakemake("-n", …)`` runs Snakemake in ``checkout`` and returns the finished process.

    Output is one text, stderr merged in. A failure fails the test, unless ``check=False``.
    """

    def run(
        *arguments: str | Path, cwd: Path = checkout, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess:
        options = [str(argument) for argument in arguments]
        if not {"--cores", "--profile", "--lint"} & set(options):
            options = ["--cores", "2", *options]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *options],
            cwd=cwd,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            pytest.fail(f"snakemake ended with {done.returncode}:\n{done.stdout[-6000:]}", pytrace=False)
        return done

    return run


def clean_environment() -> dict[str, str]:
    """The environment of a user's shell: this interpreter's programs first, no paths of the tests' own."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def sample(rng):
    """Made-up logits (600, 11) float32 and targets, some right, some wrong."""
    from tests.finished.fake_runs import make_logits  # imports torch

    targets = rng.integers(0, 11, 600)
    return make_logits(rng, targets, 11, 1.5, 1.5), targets
