"""The configs of the study can be planned, and compare what its protocol names."""

from pathlib import Path

import pytest
from calibench.planning import checks
from calibench.planning import configuration as config
from calibench.planning.plan import Plan

STUDY = Path(__file__).parents[2] / "config" / "study"
RUNS = {  # files after study.yaml → training runs
    (): 4 * 2 * 11 * 20,
    ("tuning",): 2 * 2 * 9 * 3 * 2,
    ("noise",): 22 * 10,
    ("shift",): 4 * 2 * 11 * 20,
    ("site",): 2 * 11 * 10,
    ("repeat",): 2 * 4 * 20,
}


def read(*names):
    return config.read(*(STUDY / f"{name}.yaml" for name in names))


def planned(settings) -> int:
    checks.check_all(settings)
    plan = Plan(settings)
    for dataset, backbone, run, seed in plan.all_runs[:: len(plan.all_runs) // 50]:
        plan.run_settings(dataset, backbone, run, seed)
        plan.other_runs(dataset, backbone, run, seed)
    return len(plan.all_runs)


@pytest.mark.parametrize("more", RUNS, ids=lambda more: "+".join(("study", *more)))
def test_a_part_of_the_study_is_as_large_as_its_protocol_says(more):
    assert planned(read("study", *more)) == RUNS[more]


def test_the_full_study_asks_the_same_questions():
    small, full = read("study"), read("full")
    assert planned(full) == 12 * 4 * 11 * 10
    assert full["runs"] == small["runs"]
    assert full["statistics"] == small["statistics"] | {"calibrators": None}  # large networks get every map


def test_every_file_is_planned_here():
    assert {path.stem for path in STUDY.glob("*.yaml")} == {name for more in RUNS for name in more} | {
        "study",
        "full",
    }
