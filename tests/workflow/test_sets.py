"""Finished runs are asked about more images, averaged, and set beside others, without being trained again."""

from tests.workflow.conftest import MINI

ASKED = {
    "corruptions": {"names": ["noise", "blur"], "severities": [3]},
    "attacks": {"fgsm4": {"method": "fgsm", "eps": 4}},
}


def test_asking_trains_nothing_and_ensembles_are_analysed_behind_their_runs(plan):
    jobs = plan("all", evaluate_on=ASKED, seeds=[0, 1], ensembles=["none", "temperature"])
    trained = {rule: count for rule, count in jobs.items() if rule.startswith("train_")}
    assert trained == {"train_hard": 1, "train_ols": 1}  # seed 1; seed 0 is there
    assert jobs["evaluate"] == 4  # one job a run, whatever the number of sets
    assert jobs["ensemble_seeds"] == 4 and jobs["analyse"] == 2 + 4
    assert jobs["shift"] == jobs["report"] == 1


def test_files_of_others_are_runs_without_training(plan, finished):
    for name in ("theirs.npz", "votes.csv"):
        (finished / name).write_bytes(b"")
    digits = MINI["datasets"]["digits"] | {"votes": "votes.csv"}
    jobs = plan("results/mini/ranks.csv", external={"theirs": "theirs.npz"}, datasets={"digits": digits})
    assert jobs["external"] == jobs["votes"] == jobs["ranks"] == 1 and jobs["analyse"] == 3
    assert not {rule for rule in jobs if rule.startswith("train_")}
