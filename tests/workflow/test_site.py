"""What is asked of Slurm can be checked without one: the site file, memory and time, and what the texts promise."""

import inspect
import json
import re

import pytest
from calibench.errors import UserError
from calibench.planning.site import read_site

from tests.checkout import ROOT

# appended to the Snakefile: what every rule that becomes a job asks for at its first and third attempt
ASKED = """
import json
def _asked(rule, name, attempt):
    resource = rule.resources[name]
    return (resource.evaluate(None, attempt=attempt) if resource.is_evaluable() else resource).value
submitted = [r for r in workflow.rules if r.name not in workflow._localrules]
asked = {r.name: [[_asked(r, n, a) for a in (1, 3)] for n in ("mem_mb", "runtime")] for r in submitted}
Path("asked.json").write_text(json.dumps(asked))
"""


def test_what_jobs_ask_for(run_snakemake, checkout, monkeypatch):
    """Memory and time of every submitted rule grow with the attempt; the model of the GPU reaches only training."""
    with (checkout / "workflow/Snakefile").open("a") as snakefile:
        snakefile.write(ASKED)
    site = checkout / "site.yaml"
    site.write_text("account: 17\nqos: high\ngpu_model: a100\npartitions: {cpu: {}}\n")
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(site))
    lines = [line for line in run_snakemake("-n").stdout.splitlines() if "resources:" in line]
    assert lines and all("slurm_account=17" in line and "qos=high" in line for line in lines)
    assert {"gpu=1" in line for line in lines} == {True, False}
    assert all(("gpu=1" in line) == ("gpu_model=a100" in line) for line in lines)
    asked = json.loads((checkout / "asked.json").read_text())
    others = {rule for rule in asked if not rule.startswith("train_")}
    assert others == {"audit", "store", "features", "predict_training", "figure_tsne", "resample"}
    assert "train_hard" in asked
    for rule, requests in asked.items():
        for first, third in requests:
            assert third == 3 * first, f"{rule} asks for {first}, then for {third}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "SNAKEMAKE_SLURM_PARTITIONS: '{}' does not exist; correct the path or unset it"),
        ("", "{} is empty; copy the nearest file of slurm/sites/ into it"),
        ("# only this\n", "{} is empty"),
        ("partitions: [", "{} is not plain YAML"),
        ("- cpu\n", "{}: expected keys and values"),
        ("account: a\naccount: b\n", "{}: key 'account' exists twice"),
        ("account:\npartitions: {cpu: {}}\n", "{}: account: expected a name, found None"),
    ],
)
def test_mistake_in_the_site_file(tmp_path, text, sentence):
    site = tmp_path / "site.yaml"
    if text is not None:
        site.write_text(text)
    with pytest.raises(UserError, match=re.escape(sentence.format(site))):
        read_site(site)


def test_a_site_file_that_is_missing_stops_snakemake(run_snakemake, checkout, monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(checkout / "nowhere.yaml"))
    done = run_snakemake("-n", "weights", check=False)
    assert done.returncode and "does not exist; correct the path or unset it" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_job_on_a_node_that_does_not_see_the_site_file(run_snakemake, checkout, monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(checkout / "nowhere.yaml"))
    run_snakemake("-n", "--mode", "remote", "weights")


def test_texts_on_preemption_say_what_the_plugin_does():
    """It waits for a preempted job; once it no longer does, correct docs/slurm.md and slurm/sites/preemptible.yaml."""
    import snakemake_executor_plugin_slurm as plugin

    failed = re.search(r"fail_stati = \((.*?)\)", inspect.getsource(plugin), re.S)[1]
    assert "CANCELLED" in failed and "PREEMPTED" not in failed
    row = next(
        line
        for line in (ROOT / "docs/slurm.md").read_text().splitlines()
        if line.startswith("| preemption with cancelling")
    )
    assert "waits for ever" in row and "Ctrl-C" in row and "nothing" not in row
    site = (ROOT / "slurm/sites/preemptible.yaml").read_text()
    assert "Ctrl-C" in site and "retries" not in site
