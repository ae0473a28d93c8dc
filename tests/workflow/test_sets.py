"""Finished runs are asked about more images, and averaged, without being trained again."""

ASKED = {
    "corruptions": {"names": ["noise", "blur"], "severities": [3]},
    "attacks": {"fgsm4": {"method": "fgsm", "eps": 4}},
}


def test_asking_trains_nothing(plan):
    jobs = plan(evaluate_on=ASKED)
    assert not {rule for rule in jobs if rule.startswith("train_")}
    assert jobs["evaluate"] == jobs["analyse"] == 3  # one job a run, whatever the number of sets


def test_a_report_of_an_asked_experiment_has_its_table_and_figure(plan):
    jobs = plan("all", evaluate_on=ASKED)
    assert jobs["shift"] == jobs["figure_shift"] == 1


def test_an_ensemble_is_analysed_behind_its_runs(plan):
    jobs = plan(seeds=[0, 1], ensembles=["none", "temperature"])
    assert jobs["train_ls"] == 1  # seed 1; seed 0 is there
    assert jobs["ensemble_seeds"] == 6 and jobs["analyse"] >= 3 + 6 and "evaluate" not in jobs
