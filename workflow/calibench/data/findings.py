"""From fingerprints of images to findings: copies, series, label conflicts, leaks, and which images to drop."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from calibench.data import near, splitting
from calibench.data.prints import Prints
from calibench.data.splitnames import SPLITS

log = logging.getLogger(__name__)

BLANK = 2.0  # grey levels: an image with a smaller standard deviation is blank
LEVELS = ("exact", "copy", "series")  # from equal pixels to neighbouring slices
SERIES = (10, 500, 0.05)  # limit of the size of a series: 5 % of the images, but at least 10 and at most 500


@dataclass
class Findings:
    """What the audit found out about N images. A cluster is a number; unreadable images have -1."""

    exact: np.ndarray  # (N,) cluster 0..C-1 of equal pixels
    representative: np.ndarray  # (C,) the first row of each of these clusters
    pairs: near.Pairs  # of clusters of equal pixels that are similar
    copy: np.ndarray  # (P,) bool: which of the pairs are copies; the others are of one series
    copies: np.ndarray  # (N,) cluster of images linked by copies; blank images have none
    series: np.ndarray  # (N,) cluster of images linked by any pair; blank images have none
    blank: np.ndarray  # (N,) bool


def find(prints: Prints, policy: dict[str, Any]) -> Findings:
    """Cluster the images. The search for similar images leaves out blank ones: they are all similar."""
    n = len(prints.content)
    readable = np.ones(n, bool)
    readable[list(prints.unreadable)] = False
    blank = readable & (prints.contrast < BLANK)
    exact = np.full(n, -1)
    exact[readable] = pd.factorize(prints.content[readable])[0]
    representative = np.flatnonzero(readable)[np.unique(exact[readable], return_index=True)[1]]
    searched = np.flatnonzero(~blank[representative])
    pairs = near.pairs(prints.form, prints.detail, representative[searched], policy["series_correlation"])
    pairs.first, pairs.second = searched[pairs.first], searched[pairs.second]
    copy = pairs.likeness >= policy["copy_correlation"]

    def joined(links: np.ndarray) -> np.ndarray:
        """(N,) clusters of images that are linked, directly or through others."""
        shape = (len(representative),) * 2
        graph = coo_matrix((np.ones(links.sum(), bool), (pairs.first[links], pairs.second[links])), shape)
        component = connected_components(graph, directed=False)[1] if len(representative) else exact
        return np.where(readable & ~blank, component[exact], -1)

    return Findings(exact, representative, pairs, copy, joined(copy), joined(np.ones_like(copy)), blank)


def similar(found: Findings, those: np.ndarray, level: str) -> np.ndarray:
    """(N,) images equal to one of ``those`` (N,) bool; for level copy or series also those with such a pair.

    Chains of pairs do not count.
    """
    has = np.zeros(len(found.representative), bool)
    has[found.exact[those & (found.exact >= 0)]] = True
    result = has.copy()
    if level != "exact":
        links = found.copy if level == "copy" else np.ones_like(found.copy)
        first, second = found.pairs.first[links], found.pairs.second[links]
        result[first[has[second]]] = True
        result[second[has[first]]] = True
    return (found.exact >= 0) & result[found.exact]


def count_labels(found: Findings, target: np.ndarray) -> np.ndarray:
    """(C,) number of different labels in each cluster of equal pixels."""
    pairs = pd.DataFrame({"exact": found.exact, "target": target})[found.exact >= 0].drop_duplicates()
    return np.bincount(pairs["exact"], minlength=len(found.representative))


def conflicts(found: Findings, target: np.ndarray) -> np.ndarray:
    """(N,) images whose exact copies have more than one label."""
    return (found.exact >= 0) & (count_labels(found, target) > 1)[found.exact]


def error_floor(exact: np.ndarray, target: np.ndarray) -> float:
    """Lowest error that any classifier can have: equal images get one answer, at best their most frequent label.

    ``exact`` (N,) is the cluster, -1 = leave out, ``target`` (N,) the class. A share of the images; 0 for no images.
    """
    frame = pd.DataFrame({"exact": exact, "target": target})[exact >= 0]
    if frame.empty:
        return 0.0
    most_frequent = frame.value_counts(sort=False).groupby(level="exact").max().sum()
    return 1.0 - float(most_frequent) / len(frame)


def dropped(found: Findings, frame: pd.DataFrame, unreadable: dict[int, str], policy: dict[str, Any]):
    """(N,) why each image is dropped, ``''`` = kept; the first reason that applies.

    Test loses only unreadable images; all other reasons drop from train and validation. Copies of validation come
    last: an image that was dropped from validation must not drop its copies from train.
    """
    reason = np.full(len(frame), "", dtype=object)
    train, val, test = ((frame["split"] == name).to_numpy() for name in SPLITS)
    reason[list(unreadable)] = "unreadable"

    def drop(name: str, mask: np.ndarray) -> None:
        reason[mask & ~test & (reason == "")] = name

    if policy["test_copies"] == "drop":
        drop("copy of test", similar(found, test, "copy"))
    if policy["conflicts"] == "drop":
        drop("label conflict", conflicts(found, frame["target"].to_numpy()))
    if policy["blank"] == "drop":
        drop("blank", found.blank)
    if policy["val_copies"] == "drop":
        drop("copy of validation", train & similar(found, val & (reason == ""), "copy"))
    return reason


def groups(found: Findings, frame: pd.DataFrame, level: str) -> pd.Series:
    """Groups of the list; for images without a group their cluster of ``copies`` or ``series``.

    A cluster above the limit SERIES means that many images look alike, not that they are of one patient: its images
    are grouped by copies only. A group is named after the alphabetically first of its files, so that its name does
    not depend on the order of the rows.
    """
    cluster = found.copies.astype(np.int64)
    if level == "series":
        sizes = np.bincount(found.series[found.series >= 0], minlength=1)
        least, most, share = SERIES
        too_large = (found.series >= 0) & (sizes[found.series] > min(most, max(least, share * len(frame))))
        if too_large.any():
            log.warning(
                "%d images are in series that are too large for one patient; they are grouped by copies only",
                too_large.sum(),
            )
        cluster = np.where(too_large, cluster + len(frame), found.series)
    cluster = pd.Series(cluster, index=frame.index)
    size = cluster.map(cluster.value_counts())
    rows = (frame["group"] == "") & (found.series >= 0) & (size > 1)
    result = frame["group"].copy()
    if rows.any():
        result[rows] = "like:" + frame.loc[rows, "filename"].groupby(cluster[rows]).transform("min")
    return result


def draw_again(frame: pd.DataFrame, shares: dict[str, float], seed: int) -> pd.Series:
    """Splits of the list; rows whose split was drawn (column ``drawn`` is 1) are drawn again with the audit's groups.

    ``shares`` of validation and test and ``seed`` are those of the config.
    """
    rows = frame[frame["drawn"] == "1"]
    wanted = {name: shares[name] for name in ("test", "val") if (rows["split"] == name).any()}
    result = frame["split"].copy()
    if wanted:
        labels = pd.factorize(rows["label"])[0]
        result[rows.index] = splitting.split(labels, rows["group"], rows["filename"], wanted, seed)
    return result
