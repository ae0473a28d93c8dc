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


# rule: partition, GPUs, memory, time limit at the first attempt
REQUESTS = {
    "audit": ("cpu", 0, "8000M", "04:00:00"),
    "store": ("cpu", 0, "4000M", "04:00:00"),
    "train_hard": ("gpu", 1, "3000M", "00:20:00"),
    "train_ols": ("gpu", 1, "3000M", "00:20:00"),
    "figure_tsne": ("cpu", 0, "4000M", "01:00:00"),
    "resample": ("cpu", 0, "8000M", "02:00:00"),
}


def test_these_rules_and_no_others_are_submitted_once_each(whole_run):
    """Every other rule is cheap and runs where Snakemake runs."""
    _, _, jobs = whole_run
    assert sorted(job["rule"] for job in jobs) == sorted(REQUESTS)
    assert all(job["state"] == "COMPLETED" for job in jobs), jobs


@pytest.mark.parametrize("rule", REQUESTS)
def test_what_a_rule_asks_for(whole_run, rule):
    job = whole_run[1][rule]
    partition, gpus, memory, limit = REQUESTS[rule]
    assert (job["partition"], job["memory"], job["limit"], job["cpus"]) == (partition, memory, limit, "1")
    assert job["node"] in {"cpu": ("n1",), "gpu": ("n2", "n3")}[partition]
    assert re.fullmatch(r"(gres[:/])?gpu[:=]1" if gpus else "", job["gpus"]), job


def test_account_and_qos_come_from_the_site_file(run_snakemake, checkout, monkeypatch):
    site = yaml.safe_load((HERE / "site.yaml").read_text()) | {"account": "radiology", "qos": "high"}
    (checkout / "site.yaml").write_text(yaml.safe_dump(site))
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(checkout / "site.yaml"))
    planned = run_snakemake("-n", "--forceall", cwd=checkout).stdout
    training = [line for line in planned.splitlines() if "resources:" in line and "gpu=1" in line]
    assert training
    assert all("slurm_account=radiology" in line and "qos=high" in line for line in training)
