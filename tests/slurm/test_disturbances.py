"""Whatever happens to a job or to Snakemake, the same command again ends with the weights of a quiet run."""

import os
import signal
import time

import pytest

from tests.slurm.harness import wait_for


def kill(run):
    """Kill Snakemake as a reboot of the login node does."""
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()


def test_time_limit_shorter_than_training(disturbed):
    run = disturbed("--set-resources", "train_ols:runtime=attempt")
    # a trainer that stands still runs into its limit without using a core
    for pid in run.trainers():
        os.kill(pid, signal.SIGSTOP)
    before = run.epochs()
    output = run.finish(seconds=300)
    assert run.process.returncode == 0, output[-4000:]
    assert "TIMEOUT" in output
    limits = [job["limit"] for job in run.cluster.jobs() if job["rule"] == "train_ols"][-2:]
    assert limits == ["00:01:00", "00:02:00"], "the limit grows with the attempt"
    run.assert_as_undisturbed(before)


def test_requeue(disturbed):
    run = disturbed()
    before = run.epochs()
    run.cluster("scontrol", "requeue", run.job["id"])
    run.start_again()
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    assert run.cluster.training()["id"] == run.job["id"], "the same job goes on"
    run.assert_as_undisturbed(before)


def test_preemption_by_a_higher_partition(disturbed):
    run = disturbed()
    before = run.epochs()
    run.cluster("sbatch", "-p", "urgent", "-N2", "--exclusive", "-t1", "-o", "/dev/null", "--wrap", "sleep 3")
    wait_for(lambda: run.cluster.training()["state"] != "RUNNING", 60, "the preemption")
    run.start_again()
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    run.assert_as_undisturbed(before)


def test_node_down(disturbed):
    run = disturbed()
    before, node = run.epochs(), run.job["node"]
    run.cluster("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        run.start_again()
        output = run.finish()
    finally:
        run.cluster("scontrol", "update", f"nodename={node}", "state=resume")
    assert run.process.returncode == 0, output[-4000:]
    assert run.cluster.training()["node"] != node
    run.assert_as_undisturbed(before)


def test_scancel(disturbed):
    run = disturbed()
    before = run.epochs()
    run.cluster("scancel", run.job["id"])
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    assert "CANCELLED" in output and run.cluster.training()["id"] != run.job["id"]
    run.assert_as_undisturbed(before)


def test_kill_of_the_training_process(disturbed):
    run = disturbed()
    before = run.epochs()
    for pid in run.trainers():
        os.kill(pid, signal.SIGKILL)
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    run.assert_as_undisturbed(before)


def test_kill_of_snakemake_and_its_job_finishes(disturbed):
    run = disturbed()
    kill(run)
    wait_for(lambda: run.cluster.state(run.job["id"]) == "COMPLETED", 180, "the job to finish by itself")
    run.submit()
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    assert "Nothing to be done" in output
    run.assert_weights_as_undisturbed()


@pytest.mark.parametrize("job", ["goes on", "cancelled"])
def test_kill_of_snakemake(disturbed, job):
    run = disturbed()
    before = run.epochs()
    kill(run)
    if job == "cancelled":
        run.cluster("scancel", run.job["id"])
        wait_for(lambda: not run.trainers(), 30, "the job to end")
    run.submit()
    output = run.finish(60)
    assert run.process.returncode != 0 and "--unlock" in output, "the message names the way out"
    run.submit("--unlock")
    assert run.process.wait(60) == 0
    run.submit()
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    run.assert_as_undisturbed(before)


def test_interrupt_of_snakemake_cancels_its_jobs(disturbed):
    run = disturbed()
    before = run.epochs()
    os.kill(run.process.pid, signal.SIGINT)
    run.finish(60)
    wait_for(lambda: run.cluster.training()["state"] in ("CANCELLED", "COMPLETED"), 30, "the job to end")
    was_through = run.cluster.training()["state"] == "COMPLETED"  # on a busy machine, before it was cancelled
    time.sleep(1)
    run.submit()
    output = run.finish()
    assert run.process.returncode == 0, output[-4000:]
    if was_through:
        run.assert_weights_as_undisturbed()
        assert run.cluster.training()["id"] == run.job["id"], "what was finished is not trained again"
    else:
        run.assert_as_undisturbed(before)
