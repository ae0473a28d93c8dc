"""Tables that a config describes: what stands where, and what a paper printed beside it."""

import json

import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.planning import checks
from calibench.planning import configuration as config
from calibench.stages import tables
from calibench.tables import long
from calibench.tables.arrange import arrange, join_run, split_run

from tests.tables.test_tables import metrics, settings
from tests.workflow.conftest import MINI

RUNS = ["hard", "arazo+mixup", "hard+noise20", "arazo+mixup+noise20"]
NOISE = {"name": "noisy", "rows": "regime", "columns": "noise", "measures": ["top1_error"]}


@pytest.mark.parametrize(
    "run", ["hard", "ols+cutmix+noise20", "ols@snapshots6", "ols+noise20@snapshots6", "hard@temperature"]
)
def test_a_run_is_told_apart_and_put_together(run):
    groups = ["noise", "snapshots"]
    assert join_run(split_run(run, groups), groups) == run
    assert split_run("ols+cutmix+noise20", ["noise"]) == {"regime": "ols+cutmix", "noise": "noise20"}


def test_rows_and_columns():
    asked = settings(backbones=["resnet56"], runs=RUNS)
    found = arrange(NOISE, asked)
    assert found.stubs == ["Method"] and found.columns == ["no noise", "noise 20"] and not found.groups
    assert [text for _, text, _ in found.rows] == ["Hard labels", "Arazo et al. + mixup"] or len(
        found.rows
    ) == 2
    assert [key[2] for _, _, keys in found.rows for key in keys] == [RUNS[0], RUNS[2], RUNS[1], RUNS[3]]
    both = arrange(NOISE | {"measures": ["top1_error", "ece"]}, asked)
    assert (
        both.groups == [("no noise", 2), ("noise 20", 2)] and both.columns == ["Top-1 error (%)", "ECE"] * 2
    )


def test_what_is_left_out_stands_in_the_rows():
    asked = settings(datasets=["a", "b"], backbones=["resnet18", "vgg19"], runs=["hard", "ls"])
    found = arrange({"name": "t", "rows": "run", "columns": "measure", "measures": ["ece"]}, asked)
    assert found.stubs == ["Backbone", "Method"] and [row[0] for row in found.rows] == ["a"] * 4 + ["b"] * 4
    across = arrange(
        {"name": "t", "rows": "run", "columns": ["dataset", "backbone"], "measures": ["ece"]}, asked
    )
    assert across.groups == [("a", 2), ("b", 2)] and across.columns == ["ResNet-18", "VGG-19"] * 2
    assert across.rows[1][2] == [(d, b, "ls", "ece") for d in "ab" for b in ("resnet18", "vgg19")]


def made(tmp_path, layout, runs=RUNS, **changes):
    asked = settings(
        datasets=["cifar100"], backbones=["resnet56"], runs=runs, published="zhang2021", seeds=[0, 1]
    )
    asked |= {"layouts": [layout], **changes}
    value = lambda d, b, r, s, m: 0.3 + 0.01 * runs.index(r) + 0.001 * s  # noqa: E731
    frame = metrics(asked, value=value)
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    options = ["--metrics", str(tmp_path / "metrics.csv"), "--out-dir", str(tmp_path / "t")]
    if "snapshots" in changes:
        rows = [
            frame.assign(calibrator=f"snapshots{n}", checkpoint="epochs", value=n / 100)
            for n in changes["snapshots"]
        ]
        pd.concat(rows).drop_duplicates(
            ["calibrator", "regime", "variant", "seed", "split", "metric"]
        ).to_csv(tmp_path / "e.csv", index=False)
        options += ["--ensembles", str(tmp_path / "e.csv")]
    tables.main([*options, "--settings", json.dumps(asked)])
    assert (tmp_path / "t" / f"{layout['name']}.tex").is_file() and (tmp_path / "t" / "table1.md").is_file()
    return pd.read_csv(tmp_path / "t" / f"{layout['name']}.csv", dtype=str, keep_default_na=False)


def test_printed_numbers_stand_beside_ours_under_the_papers_names(tmp_path):
    order = {"regime": ["hard", "arazo+mixup", "han", "nobody"]}
    layout = NOISE | {"order": order, "printed": "VII", "printed_as": {"arazo+mixup": "arazo"}}
    table = made(tmp_path, layout)
    assert list(table["Source"].str.split(" ").str[0]) == ["ours", "published", "difference"] * 3
    assert list(table["noise 20"])[:2] == ["32.05 ± 0.07", "37.75"] and table["noise 20"][4] == "33.91"
    assert list(table["no noise"])[6:8] == ["–", "32.07"], "Han et al. are printed only; nobody has no row"
    assert "Missing" not in (tmp_path / "t" / "noisy.md").read_text()


def test_a_row_of_differences(tmp_path):
    layout = {"name": "d", "rows": "run", "columns": "backbone", "measures": ["top1_error"], "printed": "XI"}
    table = made(tmp_path, layout | {"order": {"run": ["hard", "ls", "ls - hard"]}}, runs=["hard", "ls"])
    assert table["Method"][6] == "Label smoothing - Hard labels" or " - " in table["Method"][6]
    assert table["ResNet-56"][6] == "1.00 ± 0.00" and table["ResNet-56"][7] == "-0.44"


def test_ensembles_of_epochs_are_columns(tmp_path):
    layout = {
        "name": "e",
        "rows": "regime",
        "columns": "snapshots",
        "measures": ["top1_error"],
        "printed": "III",
    }
    table = made(tmp_path, layout, runs=["hard", "ols"], snapshots=[6, 20])
    assert list(table.columns[2:]) == ["one model", "snapshots 6", "snapshots 20"]
    assert list(table.iloc[0, 2:]) == ["30.05 ± 0.07", "6.00 ± 0.00", "20.00 ± 0.00"]
    assert list(table.iloc[1, 2:]) == ["26.41", "26.07", "25.88"]


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        ({"measures": ["top2"]}, "'x': unknown measure 'top2'; there are: top1_error"),
        ({"columns": "noise"}, "'noise' is not one of dataset, backbone"),
        ({"columns": "snapshots"}, "for snapshots set train.snapshots"),
        ({"columns": "run"}, "rows and columns have a name in common"),
        ({"order": {"backbone": ["resnet20"]}}, "order: 'backbone' is not in its rows or columns"),
        ({"name": "table1"}, "that table is always made"),
    ],
)
def test_a_description_that_cannot_be_is_one_sentence(layout, sentence):
    described = {"name": "x", "rows": "run", "columns": "measure", "measures": ["ece"]} | layout
    with pytest.raises(UserError) as error:
        checks.check_all(config.complete(MINI | {"tables": {"layouts": [described]}}))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_evaluation_sets_are_columns(tmp_path):
    rows = [
        ("digits", "lenet", run, "", 0, split, "top1", "top1_error", value, 100)
        for run, values in {"hard": (0.1, 0.8), "ols": (0.2, 0.6)}.items()
        for split, value in zip(("test", "test@fgsm"), values, strict=True)
    ]
    pd.DataFrame(rows, columns=long.METRICS).to_csv(tmp_path / "metrics.csv", index=False)
    layout = {"name": "t", "rows": "regime", "columns": "set", "measures": ["top1_error"]}
    settings = {"datasets": ["digits"], "backbones": ["lenet"], "runs": ["hard", "ols"], "seeds": [0]}
    settings |= {"checkpoint": "top1", "published": None, "layouts": [layout], "sets": ["fgsm"]}
    options = ["--metrics", str(tmp_path / "metrics.csv"), "--out-dir", str(tmp_path / "t")]
    tables.main([*options, "--settings", json.dumps(settings)])
    found = pd.read_csv(tmp_path / "t/t.csv", comment="#")
    assert found.iloc[:, -2:].to_numpy().tolist() == [[10.0, 80.0], [20.0, 60.0]]
    assert list(found.columns)[-2:] == ["test", "fgsm"]
    assert "digits, evaluation sets, checkpoint top1" in (tmp_path / "t/t.md").read_text()
