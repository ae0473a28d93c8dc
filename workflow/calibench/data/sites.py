"""Another data set as a test set: its classes matched by name, and its images that copy training images left out."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from calibench.errors import UserError

SHOWN = 5  # examples that are named


def check_classes(classes: pd.Series, site: pd.Series, names: tuple[str, str]) -> list[str]:
    """The classes that two data sets have in common, by name.

    Args:
        classes: class names of the data set that is trained on.
        site: class names of the other one.
        names: of both data sets, for an error.

    Raises:
        UserError: if they have fewer than two in common.
    """
    common = [label for label in classes if label in set(site)]
    if len(common) < 2:
        here, there = (", ".join(list(labels)[:SHOWN]) for labels in (classes, site))
        raise UserError(
            f"config: evaluate_on: sites: '{names[1]}' has {len(common)} class(es) of '{names[0]}', two are needed; "
            f"classes are matched by name ({names[0]}: {here} …; {names[1]}: {there} …): give both the same names (labels: names the classes of formats with numbers only)"
        )
    return common


def _digests(images: np.ndarray, rows: Iterable[int]) -> list[bytes]:
    """Hash of each image; read one by one, so that a store of any size is passed through."""
    return [hashlib.blake2b(images[row].tobytes(), digest_size=16).digest() for row in rows]


def match(
    source: tuple[np.ndarray, pd.DataFrame, pd.Series],
    site: tuple[np.ndarray, pd.DataFrame, pd.Series],
    names: tuple[str, str],
    every: bool,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The images of a site that a network trained on the source can be asked about.

    Images of a class that the source does not know are left out: no answer to them could be right. A class of the
    source that the site lacks stays among the possible answers. Images that are, pixel by pixel, training images of
    the source are left out.

    Args:
        source: images (N, H, H[, 3]), index and class names by target of the data set that is trained on.
        site: the same of the other one.
        names: of both.
        every: all images of the site, whatever their split; else those of its test split.

    Returns:
        Index (row in the site's store, target of the source, group, stratum) and a report: ``source``, ``site``,
        ``common``, ``missing`` (classes that the site lacks), ``unknown`` {class: images left out}, ``copies`` (number
        of images left out), ``copied`` (some of their file names), ``n``.

    Raises:
        UserError: fewer than two classes in common, images of another size or colour, or no image left.
    """
    (images, index, classes), (others, rows, labels) = source, site
    if images.shape[1:] != others.shape[1:]:
        raise UserError(
            f"the images of '{names[1]}' are stored as {others.shape[1:]}, those of '{names[0]}' as {images.shape[1:]}; "
            f"give datasets.{names[1]}.store the size and colour of datasets.{names[0]}.store"
        )
    common = check_classes(classes, labels, names)
    rows = rows if every else rows[rows["split"] == "test"]
    target = rows["target"].map(labels).map({label: i for i, label in classes.items()})
    unknown = rows.loc[target.isna(), "label"].value_counts().to_dict()
    rows = rows[target.notna()].assign(target=target[target.notna()].astype(int))
    training = set(_digests(images, index.loc[index["split"] == "train", "row"]))
    copies = np.array([digest in training for digest in _digests(others, rows["row"])], dtype=bool)
    found = rows.loc[~copies, ["row", "target", "group", "stratum"]]
    if found.empty:
        raise UserError(f"no image of '{names[1]}' is left to ask about: all copy training images")
    report = {
        "source": names[0],
        "site": names[1],
        "common": common,
        "missing": [label for label in classes if label not in set(common)],
        "unknown": unknown,
        "copies": int(copies.sum()),
        "copied": rows.loc[copies, "filename"].head(SHOWN).tolist() if "filename" in rows else [],
        "n": len(found),
    }
    return found.reset_index(drop=True), report
