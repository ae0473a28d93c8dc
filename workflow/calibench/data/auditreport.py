"""The audit in numbers, in a table, and in a few pairs to look at."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from calibench.data import findings
from calibench.data.decode import resize, to_colour, to_uint8
from calibench.data.findings import LEVELS, SPLITS, Findings
from calibench.data.prints import Prints
from calibench.data.readers import Reader
from calibench.files import atomic_path

EXAMPLES = 3  # pairs of each kind
SIDE = 128  # of a thumbnail in the report, pixels


def table(frame: pd.DataFrame, found: Findings, prints: Prints, reason: np.ndarray) -> pd.DataFrame:
    """One row per image: filename, label, split, problem, contrast, blank, exact, copies, series, conflict, dropped.

    ``exact``, ``copies`` and ``series`` are numbers of clusters with more than one image, ``''`` otherwise.
    """

    def several(clusters: np.ndarray) -> np.ndarray:
        sizes = np.bincount(clusters[clusters >= 0], minlength=1)
        many = (clusters >= 0) & (sizes[clusters] > 1)
        numbers = np.full(len(clusters), "", dtype=object)
        numbers[many] = clusters[many].astype(str)
        return numbers

    problem = np.full(len(frame), "", dtype=object)
    problem[list(prints.why)] = list(prints.why.values())
    return frame[["filename", "label", "split"]].assign(
        problem=problem,
        contrast=prints.contrast.round(2),
        blank=found.blank.astype(int),
        exact=several(found.exact),
        copies=several(found.copies),
        series=several(found.series),
        conflict=findings.conflicts(found, frame["target"].to_numpy()).astype(int),
        dropped=reason,
    )


def _exact_counts(frame: pd.DataFrame, found: Findings) -> dict[str, int]:
    count = len(found.representative)
    size = np.bincount(found.exact[found.exact >= 0], minlength=count)
    labels = findings.distinct(found.exact, frame["target"].to_numpy(), count)
    return {
        "clusters": int((size > 1).sum()),
        "images": int(size[size > 1].sum()),
        "clusters_across_classes": int((labels > 1).sum()),
    }


def _pairs(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Pairs of rows to count and show: pairs of like images, and each exact copy with the first of its cluster."""
    rows = np.flatnonzero(found.exact >= 0)
    heads = found.representative[found.exact[rows]]
    copies = rows != heads
    kinds = ["exact", "copy", "flipped copy", "series", "flipped series"]
    kind = np.where(found.copy, 1, 3) + (found.pairs.flip > 0)
    first = np.concatenate([heads[copies], found.representative[found.pairs.first]])
    second = np.concatenate([rows[copies], found.representative[found.pairs.second]])
    kind = pd.Categorical.from_codes(np.concatenate([np.zeros(copies.sum(), int), kind]), kinds)
    split, target = (frame[name].to_numpy() for name in ("split", "target"))
    across_splits, conflict = split[first] != split[second], target[first] != target[second]
    places = ["across splits", "across classes", "within class"]
    where = pd.Categorical.from_codes(np.where(across_splits, 0, np.where(conflict, 1, 2)), places)
    likeness = np.concatenate([np.ones(copies.sum(), np.float32), found.pairs.likeness])
    return pd.DataFrame(
        {"a": first, "b": second, "kind": kind, "where": where, "conflict": conflict, "likeness": likeness}
    )


def _like_counts(pairs: pd.DataFrame, clusters: np.ndarray, level: str) -> dict[str, int]:
    those = pairs[pairs["kind"].isin([level, f"flipped {level}"])]
    size = np.bincount(clusters[clusters >= 0], minlength=1)
    return {
        "pairs": len(those),
        "flipped_pairs": int((those["kind"] == f"flipped {level}").sum()),
        "pairs_across_classes": int(those["conflict"].sum()),
        "clusters": int((size > 1).sum()),
        "largest_cluster": int(size.max()),
        "images": int(size[size > 1].sum()),
    }


def leaks(found: Findings, split: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, int]]:
    """Images of the first split that are like one of the second, each counted at its highest level.

    Args:
        split: (N,) name of the split, ``''`` = none.
        kept: (N,) bool, images to look at.

    Returns:
        ``{"train-val": {"exact": n, "copy": n, "series": n}, …}`` for each pair of splits that have images.
    """
    result = {}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        mine, those = (kept & (split == name) for name in (first, second))
        if mine.any() and those.any():
            upto = [int((mine & findings.like(found, those, level)).sum()) for level in LEVELS]
            result[f"{first}-{second}"] = dict(zip(LEVELS, np.diff(upto, prepend=0).tolist(), strict=True))
    return result


def listed_splits(frame: pd.DataFrame) -> np.ndarray:
    """(N,) splits as the list has them: rows that the seed has cut from train are train; ``''`` if it has none."""
    drawn = (frame["drawn"] == "1").to_numpy()
    return np.where(drawn, "" if drawn.all() else "train", frame["split"].to_numpy(dtype=object))


def _between_listed(found: Findings, split: np.ndarray) -> dict[str, dict[str, int]]:
    """For each pair of listed splits: clusters of equal images that have members in both."""
    has = {name: np.zeros(len(found.representative), bool) for name in SPLITS}
    for name in SPLITS:
        has[name][found.exact[(split == name) & (found.exact >= 0)]] = True
    pairs = (("train", "val"), ("train", "test"), ("val", "test"))
    return {f"{a}-{b}": int((has[a] & has[b]).sum()) for a, b in pairs if has[a].any() and has[b].any()}


def within_test(found: Findings, frame: pd.DataFrame, test: np.ndarray) -> dict[str, float]:
    """Images of test that have a like image in test, and what that does to intervals.

    ``effective`` is Kish's N²/Σm² over groups of m images: so many independent images tell as much, if the images
    of a group are right or wrong together. Intervals that draw images one by one are then too narrow by
    ``widening`` = √(N / effective); ours draw whole groups.
    """
    counts = {}
    for level, clusters in zip(LEVELS, (found.exact, found.copies, found.series), strict=True):
        size = np.bincount(clusters[test & (clusters >= 0)], minlength=1)
        counts[level] = int(size[size > 1].sum())
    group = frame["group"].to_numpy(dtype=object)[test]
    sizes = pd.Series(group[group != ""]).value_counts().to_numpy()
    alone = int((group == "").sum())
    spread = float((sizes**2).sum()) + alone
    return {
        "images": len(group),
        **counts,
        "groups": len(sizes) + alone,
        "effective": round(len(group) ** 2 / max(spread, 1.0), 1),
        "widening": round(float(np.sqrt(spread / max(len(group), 1))), 3),
    }


def examples(pairs: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The first few pairs of each kind, by file name."""
    names, labels, splits = (frame[c].to_numpy(dtype=object) for c in ("filename", "label", "split"))
    chosen = []
    for (kind, where), group in pairs.groupby(["kind", "where"], sort=True, observed=True):
        order = np.argsort(names[group["a"]].astype(str), kind="stable")[:EXAMPLES]
        for a, b, likeness in group[["a", "b", "likeness"]].iloc[order].itertuples(index=False):
            sides = {
                key: {"filename": names[i], "label": labels[i], "split": splits[i]}
                for key, i in (("a", a), ("b", b))
            }
            chosen.append({"kind": kind, "where": where, "likeness": round(float(likeness), 3), **sides})
    return chosen


def summary(
    listed: pd.DataFrame,
    frame: pd.DataFrame,
    found: Findings,
    prints: Prints,
    reason: np.ndarray,
    policy: dict[str, Any],
) -> dict[str, Any]:
    """Counts, the error floor that label conflicts imply, example pairs, and what was dropped from where.

    Args:
        listed: the list as it came, with the splits that the seed drew without knowing what is alike.
        frame: the same rows with their final splits.
    """
    target, test = frame["target"].to_numpy(), (frame["split"] == "test").to_numpy()
    pairs = _pairs(frame, found)
    causes = sorted(set(reason) - {""})
    problems = [{"filename": frame["filename"].iloc[i], "why": why} for i, why in sorted(prints.why.items())]
    kept = reason == ""
    return {
        "images": len(frame),
        "policy": policy,
        "unreadable": problems,
        "truncated": sum("truncated" in p["why"] for p in problems),
        "blank": {s: int((found.blank & (frame["split"] == s).to_numpy()).sum()) for s in SPLITS},
        "exact": _exact_counts(frame, found),
        "copy": _like_counts(pairs, found.copies, "copy"),
        "series": _like_counts(pairs, found.series, "series"),
        "exact_between_listed_splits": _between_listed(found, listed_splits(listed)),
        "leaks": {
            "before": leaks(found, listed["split"].to_numpy(), np.ones(len(frame), bool)),
            "after": leaks(found, frame["split"].to_numpy(), kept),
        },
        "within_test": within_test(found, frame, test & kept),
        "conflicting_images": int(findings.conflicts(found, target).sum()),
        "error_floor": {
            "all": findings.error_floor(found.exact, target),
            "test": findings.error_floor(found.exact[test], target[test]),
        },
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
