"""From prints of images to findings: copies, series, label conflicts, leaks, and what the policy drops."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from calibench.data import near, splitting
from calibench.data.prints import Prints

log = logging.getLogger(__name__)

BLANK = 2.0  # grey levels: standard deviation below which an image shows nothing
SPLITS = ("train", "val", "test")
LEVELS = ("exact", "copy", "series")  # from equal pixels to neighbouring slices
SERIES = (10, 500, 0.05)  # a series has at most a twentieth of the images, but 10 at least and 500 at most


@dataclass
class Findings:
    """What is known of N images.

    exact (N,) cluster of equal pixels 0..C-1, -1 = unreadable; representative (C,) the first row of each;
    pairs: of clusters that are like each other; copy (P,) bool: which of these are copies, the others are of one
    series; copies, series (N,) clusters of images joined by copies, and by either; -1 = unreadable or blank;
    blank (N,) bool.
    """

    exact: np.ndarray
    representative: np.ndarray
    pairs: near.Pairs
    copy: np.ndarray
    copies: np.ndarray
    series: np.ndarray
    blank: np.ndarray


def find(prints: Prints, policy: dict[str, Any]) -> Findings:
    """Cluster the images; blank ones are left out of the search for like images (they are all alike)."""
    n = len(prints.content)
    readable = np.ones(n, bool)
    readable[list(prints.why)] = False
    blank = readable & (prints.contrast < BLANK)
    exact = np.full(n, -1)
    exact[readable] = pd.factorize(prints.content[readable])[0]
    representative = np.flatnonzero(readable)[np.unique(exact[readable], return_index=True)[1]]
    seen = np.flatnonzero(~blank[representative])
    rows = representative[seen]
    like = near.pairs(prints.form, prints.detail, rows, policy["series_correlation"])
    like.first, like.second = seen[like.first], seen[like.second]
    copy = like.likeness >= policy["copy_correlation"]
    searched = readable & ~blank
    clusters = [
        _clusters(like.first[link], like.second[link], len(representative), exact, searched)
        for link in (copy, slice(None))
    ]
    return Findings(exact, representative, like, copy, *clusters, blank)


def _clusters(
    first: np.ndarray, second: np.ndarray, count: int, exact: np.ndarray, searched: np.ndarray
) -> np.ndarray:
    """(N,) number of the images that are joined, directly or through others."""
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(count, count))
    component = connected_components(graph, directed=False)[1] if count else np.empty(0, int)
    result = np.full(len(exact), -1)
    result[searched] = component[exact[searched]]
    return result


def _flags(clusters: np.ndarray, flag: np.ndarray, count: int) -> np.ndarray:
    """(count,) whether a cluster has a member with the flag."""
    result = np.zeros(count, bool)
    result[clusters[flag & (clusters >= 0)]] = True
    return result


def distinct(clusters: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count,) number of different values in each cluster; values are small non-negative integers."""
    rows = clusters >= 0
    pairs = np.unique(clusters[rows].astype(np.int64) * (values.max(initial=0) + 1) + values[rows])
    return np.bincount(pairs // (values.max(initial=0) + 1), minlength=count)


def like(found: Findings, those: np.ndarray, level: str) -> np.ndarray:
    """(N,) images that are like one of ``those`` (N,) bool: equal, a copy too, or of one series too.

    Directly, not through a chain of others.
    """
    count = len(found.representative)
    has = _flags(found.exact, those, count)
    touched = has.copy()
    if level != "exact":
        link = found.copy if level == "copy" else np.ones(len(found.copy), bool)
        first, second = found.pairs.first[link], found.pairs.second[link]
        touched[first[has[second]]] = True
        touched[second[has[first]]] = True
    return (found.exact >= 0) & touched[found.exact]


def conflicts(found: Findings, target: np.ndarray) -> np.ndarray:
    """(N,) images whose exact copies have more than one label."""
    labels = distinct(found.exact, target, len(found.representative))
    return (found.exact >= 0) & (labels[found.exact] > 1)


def error_floor(exact: np.ndarray, target: np.ndarray) -> float:
    """Least error any classifier can have: equal images get one answer, at best their commonest label.

    Args:
        exact: (N,) cluster, -1 = leave out.
        target: (N,) class.

    Returns:
        Share of the images that are wrong even then; 0 for no images.
    """
    rows = exact >= 0
    if not rows.any():
        return 0.0
    counts = pd.DataFrame({"exact": exact[rows], "target": target[rows]}).value_counts(sort=False)
    commonest = counts.groupby(level="exact").max().sum()
    return 1.0 - float(commonest) / int(rows.sum())


def dropped(found: Findings, frame: pd.DataFrame, why: dict[int, str], policy: dict[str, Any]) -> np.ndarray:
    """Reason for which each image is dropped, ``''`` = kept; the first that holds.

    Test loses only what cannot be read; all else is taken from train and validation. Copies of validation come
    last: an image that validation itself has lost takes nothing from train.
    """
    reason = np.full(len(frame), "", dtype=object)
    train, val, test = ((frame["split"] == name).to_numpy() for name in SPLITS)
    reason[list(why)] = "unreadable"

    def drop(name: str, mask: np.ndarray) -> None:
        reason[mask & ~test & (reason == "")] = name

    if policy["test_copies"] == "drop":
        drop("copy of test", like(found, test, "copy"))
    if policy["conflicts"] == "drop":
        drop("label conflict", conflicts(found, frame["target"].to_numpy()))
    if policy["blank"] == "drop":
        drop("blank", found.blank)
    if policy["val_copies"] == "drop":
        drop("copy of validation", train & like(found, val & (reason == ""), "copy"))
    return reason


def groups(found: Findings, frame: pd.DataFrame, level: str) -> pd.Series:
    """Groups of the list, completed: an image without one joins those it is like, by ``copies`` or ``series``.

    A longer chain than a series can be (SERIES) says that all images are alike, not that one patient made them;
    its images are grouped by copies only. The name of a group comes from the alphabetically first member, so
    that it does not hang on the order of rows.
    """
    cluster = found.copies.astype(np.int64)
    if level == "series":
        sizes = np.bincount(found.series[found.series >= 0], minlength=1)
        least, most, share = SERIES
        chain = (found.series >= 0) & (sizes[found.series] > min(most, max(least, share * len(frame))))
        if chain.any():
            log.warning(
                "%d images are all alike by a chain of likenesses; they are grouped by copies only",
                chain.sum(),
            )
        cluster = np.where(chain, cluster + len(frame), found.series)
    cluster = pd.Series(cluster, index=frame.index)
    size = cluster.map(cluster.value_counts())
    open_rows = (frame["group"] == "") & (found.series >= 0) & (size > 1)
    if not open_rows.any():
        return frame["group"]
    members = frame.loc[open_rows, "filename"]
    names = "like:" + members.groupby(cluster[open_rows]).transform("min")
    result = frame["group"].copy()
    result[open_rows] = names
    return result


def draw_again(frame: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Splits of the list, those that were drawn drawn anew, with the groups that the audit has completed.

    Args:
        frame: the list with column ``drawn`` (1 = the seed chose the row's split).
        shares: of validation and test, as in the config.
    """
    rows = frame[frame["drawn"] == "1"]
    names = [name for name in ("test", "val") if (rows["split"] == name).any()]
    if not names:
        return frame["split"]
    wanted = {name: shares[name] for name in names}
    labels = pd.factorize(rows["label"])[0]
    result = frame["split"].copy()
    result[rows.index] = splitting.split(labels, rows["group"], rows["filename"], wanted, seed)
    return result
