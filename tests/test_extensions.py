"""A package of somebody else brings a regime, a measure, a calibrator and a network; nothing of ours is edited."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from calibench import extensions
from calibench.errors import UserError
from calibench.planning import fingerprint
from calibench.regimes.catalog import catalog

from tests.checkout import ROOT, copy_checkout
from tests.conftest import clean_environment
from tests.workflow.conftest import MINI, planned

PAGE = ROOT / "docs/extending.md"
FILES = {
    "poly/__init__.py": "raise SystemExit('imported while planning')\n",
    "poly/base.py": (
        "from calibench.regimes.base import Regime\n\n\nclass Base(Regime):\n    source = 'ours'\n\n"
        "    def __init__(self, num_classes, *, epsilon=2.0):\n        super().__init__(num_classes)\n"
        "        self.epsilon = epsilon\n"
    ),
    "poly/mine.py": (
        "from calibench.regimes.functional import log_probs, nll\n\nfrom .base import Base\n\n\n"
        "class Mine(Base):\n    name = 'poly1'\n    label = 'Poly-1'\n\n"
        "    def loss(self, logits, targets, **extras):\n        ce = nll(log_probs(logits), targets)\n"
        "        return (ce + self.epsilon * (1 - (-ce).exp())).mean()\n"
    ),
    "poly/measures.py": (
        "SHOWN = {'worst': ('Worst confidence', 1, 3)}\n\n\ndef worst(seen):\n    return seen.confidence.min()\n"
    ),
}
ENTRIES = """
[calibench.regimes]
poly1 = poly.mine:Mine

[calibench.metrics]
worst = poly.measures:worst
"""


def install(folder: Path, entries: str, files: dict[str, str], name: str = "calibench_poly") -> Path:
    """What an installer leaves of a package: its files, and a folder that describes it."""
    info = folder / f"{name}-0.3.dist-info"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(entries)
    return folder


def forget() -> None:
    for cached in (extensions._found, catalog, fingerprint._read, fingerprint.of_modules):
        cached.cache_clear()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """``installed(entries, files)``: a package that this process finds, until the test ends."""

    def put(entries: str, files: dict[str, str], name: str = "calibench_poly") -> Path:
        monkeypatch.syspath_prepend(str(install(tmp_path, entries, files, name)))
        forget()
        return tmp_path

    yield put
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.split(".")[0] in ("poly", "myregimes")]:
        del sys.modules[name]
    forget()


def test_a_regime_is_read_and_never_imported(installed):
    installed(ENTRIES, FILES)
    info = catalog()["poly1"]
    assert (info.label, info.source, info.module) == ("Poly-1", "ours", "poly.mine")
    assert info.settings == {"epsilon": 2.0} and "poly" not in sys.modules
    assert extensions.packages() == ["calibench_poly 0.3"]


def test_its_code_counts_for_its_own_runs_only(installed):
    folder = installed(ENTRIES, FILES)
    runs = [("calibench.stages.train", module) for module in ("poly.mine", "calibench.regimes.hard")]
    stages = ["calibench.stages.analyse", "calibench.stages.list"]

    def codes():
        forget()
        return [fingerprint.of_modules(*modules) for modules in (*runs, *([stage] for stage in stages))]

    before = codes()
    (folder / "poly/base.py").write_text(FILES["poly/base.py"] + "x = 1\n")
    base = codes()
    (folder / "poly/measures.py").write_text(FILES["poly/measures.py"] + "x = 1\n")
    measure = codes()
    assert [a != b for a, b in zip(before, base, strict=True)] == [True, False, False, False]
    assert [a != b for a, b in zip(base, measure, strict=True)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("[calibench.regimes]\nols = poly.mine:Mine", "exists in calibench.regimes already"),
        ("[calibench.regimes]\npoly2 = poly.mine:Mine", "'poly2' is a regime with the name 'poly1'"),
        ("[calibench.regimes]\npoly1 = poly.mine", "must have the form module:name"),
        ("[calibench.regimes]\npoly1 = poly.gone:Mine", "which has no Python file"),
        ("[calibench.regimes]\npoly1 = poly.mine:Gone", "no class Gone"),
    ],
)
def test_an_entry_that_cannot_be_right_is_told(installed, entries, sentence):
    installed(entries, FILES)
    with pytest.raises(UserError, match=sentence):
        catalog()


def test_two_packages_with_one_name_are_told(installed):
    installed(ENTRIES, FILES)
    installed("[calibench.regimes]\npoly1 = other:Mine", {}, "calibench_other")
    with pytest.raises(UserError, match=r"calibench_other 0.3 and calibench_poly 0.3 both have 'poly1'"):
        catalog()


def test_what_cannot_be_imported_is_told_when_it_is_used(installed):
    installed("[calibench.metrics]\nworst = gone.away:worst", {})
    with pytest.raises(
        UserError, match=r"'worst' of the package calibench_poly 0.3 is gone.away:worst, which cannot"
    ):
        extensions.brought("metrics")["worst"](None)


def page_package() -> tuple[str, dict[str, str]]:
    """The package of docs/extending.md: its entry points as an installer writes them, and its one file."""
    page = PAGE.read_text(encoding="utf-8")
    (project,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (text,) = re.findall(r"```python\n(.*?)```", page, re.S)
    groups = tomllib.loads(project)["project"]["entry-points"]
    entries = "".join(
        f"[{group}]\n" + "".join(f"{name} = {item}\n" for name, item in items.items())
        for group, items in groups.items()
    )
    return entries, {"myregimes.py": text}


def test_the_package_of_the_page_does_what_it_says(installed, capsys):
    from calibench.backbones.classifier import build as network
    from calibench.metrics import measure
    from calibench.stages import check_regime

    installed(*page_package())
    check_regime.main(["myregimes:Poly1"])
    said = capsys.readouterr().out
    assert said.count("kept") == 6 and "| `poly1` |" in said and "`epsilon=2.0`" in said
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 3
    assert measure(logits, np.array([0, 1, 2, 1]))["overconfidence"] == pytest.approx(0.2274, abs=1e-4)
    model = {"input": "full", "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}
    assert network("tiny", 5, model).head.out_features == 5


BAD = """
import torch
from calibench.regimes.base import Regime

class Bad(Regime):
    name = "bad"
    label = "Bad"
    source = "ours"
    def loss(self, logits, targets, **extras):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return torch.softmax(logits, 1)[:, 0].log().mean()", "case extreme: the loss is -inf"),
        ("return torch.log_softmax(logits.float(), 1)[0].mul(torch.rand(())).sum()", "uses random numbers"),
        ("self.t = getattr(self, 't', 0) + 1; return self.t * torch.logsumexp(logits.float(), 1).mean()", "resumed"),
        ("return torch.logsumexp(logits.float(), 1).mean() * (2 if logits.max().item() > 0 else 1)", "reads values from the device"),
        ("return torch.logsumexp(logits.float(), 1)", "it must be one number"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_told(tmp_path, monkeypatch, body, sentence):
    from calibench.stages import check_regime

    (tmp_path / "badregime.py").write_text(BAD.format(body=body))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "badregime", raising=False)
    with pytest.raises(UserError, match=f"bad breaks a promise .*{sentence}"):
        check_regime.main(["badregime:Bad"])


def snakemake(folder: Path, site: Path, *arguments: str, check: bool = True) -> str:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        *arguments,
        "--configfile",
        "config/mine.yaml",
    ]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment() | {"PYTHONPATH": str(site)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_its_rule_is_made_without_importing_it(tmp_path):
    checkout = copy_checkout(tmp_path / "calibench")
    site = install(tmp_path / "site", ENTRIES, FILES)
    changes = {"runs": ["poly1", "poly1+half"], "variants": {"half": {"regime": {"epsilon": 0.5}}}}
    (checkout / "config/mine.yaml").write_text(yaml.safe_dump(MINI | changes))
    plan = planned(snakemake(checkout, site, "-n"))
    assert plan["train_brought"] == 2 and "train_hard" not in plan
    said = snakemake(checkout, site, "-n", "--sdm", "conda", check=False)
    assert "its environments do not have calibench_poly 0.3" in said


@pytest.mark.slow
def test_the_package_of_the_page_is_trained_measured_and_calibrated(tmp_path):
    checkout = copy_checkout(tmp_path / "calibench")
    site = install(tmp_path / "site", *page_package())
    layout = {"name": "mine", "rows": ["run"], "columns": ["backbone"], "measures": ["overconfidence"]}
    changes = {"runs": ["hard", "poly1"], "backbones": ["tiny"], "tables": {"layouts": [layout]}}
    changes["statistics"] = {"contrasts": [["hard@halfway", "poly1"]]}
    (checkout / "config/mine.yaml").write_text(yaml.safe_dump(MINI | changes))
    snakemake(checkout, site)
    results = checkout / "results/mini"
    assert set(pd.read_csv(results / "metrics.csv")["regime"]) == {"hard", "poly1"}
    assert "halfway" in set(pd.read_csv(results / "posthoc.csv")["calibrator"])
    assert "Poly-1" in (results / "tables/mine.md").read_text()
    assert "Overconfidence (%)" in (results / "tables/mine.md").read_text()
    assert "Poly-1" in (results / "report.html").read_text()
    record = yaml.safe_load((results / "digits/tiny/poly1/seed0/run.json").read_text())
    assert record["provenance"]["extensions"] == ["calibench_poly 0.3"]
