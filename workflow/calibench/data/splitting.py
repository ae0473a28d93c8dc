"""Seeded choices over images: who is sampled, who is held out. They hang on names, never on row order."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def keys(names: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """One uniform uint64 per name, a pure function of (name, seed, purpose).

    Hashes instead of a generator: adding an image or sorting a list changes nobody else's number, and the
    numbers stay the same in every version of every library.
    """
    salt = f"{purpose}:{seed}:".encode()
    digest = (hashlib.blake2b(salt + name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digest), dtype="<u8")


def cap(labels: ArrayLike, names: Iterable[str], per_class: int, seed: int) -> np.ndarray:
    """Keep at most ``per_class`` images of each class, chosen by key.

    Args:
        labels: (N,) class indices.
        names: N file names.

    Returns:
        (N,) bool. A smaller cap with the same seed gives a subset of a larger one.
    """
    labels = np.asarray(labels, dtype=np.int64)
    order = np.lexsort((keys(names, seed, "sample"), labels))
    counts = np.bincount(labels)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts[labels[order]]
    return rank < per_class


def _cut_groups(
    labels: np.ndarray, codes: np.ndarray, share: float, key: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whole groups so that every class is cut near ``share``; greedy, the largest groups first.

    Args:
        labels: (M,) class of each image that is in a group.
        codes: (M,) group number 0..G-1.
        key: (G,) uint64 order among groups of one size.

    Returns:
        (G,) bool chosen groups; (K,) number of images chosen per class.
    """
    pairs = (
        pd.DataFrame({"code": codes, "label": labels})
        .value_counts(sort=False)
        .reset_index()
        .sort_values("code")
    )
    group, label, count = (pairs[name].to_numpy() for name in ("code", "label", "count"))
    starts = np.searchsorted(group, np.arange(len(key) + 1))
    totals = np.bincount(labels)
    seen, have = np.zeros(len(totals)), np.zeros(len(totals))
    chosen = np.zeros(len(key), dtype=bool)
    for g in np.lexsort((key, -np.bincount(codes))):
        rows = slice(starts[g], starts[g + 1])
        classes, n = label[rows], count[rows]
        seen[classes] += n
        lack = share * seen[classes] - have[classes]
        # Squared distance from the wanted count, relative to the class size, with the group minus without it.
        gain = float((n * (2 * lack - n) / totals[classes]).sum())
        if gain > 0 or (gain == 0 and key[g] % 2):
            chosen[g] = True
            have[classes] += n
    return chosen, have


def cut(
    labels: ArrayLike, groups: ArrayLike, names: ArrayLike, share: float, seed: int, purpose: str
) -> np.ndarray:
    """Hold out about ``share`` of every class without ever parting a group.

    Groups of several images are placed greedily, largest first; the single images then fill what is missing
    in each class, so without groups every class is cut to within one image.

    Args:
        labels: (N,) class indices.
        groups: (N,) group names, ``''`` = the image is its own group.
        names: (N,) file names.
        share: 0 to 1.

    Returns:
        (N,) bool, True = held out.
    """
    labels = np.asarray(labels, dtype=np.int64)
    names, groups = np.asarray(names, dtype=object), np.asarray(groups, dtype=object)
    taken = np.zeros(len(labels), dtype=bool)
    have = np.zeros(labels.max(initial=-1) + 1)
    single = groups == ""
    if not single.all():
        codes, unique = pd.factorize(groups[~single])
        chosen, held = _cut_groups(labels[~single], codes, share, keys(unique, seed, purpose + ":group"))
        taken[~single] = chosen[codes]
        have[: len(held)] += held
    if single.any():
        wanted = share * np.bincount(labels) - have
        counts = np.bincount(labels[single], minlength=len(have))
        rates = np.clip(wanted, 0, counts) / np.maximum(counts, 1)
        taken[single] = _systematic(labels[single], keys(names[single], seed, purpose), rates, seed, purpose)
    return taken


def _systematic(
    labels: np.ndarray, key: np.ndarray, rates: np.ndarray, seed: int, purpose: str
) -> np.ndarray:
    """Systematic sampling through the classes: per class and in all within one image of the wanted count."""
    order = np.lexsort((key, labels))
    offset = keys([""], seed, purpose + ":offset")[0] / 2.0**64
    steps = np.floor(np.cumsum(rates[labels[order]]) + offset)
    taken = np.empty(len(labels), dtype=bool)
    taken[order] = np.diff(steps, prepend=np.floor(offset)) > 0
    return taken


def split(
    labels: ArrayLike, groups: ArrayLike, names: ArrayLike, shares: dict[str, float], seed: int
) -> np.ndarray:
    """Part images into train and the held-out splits.

    Args:
        shares: e.g. ``{"test": 0.2, "val": 0.1}``, shares of the whole.

    Returns:
        (N,) object array of split names. Every class keeps at least one group in train.
    """
    labels, groups, names = (
        np.asarray(labels),
        np.asarray(groups, dtype=object),
        np.asarray(names, dtype=object),
    )
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
