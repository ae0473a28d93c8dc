"""What the workflow itself costs: planning, and everything around the training of the demo."""

import json
import os
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measuring import Result, child
from tests.checkout import copy_checkout

PLANNED = {
    "name": "planned",
    "datasets": {
        "digits": {"root": "results/data/digits", "files": {s: f"{s}.csv" for s in ("train", "val", "test")}}
    },
    "backbones": ["resnet18", "resnet50", "mobilenet_v2", "vgg19", "densenet121"],
    "runs": ["hard", "ls", "tfkd_reg", "ols"],
    "seeds": list(range(25)),
}
METRICS = ("--images", "130000", "--classes", "165")  # RadImageNet's validation and test sets are this large


def environment() -> dict[str, str]:
    """The environment of a command of this interpreter."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": path}


def planning(options) -> list[Result]:
    """A dry run of 500 training runs and what follows them."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "calibench")
        (checkout / "planned.yaml").write_text(yaml.safe_dump(PLANNED))
        command = [sys.executable, "-m", "snakemake", "--directory", str(checkout), "-n", "--quiet"]
        command += [
            "--snakefile",
            str(checkout / "Snakefile"),
            "--configfile",
            str(checkout / "planned.yaml"),
        ]
        log = str(Path(folder) / "log")
        cost, memory = child(command, env=environment(), log=log)
    title = "dry run of 500 training runs: seconds"
    note = f"{memory:.0f} MB"
    return [Result(title, f"{cost.wall:.1f} s", "", cost.wall, cost.cpu, 10, "less", note=note)]


def demo(options) -> list[Result]:
    """Run the demo in a copy; how much of its core-seconds was not training."""
    if options.quick:
        return [Result("demo: share of wall time outside training", "left out by --quick")]
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "calibench")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--directory",
            str(checkout),
            "--cores",
            str(options.cores),
        ]
        command += ["--snakefile", str(checkout / "Snakefile")]
        cost, _ = child(command, env=environment(), log=str(Path(folder) / "log"))
        return shares_of(checkout, cost.wall, cost.cpu, options.cores)


def shares_of(checkout: Path, wall: float, cpu: float, cores: int) -> list[Result]:
    """Where the demo's core-seconds went: epochs, the rest of the training jobs, everything else."""
    records = sorted((checkout / "results/demo").glob("*/*/*/*/run.json"))
    training = sum(json.loads(path.read_text())["provenance"]["training_seconds"] for path in records)
    jobs = sum(
        json.loads((path.parent / "benchmark.jsonl").read_text().splitlines()[-1])["s"] for path in records
    )
    total = wall * cores
    rows = [
        ["steps of the epochs", f"{training:.0f}", f"{training / total:.2f}"],
        ["start, validation, predictions and features of the training jobs", f"{jobs - training:.0f}", f"{(jobs - training) / total:.2f}"],
        ["other stages, Snakemake, idle cores", f"{total - jobs:.0f}", f"{1 - jobs / total:.2f}"],
    ]  # fmt: skip
    title = f"demo: share of core time outside training ({len(records)} runs, {cores} cores)"
    note = f"{cpu:.0f} s of CPU time in all"
    return [
        Result(
            title,
            f"{wall:.0f} s in all",
            f"{training:.0f} core-s of steps",
            1 - training / total,
            note=note,
            rows=rows,
        )
    ]


def metrics(options) -> list[Result]:
    """All measures, 1,000 resamples and 1,000 null draws; see benchmarks/metrics.py."""
    sizes = ("--images", "13000", "--classes", "165") if options.quick else METRICS
    command = [sys.executable, str(Path(__file__).with_name("metrics.py")), *sizes]
    cost, memory = child(command, env=environment() | {"PYTHONPATH": str(options.workflow)})
    title = f"all measures, 1,000 resamples, 1,000 null draws of {sizes[1]} × {sizes[3]}: seconds"
    return [
        Result(
            title,
            f"{cost.wall:.1f} s",
            "",
            cost.wall,
            cost.cpu,
            10,
            "less",
            note=f"{memory:.0f} MB, with its start",
        )
    ]
