"""A stage that fails says why on the terminal, also when its log stands on a full disk."""

import contextlib
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.checkout import ROOT
from tests.conftest import clean_environment
from tests.robustness.conftest import small_disk  # noqa: F401  a fixture

MODULE = """
import logging, os, signal, sys
from calibench.errors import UserError

def main(argv):
    how = argv[0]
    for i in range(8):
        logging.info("step %d", i)
    if how == "user":
        raise UserError("the list is empty; fill it")
    if how == "refused":
        open("/dev/full", "w").write("x" * 100_000)
    if how == "crash":
        raise ValueError("a mistake of ours")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def shell_prefix(workflow) -> str:
    """What the rules' commands start with, as Snakemake makes it."""
    text = (ROOT / "workflow/rules/common.smk").read_text()
    call = re.search(r"^shell\.prefix\((.*?)^\)", text, re.M | re.S)[1]
    return eval(f"({call})", {"python_path": "", "PACKAGES": workflow}).format()


@pytest.fixture
def stage(tmp_path):
    """``stage(log, how)`` runs the shell's function ``stage``; ``after`` is the rest of a rule's command."""
    workflow = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow/calibench", workflow / "calibench")
    (workflow / "calibench/stages/toy.py").write_text(MODULE)

    def run(log, how, after="", **environment):
        return subprocess.run(
            ["bash", "-c", f"{shell_prefix(workflow)} stage '{log}' toy {how} {after}"],
            cwd=tmp_path, env=clean_environment() | environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


def test_success_is_quiet(stage, tmp_path):
    done = stage(tmp_path / "log", "well")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((tmp_path / "log").read_text().splitlines()) == 8


@pytest.mark.parametrize("after", ["", "&& echo later"])
@pytest.mark.parametrize(("how", "status"), [("user", 2), ("refused", 2), ("crash", 1), ("killed", 137)])
def test_the_end_of_the_log_is_repeated(stage, tmp_path, how, status, after):
    done = stage(tmp_path / "log", how, after)
    assert (done.returncode, done.stdout) == (status, "")
    said = [line for line in done.stderr.splitlines() if "Killed" not in line]  # bash's own word on a signal
    assert said == (tmp_path / "log").read_text().splitlines()[-5:]


def fill(disk):
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 512)
    return disk


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("how", "why"),
    [("user", "the list is empty; fill it"), ("refused", "No space left on device; free space")],
)
def test_full_disk(stage, small_disk, how, why, unbuffered):  # noqa: F811
    log = fill(small_disk("64k")) / "log"
    done = stage(log, how, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert log.read_text() == "", "otherwise this tests nothing"
    said = done.stderr.splitlines()
    assert len(said) == 2 and said[0].startswith("error: ") and why in said[0]
    assert said[1].startswith(f"{log} could not be written (disk full?")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize(("how", "status"), [("user", 2), ("refused", 2), ("well", 0)])
def test_a_log_that_takes_nothing_leaves_the_exit_status(stage, how, status):
    """As a full disk, for those who cannot mount one."""
    done = stage("/dev/full", how)
    assert done.returncode == status
    assert ("error: " in done.stderr) == (status == 2) == ("could not be written" in done.stderr)


def test_no_log_at_all(stage, tmp_path):
    done = stage(tmp_path / "nowhere" / "log", "well")
    assert done.returncode == 1
    assert "No such file" in done.stderr and "could not be written" in done.stderr


@pytest.mark.parametrize("terminal", ["", "77", "x"], ids=["none", "closed", "nonsense"])
def test_nothing_can_be_said_and_the_status_stays(tmp_path, terminal):
    (tmp_path / "toy.py").write_text(MODULE)
    environment = clean_environment() | {"PYTHONPATH": str(ROOT / "workflow"), "STAGE_TERMINAL": terminal}
    with open("/dev/full", "w") as log:
        done = subprocess.run(
            [sys.executable, "-c", "import toy; from calibench import cli; cli.run(toy.main, ['user'])"],
            cwd=tmp_path,
            env=environment,
            stderr=log,
            timeout=60,
        )
    assert done.returncode == 2
