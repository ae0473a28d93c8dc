"""What is done again after a change, and what is not."""

from contextlib import contextmanager

import pytest

from tests.workflow.conftest import MINI, planned

PACKAGE = "workflow/calibench"


@contextmanager
def edited(checkout, file, old, new):
    path = checkout / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


def test_nothing_changed_nothing_to_do(plan):
    assert plan() == {}


def test_a_regimes_parameter_retrains_that_regime_only(plan):
    jobs = plan(regimes={"ols": {"alpha": 0.3}})
    assert jobs["train_ols"] == 1
    assert not {"train_hard", "train_ls", "store", "list"} & set(jobs)


def test_a_regimes_code_retrains_that_regime_only(plan, finished):
    with edited(finished, f"{PACKAGE}/regimes/ls.py", "def loss", "x_of_a_test = 1\n\n    def loss"):
        jobs = plan()
    assert jobs["train_ls"] == 1
    assert not {"train_hard", "train_ols", "store"} & set(jobs)


def test_a_comment_retrains_nothing(plan, finished):
    with (
        edited(finished, f"{PACKAGE}/regimes/ols.py", '"""', '"""Another docstring. '),
        edited(finished, f"{PACKAGE}/training/loop.py", "import logging", "import logging  # a comment"),
    ):
        assert plan() == {}


def test_a_metric_retrains_nothing(plan, finished):
    with edited(finished, f"{PACKAGE}/metrics/calibration.py", "\nimport ", "\nx_of_a_test = 1\nimport "):
        jobs = plan()
    assert jobs == {"analyse": 3, "metrics": 1}


def test_the_training_code_retrains_all(plan, finished):
    with edited(finished, f"{PACKAGE}/training/loop.py", "import logging", "import logging, string"):
        jobs = plan()
    assert {"train_hard", "train_ls", "train_ols"} <= set(jobs)
    assert "store" not in jobs


def test_a_second_experiment_reuses_the_store(plan):
    jobs = plan(name="second", runs=["hard"])
    assert jobs == {"train_hard": 1, "analyse": 1, "metrics": 1}


def test_a_new_store_setting_makes_a_new_store(plan):
    jobs = plan(datasets={"digits": MINI["datasets"]["digits"] | {"store": {"size": 24}}})
    assert jobs["store"] == 1 and jobs["train_hard"] == 1


def test_a_new_seed_trains_that_seed_only(plan):
    jobs = plan(seeds=[0, 1])
    assert [jobs[f"train_{r}"] for r in ("hard", "ls", "ols")] == [1, 1, 1]


def test_an_edited_config_never_deletes_a_protected_run(finished):
    from tests.workflow.conftest import snakemake, write_config

    config = write_config(finished, "protected.yaml", protect=True, regimes={"ols": {"alpha": 0.3}})
    output = snakemake(finished, "results/mini/metrics.csv", "--configfile", config, check=False)
    assert "ols/seed0 is finished with other settings (regime: alpha: 0.5 → 0.3)" in output
    assert (finished / "results/mini/digits/resnet20/ols/seed0/run.json").exists()


@pytest.mark.parametrize("target", ["tables", "fig2", "figures"])
def test_named_targets_plan(plan, target):
    jobs = plan(target)
    assert "store" not in jobs
    assert target == "tables" or jobs.get("figure_tsne") == 1


def test_newer_code_keeps_protected_runs(plan, finished):
    with edited(finished, f"{PACKAGE}/training/loop.py", "import logging", "import logging, string"):
        assert plan(protect=True) == {}


def test_another_sample_is_another_run(finished):
    from tests.workflow.conftest import snakemake, write_config

    digits = MINI["datasets"]["digits"] | {"sample": {"per_class": 7}}
    config = write_config(finished, "resampled.yaml", protect=True, datasets={"digits": digits})
    output = snakemake(finished, "results/mini/metrics.csv", "--configfile", config, check=False)
    assert "is finished with other settings (store: digits-" in output


def test_a_change_far_below_a_figure_draws_it_again_and_trains_nothing(finished):
    from tests.workflow.conftest import snakemake, write_config

    target = ["results/mini/figures/curves-digits-resnet20.png", "--configfile", write_config(finished)]
    snakemake(finished, *target)
    assert planned(snakemake(finished, "-n", *target)) == {}
    for file in ("figures/curves.py", "figures/panels.py", "figures/style.py"):
        with edited(finished, f"{PACKAGE}/{file}", "\nimport ", "\nx_of_a_test = 1\nimport "):
            assert planned(snakemake(finished, "-n", *target)) == {"figure_curves": 1}, file
    with edited(finished, f"{PACKAGE}/figures/bars.py", "\nimport ", "\nx_of_a_test = 1\nimport "):
        assert planned(snakemake(finished, "-n", *target)) == {}


def test_runs_on_an_edited_list_are_never_mixed(finished):
    """A label mended, a seed added: seed 0 saw other labels, so nothing is planned until the user says what to do."""
    from tests.workflow.conftest import snakemake, write_config

    new = ["-n", "results/mini/metrics.csv", "--configfile"]
    config = write_config(finished, "protected.yaml", protect=True, seeds=[0, 1])
    files = finished / "results/data/digits/train.csv", next(finished.glob("results/store/*/index.csv"))
    (finished / files[0]).touch()  # only the time: the same list
    assert "WorkflowError" not in snakemake(finished, *new, config)
    with edited(finished, files[0], "digit-4", "digit-5"):
        output = snakemake(finished, *new, config, check=False)
        assert "train.csv' has changed since 3 finished runs were trained on it" in output
        assert "Traceback" not in output
        free = snakemake(finished, *new, write_config(finished, "free.yaml", seeds=[0, 1]))
        assert planned(free)["list"] == 1 and planned(free)["train_hard"] == 2
    with edited(finished, files[1], "digit-4", "digit-5"):
        output = snakemake(finished, *new, config, check=False)
        assert "was trained on other images or labels than" in output and "`protect: false`" in output


def test_a_newer_version_keeps_protected_data_and_runs_and_renews_the_tables_at_once(finished):
    """One command, not two: Snakemake looks no further than a job that has to run, beyond `ancient` files."""
    from tests.workflow.conftest import snakemake, write_config

    config = write_config(finished, "protected.yaml", protect=True, seeds=[0, 1])
    with (
        edited(finished, f"{PACKAGE}/data/listing.py", "\nimport ", "\nx_of_a_test = 1\nimport "),
        edited(finished, f"{PACKAGE}/metrics/calibration.py", "\nimport ", "\nx_of_a_test = 1\nimport "),
    ):
        jobs = planned(snakemake(finished, "-n", "results/mini/metrics.csv", "--configfile", config))
        assert jobs == {"train_hard": 1, "train_ls": 1, "train_ols": 1, "analyse": 3, "metrics": 1}
        (finished / "results/data/digits/train.csv").touch()  # copied anew, the same content
        assert planned(snakemake(finished, "-n", "results/mini/metrics.csv", "--configfile", config)) == jobs


def test_a_fresh_experiment_is_planned_whole_when_protected(tmp_path):
    from tests.checkout import copy_checkout
    from tests.workflow.conftest import snakemake, write_config

    checkout = copy_checkout(tmp_path / "calibench")
    config = write_config(checkout, "protected.yaml", protect=True)
    jobs = planned(snakemake(checkout, "-n", "results/mini/metrics.csv", "--configfile", config))
    assert jobs["store"] == 1 and jobs["train_ols"] == 1 and jobs["analyse"] == 3
