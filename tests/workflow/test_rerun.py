"""What Snakemake does again after a change, and what not. tests/planning/test_reruns.py has the cases one by one."""

from contextlib import ExitStack, contextmanager

import pytest

from tests.workflow.conftest import planned, snakemake, write_config

PACKAGE = "workflow/calibench"
METRICS = "results/mini/metrics.csv"


@contextmanager
def edited(checkout, file, old="\nimport ", new="\nx_of_a_test = 1\nimport "):
    path = checkout / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


def test_nothing_changed_nothing_to_do(plan, finished):
    """A comment is no change."""
    with edited(finished, f"{PACKAGE}/training/loop.py", "import logging", "import logging  # a comment"):
        assert plan() == {}


def test_a_change_is_done_again_where_it_matters(plan, finished):
    """The code of one regime and of a measure: the other regime and the store stay."""
    with (
        edited(finished, f"{PACKAGE}/regimes/hard.py", "def loss", "x_of_a_test = 1\n\n    def loss"),
        edited(finished, f"{PACKAGE}/metrics/calibration.py"),
    ):
        jobs = plan()
    assert jobs == {"train_hard": 1, "analyse": 2, "metrics": 1}


def test_named_targets_plan(plan):
    jobs = plan("tables", "fig2", "figures")
    assert "store" not in jobs and jobs["figure_tsne"] == 1 and jobs["figure"] > 3 and jobs["tables"] == 1


def test_an_edited_config_never_deletes_a_protected_run(finished):
    config = write_config(finished, "protected.yaml", protect=True, regimes={"ols": {"alpha": 0.3}})
    output = snakemake(finished, METRICS, "--configfile", config, check=False)
    assert "ols/seed0 is finished with other settings (regime: alpha: 0.5 → 0.3)" in output
    assert "Traceback" not in output
    assert (finished / "results/mini/digits/resnet20/ols/seed0/run.json").exists()


def test_a_newer_version_keeps_protected_data_and_runs_and_renews_the_tables_at_once(finished):
    """One command, not two: Snakemake looks no further than a job that has to run, beyond `ancient` files."""
    config = write_config(finished, "protected.yaml", protect=True, seeds=[0, 1])
    files = ("data/listing.py", "metrics/calibration.py", "training/loop.py")
    (finished / "results/data/digits/train.csv").touch()  # copied anew, the same content
    with ExitStack() as stack:
        for file in files:
            stack.enter_context(edited(finished, f"{PACKAGE}/{file}"))
        jobs = planned(snakemake(finished, "-n", METRICS, "--configfile", config))
    assert jobs == {"train_hard": 1, "train_ols": 1, "analyse": 2, "metrics": 1}


@pytest.mark.slow
def test_a_change_far_below_a_figure_draws_it_again_and_trains_nothing(finished):
    target = ["results/mini/figures/curves-digits-resnet20.png", "--configfile", write_config(finished)]
    snakemake(finished, *target)
    assert planned(snakemake(finished, "-n", *target)) == {}
    with edited(finished, f"{PACKAGE}/figures/style.py"):
        assert planned(snakemake(finished, "-n", *target)) == {"figure": 1}
    with edited(finished, f"{PACKAGE}/figures/bars.py"):
        assert planned(snakemake(finished, "-n", *target)) == {}
