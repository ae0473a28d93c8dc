"""The audit in numbers, in a table, and in a few pairs to look at."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from calibench.data import findings
from calibench.data.decode import resize, to_colour, to_uint8
from calibench.data.findings import SPLITS, Findings
from calibench.data.prints import Prints
from calibench.data.readers import Reader
from calibench.files import atomic_path

EXAMPLES = 3  # pairs of each kind
SIDE = 128  # of a thumbnail in the report, pixels


def table(frame: pd.DataFrame, found: Findings, prints: Prints, reason: np.ndarray) -> pd.DataFrame:
    """One row per image: filename, label, split, problem, contrast, blank, exact, near, conflict, dropped.

    ``exact`` and ``near`` are numbers of clusters with more than one image, ``''`` otherwise.
    """

    def several(clusters: np.ndarray) -> np.ndarray:
        sizes = np.bincount(clusters[clusters >= 0], minlength=1)
        many = (clusters >= 0) & (sizes[clusters] > 1)
        return np.where(many, clusters.astype(str), "")

    problem = np.full(len(frame), "", dtype=object)
    problem[list(prints.why)] = list(prints.why.values())
    return frame[["filename", "label", "split"]].assign(
        problem=problem,
        contrast=prints.contrast.round(2),
        blank=found.blank.astype(int),
        exact=several(found.exact),
        near=several(found.near),
        conflict=findings.conflicts(found, frame["target"].to_numpy()).astype(int),
        dropped=reason,
    )


def _exact_counts(frame: pd.DataFrame, found: Findings) -> dict[str, int]:
    count = len(found.representative)
    split = pd.Categorical(frame["split"], SPLITS).codes.astype(int)
    size = np.bincount(found.exact[found.exact >= 0], minlength=count)
    labels = findings.distinct(found.exact, frame["target"].to_numpy(), count)
    splits = findings.distinct(found.exact, split, count)
    return {
        "clusters": int((size > 1).sum()),
        "images": int(size[size > 1].sum()),
        "clusters_within_class": int(((size > 1) & (labels == 1)).sum()),
        "clusters_across_classes": int((labels > 1).sum()),
        "clusters_across_splits": int((splits > 1).sum()),
    }


def _pairs(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Pairs of rows to count and show: near pairs, and each exact copy with the first of its cluster.

    Pairs of an exact cluster are completed so that its members in other splits and classes show up.
    """
    rows = np.flatnonzero(found.exact >= 0)
    heads = found.representative[found.exact[rows]]
    copies = rows != heads
    first = np.concatenate([heads[copies], found.representative[found.first]])
    second = np.concatenate([rows[copies], found.representative[found.second]])
    kind = np.repeat(["exact", "near"], [int(copies.sum()), len(found.first)])
    split, label = frame["split"].to_numpy(dtype=object), frame["label"].to_numpy(dtype=object)
    across_splits, across_classes = split[first] != split[second], label[first] != label[second]
    where = np.where(
        across_splits, "across splits", np.where(across_classes, "across classes", "within class")
    )
    return pd.DataFrame({"a": first, "b": second, "kind": kind, "where": where, "conflict": across_classes})


def _near_counts(pairs: pd.DataFrame, found: Findings) -> dict[str, int]:
    near = pairs[pairs["kind"] == "near"]
    size = np.bincount(found.near[found.near >= 0], minlength=1)
    return {
        "pairs": len(near),
        "pairs_across_classes": int(near["conflict"].sum()),
        "pairs_across_splits": int((near["where"] == "across splits").sum()),
        "clusters": int((size > 1).sum()),
        "largest_cluster": int(size.max()),
        "images": int(size[size > 1].sum()),
    }


def _copies_of_test(found: Findings, test: np.ndarray) -> dict[str, int]:
    """Images of train and validation that equal a test image, and those that are only near one."""
    exact = findings.copies_of_test(found, test, near_too=False) & ~test
    both = findings.copies_of_test(found, test) & ~test
    return {"exact": int(exact.sum()), "near": int((both & ~exact).sum())}


def examples(pairs: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The first few pairs of each kind, by file name."""
    names, labels, splits = (frame[c].to_numpy(dtype=object) for c in ("filename", "label", "split"))
    chosen = []
    for (kind, where), group in pairs.groupby(["kind", "where"], sort=True):
        order = np.argsort(names[group["a"]].astype(str), kind="stable")[:EXAMPLES]
        for a, b in group[["a", "b"]].to_numpy()[order]:
            sides = {
                key: {"filename": names[i], "label": labels[i], "split": splits[i]}
                for key, i in (("a", a), ("b", b))
            }
            chosen.append({"kind": kind, "where": where, **sides})
    return chosen


def summary(
    frame: pd.DataFrame, found: Findings, prints: Prints, reason: np.ndarray, policy: dict[str, Any]
) -> dict[str, Any]:
    """Counts, the error floor that label conflicts imply, example pairs, and what was dropped from where."""
    target, test = frame["target"].to_numpy(), (frame["split"] == "test").to_numpy()
    pairs = _pairs(frame, found)
    causes = sorted(set(reason) - {""})
    problems = [{"filename": frame["filename"].iloc[i], "why": why} for i, why in sorted(prints.why.items())]
    return {
        "images": len(frame),
        "policy": policy,
        "unreadable": problems,
        "truncated": sum("truncated" in p["why"] for p in problems),
        "blank": {s: int((found.blank & (frame["split"] == s).to_numpy()).sum()) for s in SPLITS},
        "exact": _exact_counts(frame, found),
        "near": _near_counts(pairs, found),
        "conflicting_images": int(findings.conflicts(found, target).sum()),
        "error_floor": {
            "all": findings.error_floor(found.exact, target),
            "test": findings.error_floor(found.exact[test], target[test]),
        },
        "copies_of_test": _copies_of_test(found, test),
        "dropped": {
            c: {s: int(((reason == c) & (frame["split"] == s)).sum()) for s in SPLITS} for c in causes
        },
        "examples": examples(pairs, frame),
    }


def write_thumbnails(
    chosen: list[dict[str, Any]], reader: Reader, window: list[float] | None, folder: Path
) -> None:
    """Write each example pair side by side as PNG, and its file name into the example as ``thumbnail``."""
    for number, example in enumerate(chosen, 1):
        images = [reader.read(example[side]["filename"]) for side in ("a", "b")]
        tiles = [resize(to_colour(to_uint8(image, window), "grey"), SIDE) for image in images]
        example["thumbnail"] = f"{number:02d}.png"
        gap = np.full((SIDE, 4), 255, np.uint8)
        data = cv2.imencode(".png", np.hstack([tiles[0], gap, tiles[1]]))[1].tobytes()
        with atomic_path(folder / example["thumbnail"]) as part:
            part.write_bytes(data)
