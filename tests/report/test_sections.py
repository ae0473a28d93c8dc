"""Sections from files: what they say, and that each does without what is not there."""

import json
import shutil

import pandas as pd
import pytest
from calibench import report as reporting
from calibench.errors import UserError
from calibench.files import write_json
from calibench.planning.settings import PARTS
from calibench.published.printed import read_printed
from calibench.regimes.catalog import catalog
from calibench.report import options, published
from calibench.report.html import number

from tests.report.conftest import DATASET, NOTEBOOK, completed, write_png

ALL = [
    "".join(c["source"]) for c in json.loads(NOTEBOOK.read_text())["cells"][2:] if c["cell_type"] == "code"
]


def sections(x):
    """HTML of every cell of the notebook."""
    return {source: eval(source, {"r": reporting, "x": x}) for source in ALL}


def test_empty_experiment_says_so_in_every_section(tmp_path):
    x = reporting.open_experiment(tmp_path, {"config": completed(tables={})})
    text = "".join(sections(x).values())
    for wanted in (
        "0 of 4 planned runs", "There is no metrics.csv yet", "No decoded store", "No run has finished",
        "No t-SNE figure", "No reliability diagram", "The config names no published numbers",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_every_cell_gives_html(small):
    x = reporting.open_experiment(small[0], small[1], [small[2]])
    assert all(hasattr(html, "_repr_html_") for html in sections(x).values())


def test_data_before_and_after_sampling(small):
    html = str(reporting.setup.data(reporting.open_experiment(small[0], small[1], [small[2]])))
    assert "60 – 70 – 70" in html and "at most 70 per class in train" in html
    assert "1 classes below the cap" not in html and "1 class below the cap of 70" in html
    assert "<svg" in html  # a long tail is drawn


def test_store_of_other_settings_is_not_taken(small, tmp_path):
    other = shutil.copytree(small[2], tmp_path / f"{DATASET}-0123456789")
    x = reporting.open_experiment(small[0], small[1], [other])
    assert x.stores == {}


def test_published_bounds_are_those_of_the_reference():
    path = reporting.open_experiment(NOTEBOOK.parent, {"config": completed()}).published_file
    rows = {(r["backbone"], r["regime"]): r for r in published.bound_rows(read_printed([path]))}
    assert [rows["resnet50", regime]["holds"] for regime in ("hard", "ls", "ols")] == [True, False, False]
    assert rows["resnet50", "ls"]["gap"] == pytest.approx(0.0687)


def test_rounding_is_allowed_for(tmp_path):
    def row(ece):
        head = "paper,table,dataset,backbone,regime,metric,value,unit,note\n"
        cells = {"top1_error": "24.3,%", "avg_confidence": "0.80,fraction", "ece": f"{ece},fraction"}
        (tmp_path / "p.csv").write_text(head + "".join(f"p,1,d,b,r,{m},{v},\n" for m, v in cells.items()))
        return published.bound_rows(read_printed([tmp_path / "p.csv"]))[0]

    # |0.80 - 0.757| = 0.043 ± 0.0055; an ECE of 0.037 ± 0.0005 may be 0.0375, the gap as little
    assert row("0.037")["holds"]
    assert not row("0.036")["holds"]


def test_claims_of_the_target_paper(small):
    html = str(published.check(reporting.open_experiment(small[0], small[1])))
    for wanted in ("ls 21.79, ols 24.43", "0.47 points (1.9 % relative)", "only 0.25 below ls", "ResNet-56"):
        assert wanted in html, wanted


def test_values_set_by_the_config_do_not_claim_the_papers_origin():
    assert options.origin("train.lr", [0.001]) == "paper"
    assert options.origin("train.lr", [0.001, 0.02]) == "set by this config; default 0.001: paper"


def test_every_regime_setting_is_explained():
    for info in catalog().values():
        lacking = set(info.settings) - set(options.argument_texts(info))
        assert not lacking, (info.name, lacking)


def test_every_training_setting_is_found_in_the_schema():
    x = reporting.open_experiment(NOTEBOOK.parent, {"config": completed()})
    recipe = options.recipe(x, "resnet50")
    unknown = [f"{p}.{k}" for p in PARTS for k in recipe[p] if not options._node(f"{p}.{k}")]
    assert unknown == []


def test_one_seed_is_called_one_seed(small):
    config = completed(seeds=[0])
    html = str(reporting.summary.limits(reporting.open_experiment(small[0], {"config": config})))
    assert "the order of the regimes is not a finding" in html and "±" in html


def test_images_that_were_lost_stand_under_what_cannot_be_concluded(small):
    experiment = reporting.open_experiment(small[0], small[1], [small[2]])
    assert "1 of the 901 listed images of RadImageNet.mini were missing or unreadable" in str(
        reporting.summary.limits(experiment)
    )


def test_audit_of_the_data(small, tmp_path):
    store = shutil.copytree(small[2], tmp_path / small[2].name)
    before = {"train-test": {"exact": 2, "copy": 31, "series": 4}}
    after = {"train-test": {"exact": 0, "copy": 0, "series": 3}}
    write_json(
        store / "audit.json",
        {
            "images": 1000, "kept": 998, "unreadable": [], "blank": {"train": 4, "val": 0, "test": 1},
            "exact": {"clusters": 3, "images": 7, "clusters_across_classes": 1},
            "exact_between_listed_splits": {"train-test": 2},
            "copy": {"pairs": 5, "flipped_pairs": 1, "pairs_across_classes": 0},
            "series": {"pairs": 8, "flipped_pairs": 0, "pairs_across_classes": 0},
            "leaks": {"before": before, "after": after},
            "within_test": {
                "images": 100, "exact": 0, "copy": 4, "series": 9, "groups": 90, "effective": 64.0, "widening": 1.25,
            },
            "conflicting_images": 2, "error_floor": {"test": 0.01},
            "dropped": {"unreadable": {"train": 2, "val": 0, "test": 0}}, "policy": {"group_by": "series"},
            "examples": [],
        },
    )  # fmt: skip
    html = str(reporting.data_audit(reporting.open_experiment(small[0], small[1], [store])))
    assert "5 (train 4, test 1)" in html and "1.000 % of test" in html
    assert "in both train and test 2" in html and "exact 2 → 0, copy 31 → 0, series 4 → 3" in html
    assert "as much as 64 independent ones" in html and "1.25 times too narrow" in html


def test_tables_of_later_stages_appear_when_they_are_there(small, tmp_path):
    frame = pd.DataFrame(
        {
            "dataset": "d",
            "backbone": ["resnet50", "vgg19"],
            "regime": "ols",
            "variant": ["", "+a<b"],
            "value": [0.1, float("nan")],
        }
    )
    frame.to_csv(tmp_path / "gradients.csv", index=False)
    x = reporting.open_experiment(tmp_path, small[1])
    html = str(reporting.diagnostics.gradients(x))
    assert "ResNet-50" in html and "OLS + a&lt;b" in html and "0.1000" in html and "nan" not in html
    assert str(reporting.comparisons.strata(x)) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234, "1,234"),
        (0.5, "0.5000"),
        (float("nan"), "–"),
        (None, "–"),
        (-2.0, "−2"),
        (1e-7, "1.00e−07"),
        (True, "yes"),
    ],
)
def test_numbers_are_readable(value, text):
    assert number(value) == text


def test_user_errors(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        reporting.open_experiment(tmp_path / "none", {"config": {}})
    with pytest.raises(UserError, match="lacks config"):
        reporting.open_experiment(tmp_path, {})


def test_statistics_are_shown_in_the_order_of_the_config(small, tmp_path):
    """The real stages write the files; the outcome of the comparison named beforehand reaches the summary."""
    from calibench.stages import contrasts, resample

    from tests.stages.test_analyse import analyse_to

    config = completed(runs=["ols", "hard"], statistics={"contrasts": [["ols", "hard"]]})
    folder = shutil.copytree(small[0], tmp_path / "small")
    records = sorted(folder.glob("*/*/*/*/run.json"))
    runs_done = list(map(str, records))
    contrasts.main(
        ["--settings", '{"contrasts": [["ols", "hard"]]}', "--out", str(folder / "contrasts.csv"), *runs_done]
    )
    resample.main(["--settings", '{"resamples": 100}', "--out", str(folder / "intervals.csv"), *runs_done])
    for record in records:
        analyse_to(record.parent, record.parent)
    x = reporting.open_experiment(folder, {"config": config})
    assert "OLS − Hard labels" in reporting.comparisons.contrasts(x)
    assert str(reporting.comparisons.answer(x)) == ""  # one seed has both: nothing was tested
    shown = str(reporting.comparisons.intervals(x))
    assert shown.index(">OLS<") < shown.index(">Hard labels<") and "ECE if calibrated" in shown
    assert "Temperature" in reporting.comparisons.posthoc(x) and "Fitted T" in reporting.comparisons.posthoc(
        x
    )
    assert "<strong>" in reporting.comparisons.strata(x) and "CT/abd" in reporting.comparisons.strata(x)


def test_the_limits_say_how_small_a_difference_could_be_seen(small, tmp_path):
    folder = shutil.copytree(small[0], tmp_path / "small")
    row = {
        "family": "primary",
        "dataset": "",
        "backbone": "",
        "metric": "top1_error",
        "run": "ols",
    }
    frame = pd.DataFrame([row | {"reference": "hard", "low": -0.03, "high": 0.05}])
    frame.to_csv(folder / "contrasts.csv", index=False)
    x = reporting.open_experiment(folder, {"config": completed()})
    assert "could not see a difference below 4.0 points" in reporting.summary.limits(x)
    frame.assign(low=None, high=None).to_csv(folder / "contrasts.csv", index=False)
    assert "could not see" not in reporting.summary.limits(
        reporting.open_experiment(folder, {"config": completed()})
    )


def test_the_page_shows_further_measures_and_every_figure_that_was_drawn(small, tmp_path):
    folder = shutil.copytree(small[0], tmp_path / "small")
    x = reporting.open_experiment(folder, {"config": completed()})
    mine = x.metrics.query("split == 'test' and checkpoint == 'top1' and regime == 'hard'")
    mean = mine.loc[mine["metric"] == "r_auc_normalised", "value"].mean()
    selective = str(reporting.selective.selective(x))
    assert f"{mean:.4f} ± " in selective and "Coverage at 5 % error" in selective
    assert "Smooth ECE" in str(reporting.selective.measures(x))
    assert "<img" not in selective and str(reporting.selective.classes(x)) == ""
    for kind in ("retention", "density", "entropy", "classmeans", "distances", "bars"):
        write_png(folder / "figures" / f"{kind}-{DATASET}-resnet50.png")
    assert str(reporting.selective.selective(x)).count("<img") == 2
    assert str(reporting.selective.classes(x)).count("<img") == 4


def test_without_a_calibration_half_the_page_says_so(small, tmp_path):
    from tests.stages.test_analyse import analyse_to

    folder = shutil.copytree(small[0], tmp_path / "small")
    for record in folder.glob("*/*/*/*/run.json"):
        index = pd.read_csv(record.parent / "predictions/val.csv").assign(part="select")
        index.to_csv(record.parent / "predictions/val.csv", index=False)
        analyse_to(record.parent, record.parent)
    x = reporting.open_experiment(folder, {"config": completed()})
    assert "calibrate: 0" in reporting.comparisons.posthoc(x)
    assert "temperature" not in str(reporting.results.table2(x))


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        (["inconclusive", "inconclusive"], "inconclusive in NLL and ECE"),
        (["higher", "inconclusive"], "higher NLL; the rest inconclusive"),
        (["higher", "lower"], "lower ECE; higher NLL"),
        (["lower", "equivalent"], "lower NLL; equivalent in ECE"),
        (["lower", "no test"], "lower NLL; untested in ECE"),
    ],
)
def test_every_verdict_is_in_the_answer(tmp_path, verdicts, wanted):
    frame = pd.DataFrame(
        {"family": "primary", "dataset": "", "backbone": "", "metric": ["nll", "ece"]}
        | {"run": "ols", "reference": "hard@temperature", "verdict": verdicts}
    )
    frame.to_csv(tmp_path / "contrasts.csv", index=False)
    x = reporting.open_experiment(tmp_path, {"config": completed(backbones=["resnet50"])})
    said = str(reporting.comparisons.answer(x))
    assert f"OLS against Hard labels, then temperature: {wanted}." in said


def test_a_temperature_that_nothing_determines_is_not_left_uncommented():
    def notes(temperature, errors):
        rows = [["temperature", "temperature", temperature], ["errors", "none", errors]]
        frame = pd.DataFrame(rows, columns=["metric", "calibrator", "value"]).assign(split="calibrate")
        return reporting.comparisons._bound_note(frame)

    assert notes(0.5, 3) == notes(1.7, 1) == []
    assert "1 network(s) make no mistake" in notes(0.2, 0)[0] and "upper bound 100" in notes(100.0, 3)[0]


@pytest.mark.parametrize("error", [0.9, 0.86], ids=["at chance", "as near to it as luck"])
def test_runs_that_did_not_learn_are_named(small, tmp_path, error):
    folder = shutil.copytree(small[0], tmp_path / "small")
    x = reporting.open_experiment(folder, small[1], [small[2]])
    assert "Not learned" not in str(reporting.summary.limits(x))
    frame = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    hard = (frame["regime"] == "hard") & (frame["metric"] == "top1_error") & (frame["split"] == "test")
    frame.loc[hard, "value"] = error  # ten classes, equally frequent among 100 test images
    frame.to_csv(folder / "metrics.csv", index=False)
    x = reporting.open_experiment(folder, small[1], [small[2]])
    said = str(reporting.summary.limits(x))
    assert f"Not learned on {DATASET}: Hard labels with ResNet-50 (seed 0, 1)." in said and "90.0 %" in said
