"""What `snakemake --profile slurm` really asks Slurm for, for every rule of the workflow."""

import re

import pytest
import yaml

from tests.checkout import copy_checkout
from tests.slurm.harness import HERE, start


@pytest.fixture(scope="module")
def whole_run(cluster, tmp_path_factory):
    """The whole experiment from nothing, by the profile as it is: the checkout and the jobs Slurm saw."""
    checkout = copy_checkout(tmp_path_factory.mktemp("whole"))
    (checkout / "slurm-test.yaml").write_bytes((HERE / "config.yaml").read_bytes())
    first = max((int(job["id"]) for job in cluster.jobs()), default=0)
    process = start(cluster, checkout, "--profile", "slurm", fast=False)
    assert process.wait(900) == 0, (checkout / "snakemake.log").read_text()[-4000:]
    jobs = [job for job in cluster.jobs() if int(job["id"]) > first]
    return checkout, {job["rule"]: job for job in jobs}, jobs


def test_it_runs_to_the_report(whole_run):
    checkout, _, _ = whole_run
    assert (checkout / "results/slurm/report.html").stat().st_size > 10_000
    assert (checkout / "results/slurm/metrics.csv").exists()


def test_one_submission_per_training_run_and_the_cheap_rules_stay_local(whole_run):
    _, _, jobs = whole_run
    assert sorted(job["rule"] for job in jobs if job["rule"].startswith("train_")) == [
        "train_hard",
        "train_ols",
    ]
    assert {"store", "train_hard", "train_ols"} <= {job["rule"] for job in jobs}
    assert not {"digits", "list", "sample", "evaluate", "metrics", "tables", "report"} & {
        j["rule"] for j in jobs
    }
    assert all(job["state"] == "COMPLETED" for job in jobs), jobs


def test_training_asks_for_a_gpu_and_states_memory_and_time(whole_run):
    _, by_rule, _ = whole_run
    for rule in ("train_hard", "train_ols"):
        job = by_rule[rule]
        assert job["partition"] == "gpu" and job["node"] in ("n2", "n3")
        assert re.fullmatch(r"(gres[:/])?gpu[:=]1", job["gpus"]), job
        assert (job["memory"], job["limit"], job["cpus"]) == ("3000M", "00:20:00", "1")


def test_other_rules_go_to_the_cpu_partition(whole_run):
    _, by_rule, _ = whole_run
    others = [job for rule, job in by_rule.items() if not rule.startswith("train_")]
    assert others
    for job in others:
        assert job["partition"] == "cpu" and job["node"] == "n1"
        assert job["gpus"] == ""
        assert job["memory"] not in ("", "0", "1000M") and job["limit"] not in ("UNLIMITED", "00:10:00"), job


def test_account_and_qos_come_from_the_site_file(run_snakemake, checkout, monkeypatch):
    site = yaml.safe_load((HERE / "site.yaml").read_text()) | {"account": "radiology", "qos": "high"}
    (checkout / "site.yaml").write_text(yaml.safe_dump(site))
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(checkout / "site.yaml"))
    planned = run_snakemake("-n", "--forceall", cwd=checkout).stdout
    training = [line for line in planned.splitlines() if "resources:" in line and "gpu=1" in line]
    assert training
    assert all("slurm_account=radiology" in line and "qos=high" in line for line in training)
