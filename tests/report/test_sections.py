"""Facts from files, and what a section says of them; each does without what is not there."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.files import write_json
from calibench.planning.settings import PARTS
from calibench.published.printed import read_printed
from calibench.regimes.catalog import catalog
from calibench.report import decision, measures, options, page, papers, problems, words
from calibench.report.experiment import open_experiment
from markupsafe import Markup

from tests.report.conftest import DATASET, completed, write_png
from tests.stages.test_analyse import analyse_to

PAIR = {"family": "primary", "dataset": "", "backbone": "", "run": "ols", "reference": "hard"}
EMPTY = dict.fromkeys(
    ["difference", "low", "high", "p", "p_holm", "low_holm", "high_holm", "seeds", "relevant", "seeds_needed"]
)


def said(x, name):
    """The words of one section, without tags."""
    return " ".join(Markup(page.section(x, name)).striptags().split())


def contrasts(folder, *rows):
    """contrasts.csv of these rows, what they leave out empty."""
    empty = EMPTY | {"non_inferior": "", "verdict": ""}
    pd.DataFrame([PAIR | empty | row for row in rows]).to_csv(folder / "contrasts.csv", index=False)


@pytest.fixture(scope="module")
def studied(small, tmp_path_factory):
    """The small experiment with the files of the real stages: comparisons, intervals, post-hoc maps, strata."""
    from calibench.stages import contrasts, resample

    folder = shutil.copytree(small[0], tmp_path_factory.mktemp("studied") / "small")
    records = sorted(folder.glob("*/*/*/*/run.json"))
    of = ["--out", str(folder / "contrasts.csv"), *map(str, records)]
    contrasts.main(["--settings", '{"contrasts": [["ols", "hard"]]}', *of])
    of = ["--out", str(folder / "intervals.csv"), *map(str, records)]
    resample.main(["--settings", '{"resamples": 100}', *of])
    for record in records:
        analyse_to(record.parent, record.parent)
    layout = {"name": "mine", "rows": "regime", "columns": "measure", "measures": ["ece"]}
    tables = {"published": "ols_radimagenet", "layouts": [layout]}
    config = completed(runs=["ols", "hard"], statistics={"contrasts": [["ols", "hard"]]}, tables=tables)
    return open_experiment(folder, {"config": config}, [small[2]])


def test_empty_experiment_says_so_in_every_section(tmp_path):
    x = open_experiment(tmp_path, {"config": completed(tables={})})
    text = said(x, "report") + said(x, "papers")
    for wanted in (
        "0 of 4 planned runs", "There is no metrics.csv yet", "No decoded store", "No run has finished", "no contrasts.csv",
        "No t-SNE figure", "No reliability diagram", "The config names no published numbers", "no posthoc.csv",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert not re.search(r"\b(nan|NaN|None)\b", text)


def test_hard_labels_come_first_and_the_others_as_differences(studied):
    first, second = decision.table(studied)
    assert (first.name, second.name) == ("Hard labels", "OLS")
    values = decision._values(studied)
    error = values[(values["metric"] == "top1_error") & (values["name"] == "hard")]["value"].mean()
    assert first.cells[0] == f"{100 * error:.1f}" and re.match(
        r"[+−]\d+\.\d\n\[.*,\xa0.*\]$", second.cells[0]
    )
    assert re.match(r"0\.\d+\nin band: \d of 2", first.cells[2]) and "in band: " in second.cells[3]
    assert first.cells[5].startswith(
        f"{100 * values[(values['metric'] == 'worst_stratum') & (values['name'] == 'hard')]['value'].mean():.1f}"
    )
    assert first.cells[6] == "1 h 1 min" and second.cells[6].startswith("× 1.00")
    assert second.judged == {"one seed": ["error", "NLL", "ECE", "ECE after temperature"]}
    shown = said(studied, "summary")
    assert "One seed, so unknown: error, NLL, ECE" in shown and "in band:" in shown


def test_pairs_are_runs_of_equal_seed_and_place():
    frame = pd.DataFrame({"dataset": "d", "metric": "m", "backbone": ["a", "a", "b", "a", "b"], "seed": [0, 1, 0, 0, 0],
                          "name": ["hard", "hard", "hard", "ols", "ols"], "value": [1.0, 9.0, 2.0, 4.0, 3.0]})  # fmt: skip
    assert (decision.pairs(frame, "m")["ols"] - decision.pairs(frame, "m")["hard"]).dropna().tolist() == [
        3.0,
        1.0,
    ]


def test_networks_in_the_band_are_counted(tmp_path):
    """Above the band's upper end is out; below its lower end is not a fault. Groups, where there are any, decide."""
    row = {
        "dataset": DATASET,
        "backbone": "resnet50",
        "regime": "hard",
        "variant": "",
        "split": "test",
        "n": 9,
    }
    rows = [
        row | {"seed": seed, "calibrator": "none", "metric": m, "value": v}
        for seed, ece, groups in [(0, 0.05, None), (1, 0.01, None), (2, 0.05, 0.06)]
        for m, v in {
            "ece": ece,
            "ece_null_low": 0.02,
            "ece_null_high": 0.04,
            "ece_null_groups_high": groups,
        }.items()
        if v is not None
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "posthoc.csv", index=False)
    assert decision.in_band(open_experiment(tmp_path, {"config": completed()})) == {"hard": (2, 3)}


@pytest.mark.parametrize(
    ("rows", "wanted", "unwanted"),
    [
        ([("nll", "inconclusive"), ("ece", "inconclusive")], "No planned comparison shows a difference", "higher"),
        ([("nll", "higher"), ("ece", "inconclusive")], "OLS against Hard labels: higher NLL (+0.1", "lower"),
        ([("nll", "lower"), ("ece", "equivalent")], "lower NLL (+0.1000 [0.0000, 0.2000] nats), equal ECE within 0.01", "higher"),
        ([("nll", "no test"), ("ece", "one seed")], "OLS against Hard labels: NLL +0.1", "higher"),
    ],
)  # fmt: skip
def test_every_verdict_is_in_the_answer(tmp_path, rows, wanted, unwanted):
    numbers = {"difference": 0.1, "low": 0.0, "high": 0.2, "relevant": 0.01, "seeds_needed": 7}
    contrasts(tmp_path, *({"metric": m, "verdict": v} | numbers for m, v in rows))
    text = re.sub(r"\s+([,.)])", r"\1", said(open_experiment(tmp_path, {"config": completed()}), "answer"))
    assert wanted in text and unwanted not in text
    assert "cannot be told apart" not in text and ("inconclusive" in text) == (
        "inconclusive" in dict(rows).values()
    )


def test_the_answer_says_how_many_seeds_are_needed(tmp_path):
    row = {"metric": "ece", "verdict": "inconclusive", "difference": 0.0, "relevant": 0.01}
    for seeds, wanted in {
        7.0: "with about 7 seeds per backbone, 4 of 5 studies would find a difference of 0.01 in ECE",
        np.inf: "take more test images",
    }.items():
        contrasts(tmp_path, row | {"seeds_needed": seeds})
        assert wanted in said(open_experiment(tmp_path, {"config": completed()}), "answer")
    assert decision.needed(np.inf) == "more images"


def test_both_after_temperature_is_said_once():
    assert (
        decision.in_words("ols@temperature", "hard@temperature")
        == "OLS against Hard labels, both after temperature"
    )
    assert decision.in_words("ols", "hard@temperature") == "OLS against Hard labels, then temperature"


def test_statistics_are_shown_in_the_order_of_the_config(studied):
    assert "OLS − Hard labels" in said(studied, "comparisons")
    assert "Table mine" in said(studied, "tables"), "a layout needs no title"
    shown = page.section(studied, "intervals")
    assert shown.index(">OLS<") < shown.index(">Hard labels<") and "ECE if calibrated" in shown
    maps = said(studied, "calibration")
    assert "Fitted T" in maps and "In band" in maps and "vector" in maps
    strata = said(studied, "strata")
    assert "▲" in strata and "CT/abd" in strata


def test_without_a_calibration_half_the_page_says_so(small, tmp_path):
    folder = shutil.copytree(small[0], tmp_path / "small")
    for record in folder.glob("*/*/*/*/run.json"):
        index = pd.read_csv(record.parent / "predictions/val.csv").assign(part="select")
        index.to_csv(record.parent / "predictions/val.csv", index=False)
        analyse_to(record.parent, record.parent)
    x = open_experiment(folder, {"config": completed()})
    assert "calibrate: 0" in said(x, "calibration") and "+ temperature" not in said(x, "tables")


def test_what_went_wrong_is_said_loudly(small, tmp_path):
    row = {
        "dataset": DATASET,
        "backbone": "resnet50",
        "regime": "ols",
        "variant": "",
        "checkpoint": "top1",
        "warn": 1,
    }
    facts = [
        {
            "seed": 0,
            "fact": "confidently_wrong",
            "value": 20,
            "of": 20,
            "expected": 0.5,
            "high": 2,
            "detail": "",
        },
        {"seed": 0, "fact": "never_predicted", "value": 2, "of": 10, "detail": "0 4"},
        {"seed": 0, "fact": "fallback_rows", "value": 3, "of": 10},
        {"seed": 0, "fact": "best_is_last", "value": 6, "of": 6},
        {"seed": 1, "fact": "best_is_last", "value": 4, "of": 6, "warn": 0},
    ]
    pd.DataFrame([row | fact for fact in facts]).to_csv(tmp_path / "warnings.csv", index=False)
    x = open_experiment(tmp_path, small[1], [small[2]])
    text = said(x, "problems")
    assert (
        "20 most confident of the test images (1 %), 20 are wrong; a calibrated network would have about 0.5"
        in text
    )
    assert "never predicted: OLS (ResNet-50): <script>alert(1)</script>, CT & co" in text
    assert "3 of 10 classes had no right prediction" in text and "OLS, ResNet-50: 1 of 2" in text
    assert [one["networks"] for one in problems.warned(x, "best_is_last")] == [1]


def test_images_that_were_lost_stand_under_what_cannot_be_concluded(small):
    x = open_experiment(small[0], small[1], [small[2]])
    assert "1 of the 901 listed images of RadImageNet.mini were missing or unreadable" in said(x, "problems")


def test_one_seed_is_called_one_seed(small):
    text = said(open_experiment(small[0], {"config": completed(seeds=[0])}), "problems")
    assert "the order of the regimes is not a finding" in text and "±" in text


def test_the_page_says_how_small_a_difference_could_be_seen(small, tmp_path):
    folder = shutil.copytree(small[0], tmp_path / "small")
    contrasts(folder, {"metric": "top1_error", "low": -0.03, "high": 0.05})
    assert "could not see a difference below 4.0 points" in said(
        open_experiment(folder, small[1]), "problems"
    )
    contrasts(folder, {"metric": "top1_error"})
    assert "could not see" not in said(open_experiment(folder, small[1]), "problems")


@pytest.mark.parametrize("error", [0.9, 0.86], ids=["at chance", "as near to it as luck"])
def test_runs_that_did_not_learn_are_named(small, tmp_path, error):
    folder = shutil.copytree(small[0], tmp_path / "small")
    assert problems.not_learned(open_experiment(folder, small[1], [small[2]])) == []
    frame = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    hard = (frame["regime"] == "hard") & (frame["metric"] == "top1_error") & (frame["split"] == "test")
    frame.loc[hard, "value"] = error  # ten classes, equally frequent among 100 test images
    frame.to_csv(folder / "metrics.csv", index=False)
    text = said(open_experiment(folder, small[1], [small[2]]), "problems")
    assert (
        f"Not learned on {DATASET}: Hard labels with ResNet-50 (2 of 2 seeds)." in text and "90.0 %" in text
    )


def test_data_before_and_after_sampling(small):
    x = open_experiment(small[0], small[1], [small[2]])
    html = page.section(x, "data")
    assert "60 – 70 – 70" in html and "at most 70 per class in train" in html
    assert "1 class below the cap of 70" in html
    assert "every number in the tables" not in html  # cluster scores use training images


def test_store_of_other_settings_is_not_taken(small, tmp_path):
    other = shutil.copytree(small[2], tmp_path / f"{DATASET}-0123456789")
    assert open_experiment(small[0], small[1], [other]).stores == {}


AUDIT = {
    "images": 1000, "kept": 998, "unreadable": [], "blank": {"train": 4, "val": 0, "test": 1},
    "exact": {"clusters": 3, "images": 7, "clusters_across_classes": 1},
    "exact_between_listed_splits": {"train-test": 2},
    "copy": {"pairs": 5, "flipped_pairs": 1, "pairs_across_classes": 0},
    "series": {"pairs": 8, "flipped_pairs": 0, "pairs_across_classes": 0},
    "leaks": {"before": {"train-test": {"exact": 2, "copy": 31, "series": 4}},
              "after": {"train-test": {"exact": 0, "copy": 0, "series": 3}}},
    "within_test": {"images": 100, "exact": 0, "copy": 4, "series": 9, "groups": 90, "effective": 64.0, "widening": 1.25},
    "conflicting_images": 2, "error_floor": {"test": 0.01}, "dropped": {"unreadable": {"train": 2, "val": 0, "test": 0}},
    "policy": {"group_by": "series"},
    "examples": [{"kind": "copy", "where": "train-test", "likeness": 0.99, "thumbnail": "p.png",
                  **{side: {"filename": f"<{side}>.png", "label": "1", "split": "train"} for side in "ab"}}],
}  # fmt: skip


def test_audit_of_the_data(small, tmp_path):
    store = shutil.copytree(small[2], tmp_path / small[2].name)
    write_json(store / "audit.json", AUDIT)
    write_png(store / "thumbnails/p.png")
    x = open_experiment(small[0], small[1], [store])
    text = said(x, "audit").replace("\xa0", " ")
    assert "5 (train 4, test 1)" in text and "1.000 % of test" in text
    assert "in both train and test 2" in text and "exact 2 → 0, copy 31 → 0, series 4 → 3" in text
    assert "as much as 64 independent ones" in text and "1.25 times too narrow" in text
    assert "1 example pair" in text and "<a>.png (1, train) and <b>.png" in text


def test_published_bounds_are_those_of_the_reference(tmp_path):
    path = open_experiment(tmp_path, {"config": completed()}).published_file
    rows = {(r["backbone"], r["regime"]): r for r in papers.bound_rows(read_printed([path]))}
    assert [rows["ResNet-50", run]["holds"] for run in ("Hard labels", "LS", "OLS")] == [True, False, False]
    assert rows["ResNet-50", "LS"]["gap"] == pytest.approx(0.0687)


def test_rounding_is_allowed_for(tmp_path):
    def row(ece):
        head = "paper,table,dataset,backbone,regime,metric,value,unit,note\n"
        cells = {"top1_error": "24.3,%", "avg_confidence": "0.80,fraction", "ece": f"{ece},fraction"}
        (tmp_path / "p.csv").write_text(head + "".join(f"p,1,d,b,r,{m},{v},\n" for m, v in cells.items()))
        return papers.bound_rows(read_printed([tmp_path / "p.csv"]))[0]

    # |0.80 - 0.757| = 0.043 ± 0.0055; an ECE of 0.037 ± 0.0005 may be 0.0375, the gap as little
    assert row("0.037")["holds"] and not row("0.036")["holds"]


def test_claims_of_the_target_paper(small):
    text = said(open_experiment(small[0], small[1]), "papers")
    for wanted in ("ls 21.79, ols 24.43", "0.47 points (1.9 % relative)", "only 0.25 below ls", "ResNet-56"):
        assert wanted in text, wanted


def test_values_set_by_the_config_do_not_claim_the_papers_origin():
    assert options.origin("train.lr", [0.001]) == "paper"
    assert options.origin("train.lr", [0.001, 0.02]) == "set by this config; default 0.001: paper"


def test_every_regime_setting_is_explained():
    for info in catalog().values():
        lacking = set(info.settings) - set(info.texts)
        assert not lacking, (info.name, lacking)


def test_every_training_setting_is_found_in_the_schema():
    unknown = [f"{p}.{k}" for p in PARTS for k in completed()[p] if not options._node(f"{p}.{k}")]
    assert unknown == []


def test_what_the_paper_leaves_out_is_listed_with_its_source(small):
    text = said(open_experiment(small[0], {"config": completed(backbones=["vgg19_bn"])}), "choices")
    for wanted in (
        "alpha: 0.5",
        "fallback: uniform",
        "vgg19_bn: with batch norm",
        "sample.per_class: 70",
        "Guo et al. 2017",
    ):
        assert wanted in text, wanted
    assert "ε of label smoothing" not in text  # ls takes no part


def test_tables_of_later_stages_appear_when_they_are_there(small, tmp_path):
    row = {"dataset": DATASET, "backbone": "resnet50", "regime": "ols"}
    rows = [row | {"variant": "", "value": 0.1}, row | {"variant": "+a_b", "value": float("nan")}]
    pd.DataFrame(rows).to_csv(tmp_path / "gradients.csv", index=False)
    x = open_experiment(tmp_path, {"config": completed(runs=["ols", "ols+a_b"], variants={"a_b": {}})})
    html = page.section(x, "gradients")
    assert "OLS + a_b" in html and "0.1000" in html and "nan" not in html and "backbone ResNet-50" in html
    assert measures.strata(x) == []


def test_every_figure_that_was_drawn_is_shown(small, tmp_path):
    folder = shutil.copytree(small[0], tmp_path / "small")
    x = open_experiment(folder, {"config": completed()})
    mine = x.metrics.query("split == 'test' and checkpoint == 'top1' and regime == 'hard'")
    mean = mine.loc[mine["metric"] == "r_auc_normalised", "value"].mean()
    assert f"{mean:.2f} ± " in said(x, "selective") and "Coverage at 5 % error" in said(x, "selective")
    assert "Smooth ECE" in said(x, "measures") and "<img" not in page.section(x, "selective")
    for kind in ("retention", "density", "entropy", "classmeans", "distances", "bars"):
        write_png(folder / "figures" / f"{kind}-{DATASET}-resnet50.png")
    assert page.section(x, "selective").count("<img") == 2 and page.section(x, "features").count("<img") == 4
    write_png(folder / "figures" / "forest.png")
    assert page.section(x, "summary").count("<img") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234, "1,234"), (0.5, "0.5000"), (float("nan"), "–"), (None, "–"), (-2.0, "−2"), (1e-7, "1.00e−07"), (True, "yes")],
)  # fmt: skip
def test_numbers_are_readable(value, text):
    assert words.number(value) == text


def test_differences_follow_n_and_keep_their_sign():
    assert words.interval("top1_error", -0.002, -0.019, 0.0151, 597) == "−0.2\n[−1.9,\xa01.5]"
    assert words.interval("ece", 0.1, float("nan"), float("nan"), 597) == "+0.100"
    assert words.fixed(-0.0001, 2, signed=True) == "0.00"  # no sign of what rounds to zero
    assert words.relevant("top1_error", 0.01) == "1 point" and words.relevant("nll", 0.02) == "0.02 nats"


def test_user_errors(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        open_experiment(tmp_path / "none", {"config": {}})
    with pytest.raises(UserError, match="lacks config"):
        open_experiment(tmp_path, {})
