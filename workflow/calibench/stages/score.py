"""Measure predictions of any program: files of logits or probabilities in, tables, figures and a report out."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import cli
from calibench.errors import UserError
from calibench.external.given import Given, read_given, same_images
from calibench.external.runs import VOTES, write_external
from calibench.figures import ALL_SEEDS, OF_PREDICTIONS
from calibench.files import canonical, write_csv
from calibench.finished import names
from calibench.planning.configuration import complete, merge, read_yaml
from calibench.planning.externals import REGIME
from calibench.stages import analyse, collect, contrasts, figure, ranks, report, resample, tables
from calibench.tables.long import RUN_TABLES

log = logging.getLogger(__name__)
CHECKPOINT = "last"  # of a network of another program only the last state is known
BACKBONE = "given"
CLASSES = "classes.csv"
OWN_KEYS = ("name", "datasets", "backbones", "seeds", "runs")  # what the files and options decide


def named(items: Sequence[str]) -> list[tuple[str, int, Path]]:
    """Name, seed and file of each argument ``[NAME=]FILE``; a name that comes again is the next seed of it.

    Raises:
        UserError: two files without a name of their own that would get the same one.
    """
    found: list[tuple[str, int, Path]] = []
    given: dict[str, tuple[str, list[Path]]] = {}
    for item in items:
        label, equals, file = item.rpartition("=")
        text = label if equals else Path(file).stem
        name = re.sub(r"[^a-z0-9_.]", "_", text.lower()).strip(".") or "model"
        first, files = given.setdefault(name, (text, []))
        if files and not (equals and first == text):
            raise UserError(
                f"{files[0]} and {file} would both be called '{name}'; call them A={files[0]} B={file}"
            )
        found.append((name, len(files), Path(file)))
        files.append(Path(file))
    return found


def configuration(
    out: Path, data: str, files: list[tuple[str, int, Path]], calibrate: bool, more: Path | None
) -> dict[str, Any]:
    """The configuration of an experiment that these files could have come from, completed.

    Raises:
        UserError: if ``more`` is not a configuration, or sets what the files decide.
    """
    runs = list(dict.fromkeys(f"{REGIME}+{name}" for name, _, _ in files))
    own: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", out.resolve().name) or "score",
        "datasets": {data: {"root": str(out), "calibrate": 0.5 if calibrate else 0}},
        "backbones": [BACKBONE],
        "seeds": sorted({seed for _, seed, _ in files}),
        "runs": runs,
        "tables": {"checkpoint": CHECKPOINT},
        "statistics": {"contrasts": [[run, runs[0]] for run in runs[1:]]},
    }
    added = read_yaml(more) if more else {}
    if taken := [key for key in added if key in OWN_KEYS]:
        raise UserError(f"{more}: '{taken[0]}' follows from the files that are scored; leave it out")
    return complete(merge(own, added))


def write_runs(
    out: Path, data: str, files: list[tuple[str, int, Path]], given: list[Given]
) -> dict[str, list[Path]]:
    """Records of the files as finished runs, by run."""
    labels = pd.DataFrame({"target": range(len(given[0].classes)), "label": given[0].classes})
    write_csv(labels, out / CLASSES)
    records: dict[str, list[Path]] = {}
    for (name, seed, source), one in zip(files, given, strict=True):
        run = f"{REGIME}+{name}"
        keys = dict(zip(names.KEYS, (data, BACKBONE, REGIME, f"+{name}", seed), strict=True))
        folder = Path(names.run_folder(str(out), data, BACKBONE, run, seed))
        write_external(folder, one, keys, (CHECKPOINT,), source)
        records.setdefault(run, []).append(folder / names.RECORD)
    return records


def analysed(out: Path, records: list[Path], config: dict[str, Any]) -> None:
    """The long tables of all runs. They are of the same images, so the votes of one file are those of all."""
    asked = ["--checkpoint", CHECKPOINT, "--settings", canonical(config["statistics"])]
    asked += ["--classes", str(out / CLASSES)]
    votes = [record.with_name(VOTES) for record in records if record.with_name(VOTES).exists()]
    asked += [f"--votes={path}" for path in votes[:1]]
    outs = [f"--out-{table}={out / f'{table}.csv'}" for table in RUN_TABLES]
    analyse.main([*asked, *outs, *map(str, records)])
    ranked = ["--metrics", str(out / "metrics.csv"), "--out", str(out / "ranks.csv")]
    ranks.main([*ranked, *asked[:4]])


def compared(out: Path, data: str, records: list[Path], config: dict[str, Any]) -> None:
    """Intervals of every number, and differences between the models where there are two."""
    asked = ["--settings", canonical(config["statistics"]), "--checkpoint", CHECKPOINT]
    paths = [str(record) for record in records]
    resample.main([*asked, "--out", str(out / data / "intervals.csv"), *paths])
    collect.main(["--out", str(out / "intervals.csv"), str(out / data / "intervals.csv")])
    if len(config["runs"]) > 1:
        contrasts.main([*asked, "--out", str(out / "contrasts.csv"), *paths])


def tabled(out: Path, data: str, config: dict[str, Any]) -> None:
    """The tables of the papers, and those of ``tables.layouts``."""
    keys = {key: config[key] for key in ("backbones", "seeds", "runs")}
    settings = {**keys, "datasets": [data], "checkpoint": CHECKPOINT, "published": None}
    settings |= {"layouts": config["tables"]["layouts"]}
    tables.main(
        [
            *("--metrics", str(out / "metrics.csv"), "--posthoc", str(out / "posthoc.csv")),
            *("--settings", canonical(settings), "--out-dir", str(out / "tables")),
        ]
    )


def shown(out: Path, data: str, records: dict[str, list[Path]], config: dict[str, Any]) -> None:
    """Figures and the report."""
    positive = config["statistics"]["positive"]
    declared = ["--classes", str(out / CLASSES), "--positive", *positive]
    for kind in OF_PREDICTIONS if positive else OF_PREDICTIONS[:-1]:
        of_kind = [str(r) for own in records.values() for r in (own if kind in ALL_SEEDS else own[:1])]
        base = out / "figures" / f"{kind}-{data}-{BACKBONE}"
        looks = ["--checkpoint", CHECKPOINT, "--runs", ",".join(records)]
        looks += declared if kind == "netbenefit" else []
        figure.main([kind, *of_kind, f"--out={base}.png", f"--out-pdf={base}.pdf", *looks])
    asked = ["--experiment-dir", str(out), "--settings", canonical({"config": config})]
    report.main([*asked, "--out", str(out / "report.html")])


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("files", nargs="+", metavar="[NAME=]FILE", help=".npz or .csv (docs/score.md)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--data", default="data", help="what the images are called in tables")
    parser.add_argument("--config", type=Path, help="YAML with statistics and tables of an experiment")
    parser.add_argument("--no-resampling", action="store_true", help="no intervals and no comparisons")
    parser.add_argument("--no-report", action="store_true", help="tables only: no figures and no report")
    args = parser.parse_args(argv)
    files = named(args.files)
    given = same_images([read_given(path) for _, _, path in files])
    calibrate = bool((given[0].index["part"] == "calibrate").any())
    config = configuration(args.out, args.data, files, calibrate, args.config)
    by_run = write_runs(args.out, args.data, files, given)
    records = [record for own in by_run.values() for record in own]
    analysed(args.out, records, config)
    if not args.no_resampling:
        compared(args.out, args.data, records, config)
    tabled(args.out, args.data, config)
    if not args.no_report:
        shown(args.out, args.data, by_run, config)
    log.info("%s: %d models, %d images", args.out, len(by_run), len(given[0].index))
