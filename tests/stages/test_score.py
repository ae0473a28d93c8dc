"""The stage score: predictions of any program through the ordinary stages."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.metrics import measure
from calibench.metrics.probabilities import softmax
from calibench.stages import score
from calibench.tables import long

from tests.finished.fake_runs import make_logits


def write_models(folder, **sharpness):
    """One file per model, of the same 300 images in groups of 3, and 150 to calibrate on."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 450)
    shared = {"labels": targets, "split": np.array(["test", "val"])[(np.arange(450) >= 300).astype(int)]}
    shared |= {"groups": np.arange(450) // 3, "strata": np.where(np.arange(450) % 2, "CT", "MR")}
    shared |= {"class_names": np.array(["a", "b", "c", "d"])}
    for name, sharp in sharpness.items():
        np.savez(folder / f"{name}.npz", logits=make_logits(rng, targets, 4, 2.0, sharp), **shared)
    return [str(folder / f"{name}.npz") for name in sharpness]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    files = write_models(folder, good=1.0, sure=3.0)
    (folder / "more.yaml").write_text("statistics: {positive: [b], resamples: 50, metrics: [nll]}\n")
    options = ["--config", str(folder / "more.yaml"), "--no-report", "--data", "heads"]
    score.main([*files, "--out", str(folder / "out"), *options])
    return folder


def test_numbers_are_those_of_the_file(scored):
    table = long.read_long(scored / "out/metrics.csv")
    assert list(table.columns) == long.METRICS and set(table["split"]) == {"test", "calibrate"}
    file = np.load(scored / "sure.npz")
    expected = measure(file["logits"][:300], file["labels"][:300])
    found = table[(table["variant"] == "+sure") & (table["split"] == "test")].set_index("metric")["value"]
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert set(table["regime"]) == {"external"} and set(table["dataset"]) == {"heads"}


def test_every_table_of_an_experiment_is_there(scored):
    out = scored / "out"
    maps = pd.read_csv(out / "posthoc.csv")
    nll = maps[(maps["split"] == "test") & (maps["metric"] == "nll")].set_index(["variant", "calibrator"])[
        "value"
    ]
    assert nll["+sure", "temperature"] < nll["+sure", "none"] - 0.05
    assert set(pd.read_csv(out / "strata.csv")["stratum"]) == {"CT", "MR"}
    assert set(pd.read_csv(out / "intervals.csv")["groups"]) == {100}
    compared = pd.read_csv(out / "contrasts.csv", keep_default_na=False)
    assert ("external+sure", "external+good") in set(zip(compared["run"], compared["reference"], strict=True))
    assert len(pd.read_csv(out / "conformal.csv")) and len(pd.read_csv(out / "decision.csv"))
    assert "external + sure" in (out / "tables/table2.md").read_text()
    record = json.loads((out / "heads/given/external+sure/seed0/run.json").read_text())
    assert record["external"]["file"].endswith("sure.npz") and len(record["external"]["sha256"]) == 64


@pytest.mark.slow
def test_figures_and_report_are_made(tmp_path):
    files = write_models(tmp_path, one=1.0)
    score.main([*files, "--out", str(tmp_path / "out"), "--no-resampling"])
    assert (tmp_path / "out/figures/reliability-data-given.png").stat().st_size > 10_000
    page = (tmp_path / "out/report.html").read_text()
    assert "external + one" in page
    assert not (tmp_path / "out/intervals.csv").exists()


def test_probabilities_of_zero_and_no_validation_are_measured(tmp_path):
    probs = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    np.savez(tmp_path / "a.npz", probs=probs, y_true=[0, 1, 2, 0, 1, 1])
    score.main([str(tmp_path / "a.npz"), "--out", str(tmp_path / "out"), "--no-report", "--no-resampling"])
    values = pd.read_csv(tmp_path / "out/metrics.csv").set_index("metric")["value"]
    assert values["top1_error"] == pytest.approx(1 / 6) == pytest.approx(values["ece"], abs=1e-6)
    assert values["nll"] == pytest.approx(708.4 / 6, rel=1e-3)
    assert set(pd.read_csv(tmp_path / "out/posthoc.csv")["calibrator"]) == {"none"}
    assert pd.read_csv(tmp_path / "out/conformal.csv").empty


def test_equal_names_are_seeds_where_they_are_given():
    assert score.named(["ViT=a.npz", "ViT=b.npz", "c/My net.csv"]) == [
        ("vit", 0, score.Path("a.npz")),
        ("vit", 1, score.Path("b.npz")),
        ("my_net", 0, score.Path("c/My net.csv")),
    ]
    for items in (["x/a.npz", "y/a.npz"], ["A=x.npz", "a=y.npz"]):
        with pytest.raises(UserError, match="would both be called 'a'"):
            score.named(items)


def test_a_config_does_not_name_what_the_files_decide(tmp_path):
    files = write_models(tmp_path, one=1.0)
    for text, message in (
        ("runs: [hard]\n", "'runs' follows from the files"),
        ("statistics: {resample: 9}\n", "resample"),
    ):
        (tmp_path / "more.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            score.main([*files, "--out", str(tmp_path / "out"), "--config", str(tmp_path / "more.yaml")])


def test_softmax_of_stored_logarithms_is_what_was_given(tmp_path, rng):
    probs = softmax(rng.normal(size=(40, 5)) * 6)
    np.savez(tmp_path / "a.npz", probs=probs, labels=rng.integers(0, 5, 40))
    score.main([str(tmp_path / "a.npz"), "--out", str(tmp_path / "out"), "--no-report", "--no-resampling"])
    stored = np.load(tmp_path / "out/data/given/external+a/seed0/predictions/last/test.npy")
    assert softmax(stored) == pytest.approx(probs, rel=1e-5)
