"""What can be wrong with evaluation sets and ensembles is told before anything runs."""

import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.planning.checks import check_all
from calibench.planning.configuration import complete, merge
from calibench.planning.naming import store_name
from calibench.planning.plan import Plan
from calibench.planning.sets import check_site_classes

BASE = {
    "name": "test",
    "datasets": {"a": {"root": "."}, "b": {"root": ".", "train_on": False}},
    "backbones": ["resnet20"],
    "runs": ["hard", "ols"],
    "seeds": [0, 1],
    "evaluate_on": {"sites": ["b"]},
}


def planned(**changes):
    config = complete(merge(BASE, changes))
    check_all(config)
    return Plan(config)


def test_runs_and_sets_of_an_experiment():
    plan = planned(
        evaluate_on={
            "corruptions": {"names": ["noise"], "severities": [3]},
            "attacks": {"fgsm4": {"method": "fgsm", "eps": 4}},
        }
    )
    assert list(plan.sets) == ["test@b", "test@noise3", "test@fgsm4"]
    assert {run[0] for run in plan.all_runs} == {"a"} == set(plan.tables_settings()["datasets"])
    assert "predictions/top1/test@noise3.npy" in plan.set_files and len(plan.set_files) == 6
    assert "shift" in plan.figure_kinds() and "shift" not in planned_without_sets().figure_kinds()


def planned_without_sets():
    config = complete({**BASE, "datasets": {"a": {"root": "."}}, "evaluate_on": {}})
    return Plan(config)


def test_asking_changes_neither_a_run_nor_a_store():
    asked, plain = planned(), planned_without_sets()
    run = ("a", "resnet20", "ols", 1)
    assert asked.run_settings(*run) == plain.run_settings(*run)
    assert store_name(asked.config, "a") == store_name(plain.config, "a")


def test_ensembles_lie_where_runs_do():
    plan = planned(ensembles=["none", "temperature"])
    found = plan.derived("metrics.csv", "a")
    assert len(found) == 4 and "results/test/a/resnet20/ols@temperature@ensemble/seed0/metrics.csv" in found
    planned(
        ensembles=["none", "temperature"],
        statistics={
            "contrasts": [["ols@ensemble", "ols"], ["ols@ensemble@temperature", "hard@temperature@ensemble"]]
        },
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluate_on": {"sites": ["c"]}}, "'c' is not a data set; there are: a, b"),
        ({"evaluate_on": {"sites": []}}, "datasets.b is not used: train_on is false"),
        ({"datasets": {"a": {"train_on": False}}}, "train_on is false for all data sets"),
        ({"datasets": {"b": {"store": {"size": 64}}}}, "datasets.b.store.size is 64, but that of a is 224"),
        ({"datasets": {"b": {"store": {"colour": "rgb"}}}}, "datasets.b.store.colour is rgb"),
        ({"evaluate_on": {"corruptions": {"names": ["fog"]}}}, "'fog' is not one of noise, rician"),
        (
            {"evaluate_on": {"corruptions": {"severities": [6]}}},
            "severities.0: 6 is greater than the maximum of 5",
        ),
        ({"evaluate_on": {"attacks": {"x": {"method": "cw", "eps": 4}}}}, "'cw' is not one of fgsm, pgd"),
        ({"evaluate_on": {"attacks": {"x": {"method": "fgsm"}}}}, "key 'eps' is missing"),
        (
            {"evaluate_on": {"attacks": {"b": {"method": "fgsm", "eps": 4}}}},
            "two evaluation sets have the name 'test@b'",
        ),
        ({"seeds": [3], "ensembles": ["none"]}, "ensembles need at least two seeds"),
        ({"ensembles": ["temprature"]}, "no calibrator 'temprature'; did you mean 'temperature'"),
        (
            {"datasets": {"a": {"calibrate": 0}}, "ensembles": ["temperature"]},
            "set datasets.a.calibrate above 0",
        ),
        ({"statistics": {"contrasts": [["ols@ensemble", "hard"]]}}, "no ensemble 'ols@ensemble'; for"),
    ],
)
def test_mistakes_are_told_in_one_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence.replace("[", r"\[")):
        planned(**({**changes, "seeds": changes["seeds"]} if "seeds" in changes else changes))


def test_a_site_without_common_classes_is_told_once_both_are_listed(tmp_path):
    folders = {name: str(tmp_path / name) for name in "ab"}
    config = complete(BASE)
    check_site_classes(config, folders)  # nothing is listed yet
    for name, labels in {"a": ["cyst", "mass"], "b": ["0", "1"]}.items():
        (tmp_path / name).mkdir()
        pd.DataFrame({"target": [0, 1], "label": labels}).to_csv(tmp_path / name / "classes.csv", index=False)
    with pytest.raises(UserError, match=r"'b' has 0 of the classes of 'a'"):
        check_site_classes(config, folders)
