"""Stage: the figures of one dataset and backbone, drawn from the files of its runs."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.catalog import label
from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.evaluate import PARTS, read_index, read_logits, read_run
from calibench.files import write_csv
from calibench.tables import backbone_label

SCORES = ["dataset", "backbone", "regime", "variant", "seed", "split", "n", "metric", "value"]


def identities(run_dirs: Sequence[Path]) -> list[dict[str, Any]]:
    """What each run is; all must share dataset and backbone, and none may come twice.

    Raises:
        UserError: otherwise.
    """
    found = [read_run(path) for path in run_dirs]
    for path, entry in zip(run_dirs, found, strict=True):
        if any(entry[key] != found[0][key] for key in ("dataset", "backbone")):
            raise UserError(
                f"{path} has another dataset or backbone than {run_dirs[0]}; draw one figure for each"
            )
        if found.count(entry) > 1:
            raise UserError(f"{path} is given twice (same regime, variant and seed)")
    return found


def heads(found: list[dict[str, Any]]) -> list[str]:
    """Panel titles: the regime's label, with the seed where a regime comes with several."""
    names = [label(entry["regime"] + entry["variant"]) for entry in found]
    return [
        name if names.count(name) == 1 else f"{name}, seed {entry['seed']}"
        for name, entry in zip(names, found, strict=True)
    ]


def titled(found: list[dict[str, Any]], *more: str) -> str:
    """Title of a figure: data set, backbone, and what else it shows."""
    return ", ".join([found[0]["dataset"], backbone_label(found[0]["backbone"]), *more])


def read_classes(path: Path) -> pd.Series:
    """Class names by target from ``classes.csv``."""
    if not path.is_file():
        raise UserError(f"--classes {path} is missing")
    frame = pd.read_csv(path, dtype={"label": str}, keep_default_na=False)
    return frame.set_index("target")["label"].sort_index()


def read_features(run_dir: Path, split: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) as float32 and their index (row, target)."""
    path = run_dir / "features" / f"{split}.npy"
    if not path.is_file():
        raise UserError(f"{path} is missing; predict this run again")
    features = np.load(path, allow_pickle=False).astype(np.float32)
    index = pd.read_csv(path.with_suffix(".csv"))
    if len(features) != len(index):
        raise UserError(
            f"{path} has {len(features)} rows but its index has {len(index)}; predict this run again"
        )
    if not np.isfinite(features).all():
        raise UserError(f"{path} holds NaN or infinity; the training diverged")
    return features, index


def _groups(args: argparse.Namespace, index: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Legend entry of each sample: its class, or its stratum where classes are too many to tell apart."""
    from calibench.plots.embedding import LEGEND_LIMIT

    classes = read_classes(args.classes)
    if index["target"].nunique() > LEGEND_LIMIT and args.index:
        strata = pd.read_csv(args.index, dtype={"stratum": str}, keep_default_na=False)
        names = strata.set_index("row")["stratum"].reindex(index["row"]).to_numpy(dtype=object)
        if 2 <= len(set(names)) <= LEGEND_LIMIT and "" not in names:
            return names.astype(str), "stratum"
    return classes.reindex(index["target"]).to_numpy(dtype=object).astype(str), "class"


def draw_tsne(args: argparse.Namespace) -> Any:
    """Figure 2, and its scores as a long table."""
    from calibench.metrics.clusters import cluster_scores
    from calibench.plots import embedding

    found = identities(args.run_dirs)
    maps, scores, rows, first = {}, {}, [], None
    for path, entry, head in zip(args.run_dirs, found, heads(found), strict=True):
        features, index = read_features(path, args.split)
        first = index if first is None else first
        if not index[["row", "target"]].equals(first[["row", "target"]]):
            raise UserError(
                f"{path} holds features of other images than {args.run_dirs[0]}; predict both again"
            )
        scores[head] = cluster_scores(features, index["target"].to_numpy())
        picked = _picked(len(index), args.points, args.seed)
        maps[head] = embedding.tsne(features[picked], args.seed, args.perplexity, args.threads)
        rows += [
            {**entry, "split": args.split, "n": len(index), "metric": m, "value": v}
            for m, v in scores[head].items()
        ]
    if args.out_data:
        write_csv(pd.DataFrame(rows, columns=SCORES), args.out_data)
    shown = first.iloc[picked]
    names, kind = _groups(args, shown)
    what = "training images" if args.split == "train" else f"{args.split} images"
    title = titled(found, f"t-SNE of penultimate features, the same {len(shown):,} {what} in every panel")
    return embedding.draw(maps, names, scores, title, kind)


def _picked(n: int, points: int, seed: int) -> np.ndarray:
    """Sorted positions of the samples to map: all, or a seeded draw that is the same for every run."""
    if not points or n <= points:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, points, replace=False))


def _confidences(args: argparse.Namespace) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """Panel title → (confidence (N,), correct (N,)) on one split and checkpoint, and the figure's title."""
    from calibench.metrics.probabilities import Predictions

    found = identities(args.run_dirs)
    runs = {}
    file = next(name for name, parts in PARTS.items() if args.split in parts)
    for path, head in zip(args.run_dirs, heads(found), strict=True):
        index = read_index(path / "predictions" / f"{file}.csv")
        logits = read_logits(path, args.checkpoint, file, len(index))
        mask = (index["part"] == args.split).to_numpy()
        seen = Predictions.of(logits[mask], index["target"].to_numpy()[mask], f"{path} ({args.split})")
        runs[head] = (seen.confidence, seen.correct)
    n = len(next(iter(runs.values()))[0])
    return runs, titled(found, f"{args.split}, checkpoint {args.checkpoint}, {n:,} images")


def draw_reliability(args: argparse.Namespace) -> Any:
    """Reliability diagrams on one split and checkpoint."""
    from calibench.plots import reliability

    return reliability.draw(*_confidences(args))


def draw_retention(args: argparse.Namespace) -> Any:
    """Retention curves of all runs in one panel."""
    from calibench.plots import selective

    return selective.draw_retention(*_confidences(args))


def draw_density(args: argparse.Namespace) -> Any:
    """Confidence of right and of wrong predictions."""
    from calibench.plots import selective

    return selective.draw_density(*_confidences(args))


def read_history(run_dir: Path) -> pd.DataFrame:
    """``history.jsonl`` as a frame, one row per epoch.

    Raises:
        UserError: if it is missing, empty or broken.
    """
    path = run_dir / "history.jsonl"
    try:
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; train this run first") from error
    except ValueError as error:
        raise UserError(f"{path} holds a line that is not JSON ({error})") from error
    if not lines:
        raise UserError(f"{path} is empty; no epoch has finished")
    return pd.DataFrame(lines)


def draw_curves(args: argparse.Namespace) -> Any:
    """Learning curves; seeds of a regime share a colour."""
    from calibench.plots import curves

    found = identities(args.run_dirs)
    frames = [
        read_history(path).assign(run=label(entry["regime"] + entry["variant"]), seed=entry["seed"])
        for path, entry in zip(args.run_dirs, found, strict=True)
    ]
    history = pd.concat(frames, ignore_index=True)
    if args.out_data:
        write_csv(history, args.out_data)
    return curves.draw(history, titled(found, "learning curves"))


def draw_matrix(args: argparse.Namespace) -> Any:
    """Heat map of the matrix in each run's ``regime.safetensors``."""
    from safetensors.numpy import load_file

    from calibench.plots import matrix

    found = identities(args.run_dirs)
    labels = list(read_classes(args.classes))
    matrices = {}
    for path, head in zip(args.run_dirs, heads(found), strict=True):
        file = path / "regime.safetensors"
        if not file.is_file():
            raise UserError(f"{file} is missing; train this run first")
        values = load_file(file).get("matrix")
        if values is None:
            raise UserError(f"{file} holds no matrix; this figure is for regimes that learn one (ols)")
        if values.shape != (len(labels), len(labels)):
            raise UserError(
                f"{file}: matrix of shape {values.shape} but {args.classes} has {len(labels)} classes"
            )
        matrices[head] = values.astype(np.float64)
    return matrix.draw(matrices, labels, titled(found, "soft labels of the last epoch"), args.diagonal)


def _extra(kind: str) -> Callable[[argparse.Namespace], Any]:
    def draw(args: argparse.Namespace) -> Any:
        from calibench import extra_figures  # it builds on this module

        return getattr(extra_figures, f"draw_{kind}")(args)

    return draw


KINDS: dict[str, tuple[Callable[[argparse.Namespace], Any], str]] = {
    "tsne": (draw_tsne, "Fig. 2: t-SNE of penultimate features with cluster scores measured on the features"),
    "reliability": (draw_reliability, "reliability diagrams with bin counts and null bands"),
    "retention": (draw_retention, "retention curves with R-AUC (LS+ Fig. 1)"),
    "density": (draw_density, "confidence of right and wrong predictions (LS+ Fig. 2)"),
    "curves": (draw_curves, "learning curves from history.jsonl"),
    "matrix": (draw_matrix, "heat map of the OLS matrix"),
    "entropy": (_extra("entropy"), "entropy of learned matrices over the epochs"),
    "bars": (_extra("bars"), "soft label of one class under each regime (Zhang Fig. 1)"),
    "classmeans": (_extra("classmeans"), "class-wise mean output probabilities (LS++ Fig. 4)"),
    "distances": (_extra("distances"), "distances between class centres (LS++ Fig. 5)"),
}


def parser() -> argparse.ArgumentParser:
    """The command line: one sub-command per kind of figure."""
    top = argparse.ArgumentParser(prog="calibench.figures", description=__doc__)
    kinds = top.add_subparsers(dest="kind", required=True)
    for kind, (_, help_text) in KINDS.items():
        sub = kinds.add_parser(kind, help=help_text, description=help_text)
        sub.add_argument("--out", type=Path, required=True, help="PNG to write (200 dpi)")
        sub.add_argument("--out-pdf", type=Path, help="PDF to write")
        sub.add_argument(
            "run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="runs of one dataset and backbone"
        )
        if kind in ("tsne", "curves"):
            sub.add_argument("--out-data", type=Path, help="CSV with the numbers in the figure")
        if kind in ("tsne", "matrix", "entropy", "bars", "classmeans", "distances"):
            sub.add_argument("--classes", type=Path, required=True, help="classes.csv of the dataset")
        if kind == "tsne":
            sub.add_argument(
                "--index", type=Path, help="index.csv of the store: colours by stratum when classes are many"
            )
            sub.add_argument("--split", default="train", choices=["train", "val", "test"])
            sub.add_argument("--seed", type=int, default=0, help="seed of t-SNE")
            sub.add_argument("--threads", type=int, default=1)
            sub.add_argument("--perplexity", type=float, default=30.0)
            sub.add_argument(
                "--points", type=int, default=0, help="map a seeded draw of so many samples (0 = all)"
            )
        if kind == "distances":
            sub.add_argument("--split", default="train", choices=["train", "val", "test"])
        if kind == "bars":
            sub.add_argument(
                "--class", dest="class_name", help="name of the class (default: the most confused)"
            )
            sub.add_argument("--checkpoint", default="top1")
        if kind in ("reliability", "retention", "density", "classmeans"):
            sub.add_argument("--split", default="test", choices=["select", "calibrate", "test"])
            sub.add_argument("--checkpoint", default="top1")
        if kind == "matrix":
            sub.add_argument(
                "--diagonal", action="store_true", help="show the diagonal instead of masking it"
            )
    return top


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = parser().parse_args(argv)
    from calibench.plots import style

    draw, _ = KINDS[args.kind]
    style.save(draw(args), args.out, args.out_pdf)


if __name__ == "__main__":
    run_stage(main)
