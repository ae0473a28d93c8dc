"""What the notebook calls: tables as frames, and figures drawn again from finished runs."""

import base64
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from calibench.figures import ALL_SEEDS
from calibench.report import drawn, measures
from calibench.report.experiment import Experiment

WITH_RUNS = ("reliability", "retention", "density", "curves")
WITH_CLASSES = ("tsne", "matrix", "entropy", "bars", "classmeans", "distances")


class Pictures(list[bytes]):
    """PNGs that a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        shown = (base64.b64encode(picture).decode("ascii") for picture in self)
        return "".join(f'<img style="max-width:60em" src="data:image/png;base64,{text}">' for text in shown)

    def __repr__(self) -> str:
        return f"{len(self)} figure(s)"


def table(x: Experiment, name: str) -> pd.DataFrame | None:
    """A printed table as a frame; None where no run has finished."""
    grid = measures.grid(x, name)
    return None if grid is None else pd.DataFrame(grid.rows, columns=grid.heads())


def figures(x: Experiment, kind: str, *options: str) -> Pictures:
    """One kind of figure for every data set and backbone with a finished run, drawn anew.

    Args:
        x: the experiment.
        kind: as in ``calibench figure <kind>``.
        options: more of its command line.
    """
    from calibench.stages import figure

    seeds = x.config["seeds"] if kind in ALL_SEEDS else x.config["seeds"][:1]
    if kind in WITH_RUNS:
        options += ("--checkpoint", x.checkpoint, "--runs", ",".join(x.run_names))
    found = Pictures()
    for place in x.places:
        runs = [r for r in x.finished if (r.dataset, r.backbone) == place and r.seed in seeds]
        classes = ("--classes", str(x.stores[place[0]] / "classes.csv")) if kind in WITH_CLASSES else ()
        if runs:
            with tempfile.TemporaryDirectory() as folder:
                records = [str(run.folder / "run.json") for run in runs]
                figure.main([kind, "--out", f"{folder}/figure.png", *options, *classes, *records])
                found += _read([Path(folder, "figure.png")])
    return found


def drawn_already(x: Experiment, kind: str) -> Pictures:
    """The figures of one kind as the workflow drew them."""
    return _read(one.path for one in drawn.of(x, kind))


def _read(paths: Iterable[Path]) -> Pictures:
    return Pictures(path.read_bytes() for path in paths)
