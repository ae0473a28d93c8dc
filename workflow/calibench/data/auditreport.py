"""The audit as a table, as counts, and as a few pairs of images to look at."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from calibench.data import findings
from calibench.data.decode import Window, resize, to_colour, to_uint8
from calibench.data.findings import LEVELS, Findings
from calibench.data.prints import Prints
from calibench.data.readers import Reader
from calibench.data.splitnames import SPLITS
from calibench.files import atomic_path

EXAMPLES = 3  # pairs of each kind
SIDE = 128  # of a thumbnail in the report, pixels
KINDS = ["exact", "copy", "flipped copy", "series", "flipped series"]
PLACES = ["across splits", "across classes", "within class"]
PAIRS_OF_SPLITS = (("train", "val"), ("train", "test"), ("val", "test"))


def _sizes(clusters: np.ndarray, minlength: int = 1) -> np.ndarray:
    """Number of images in each cluster."""
    return np.bincount(clusters[clusters >= 0], minlength=minlength)


def table(frame: pd.DataFrame, found: Findings, prints: Prints, reason: np.ndarray) -> pd.DataFrame:
    """One row per image: filename, label, split, problem, contrast, blank, exact, copies, series, conflict, dropped.

    ``exact``, ``copies`` and ``series`` number the clusters with more than one image; ``''`` for all other images.
    """

    def numbers(clusters: np.ndarray) -> np.ndarray:
        several = (clusters >= 0) & (_sizes(clusters)[clusters] > 1)
        return np.where(several, clusters.astype(str).astype(object), "")

    problem = np.full(len(frame), "", dtype=object)
    problem[list(prints.unreadable)] = list(prints.unreadable.values())
    return frame[["filename", "label", "split"]].assign(
        problem=problem,
        contrast=prints.contrast.round(2),
        blank=found.blank.astype(int),
        exact=numbers(found.exact),
        copies=numbers(found.copies),
        series=numbers(found.series),
        conflict=findings.conflicts(found, frame["target"].to_numpy()).astype(int),
        dropped=reason,
    )


def _pairs(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Pairs of rows to count and show: similar images, and each exact copy with the first image in its cluster."""
    rows = np.flatnonzero(found.exact >= 0)
    originals = found.representative[found.exact[rows]]
    copies = rows != originals
    first = np.concatenate([originals[copies], found.representative[found.pairs.first]])
    second = np.concatenate([rows[copies], found.representative[found.pairs.second]])
    kind = np.where(found.copy, 1, 3) + (found.pairs.flip > 0)
    split, target = frame["split"].to_numpy(), frame["target"].to_numpy()
    conflict = target[first] != target[second]
    place = np.where(split[first] != split[second], 0, np.where(conflict, 1, 2))
    return pd.DataFrame(
        {
            "a": first,
            "b": second,
            "kind": pd.Categorical.from_codes(np.concatenate([np.zeros(copies.sum(), int), kind]), KINDS),
            "where": pd.Categorical.from_codes(place, PLACES),
            "conflict": conflict,
            "likeness": np.concatenate([np.ones(copies.sum(), np.float32), found.pairs.likeness]),
        }
    )


def _count_exact(frame: pd.DataFrame, found: Findings) -> dict[str, int]:
    sizes = _sizes(found.exact, len(found.representative))
    labels = findings.count_labels(found, frame["target"].to_numpy())
    return {
        "clusters": int((sizes > 1).sum()),
        "images": int(sizes[sizes > 1].sum()),
        "clusters_across_classes": int((labels > 1).sum()),
    }


def _count_similar(pairs: pd.DataFrame, clusters: np.ndarray, level: str) -> dict[str, int]:
    those = pairs[pairs["kind"].isin([level, f"flipped {level}"])]
    sizes = _sizes(clusters)
    return {
        "pairs": len(those),
        "flipped_pairs": int((those["kind"] == f"flipped {level}").sum()),
        "pairs_across_classes": int(those["conflict"].sum()),
        "clusters": int((sizes > 1).sum()),
        "largest_cluster": int(sizes.max()),
        "images": int(sizes[sizes > 1].sum()),
    }


def leaks(found: Findings, split: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, int]]:
    """Images of the first split that are similar to one of the second, each counted at its highest level.

    ``split`` (N,) and ``kept`` (N,) bool, the images to look at, give
    ``{"train-val": {"exact": n, "copy": n, "series": n}, …}`` for each pair of splits with images.
    """
    result = {}
    for first, second in PAIRS_OF_SPLITS:
        own, others = (kept & (split == name) for name in (first, second))
        if own.any() and others.any():
            counts = [int((own & findings.similar(found, others, level)).sum()) for level in LEVELS]
            result[f"{first}-{second}"] = dict(zip(LEVELS, np.diff(counts, prepend=0).tolist(), strict=True))
    return result


def _exact_between_listed(found: Findings, listed: pd.DataFrame) -> dict[str, int]:
    """Clusters of equal images in both splits of a pair, as listed: a split that was drawn from train is train."""
    drawn = (listed["drawn"] == "1").to_numpy()
    split = np.where(drawn, "" if drawn.all() else "train", listed["split"].to_numpy(dtype=object))
    clusters = {name: np.unique(found.exact[(split == name) & (found.exact >= 0)]) for name in SPLITS}
    used = [(a, b) for a, b in PAIRS_OF_SPLITS if len(clusters[a]) and len(clusters[b])]
    return {f"{a}-{b}": len(np.intersect1d(clusters[a], clusters[b])) for a, b in used}


def within_test(found: Findings, frame: pd.DataFrame, test: np.ndarray) -> dict[str, float]:
    """Test images that are similar to another test image, and what that means for confidence intervals.

    ``effective`` is Kish's effective sample size N²/Σm² for groups of m images, if all images of a group are right
    or wrong together. Intervals from single images are then too narrow by the factor ``widening`` =
    √(N / effective); our intervals resample whole groups.
    """
    group = frame["group"].to_numpy(dtype=object)[test]
    single = int((group == "").sum())
    sizes = pd.Series(group[group != ""]).value_counts().to_numpy()
    squares = float((sizes**2).sum()) + single
    counts = {}
    for level, clusters in zip(LEVELS, (found.exact, found.copies, found.series), strict=True):
        images = _sizes(clusters[test])
        counts[level] = int(images[images > 1].sum())
    return {
        "images": len(group),
        **counts,
        "groups": len(sizes) + single,
        "effective": round(len(group) ** 2 / max(squares, 1.0), 1),
        "widening": round(float(np.sqrt(squares / max(len(group), 1))), 3),
    }


def examples(pairs: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The first few pairs of each kind, by file name."""
    names = frame["filename"].to_numpy(dtype=object)
    chosen = []
    for (kind, place), group in pairs.groupby(["kind", "where"], sort=True, observed=True):
        order = np.argsort(names[group["a"]].astype(str), kind="stable")[:EXAMPLES]
        for pair in group.iloc[order].itertuples():
            a, b = (frame.loc[row, ["filename", "label", "split"]].to_dict() for row in (pair.a, pair.b))
            likeness = round(float(pair.likeness), 3)
            chosen.append({"kind": kind, "where": place, "likeness": likeness, "a": a, "b": b})
    return chosen


def summary(
    listed: pd.DataFrame,
    frame: pd.DataFrame,
    found: Findings,
    prints: Prints,
    reason: np.ndarray,
    policy: dict[str, Any],
) -> dict[str, Any]:
    """Counts, the lowest possible error under label conflicts, example pairs, and what was dropped from which split.

    ``listed`` has the splits from before the search for similar images, ``frame`` the same rows with the final ones.
    """
    target, split = frame["target"].to_numpy(), frame["split"].to_numpy()
    test, kept = split == "test", reason == ""
    pairs = _pairs(frame, found)
    unreadable = sorted(prints.unreadable.items())

    def by_split(mask: np.ndarray) -> dict[str, int]:
        return {name: int((mask & (split == name)).sum()) for name in SPLITS}

    return {
        "images": len(frame),
        "policy": policy,
        "unreadable": [{"filename": frame["filename"].iloc[i], "why": why} for i, why in unreadable],
        "truncated": sum("truncated" in why for _, why in unreadable),
        "blank": by_split(found.blank),
        "exact": _count_exact(frame, found),
        "copy": _count_similar(pairs, found.copies, "copy"),
        "series": _count_similar(pairs, found.series, "series"),
        "exact_between_listed_splits": _exact_between_listed(found, listed),
        "leaks": {
            "before": leaks(found, listed["split"].to_numpy(), np.ones(len(frame), bool)),
            "after": leaks(found, split, kept),
        },
        "within_test": within_test(found, frame, test & kept),
        "conflicting_images": int(findings.conflicts(found, target).sum()),
        "error_floor": {
            "all": findings.error_floor(found.exact, target),
            "test": findings.error_floor(found.exact[test], target[test]),
        },
        "dropped": {cause: by_split(reason == cause) for cause in sorted(set(reason) - {""})},
        "examples": examples(pairs, frame),
    }


def write_thumbnails(chosen: list[dict[str, Any]], reader: Reader, window: Window, folder: Path) -> None:
    """Write each example pair side by side as PNG, and add the name of the PNG to the example as ``thumbnail``."""
    for number, example in enumerate(chosen, 1):
        images = [reader.read(example[side]["filename"]) for side in ("a", "b")]
        tiles = [resize(to_colour(to_uint8(image, window), "grey"), SIDE) for image in images]
        example["thumbnail"] = f"{number:02d}.png"
        gap = np.full((SIDE, 4), 255, np.uint8)
        data = cv2.imencode(".png", np.hstack([tiles[0], gap, tiles[1]]))[1].tobytes()
        with atomic_path(folder / example["thumbnail"]) as part:
            part.write_bytes(data)
