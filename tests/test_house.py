"""The files around the workflow: lock, profile, environments, site files, Makefile."""

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from calibench.figures import NEEDS, WHOLE
from calibench.planning.site import GPU_KEYS, SITE_KEYS

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
SITES = sorted((ROOT / "slurm" / "sites").glob("*.yaml"))


def locked() -> dict[str, str]:
    """Version of every package in the lock."""
    text = (ROOT / "requirements.lock").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \\]+)", text, re.M))


def test_lock_has_hashes_and_no_addresses():
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.M | re.S)
    assert len(packages) > 100
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"https?:|file:|--index|--extra|--find-links|^ *# .*/(?!/)[a-z]+/", text, re.M)


def test_lock_holds_everything_that_is_asked_for():
    wanted = re.findall(r"^([A-Za-z0-9-]+)", (ROOT / "requirements.in").read_text(), re.M)
    assert not {name.lower() for name in wanted} - set(locked())


# what few want: not in the environment of `make setup`; the tests of it are skipped where it is not installed
UNLOCKED = {"timm", "trackers"}


def test_package_asks_for_nothing_that_is_not_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked_extras = [
        items for extra, items in project["optional-dependencies"].items() if extra not in UNLOCKED
    ]
    wanted = project["dependencies"] + sum(locked_extras, [])
    names = {re.match(r"[A-Za-z0-9-]+", item)[0].lower() for item in wanted}
    assert not names - set(locked())


CONDA_NAMES = {  # conda-forge's name → the name in the lock
    "pytorch": "torch",
    "py-opencv": "opencv-python-headless",
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
}
IMPORT_NAMES = {
    "cv2": "py-opencv",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "PIL": "pillow",
}
IMPORT_NAMES |= {"matplotlib": "matplotlib-base", "seaborn": "seaborn-base", "openTSNE": "opentsne"}


def packages(environment: Path) -> dict[str, str]:
    """Conda package → pin."""
    items = yaml.safe_load(environment.read_text())["dependencies"]
    return {name: pin for name, _, pin in (item.partition(" ") for item in items)}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda p: p.stem)
def test_conda_environment_has_the_majors_of_the_lock(path):
    assert yaml.safe_load(path.read_text())["channels"] == ["conda-forge", "nodefaults"]
    versions = locked()
    for name, pin in packages(path).items():
        if name == "python":
            continue
        name = CONDA_NAMES.get(name, name)
        assert name in versions, f"{name} is not locked"
        if pin.startswith("="):
            assert versions[name].startswith(pin.removeprefix("=")), (
                f"{name} {pin}: the lock has {versions[name]}"
            )


def imported(module: str, seen: set[str]) -> set[str]:
    """Packages that a module of calibench imports, directly or through others of calibench."""
    path = ROOT / "workflow" / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen or not path.exists():
        return set()
    seen.add(module)
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = [name for name in names if name.split(".")[0] == "calibench"]
    others = {name.split(".")[0] for name in names} - {"calibench"} - sys.stdlib_module_names
    return others.union(*(imported(name, seen) for name in own))


def stages_of_rules() -> set[tuple[str, str]]:
    """(stage, environment) of every rule that computes."""
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    found = re.findall(r'envs/(\w+)\.yaml"(?:(?!\nrule |\nuse rule ).)*?stage \{log\} (\w+)', rules, re.S)
    return {(stage, environment) for environment, stage in found}


def figure_kinds(environment: str) -> list[str]:
    """Kinds of figures that are drawn in an environment."""
    text = (ROOT / "workflow/rules/figures.smk").read_text()
    (trained,) = re.findall(r'"../../envs/train.yaml" if w.kind == "(\w+)"', text)
    return [trained] if environment == "train" else [kind for kind in (*NEEDS, *WHOLE) if kind != trained]


@pytest.mark.parametrize(("stage", "environment"), sorted(stages_of_rules()))
def test_conda_environment_has_all_that_its_stages_import(stage, environment):
    provided = packages(ROOT / "envs" / f"{environment}.yaml")
    kinds = figure_kinds(environment) if stage == "figure" else []
    modules = [f"calibench.stages.{stage}", *(f"calibench.figures.{kind}" for kind in kinds)]
    needed = {IMPORT_NAMES.get(name, name) for module in modules for name in imported(module, set())}
    assert needed, f"{stage} was not found"
    assert not needed - set(provided) - UNLOCKED, f"envs/{environment}.yaml lacks what {stage} imports"


def test_every_conda_directive_names_an_environment():
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = set(re.findall(r'"\.\./\.\./envs/(\w+)\.yaml"', rules))
    assert named == {path.stem for path in ENVIRONMENTS}


def test_profile_names_no_partition_account_or_qos():
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert not re.search("partition|account|qos", " ".join([*profile, *profile["default-resources"]]))


@pytest.mark.parametrize("path", SITES, ids=lambda p: p.stem)
def test_the_plugin_reads_the_site_file(path):
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    partitions = read_partition_file(path)
    assert any(p.limits.max_gpu > 0 for p in partitions) and any(p.limits.max_gpu == 0 for p in partitions)
    known = {"partitions", *SITE_KEYS, *GPU_KEYS}
    assert set(yaml.safe_load(path.read_text())) <= known


@pytest.fixture
def setup_copy(tmp_path):
    """A folder with what `make setup` reads, and a function that runs it."""
    for name in ("Makefile", "requirements.lock", "envs/setup.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def make(*arguments: str, path: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["/usr/bin/env", "-i", f"PATH={path}", "make", "setup", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return make


def few_programs(folder: Path, *names: str) -> str:
    """A PATH with only these programs."""
    folder.mkdir()
    for name in (
        *names,
        "bash",
        "make",
        "dirname",
        "realpath",
        "readlink",
        "sed",
        "cut",
        "sha256sum",
        "nproc",
    ):
        found = subprocess.run(["bash", "-c", f"type -P {name}"], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return str(folder)


@pytest.mark.parametrize(
    ("programs", "arguments", "sentence"),
    [
        ((), (), "git is missing"),
        (("git",), (), "no Python of version 3.11 or newer found"),
        (
            ("git",),
            ("PYTHON=/usr/bin/false",),
            "PYTHON=/usr/bin/false is not a Python of version 3.11 or newer",
        ),
        (("git",), ("TORCH=CUDA 12",), "TORCH='CUDA 12' is not a build"),
        (("git",), ("ENV=with space",), "contains a space"),
    ],
)
def test_setup_says_what_is_missing_in_one_sentence(setup_copy, tmp_path, programs, arguments, sentence):
    done = setup_copy(*arguments, path=few_programs(tmp_path / "bin", *programs))
    errors = [line for line in done.stderr.splitlines() if line.startswith("setup: error:")]
    assert done.returncode != 0
    assert len(errors) == 1 and sentence in errors[0]


def test_checkouts_share_an_environment_until_the_one_that_made_it_is_moved(setup_copy, tmp_path):
    environment, maker = tmp_path / "shared", tmp_path / "maker"
    lock = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(sys.executable)
    (maker / "workflow").mkdir(parents=True)
    stamp = f"lock={lock}\ntorch=lock\nenv={environment}\nroot={maker}\n"
    (environment / ".calibench-setup").write_text(stamp)
    path = few_programs(tmp_path / "bin", "git", "ln")
    for arguments in ([f"ENV={environment}"], []):
        done = setup_copy(*arguments, path=path)
        assert done.returncode == 0 and not done.stdout + done.stderr
        assert (tmp_path / ".venv").resolve() == environment
    (maker / "workflow").rmdir()
    assert "no Python of version 3.11" in setup_copy(path=path).stderr
