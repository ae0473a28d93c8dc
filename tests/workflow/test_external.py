"""Predictions from elsewhere and votes train nothing, and are measured beside the runs."""


def test_files_of_others_are_runs_without_training(plan, finished):
    for name in ("theirs.npz", "votes.csv"):
        (finished / name).write_bytes(b"")
    from tests.workflow.conftest import MINI

    digits = MINI["datasets"]["digits"] | {"votes": "votes.csv"}
    jobs = plan("results/mini/ranks.csv", external={"theirs": "theirs.npz"}, datasets={"digits": digits})
    assert jobs["external"] == jobs["votes"] == jobs["ranks"] == 1 and jobs["analyse"] == 4
    assert not {rule for rule in jobs if rule.startswith("train_")}
