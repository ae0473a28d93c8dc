"""Every command that README.md, docs/ and config/ print is taken from the page and planned, run or looked up."""

import re
import shlex
import shutil
import subprocess
from collections import defaultdict

import pytest
import yaml
from calibench.__main__ import stages, start
from snakemake.cli import get_argument_parser

from tests.checkout import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "config").rglob("*.*"))]
LINE = re.compile(r"^(?:    |# +|)((?:snakemake|calibench|make) [-a-z].*?)(?:\s+#.*)?$", re.M)
SPAN = re.compile(r"`((?:snakemake|calibench|make) [^`]+)`")
RULES = set(re.findall(r"^rule (\w+):", (ROOT / "workflow/Snakefile").read_text(), re.M))
# what cannot be planned here, and why
NOT_PLANNED = {
    "--sdm": "asks conda for its version",
    "--unlock": "plans nothing",
    "study.yaml": "lies on nobody's machine but ours; the page prints it",
}
MINE = {
    "name": "mine",
    "datasets": {"mine": {"format": "list", "root": "data/mine", "files": {"list": "images.csv"}}},
    "backbones": ["resnet50"],
    "runs": ["hard", "ls"],
}


def commands() -> dict[str, list[str]]:
    """{command: pages that print it}."""
    found = defaultdict(list)
    for page in PAGES:
        text = re.sub(r"```(?:python|snakemake).*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for command in {*LINE.findall(text), *SPAN.findall(text)}:
            if not command.startswith("calibench is "):
                found[command.replace("<name>", "demo").replace(" …", "")].append(page.name)
    return found


def of(program: str) -> list[str]:
    return sorted(command for command in commands() if command.startswith(f"{program} "))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkout's configuration, the user's files that the pages speak of, and lists of data nobody may have."""
    from tests.checkout import copy_checkout

    folder = copy_checkout(tmp_path_factory.mktemp("pages") / "calibench")
    for name, content in {"my.yaml": MINE, "mine.yaml": {"train": {"epochs": 2}}}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    (folder / "myregimes.py").write_text(re.search(r"```python\n(.*?)```", page, re.S)[1])
    papers = (ROOT / "docs/papers.md").read_text(encoding="utf-8")
    (folder / "short.yaml").write_text(re.search(r"```yaml\n(# short.yaml\n.*?)```", papers, re.S)[1])
    (folder / "data/mine").mkdir(parents=True)
    (folder / "data/mine/images.csv").write_text("filename,label\n")
    (folder / "data/mnist").mkdir()
    for name in ("images-idx3", "labels-idx1"):
        (folder / f"data/mnist/t10k-{name}-ubyte.gz").touch()
    write_lists(folder / "data/radimagenet-mini")
    return folder


def write_lists(folder):
    """RadImageNet's lists without images: enough for a plan."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        (folder / f"RadiologyAI_{split}.csv").write_text("filename,label\n")


def parsed(command: str):
    """Snakemake's own reading of a command."""
    return get_argument_parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("command", of("snakemake"))
def test_snakemake_reads_the_command_as_it_is_meant(command, place):
    """A target behind --configfile would be read as one more config file."""
    options = parsed(command)
    for file in options.configfile or ():
        assert file.name == "study.yaml" or (place / file).is_file(), f"{file} is no config file"
    assert all((place / profile / "config.yaml").is_file() for profile in options.profile or ())
    for target in options.targets:
        assert target in RULES or target.startswith("results/"), f"{target} is no target"


def groups() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(config files, targets) of all commands that can be planned, those with equal files together."""
    found = defaultdict(set)
    for command in of("snakemake"):
        if not any(word in command.split() for word in NOT_PLANNED):
            options = parsed(command)
            found[tuple(map(str, options.configfile or ()))] |= set(options.targets or ["all"])
    return [(files, tuple(sorted(targets))) for files, targets in found.items()]


@pytest.mark.slow  # Snakemake plans each
@pytest.mark.parametrize(("files", "targets"), groups(), ids=lambda value: "-".join(value) or "demo")
def test_the_targets_can_be_planned(files, targets, place, run_snakemake):
    if "config/papers/ols_radimagenet/paper.yaml" in files:
        lists = place / "data/RadImageNet"
        lists.mkdir(exist_ok=True)
        if "weights" in targets:  # asked for on a login node, where there need be no data
            shutil.rmtree(lists)
            run_snakemake("-n", "weights", "--configfile", *files, cwd=place)
        write_lists(lists)
    run_snakemake("-n", *targets, *(["--configfile", *files] if files else []), cwd=place)


@pytest.mark.parametrize("command", of("calibench"))
def test_calibench_runs(command, place, monkeypatch, capsys):
    words = shlex.split(command)[1:]
    assert words[0].replace("-", "_") in stages() or words[0].startswith("-")
    if len(words) == 1 and words[0] not in ("config", "status", "--help"):
        words.append("--help")  # the page only names the stage
    if words[0] == "init":  # the page's place-holders; tests/workflow/test_module.py runs it
        words = ["init", "--help"]
    if words[0] == "score":  # predictions that nobody has; tests/stages/test_score.py runs it
        words = ["score", "--help"]
    if words[0] == "list" and "--help" not in words:
        monkeypatch.setattr(
            "calibench.stages.list.main", lambda rest: None
        )  # tests/data/test_overview.py draws it
    monkeypatch.chdir(place)
    try:
        start(words)
    except SystemExit as end:
        assert not end.code
    assert words[0] == "list" or capsys.readouterr().out


@pytest.mark.parametrize("command", of("make"))
def test_make_knows_the_target(command):
    target = command.split()[1]
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name)
def test_linked_files_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not re.match(r"https?:|mailto:", link)]
    assert [link for link in links if not (page.parent / link).exists()] == []
