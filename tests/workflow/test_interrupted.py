"""Snakemake killed, and started twice in one folder: what it says, and that the way out is the one documented."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import clean_environment
from tests.workflow.conftest import snakemake, write_config

EPOCHS = 120  # long enough for a second Snakemake to start meanwhile
LONG = {"runs": ["hard+long"], "variants": {"long": {"train": {"epochs": EPOCHS}}}}
RUN = "results/mini/digits/resnet20/hard+long/seed0"


@pytest.fixture
def training(finished, tmp_path):
    """(checkout, config, Snakemake's process), while its one training job is at work."""
    checkout = Path(shutil.copytree(finished, tmp_path / "calibench"))
    config = write_config(checkout, "long.yaml", **LONG)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", f"{RUN}/run.json", "--configfile", config]
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not (checkout / RUN / "checkpoint/state.pt").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    yield checkout, config, process
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_snakemake_leaves_a_lock_and_the_way_out(training):
    checkout, config, process = training
    options = (f"{RUN}/run.json", "--configfile", config)
    trainer = int((checkout / RUN / "checkpoint/lock").read_text().split()[1])
    os.kill(trainer, signal.SIGSTOP)  # so that it is at work still, however long the others take to start
    said = snakemake(checkout, *options, check=False)
    assert "cannot be locked" in said and "--unlock" in said
    assert process.poll() is None, "a second Snakemake is refused, and the first goes on"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "cannot be locked" in snakemake(checkout, *options, check=False)
    snakemake(checkout, "--unlock", *options)
    os.kill(trainer, signal.SIGCONT)
    end = time.monotonic() + 120
    while (said := snakemake(checkout, *options, check=False)) and "trains this run" in said:
        assert time.monotonic() < end, said  # the killed one's job was still at work, as the sentence says
        time.sleep(1)
    assert (checkout / RUN / "run.json").exists(), said
    history = (checkout / RUN / "history.jsonl").read_text().splitlines()
    assert len(history) == EPOCHS
    log = (checkout / RUN / "train.log").read_text()
    assert f"epoch 1/{EPOCHS} " not in log, "what was checkpointed is not trained again"
