"""From fingerprints to findings: clusters of copies, label conflicts, leaks, and what the policy drops."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from calibench.data import near
from calibench.data.prints import Prints

BLANK = 2.0  # grey levels: standard deviation below which an image shows nothing
SPLITS = ("train", "val", "test")


@dataclass
class Findings:
    """What is known of N images.

    exact (N,) cluster of equal pixels 0..C-1, -1 = unreadable; representative (C,) the first row of each;
    first, second (P,) pairs of clusters that are near each other; near (N,) cluster of near-duplicates (exact
    copies included), -1 = unreadable or blank; blank (N,) bool.
    """

    exact: np.ndarray
    near: np.ndarray
    first: np.ndarray
    second: np.ndarray
    blank: np.ndarray
    representative: np.ndarray


def find(prints: Prints, distance: int) -> Findings:
    """Cluster the images; blank ones are left out of the search for near-duplicates (they are all alike)."""
    n = len(prints.content)
    readable = np.ones(n, bool)
    readable[list(prints.why)] = False
    blank = readable & (prints.contrast < BLANK)
    exact = np.full(n, -1)
    exact[readable] = pd.factorize(prints.content[readable])[0]
    representative = np.flatnonzero(readable)[np.unique(exact[readable], return_index=True)[1]]
    seen = np.flatnonzero(~blank[representative])
    rows = representative[seen]
    a, b = near.pairs(prints.perceptual[rows], prints.thumbs[rows], distance)
    first, second = seen[a], seen[b]
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(len(representative),) * 2)
    component = connected_components(graph, directed=False)[1] if len(representative) else np.empty(0, int)
    cluster = np.full(n, -1)
    searched = readable & ~blank
    cluster[searched] = component[exact[searched]]
    return Findings(exact, cluster, first, second, blank, representative)


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


def copies_of_test(found: Findings, test: np.ndarray, near_too: bool = True) -> np.ndarray:
    """(N,) images equal to a test image or, ``near_too``, directly near one (not through a chain)."""
    count = len(found.representative)
    of_test = _flags(found.exact, test, count)
    if not near_too:
        return (found.exact >= 0) & of_test[found.exact]
    touched = of_test.copy()
    touched[found.first[of_test[found.second]]] = True
    touched[found.second[of_test[found.first]]] = True
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

    Test loses only what cannot be read; all else is taken from train and validation.
    """
    reason = np.full(len(frame), "", dtype=object)
    test = (frame["split"] == "test").to_numpy()
    target = frame["target"].to_numpy()
    rules = []
    if policy["test_copies"] == "drop":
        rules.append(("copy of test", copies_of_test(found, test)))
    if policy["conflicts"] == "drop":
        rules.append(("label conflict", conflicts(found, target)))
    if policy["blank"] == "drop":
        rules.append(("blank", found.blank))
    for name, mask in rules:
        reason[mask & ~test & (reason == "")] = name
    reason[list(why)] = "unreadable"
    return reason


def groups(found: Findings, frame: pd.DataFrame) -> pd.Series:
    """Groups of the list, completed: an image without one joins its near-duplicates.

    The name comes from the alphabetically first member, so that it does not hang on the order of rows.
    """
    cluster = pd.Series(found.near, index=frame.index)
    size = cluster.map(cluster.value_counts())
    open_rows = (frame["group"] == "") & (cluster >= 0) & (size > 1)
    if not open_rows.any():
        return frame["group"]
    members = frame.loc[open_rows, "filename"]
    names = "near:" + members.groupby(cluster[open_rows]).transform("min")
    result = frame["group"].copy()
    result[open_rows] = names
    return result
