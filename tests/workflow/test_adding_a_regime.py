"""docs/adding-a-regime.md, done: one class file, one rule, one word; nothing else is edited."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from calibench.errors import UserError
from calibench.planning import checks

from tests.conftest import clean_environment
from tests.workflow.conftest import MINI, planned, snakemake

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding-a-regime.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory):
    """A checkout with finished runs, the page's regime, and a config that names it."""
    checkout = Path(shutil.copytree(finished, tmp_path_factory.mktemp("adding") / "calibench"))
    (checkout / "workflow/calibench/regimes/poly1.py").write_text(block("python"))
    with open(checkout / "workflow/rules/regimes.smk", "a") as rules:
        rules.write("\n\n" + block("snakemake"))
    (checkout / "config/mine.yaml").write_text(yaml.safe_dump(MINI | yaml.safe_load(block("yaml"))))
    return checkout


def test_it_is_planned_and_its_class_keeps_the_contract(extended, tmp_path):
    plan = planned(snakemake(extended, "-n", "results/mini/metrics.csv", "--configfile", "config/mine.yaml"))
    assert plan == {"train_poly1": 2, "analyse": 2, "metrics": 1}
    (tmp_path / "mine.py").write_text(block("python"))
    command = [sys.executable, "-m", "calibench", "check-regime", "mine:Poly1"]
    environment = clean_environment() | {"PYTHONPATH": str(extended / "workflow")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "| `poly1` | CE + ε·(1 - p_y)" in done.stdout, done.stderr


def test_a_class_without_a_rule_is_told():
    with pytest.raises(UserError, match="regime 'ols' has a class but no rule; .*docs/adding-a-regime.md"):
        checks.check_rules(["hard", "ols+cutmix"], {"hard"})


@pytest.mark.slow
def test_it_is_in_tables_and_figures(extended):
    targets = ["results/mini/tables/table1.csv", "results/mini/figures/curves-digits-resnet20.png"]
    snakemake(extended, *targets, "--configfile", "config/mine.yaml")
    metrics = pd.read_csv(extended / "results/mini/metrics.csv", keep_default_na=False)
    poly = metrics[(metrics["regime"] == "poly1") & (metrics["metric"] == "top1_error")]
    assert set(poly["variant"]) == {"", "+eps1"} and poly["value"].between(0, 1).all()
    for table in ("table1.csv", "table2.csv", "table2.tex"):
        text = (extended / "results/mini/tables" / table).read_text()
        assert "Poly-1" in text and "Poly-1 + eps1" in text
    assert (extended / targets[1]).stat().st_size > 10_000
    legend = legend_of_curves(extended, "hard", "poly1", "poly1+eps1")
    assert "'Poly-1'" in legend and "'Poly-1 + eps1'" in legend
    records = [
        (extended / f"results/mini/digits/resnet20/{run}/seed0/run.json") for run in ("poly1", "poly1+eps1")
    ]
    assert [yaml.safe_load(r.read_text())["settings"]["regime"]["epsilon"] for r in records] == [2.0, 1.0]


def legend_of_curves(checkout, *runs):
    """What stands in the learning curves of these runs, drawn by the checkout's own code."""
    records = [str(checkout / f"results/mini/digits/resnet20/{run}/seed0/run.json") for run in runs]
    code = (
        "import sys; from argparse import Namespace; from pathlib import Path; from calibench.figures import curves;"
        "f = curves.figure(Namespace(records=[Path(p) for p in sys.argv[1:]],"
        " runs=None, checkpoint='top1'));"
        "print([t.get_text() for l in f.legends for t in l.get_texts()])"
    )
    environment = clean_environment() | {"PYTHONPATH": str(checkout / "workflow")}
    command = [sys.executable, "-c", code, *records]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_page_names_files_that_exist():
    for link in re.findall(r"\]\((\S+?)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    for name in re.findall(r"`(\w+/[\w/.-]+\.(?:py|smk))`", PAGE):
        assert (ROOT / name).exists() or name.endswith("poly1.py"), name
    assert "poly1" not in {p.stem for p in (ROOT / "workflow/calibench/regimes").glob("*.py")}
