"""Tables 1 and 2: layout, numbers, published cells, partial data and hostile names."""

import json

import pandas as pd
import pytest
from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.metrics.labels import METRICS
from calibench.published import papers
from calibench.published.printed import read_published
from calibench.stages import tables
from calibench.tables import long
from calibench.tables.cells import Numbers, digits
from calibench.tables.grid import markdown, tex

RUNS = ["hard", "ls", "tfkd_reg", "ols"]
BACKBONES = ["resnet50", "mobilenet_v2", "vgg19"]


def settings(**changes):
    base = {
        "datasets": ["radimagenet"],
        "backbones": BACKBONES,
        "runs": RUNS,
        "seeds": [0],
        "checkpoint": "top1",
        "published": "ols_radimagenet",
    }
    return base | changes


def metrics(config, value=lambda d, b, r, s, m: 0.25):
    rows = []
    for d in config["datasets"]:
        for b in config["backbones"]:
            for r in config["runs"]:
                regime, plus, rest = r.partition("+")
                for s in config["seeds"]:
                    for m in METRICS:
                        for split, shift in (("test", 0), ("select", 0.5)):
                            v = value(d, b, r, s, m) + shift
                            rows.append([d, b, regime, plus + rest, s, split, "top1", m, v, 130_000])
                            rows.append([d, b, regime, plus + rest, s, split, "last", m, 0.9, 130_000])
    return pd.DataFrame(rows, columns=long.METRICS)


def build(tmp_path, config, frame):
    frame.to_csv(tmp_path / "metrics.csv", index=False)
    options = ["--metrics", str(tmp_path / "metrics.csv"), "--out-dir", str(tmp_path / "t")]
    tables.main([*options, "--settings", json.dumps(config)])
    return tmp_path / "t"


def test_a_top5_error_that_cannot_be_but_0_is_explained(tmp_path):
    few = metrics(settings(), value=lambda d, b, r, s, m: 0.0 if m == "top5_error" else 0.25)
    for frame, explained in ((few, True), (metrics(settings()), False)):
        text = (build(tmp_path, settings(), frame) / "table1.md").read_text()
        assert ("at most five classes" in text) == explained


def test_table1_has_the_papers_layout_and_its_numbers_beside_ours(tmp_path):
    out = build(tmp_path, settings(), metrics(settings()))
    table = pd.read_csv(out / "table1.csv", dtype=str).set_index(["Backbone", "Source"])
    assert list(table.columns)[:2] == ["Hard labels, Top-1 error (%)", "Hard labels, Top-5 error (%)"]
    assert len(table.columns) == 8 and len(table) == 9
    ours, theirs = table.loc[("ResNet-50", "ours")], table.loc[("ResNet-50", "published (arXiv 2510.20011)")]
    assert set(ours) == {"25.00"}
    assert list(theirs) == ["24.27", "5.20", "23.84", "6.60", "25.17", "5.90", "23.80", "4.61"]
    assert table.loc[("ResNet-50", "difference")].iloc[0] == "+0.73"
    assert table.loc[("ResNet-50", "difference")].iloc[4] == "−0.17"
    vgg = table.loc[("VGG-19", "published (arXiv 2510.20011)")]
    assert list(vgg) == ["30.38", "5.84", "29.26", "5.62", "30.24", "5.73", "27.19", "5.37"]


def test_table2_leaves_a_dash_where_the_paper_has_no_number(tmp_path):
    out = build(tmp_path, settings(), metrics(settings()))
    table = pd.read_csv(out / "table2.csv", dtype=str).set_index(["Method", "Source"])
    assert list(table.loc[("OLS", "published (arXiv 2510.20011)")]) == [
        "0.0151",
        "0.7906",
        "–",
        "–",
        "–",
        "–",
    ]
    assert list(table.loc[("OLS", "difference")])[:2] == ["+0.2349", "−0.5406"]
    assert ("Tf-KD (reg)", "difference") not in table.index
    assert table.loc[("LS", "ours")].iloc[0] == "0.2500"


def test_seeds_give_mean_and_sample_deviation(tmp_path):
    config = settings(seeds=[0, 1, 2], published=None)
    out = build(tmp_path, config, metrics(config, lambda d, b, r, s, m: 0.2 + 0.01 * s))
    table = pd.read_csv(out / "table1.csv", dtype=str)
    assert "Source" not in table and set(table.iloc[0, 1:]) == {"21.00 ± 1.00"}
    assert "3 seeds" in (out / "table1.md").read_text()
    assert r"$\pm$" in (out / "table1.tex").read_text()


def test_missing_runs_are_dashes_and_notes(tmp_path):
    config = settings(seeds=[0, 1], published=None)
    frame = metrics(config)
    frame = frame[~((frame["backbone"] == "vgg19") & (frame["regime"] == "ols"))]
    frame = frame[~((frame["backbone"] == "resnet50") & (frame["regime"] == "ls") & (frame["seed"] == 1))]
    out = build(tmp_path, config, frame)
    table = pd.read_csv(out / "table1.csv", dtype=str).set_index("Backbone")
    assert table.loc["VGG-19", "OLS, Top-1 error (%)"] == "–"
    assert table.loc["ResNet-50", "LS, Top-1 error (%)"] == "25.00"
    text = (out / "table1.md").read_text()
    assert "Missing: radimagenet, VGG-19: OLS." in text
    assert "Partial: 1 of 2 seeds for radimagenet, ResNet-50, LS." in text


def test_no_run_at_all_is_a_table_of_dashes(tmp_path):
    out = build(tmp_path, settings(), metrics(settings()).iloc[:0])
    assert "–" in (out / "table1.csv").read_text() and "24.27" in (out / "table1.csv").read_text()


def test_data_sets_come_as_a_leading_column_and_only_the_papers_own_gets_its_numbers(tmp_path):
    config = settings(datasets=["RadImageNet-mini", "digits"], runs=["hard", "ols+alpha03"])
    out = build(tmp_path, config, metrics(config))
    table = pd.read_csv(out / "table1.csv", dtype=str)
    assert list(table.columns[:3]) == ["Data set", "Backbone", "Source"]
    assert "OLS + alpha03, Top-1 error (%)" in table
    sources = table.groupby("Data set")["Source"].nunique()
    assert sources["RadImageNet-mini"] == 3 and sources["digits"] == 1
    row = table[table["Source"].str.startswith("published")].iloc[0]
    assert row["OLS + alpha03, Top-1 error (%)"] == "–"  # a variant is not the paper's regime


def test_published_numbers_of_another_data_set_are_not_shown(tmp_path):
    config = settings(datasets=["digits"])
    out = build(tmp_path, config, metrics(config))
    text = (out / "table1.md").read_text()
    assert "24.27" not in text and "none are shown" in text


def test_hostile_names_are_escaped(tmp_path):
    name = "a_b|<script>&%$#{x}"
    config = settings(datasets=[name, "other"], published=None)
    out = build(tmp_path, config, metrics(config))
    text = (out / "table1.md").read_text()
    assert "<script>" not in text and r"a\_b\|&lt;script&gt;&amp;%\$\#{x}" in text
    assert r"a\_b\textbar{}\textless{}script\textgreater{}\&\%\$\#\{x\}" in (out / "table1.tex").read_text()
    assert tex("a\\b~c^d\ne") == r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d e"
    assert markdown("a*b`c[d]") == r"a\*b\`c\[d\]"


def test_tex_has_booktabs_and_as_many_cells_as_columns(tmp_path):
    out = build(tmp_path, settings(), metrics(settings()))
    for name in ("table1", "table2"):
        text = (out / f"{name}.tex").read_text()
        assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule"))
        spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert rows and all(row.replace(r"\&", "").count("&") == len(spec) - 1 for row in rows)


def test_the_order_of_the_regimes_is_the_configs(tmp_path):
    config = settings(runs=["ols", "hard"], published=None)
    out = build(tmp_path, config, metrics(config))
    head = (out / "table1.csv").read_text().splitlines()[0]
    assert head.index("OLS") < head.index("Hard")
    assert backbone_label("convnext_tiny") == "convnext_tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--settings is not JSON"),
        ("{}", "with the keys"),
        (json.dumps(settings(runs=[])), "runs is empty"),
    ],
)
def test_bad_settings_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        tables.main(["--metrics", "m.csv", "--out-dir", "t", "--settings", text])


def test_an_unknown_paper_is_refused(tmp_path):
    config = settings(published="nature")
    with pytest.raises(UserError, match="nature does not exist; correct tables.published"):
        build(tmp_path, config, metrics(config))


def test_doubled_rows_are_refused(tmp_path):
    frame = metrics(settings())
    with pytest.raises(UserError, match="twice"):
        build(tmp_path, settings(), pd.concat([frame, frame]))


@pytest.mark.parametrize("path", papers().values(), ids=papers().keys())
def test_published_files_are_well_formed(path):
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(frame.columns) == [
        "paper",
        "table",
        "dataset",
        "backbone",
        "regime",
        "metric",
        "value",
        "sd",
        "unit",
        "note",
    ]
    values = frame["value"].astype(float)
    assert frame["paper"].nunique() == 1 and len(frame) and (values >= 0).all()
    assert set(frame["unit"]) <= {"%", "fraction", "nats"}
    assert (values[frame["unit"] == "fraction"] <= 1).all()
    bounded = (frame["unit"] == "%") & (frame["metric"] != "nll")
    assert (values[bounded] <= 100).all()


def test_temperature_stands_after_hard_labels(tmp_path):
    config = settings(published=None, seeds=[0, 1])
    frame = metrics(config)
    rescaled = frame.assign(calibrator="temperature", value=0.125)
    rescaled = pd.concat([rescaled, frame.assign(calibrator="none")])
    rescaled.to_csv(tmp_path / "posthoc.csv", index=False)
    frame.to_csv(tmp_path / "m.csv", index=False)
    options = [
        "--metrics",
        str(tmp_path / "m.csv"),
        "--out-dir",
        str(tmp_path),
        "--settings",
        json.dumps(config),
    ]
    tables.main([*options, "--posthoc", str(tmp_path / "posthoc.csv")])
    table = pd.read_csv(tmp_path / "table2.csv", dtype=str)
    assert list(table["Method"])[:3] == ["Hard labels", "Hard labels + temperature", "LS"]
    assert set(table.iloc[1, 1:]) == {"0.1250 ± 0.0000"} and set(table.iloc[2, 1:]) == {"0.2500 ± 0.0000"}
    assert "never on test" in (tmp_path / "table2.md").read_text()


def test_the_difference_to_hard_labels_is_there_with_its_interval(tmp_path):
    config = settings(published=None)
    frame = metrics(config)
    names = ["family", "dataset", "backbone", "metric", "run", "reference", "difference", "low", "high"]
    rows = [["hard", None, None, "ece", "ols", "hard", 0.07, 0.05, 0.09]]
    rows += [
        ["hard", "radimagenet", "resnet50", "ece", "ols@temperature", "hard@temperature", 0.01, -0.01, 0.03]
    ]
    rows += [["primary", None, None, "ece", "ols", "ls", 0.5, 0.4, 0.6]]
    numbers = Numbers(frame, config, None, contrasts=pd.DataFrame(rows, columns=names))
    found = numbers.difference_to("hard")
    assert found["", "", "ols", "ece"] == (0.07, 0.05, 0.09) and len(found) == 2
    assert found["radimagenet", "resnet50", "ols@temperature", "ece"].low == -0.01
    assert Numbers(frame, config, None).difference_to("hard") == {}
    assert "**" not in "".join(
        build(tmp_path, config, frame).joinpath("table2.md").read_text().split("\n")[1:]
    )


@pytest.mark.parametrize(
    ("metric", "n", "places"),
    [
        ("ece", 156, 2),
        ("ece", 597, 3),
        ("ece", 10_000, 3),
        ("ece", 130_000, 4),
        ("ece", None, 4),
        ("top1_error", 156, 1),
        ("top1_error", 1_988, 1),
        ("top1_error", 130_000, 2),
        ("nll", 1_988, 2),
        ("nll", 10_000, 3),
    ],
)
def test_decimals_follow_the_number_of_images(metric, n, places):
    assert digits(metric, n) == places


def test_table3_has_the_ten_measures_and_moves_the_papers_decimal_point(tmp_path):
    config = settings(
        datasets=["Chaoyang"], backbones=["resnet34"], runs=["hard", "lsplus"], published="lsplus_miccai2024"
    )
    frame = metrics(config)
    undefined = frame["metric"] == "auroc"
    frame.loc[undefined, "value"] = float("nan")
    out = build(tmp_path, config, frame)
    table = pd.read_csv(out / "table3.csv", dtype=str).set_index(["Method", "Source"])
    assert len(table.columns) == 11
    theirs = table.loc[("Hard labels", "published (LS+ (MICCAI 2024))")]
    assert list(theirs)[1:] == [
        "81.50",
        "94.08",
        "75.91",
        "74.58",
        "75.10",
        "0.1133",
        "0.1121",
        "0.0626",
        "0.7421",
        "0.2974",
    ]
    ours = table.loc[("Hard labels", "ours")]
    assert ours["Accuracy (%)"] == "75.00" and ours["AUROC (%)"] == "–" and ours["NLL (nats)"] == "0.250"
    assert "Missing" not in (out / "table3.md").read_text()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cifar100", "CIFAR100"),
        ("cifar10", "CIFAR10"),
        ("cifar10_64px", "CIFAR10"),
        ("CIFAR-10", "CIFAR10"),
        ("cifar1000", None),
        ("tiny_imagenet", None),
    ],
)
def test_a_data_set_finds_its_namesake(ours, theirs):
    assert read_published(papers()["zhang2021"]).dataset_for(ours) == theirs


def test_a_paper_that_prints_accuracies_has_errors_too(tmp_path):
    """LS++, Table 1: CIFAR-100, ResNet-18, LS++."""
    config = settings(datasets=["cifar100"], backbones=["resnet18"], runs=["hard", "lspp"], published="lspp")
    out = build(tmp_path, config, metrics(config))
    table = pd.read_csv(out / "table1.csv", dtype=str).set_index("Source")
    printed = read_published(papers()["lspp"]).cells["CIFAR100", "resnet18", "lspp", "accuracy"]
    shown = table.loc["published (LS++ (Label Smoothing++))", "LS++, Top-1 error (%)"]
    assert float(shown) == pytest.approx(100 - float(printed)) and len(shown.split(".")[1]) == 2
    assert "on CIFAR100, accuracy and error as 100 − the other" in (out / "table1.md").read_text()
    assert "prints none of these numbers" in (out / "table2.md").read_text()
