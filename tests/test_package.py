"""Wheel and sdist, built and installed into an empty environment, and used from an empty folder."""

import os
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.checkout import ROOT

WORKFLOW = ROOT / ".github/workflows/ci.yml"
DATA = (".yaml", ".csv", ".css", ".ipynb", ".cff", ".txt", ".md")


def run(*command, cwd, **environment):
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "UV_", "PIP_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """{"wheel": file, "sdist": file} of this tree, made without a network."""
    pytest.importorskip("setuptools")
    base = tmp_path_factory.mktemp("package")
    run("git", "clone", "-q", ROOT, base / "source", cwd=base)
    made = {}
    for kind in ("wheel", "sdist"):
        code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(base)!r}))"
        made[kind] = base / run(sys.executable, "-c", code, cwd=base / "source").split()[-1]
    return made


def contents(file):
    """Files of the package in a wheel or sdist."""
    if file.suffix == ".whl":
        names = zipfile.ZipFile(file).namelist()
    else:
        with tarfile.open(file) as archive:
            names = [name.partition("/workflow/")[2] for name in archive.getnames()]
    return {name for name in names if name.startswith("calibench/") and Path(name).suffix in (".py", *DATA)}


@pytest.mark.slow
def test_both_hold_the_whole_package(built):
    package = ROOT / "workflow/calibench"
    tracked = run("git", "ls-files", package, cwd=ROOT).split()
    wanted = {name.removeprefix("workflow/") for name in tracked if Path(name).suffix in (".py", *DATA)}
    for kind, file in built.items():
        assert contents(file) == wanted, kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_installed_alone_it_works_from_an_empty_folder(built, kind, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    # what it depends on is in the environment of the tests; calibench itself must come from the file
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
    (folder := tmp_path / "empty").mkdir()
    python = tmp_path / "env/bin/python"
    options = ["--python", python, "--no-deps", "--no-index", "--offline", "--no-build-isolation"]
    run("uv", "pip", "install", *options, built[kind], cwd=folder, UV_CACHE_DIR=str(tmp_path / "cache"))
    where = run(python, "-c", "import calibench; print(calibench.__file__)", cwd=folder)
    assert str(packages) in where
    command = tmp_path / "env/bin/calibench"
    assert run(command, "--version", cwd=folder).strip() in built[kind].name
    run(command, "init", "study", "--repository", "owner/name", cwd=folder)
    assert '"name": "demo"' in run(command, "config", "config/config.yaml", cwd=folder / "study")
    run(command, "digits", "--out", "data", cwd=folder)
    assert (folder / "data/train.csv").is_file()


def test_the_hosted_checks_run_what_ci_runs_on_every_promised_python():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    text = (ROOT / "docs/install.md").read_text()
    assert all(python in text for python in jobs["ci"]["strategy"]["matrix"]["python"])
    assert ".ci/run" in [step.get("run") for step in jobs["ci"]["steps"]]


def test_the_changelog_has_a_part_for_this_version_or_one_that_is_to_come():
    from calibench import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {__version__}" in text or "## Unreleased" in text
