"""What a user and a site do to jobs on the tests' cluster, and what must hold afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
RUN = Path("results/slurm/digits/mobilenet_v2/ols/seed0")


class Slurm:
    """The running cluster: its environment and questions to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *command: str) -> str:
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=30
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs Slurm remembers, oldest first: state, rule (from the comment), place and request."""
        text = self("scontrol", "show", "job", "-o")
        jobs = [
            dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if line.startswith("JobId=")
        ]
        names = {
            "id": "JobId",
            "state": "JobState",
            "comment": "Comment",
            "partition": "Partition",
            "node": "NodeList",
            "gpus": "TresPerJob",
            "memory": "MinMemoryNode",
            "limit": "TimeLimit",
            "cpus": "NumCPUs",
        }
        found = [{key: job.get(name, "") for key, name in names.items()} for job in jobs]
        for job in found:
            job["rule"] = job["comment"].removeprefix("rule_").split("_wildcards")[0]
        return sorted(found, key=lambda job: int(job["id"]))

    def training(self) -> dict[str, str] | None:
        """The newest training job."""
        return next((job for job in reversed(self.jobs()) if job["rule"].startswith("train_")), None)

    def state(self, job: str) -> str:
        """State of a job."""
        return next((found["state"] for found in self.jobs() if found["id"] == job), "")


def wait_for(condition, seconds: float, what: str):
    """Poll until ``condition()`` is true and return its value; fail the test after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.3)
    pytest.fail(f"waited {seconds} s for {what}", pytrace=False)


def start(cluster, checkout: Path, *arguments: str, fast: bool = True) -> subprocess.Popen:
    """Snakemake in the background, in the tests' experiment; its output goes to ``snakemake.log``."""
    program = [str(HERE / "fastpoll.py")] if fast else ["-m", "snakemake"]
    configs = ["--configfile", "config/demo_paper.yaml", "slurm-test.yaml"]
    with (checkout / "snakemake.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, *program, *arguments, *configs],
            cwd=checkout,
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Disturbed:
    """A training job on the cluster that has finished some epochs, ready to be disturbed."""

    def __init__(self, cluster: Slurm, checkout: Path, reference: Path, *options: str) -> None:
        self.cluster, self.checkout, self.reference, self.options = cluster, checkout, reference, options
        self.log = checkout / "snakemake.log"
        self.submit()
        wait_for(lambda: self.epochs() >= 2 or self.process.poll() is not None, 120, "two epochs")
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        self.job = cluster.training()
        assert self.job["state"] == "RUNNING"

    def submit(self, *more: str) -> None:
        """The user's command: the first time, and again."""
        arguments = ("--profile", "slurm", str(RUN / "run.json"), *self.options, *more)
        self.process = start(self.cluster, self.checkout, *arguments)

    def epochs(self) -> int:
        """How many epochs the checkpoint holds."""
        history = self.checkout / RUN / "checkpoint" / "history.jsonl"
        try:
            return len(history.read_text().splitlines())
        except FileNotFoundError:
            return 0

    def trainers(self) -> list[int]:
        """Process ids of the training stage in this checkout."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").resolve() == self.checkout
            except OSError:
                continue
            if here and {b"-m", b"calibench", b"train"} <= set(words):
                found.append(int(entry.name))
        return found

    def start_again(self) -> None:
        """Let the requeued job start now, instead of in the two minutes that Slurm holds it back.

        Not before its old step has ended: Slurm would find it "already running" and hold it for good.
        """
        job = self.job["id"]
        wait_for(
            lambda: self.cluster.state(job) == "PENDING" and not self.trainers(), 60, "the old step to end"
        )
        time.sleep(3)
        self.cluster("scontrol", "update", f"jobid={job}", "StartTime=now")
        wait_for(
            lambda: self.cluster.state(job) in ("RUNNING", "COMPLETED"), 150, f"job {job} to start again"
        )

    def finish(self, seconds: float = 240) -> str:
        """Wait for Snakemake and return all it said."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            pytest.fail(f"snakemake hung:\n{self.log.read_text()[-4000:]}", pytrace=False)
        return self.log.read_text()

    def assert_weights_as_undisturbed(self) -> None:
        """Bit-equal weights, and no half-written file."""
        run, reference = self.checkout / RUN, self.reference / RUN
        for weights in sorted(reference.glob("weights/*.safetensors")) + [reference / "regime.safetensors"]:
            found = run / weights.relative_to(reference)
            assert found.read_bytes() == weights.read_bytes(), f"{weights.name} differs"
        assert not list(run.rglob("*.part*")), "a half-written file was left"

    def assert_as_undisturbed(self, done_before: int) -> None:
        """Bit-equal weights, a whole history, and no epoch that was checkpointed trained twice."""
        self.assert_weights_as_undisturbed()
        run = self.checkout / RUN
        history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in history] == list(range(1, len(history) + 1))
        log = (run / "train.log").read_text()
        resumed = re.search(r"resumed at epoch (\d+)", log)
        kept = (resumed and int(resumed[1]) > done_before) or "this run had already finished" in log
        assert kept, f"an epoch that was checkpointed was trained again:\n{log[-2000:]}"
