"""Seeded choices of images, for samples and splits. They depend on names, never on the order of rows."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def keys(names: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """One uniform uint64 per name, a pure function of (name, seed, purpose).

    Hashes instead of a random generator: a new image or another order of the list does not change the numbers of
    the other images, and no version of any library does.
    """
    salt = f"{purpose}:{seed}:".encode()
    digest = (hashlib.blake2b(salt + name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digest), dtype="<u8")


def cap(labels: ArrayLike, names: Iterable[str], per_class: int, seed: int) -> np.ndarray:
    """Keep at most ``per_class`` images of each class: (N,) bool from ``labels`` (N,) and N file names.

    A smaller cap with the same seed keeps a subset of what a larger one keeps.
    """
    labels = np.asarray(labels, dtype=np.int64)
    order = np.lexsort((keys(names, seed, "sample"), labels))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return rank < per_class


def _cut_groups(
    labels: np.ndarray, groups: np.ndarray, share: float, key: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whole groups so that about ``share`` of every class is chosen; greedy, the largest groups first.

    Args:
        labels: (M,) class of each image that is in a group.
        groups: (M,) group number 0..G-1.
        key: (G,) uint64, the order of groups of the same size.

    Returns:
        (G,) bool chosen groups; (K,) number of chosen images per class.
    """
    counts = pd.DataFrame({"group": groups, "label": labels}).value_counts(sort=False).reset_index()
    group, label, count = counts.sort_values("group").to_numpy().T
    starts = np.searchsorted(group, np.arange(len(key) + 1))
    totals = np.bincount(labels)
    visited, held = np.zeros(len(totals)), np.zeros(len(totals))
    chosen = np.zeros(len(key), dtype=bool)
    for g in np.lexsort((key, -np.bincount(groups))):
        rows = slice(starts[g], starts[g + 1])
        classes, n = label[rows], count[rows]
        visited[classes] += n
        lack = share * visited[classes] - held[classes]
        # How much the group reduces the squared distance to the target counts, relative to the class sizes.
        gain = float((n * (2 * lack - n) / totals[classes]).sum())
        if gain > 0 or (gain == 0 and key[g] % 2):
            chosen[g] = True
            held[classes] += n
    return chosen, held


def _cut_single(
    labels: np.ndarray, key: np.ndarray, rates: np.ndarray, seed: int, purpose: str
) -> np.ndarray:
    """Systematic sampling through the classes: at most one image off the target count, per class and in total."""
    order = np.lexsort((key, labels))
    offset = keys([""], seed, purpose + ":offset")[0] / 2.0**64
    steps = np.floor(np.cumsum(rates[labels[order]]) + offset)
    held = np.empty(len(labels), dtype=bool)
    held[order] = np.diff(steps, prepend=np.floor(offset)) > 0
    return held


def cut(
    labels: ArrayLike, groups: ArrayLike, names: ArrayLike, share: float, seed: int, purpose: str
) -> np.ndarray:
    """Hold out about ``share`` of every class and keep every group together: (N,) bool, True = held out.

    Groups of several images come first. Single images then fill up each class, so without groups every class is at
    most one image off.

    Args:
        labels: (N,) class indices.
        groups: (N,) group names, ``''`` = the image is a group of its own.
        names: (N,) file names.
        share: 0 to 1.
        seed: of the choice.
        purpose: makes choices for different purposes independent.
    """
    labels = np.asarray(labels, dtype=np.int64)
    names, groups = np.asarray(names, dtype=object), np.asarray(groups, dtype=object)
    held = np.zeros(len(labels), dtype=bool)
    counts = np.zeros(labels.max(initial=-1) + 1)  # held out so far, per class
    single = groups == ""
    if not single.all():
        numbers, unique = pd.factorize(groups[~single])
        chosen, count = _cut_groups(labels[~single], numbers, share, keys(unique, seed, purpose + ":group"))
        held[~single] = chosen[numbers]
        counts[: len(count)] += count
    if single.any():
        wanted = share * np.bincount(labels) - counts
        available = np.bincount(labels[single], minlength=len(counts))
        rates = np.clip(wanted, 0, available) / np.maximum(available, 1)
        held[single] = _cut_single(labels[single], keys(names[single], seed, purpose), rates, seed, purpose)
    return held


def split(
    labels: ArrayLike, groups: ArrayLike, names: ArrayLike, shares: dict[str, float], seed: int
) -> np.ndarray:
    """Split names (N,): ``shares`` of all images, such as ``{"test": 0.2, "val": 0.1}``, are held out by :func:`cut`.

    Every class keeps at least one group in train.
    """
    labels = np.asarray(labels)
    groups, names = np.asarray(groups, dtype=object), np.asarray(names, dtype=object)
    parts = np.full(len(labels), "train", dtype=object)
    left = 1.0
    for name, share in shares.items():
        rest = np.flatnonzero(parts == "train")
        held = cut(labels[rest], groups[rest], names[rest], share / left, seed, "split:" + name)
        parts[rest[held]] = name
        left -= share
    for label in np.setdiff1d(labels, labels[parts == "train"]):
        rows = np.flatnonzero(labels == label)
        row = rows[np.argmin(keys(names[rows], seed, "return"))]
        parts[(groups == groups[row]) if groups[row] else row] = "train"
    return parts
