"""The audit of published numbers: identities on possible and impossible rows, and what the papers hold."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.metrics import measure
from calibench.published import audit, bounds, papers
from calibench.published.printed import read_printed
from calibench.regimes.catalog import catalog
from calibench.stages import published as stage
from calibench.tables import long

from tests.finished.fake_runs import make_logits
from tests.published import claims

FILES = list(papers().values())


@pytest.fixture(scope="module")
def table():
    return claims.published_audit()


def test_the_kept_audit_is_the_one_computed_now(table):
    """If not: python -m tests.published.claims."""
    kept = pd.read_csv(audit.KEPT, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(kept, table.astype("str"), check_dtype=False)


@pytest.mark.parametrize(
    ("cells", "rule", "holds"),
    [
        ({"top1_error": 0.2380, "avg_confidence": 0.7906, "ece": 0.0151}, "confidence", False),
        ({"top1_error": 0.2427, "avg_confidence": 0.8783, "ece": 0.1537}, "confidence", True),
        ({"accuracy": 0.75, "avg_confidence": 0.80, "ece": 0.04995}, "confidence", True),  # within rounding
        ({"top1_error": 0.04, "top5_error": 0.05}, "Top-5", False),
        ({"top1_error": 0.30, "brier": 0.14}, "Brier", False),
        ({"top1_error": 0.30, "brier": 0.16}, "Brier", True),
        ({"top1_error": 0.30, "nll": 0.20}, "NLL", False),
        ({"top1_error": 0.30, "nll": 0.21}, "NLL", True),
        ({"precision": 0.6, "recall": 0.5, "f1": 0.56}, "F1", False),
    ],
)
def test_each_identity_tells_possible_from_impossible(cells, rule, holds):
    found = bounds.check({name: (value, 0.0001) for name, value in cells.items()})
    assert len(found) == 1 and rule in found[0].rule and found[0].holds is holds


def test_the_identities_hold_on_real_predictions():
    rng = np.random.default_rng(0)
    for k in (2, 2, 5):
        for sharpness in (0.2, 1, 8):
            targets = rng.integers(0, k, 150)
            values = measure(make_logits(rng, targets, k, 0.7, sharpness), targets)
            found = bounds.check({name: (value, 0.0) for name, value in values.items()})
            assert len(found) == 5 and all(f.holds for f in found)


def rows(table, paper, rule):
    return table[table["paper"].str.startswith(paper) & table["rule"].str.contains(rule, regex=False)]


def test_the_target_papers_rows_are_those_that_are_known(table):
    found = rows(table, "arXiv 2510.20011", "confidence − accuracy")
    assert set(found.loc[found["regime"] != "", "regime"]) == {"ls", "ols"}
    assert set(found.loc[found["regime"] == "", "statement"]) == {"1 of 3 rows hold"}
    claims = rows(table, "arXiv 2510.20011", "text:").set_index("rule")["holds"]
    assert sum(claims == "no") == 8 and sum(claims == "yes") == 5
    assert list(rows(table, "arXiv 2510.20011", "expected:")["holds"]) == ["no"] * 4


def test_what_is_found_in_the_other_papers(table):
    copied = rows(table, "LS++", "baseline run by the paper itself")
    assert len(copied) == 9 and set(copied["regime"]) == {"hard", "ls", "ols"}
    twice = rows(table, "LS++", "one cell, one value")
    assert list(twice["statement"]) == ["accuracy: Table 3: 82.70; Table 7: 82.22"]
    assert set(rows(table, "LS+ (", "≥ error")["statement"]) == {"36 of 36 rows hold"}
    assert rows(table, "Zhang", "Average Top-5 improvement of Tf-KD")["holds"].item() == "no"
    assert rows(table, "Zhang", "2.11 % gain")["holds"].item() == "yes"


# As the paper prints them, row by row: Tables 4, 5 and 6 of LS++.
PRINTED = {
    ("4", "hard"): "71.13 78.56 36.01 45.88 85.02 94.39 77.44 91.50 87.50 96.03 95.13",
    ("4", "ls"): "71.87 81.82 37.91 49.74 85.15 94.50 77.51 92.50 87.50 96.22 95.29",
    ("4", "lspp"): "72.56 82.37 38.24 51.31 85.55 94.67 77.54 93.50 89.00 96.22 95.45",
    ("5", "lspp+cross_entropy"): "80.45 78.95 64.93",
    ("5", "lspp+symmetric"): "79.92 78.27 64.39",
    ("5", "lspp"): "81.19 79.33 65.07",
    ("6", "hard"): "78.67 79.09 80.83 72.51 66.56 66.39 66.39",
    ("6", "ls"): "79.40 80.15 81.15 71.70 66.58 66.74 66.80",
    ("6", "lspp"): "79.90 80.38 81.16 72.64 66.89 67.00 67.43",
    ("6", "pt_lspp"): "79.75 79.90 80.93 72.59 64.10 64.76 64.75",
}
PLACES = {  # data set, network trained, its teacher
    "4": "UCF101 clstm,UCF101 c3d,HMDB51 clstm,HMDB51 c3d,20Newsgroup bert,AGNews bert,YahooAnswers bert,"
    "GTZAN resnet50,GTZAN resnet50,SpeechCommands resnet50,SpeechCommands resnet50",
    "5": "CIFAR10 alexnet,CIFAR100 resnet18,Tiny-ImageNet resnet18",
    "6": "CIFAR100 resnet18 resnet34,CIFAR100 resnet34 resnet34,CIFAR100 resnet50 resnet34,"
    "CIFAR100 shufflenet resnet50,Tiny-ImageNet shufflenet resnet50,Tiny-ImageNet shufflenet resnet101,"
    "Tiny-ImageNet shufflenet densenet121",
}
SCRATCH = (8, 10)  # columns of Table 4 without a star


def runs_of(number, name, place, column):
    if number == "4":
        return name if column in SCRATCH else f"{name}+pretrained"
    if number == "5":
        return name
    return f"pt_lspp+{place[2]}" if name == "pt_lspp" else f"kd+{place[2]}_{name}"


def test_tables_4_to_6_of_lspp_are_as_printed():
    printed = read_printed([papers()["lspp"]])
    printed = printed[printed["table"].isin(PLACES)]
    cells = printed.set_index(["table", "dataset", "backbone", "regime"])["value"].to_dict()
    wanted = {}
    for (number, name), line in PRINTED.items():
        places = [text.split() for text in PLACES[number].split(",")]
        for column, (place, value) in enumerate(zip(places, line.split(), strict=True)):
            wanted[number, place[0], place[1], runs_of(number, name, place, column)] = value
    assert len(printed) == len(wanted) == 33 + 9 + 28
    assert cells == wanted
    assert set(printed["regime"].str.partition("+")[0]) <= set(catalog())


def test_the_rows_of_maxsup_are_those_of_its_repository():
    printed = read_printed([papers()["maxsup"]]).set_index(["dataset", "regime", "metric"])["value"]
    assert printed.loc["CUB-200-2011"].to_dict() == {
        ("hard", "accuracy"): "80.88",
        ("ls", "accuracy"): "81.96",
        ("ols", "accuracy"): "82.33",
        ("zipf", "accuracy"): "81.40",
        ("maxsup", "accuracy"): "82.53",
    }
    assert (
        printed["CIFAR10-C", "maxsup", "nll"] == "1.8431" and printed["Cars", "maxsup", "accuracy"] == "92.25"
    )
    assert set(printed.index.get_level_values("regime")) <= set(catalog())


def test_rows_of_zhang_beside_the_classification_tables():
    printed = read_printed([papers()["zhang2021"]])
    single = printed[printed["regime"] == "ols_single"]
    assert single[["backbone", "metric", "value", "sd"]].to_numpy().tolist() == [
        ["resnet56", "top1_error", "26.18", "0.30"]
    ]
    detection = printed[printed["metric"] == "map"].set_index("regime")["value"].to_dict()
    assert detection == {"hard": "81.6", "ls": "82.3", "ols": "82.7"}


CLAIMS = [  # paper, part of the rule, holds, part of the statement
    ("Zhang", "an average 1.0 % improvement over LS", "no", "0.876 points"),
    ("Zhang", "outperforms hard labels by 2 %", "yes", "1.99 points"),
    ("Zhang", "1.57 % gain for ResNet-56", "yes", "1.57 points"),
    ("Zhang", "ResNet-101 with LS on ImageNet by 0.42 %", "yes", "0.42 points"),
    ("Zhang", "OLS-Single by about 1 %", "yes", "0.94 points"),
    ("Zhang", "better than Tf-KD on the fine-grained data (here: in every cell, Top-1)", "yes", "16"),
    (
        "Zhang",
        "better than Tf-KD on the fine-grained data (here: in every cell, Top-5)",
        "no",
        "tfkd_reg 2.01",
    ),
    ("Zhang", "consistent improvements over the baselines", "yes", "all 23 comparisons"),
    ("Zhang", "BYOT with OLS", "yes", "all 2 comparisons"),
    ("Zhang", "CutOut and BYOT bring extra gains", "yes", "all 12 comparisons"),
    ("Zhang", "under different noise rates", "yes", "all 5 comparisons"),
    ("Zhang", "lowest Top-1 error after the attacks", "yes", "all 10 comparisons"),
    ("Zhang", "gains 2.3 % over LS", "yes", "-1.35, 5.88"),
    ("Zhang", "gains 17.9 % over hard labels", "yes", "15.28, 20.50"),
    ("Zhang", "1.1 % mAP", "yes", "1.1 points"),
    ("Zhang", "human labels of CIFAR-10H", "yes", "only row"),
    ("LS++", "across modalities (Table 4)", "no", "lspp+pretrained 96.22, ls+pretrained 96.22"),
    ("LS++", "The other two losses", "yes", "all 3 rows"),
    ("LS++", "distillation improves accuracy in all cases", "no", "kd+resnet34_hard 79.09, hard 79.38"),
    ("LS++", "most effective teacher", "yes", "all 21 comparisons"),
    (
        "LS++",
        "lower performance than the other teachers",
        "no",
        "kd+resnet34_hard 78.67, pt_lspp+resnet34 79.75",
    ),
    ("LS++", "still outperforms training the network directly", "yes", "6 comparisons; no hard for CIFAR100"),
    ("LS++", "adds to every input augmentation", "yes", "all 16 comparisons"),
    ("LS++", "the best of each data set", "yes", "all 4 rows"),
    ("LS++", "against LS++ alone", "no", "lspp+randaugment 80.24, lspp 80.25"),
    ("LS+ (", "performance metrics (against hard labels)", "yes", "23 of 30"),
    ("LS+ (", "performance metrics (against every other method)", "yes", "21 of 30"),
    ("LS+ (", "metrics on ISIC (against hard labels)", "yes", "all 10 comparisons"),
    ("LS+ (", "metrics on ISIC (against every other method)", "no", "ResNet-50, ece: ls 5.31, lsplus 6.96"),
    ("LS+ (", "Minimal effect on performance on ISIC", "no", "f1: 5.62 below hard"),
    ("arXiv", "than under static label smoothing and hard labels", "no", "ResNet-50: only 0.59 below hard"),
    ("arXiv", "more conservative", "yes", "all 2 comparisons"),
    ("arXiv", "reliability diagrams", "no", "by reading"),
    (
        "arXiv",
        "does not stand beside its worst Top-5",
        "no",
        "21.79, best of 12; top5_error 6.71, place 12 of 12",
    ),
    ("arXiv", "An ECE for every regime", "no", "3 of 12 rows; in none for tfkd_reg, MobileNetV2, VGG-19"),
    ("arXiv", "A deviation over runs", "no", "0 of 30"),
]


@pytest.mark.parametrize(("paper", "rule", "holds", "said"), CLAIMS, ids=[f"{c[0]}: {c[1]}" for c in CLAIMS])
def test_claims_that_hold_and_claims_that_do_not(table, paper, rule, holds, said):
    found = rows(table, paper, rule)
    assert len(found) == 1 and found["holds"].item() == holds and said in found["statement"].item()


def test_averages_again_without_the_stage():
    cells = pd.read_csv(papers()["zhang2021"])
    fine = cells[(cells["table"] == "VI") & (cells["metric"] == "top1_error")]
    means = fine.groupby("regime")["value"].mean()
    assert means["ls"] - means["ols"] == pytest.approx(0.875625)
    assert means["hard"] - means["ls"] == pytest.approx(1.110, abs=5e-4)
    assert means["hard"] - means["ols"] == pytest.approx(1.986, abs=5e-4)
    attacks = cells[cells["table"] == "IX"].assign(base=lambda f: f["regime"].str.partition("@")[0])
    mean = attacks.groupby(["metric", "base"])["value"].mean()
    assert mean["top1_error", "hard"] - mean["top1_error", "ols"] == pytest.approx(17.89)
    assert mean["top5_error", "hard"] - mean["top5_error", "ols"] == pytest.approx(13.88)
    assert mean["top1_error", "ls"] - mean["top1_error", "ols"] == pytest.approx(2.265)
    assert mean["top5_error", "ls"] - mean["top5_error", "ols"] == pytest.approx(2.41)


def cells_of(*cells, metric="accuracy"):
    frame = pd.DataFrame(cells, columns=["dataset", "backbone", "regime", "printed"])
    return frame.assign(metric=metric, table="1", note="", sd="", file="p", paper="p")


def test_a_pair_is_compared_only_where_both_are_printed():
    frame = cells_of(("d", "b", "ls", 2), ("d", "b", "hard", 1), ("d", "c", "ls", 3), ("d", "e", "kd", 1))
    claim = {"regime": "ls", "than": "hard", "metric": "accuracy"}
    assert claims.improves(frame, claim) == (True, "better in the only comparison; no hard for c")
    with pytest.raises(KeyError, match="kd and hard in one row"):
        claims.improves(frame, claim | {"regime": "kd"})
    with pytest.raises(KeyError, match="table 9"):
        claims.improves(frame, claim | {"table": ["1", "9"]})
    assert claims.improves(frame, claim | {"pairs": [["hard", "ls"]]})[0] is False


def test_one_of_several_may_be_best_and_a_tie_is_not():
    frame = cells_of(("d", "b", "ols", 2), ("d", "b", "lspp", 4), ("d", "b", "hard", 3))
    claim = {"regimes": ["ols", "lspp"], "metric": "accuracy"}
    assert claims.best_everywhere(frame, claim)[0]
    assert not claims.best_everywhere(frame, {"regime": "ols", "metric": "accuracy"})[0]
    tie = frame.assign(printed=4)
    assert not claims.best_everywhere(tie, claim)[0]


@pytest.mark.parametrize(
    ("metric", "regime", "said"),
    [
        ("accuracy", 77, "b: 3 below hard"),
        ("accuracy", 80.5, "b: only 0.5 above hard"),
        ("top1_error", 83, "b: 3 above hard"),
        ("top1_error", 79.5, "b: only 0.5 below hard"),
    ],
)
def test_a_small_gain_is_told_with_its_side(metric, regime, said):
    frame = cells_of(("d", "b", "ols", regime), ("d", "b", "hard", 80), metric=metric)
    claim = {"regime": "ols", "others": ["hard"], "metric": metric, "points": 1}
    assert claims.each_gains(frame, claim) == (False, said)
    assert claims.each_gains(frame, claim | {"points": -5})[0]


def test_half_of_the_cells_is_not_most_of_them():
    frame = cells_of(("d", "b", "ols", 2), ("d", "b", "hard", 1), ("d", "c", "ols", 1), ("d", "c", "hard", 2))
    claim = {"regime": "ols", "metric": "accuracy"}
    assert claims.mostly(frame, claim) == (False, "better than all others in 1 of 2 cells")
    assert not claims.mostly(frame, claim | {"than": "hard"})[0]
    assert claims.mostly(frame[frame["backbone"] == "b"], claim)[0]


def test_the_best_beside_the_worst():
    one = cells_of(("d", "b", "ls", 20), ("d", "b", "hard", 25), metric="top1_error")
    five = cells_of(("d", "b", "ls", 7), ("d", "b", "hard", 5), metric="top5_error")
    claim = {"metrics": ["top1_error", "top5_error"]}
    assert not claims.best_is_not_worst(pd.concat([one, five]), claim)[0]
    assert claims.best_is_not_worst(pd.concat([one, five.assign(printed=[5, 7])]), claim)[0]


def test_what_is_everywhere_holds():
    frame = cells_of(("d", "b", "ls", 1), ("d", "b", "hard", 1), metric="ece").assign(sd="0.1")
    assert claims.covers(frame, {"metric": "ece"}) == (True, "ece in 2 of 2 rows")
    assert claims.has_deviations(frame, {})[0]
    more = pd.concat([frame, cells_of(("d", "c", "ls", 1))])
    assert claims.covers(more, {"metric": "ece"}) == (False, "ece in 2 of 3 rows; in none for c")
    assert not claims.has_deviations(more, {})[0]


def test_our_own_rows_are_held_to_the_same(tmp_path):
    good = [
        ["d", "b", "ols", "", 0, "test", "top1", m, v, 9] for m, v in [("top1_error", 0.3), ("brier", 0.4)]
    ]
    bad = [["d", "b", "ls", "", 0, "test", "top1", m, v, 9] for m, v in [("top1_error", 0.3), ("brier", 0.1)]]
    pd.DataFrame(good + bad, columns=long.METRICS).to_csv(tmp_path / "m.csv", index=False)
    stage.main(["--metrics", str(tmp_path / "m.csv"), "--out", str(tmp_path / "o.csv")])
    found = pd.read_csv(tmp_path / "o.csv", keep_default_na=False)
    mine = found[found["paper"] == "this experiment"]
    assert list(mine["regime"]) == ["ls", ""] and mine["statement"].iloc[1] == "1 of 2 rows hold"


def test_every_claim_names_cells_that_exist():
    printed = read_printed(FILES)
    wanted = json.loads(claims.CLAIMS.read_text())
    assert len(claims.claims(printed, wanted)) == len(wanted)
    with pytest.raises(UserError, match="no test 'magic'"):
        claims.claims(printed, [wanted[0] | {"test": "magic"}])
    with pytest.raises(UserError, match="the table has no"):
        claims.claims(printed, [wanted[0] | {"regime": "none"}])


def test_a_value_that_is_no_number_is_named(tmp_path):
    text = FILES[0].read_text().splitlines()
    cells = text[1].split(",")
    cells[6] = "n/a"
    (tmp_path / "p.csv").write_text("\n".join([text[0], ",".join(cells)]))
    with pytest.raises(UserError, match=r"p\.csv, row 2: 'n/a' is not a number"):
        read_printed([tmp_path / "p.csv"])
