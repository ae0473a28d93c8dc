"""The workflow as a module from GitHub, with the installed package and nothing else: as snakedeploy writes it.

Offline: git is told that GitHub is a folder here.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from calibench.errors import UserError
from calibench.files import write_json
from calibench.planning import configuration
from calibench.planning.plan import Plan
from calibench.stages import init

from tests.checkout import ROOT, copy_checkout
from tests.conftest import clean_environment
from tests.workflow.conftest import MINI, planned

pytestmark = pytest.mark.slow  # a wheel is built and installed, and Snakemake plans several times
GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main"]


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a checkout, made without a network."""
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def github(tmp_path_factory) -> dict[str, str]:
    """An environment in which GitHub has the repository and the package is installed from its wheel."""
    pytest.importorskip("setuptools")
    base = tmp_path_factory.mktemp("github")
    source = copy_checkout(base / "source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, source)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", "v0"]):
        subprocess.run([*GIT, *command], cwd=source, check=True)
    hub = base / "hub/owner"
    hub.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(hub / "calibench")], check=True)
    with zipfile.ZipFile(build_wheel(source, base)) as wheel:
        wheel.extractall(base / "site")
    return clean_environment() | {
        "PYTHONPATH": str(base / "site"),
        "XDG_CACHE_HOME": str(base / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{base}/hub/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }


@pytest.fixture
def study(tmp_path, github):
    """``study(*arguments, prefix=, names=)`` runs Snakemake in what `calibench init` wrote; its whole output."""

    plain: list[str] = []

    def run(*arguments: str, prefix: str = "", names: str = "", **changes) -> str:
        if not (tmp_path / "Snakefile").exists():
            init.main([str(tmp_path), "--repository", "owner/calibench", "--tag", "v0"])
            plain.append((tmp_path / "Snakefile").read_text().rstrip())
        (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(MINI | {"protect": True} | changes))
        moved = plain[0].replace("        config\n\n", f'        config\n    prefix:\n        "{prefix}"\n\n')
        (tmp_path / "Snakefile").write_text((moved if prefix else plain[0]) + names)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=github, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
        return done.stdout

    return run


def test_the_package_carries_what_stages_need(github):
    site = Path(github["PYTHONPATH"]) / "calibench"
    for name in (
        "report/report.ipynb",
        "report/CITATION.cff",
        "report/page.css",
        "report/templates/report.html",
        "planning/config.schema.yaml",
    ):
        assert (site / name).is_file(), name
    assert list((site / "published/printed").glob("*.csv"))


def test_init_writes_over_nothing(tmp_path, capsys):
    words = [str(tmp_path / "study"), "--repository", "owner/calibench"]
    init.main(words)
    assert (tmp_path / "study/README.md").read_text().startswith(
        "# study\n"
    ) and "$" not in capsys.readouterr().out
    with pytest.raises(UserError, match="Snakefile exists already"):
        init.main(words)
    with pytest.raises(UserError, match="does not have the form owner/name"):
        init.main([str(tmp_path / "other"), "--repository", "https://x"])


@pytest.mark.parametrize("names", ["", " as cb_*"])
def test_everything_is_planned_from_another_folder(study, names):
    jobs = planned(study("-n", names=names))
    word = "cb_" if names else ""
    assert {f"{word}{rule}" for rule in ("digits", "train_hard", "train_ols", "report")} <= set(jobs)


def finished_run(folder: Path, results: str) -> None:
    """A record of a run as a prefixed module would have left it."""
    config = configuration.complete(MINI | {"protect": True})
    config["datasets"]["digits"]["root"] = f"{results}/data/digits"
    plan = Plan(config, results)
    run = ("digits", "resnet20", "ols", 0)
    write_json(folder / plan.run_dir(*run) / "run.json", {"settings": plan.run_settings(*run)})


def test_a_prefix_moves_results_only_and_protection_sees_them(study, tmp_path):
    output = study("-n", prefix="sub")
    assert "sub/results/data/digits/train.csv" in output and " results/" not in output
    finished_run(tmp_path, "sub/results")
    assert "is finished with other settings" not in study("-n", prefix="sub")
    refused = study("-n", prefix="sub", regimes={"ols": {"alpha": 0.3}})
    assert "sub/results/mini/digits/resnet20/ols/seed0 is finished with other settings" in refused


def test_own_images_stay_where_they_are(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/images.csv").write_text("filename,label\n")
    mine = {"format": "list", "root": "mine", "files": {"list": "images.csv"}}
    output = study("-n", "sub/results/mini/metrics.csv", prefix="sub", datasets={"mine": mine})
    assert "input: mine/images.csv" in output


def test_from_nothing_to_the_report(study, tmp_path):
    said = study(prefix="sub", names=" as cb_*")
    assert (tmp_path / "sub/results/mini/report.html").is_file(), said[-3000:]
    assert os.listdir(tmp_path / "sub") == ["results"] and not (tmp_path / "results").exists()
    assert "Nothing to be done" in study(prefix="sub", names=" as cb_*")
