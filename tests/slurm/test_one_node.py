"""slurm/one-node.sh: a whole experiment is one submission, and goes on after its time limit."""

import os
import re
import shutil
import time

import pytest

from tests.checkout import copy_checkout
from tests.slurm.harness import HERE, RUN, wait_for


@pytest.fixture
def submitted(cluster, undisturbed, tmp_path):
    """A checkout, and the number of the one job that was submitted in it."""
    checkout = copy_checkout(tmp_path / "calibench")
    shutil.copy(HERE / "config.yaml", checkout / "slurm-test.yaml")
    # images are stored already: this test is about training
    shutil.copytree(undisturbed / "results/store", checkout / "results/store", dirs_exist_ok=True)
    configs = ["--configfile", "config/demo_paper.yaml", "slurm-test.yaml"]
    answer = cluster(
        *("sbatch", "-p", "gpu", "-c", "2", "-t", "20", "-D", str(checkout)),
        *("slurm/one-node.sh", "results/slurm/metrics.csv", *configs),
    )
    yield checkout, re.search(r"\d+", answer)[0]
    cluster("scancel", "--user", str(os.getuid()))


def test_a_stopped_study_goes_on_in_the_same_job(cluster, submitted, undisturbed):
    checkout, job = submitted
    history = checkout / RUN / "checkpoint" / "history.jsonl"
    wait_for(lambda: history.exists() and len(history.read_text().splitlines()) >= 2, 240, "two epochs")
    cluster("scancel", "--batch", "--signal=USR1", job)  # what --signal sends before the time limit
    wait_for(lambda: cluster.state(job) == "PENDING", 90, "the job to be queued again")
    time.sleep(5)  # Slurm fails a job that starts again before its old step has ended
    cluster("scontrol", "update", f"jobid={job}", "StartTime=now")
    log = checkout / f"calibench-{job}.log"
    wait_for(lambda: cluster.state(job) in ("COMPLETED", "FAILED"), 300, "the study to end")
    assert cluster.state(job) == "COMPLETED", log.read_text()[-4000:]
    later = [found["id"] for found in cluster.jobs() if int(found["id"]) >= int(job)]
    assert later == [job], "one submission for all runs"
    assert (checkout / "results/slurm/metrics.csv").exists()
    for weights in sorted((undisturbed / RUN).glob("weights/*.safetensors")):
        assert (checkout / RUN / "weights" / weights.name).read_bytes() == weights.read_bytes()
    assert re.search(r"resumed at epoch \d+", (checkout / RUN / "train.log").read_text())
