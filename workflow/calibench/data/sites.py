"""Another data set as a test set: match classes by name, and leave out copies of training images."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from calibench.errors import UserError

SHOWN = 5  # examples in a message


def check_classes(classes: pd.Series, site: pd.Series, names: tuple[str, str]) -> list[str]:
    """The class names that a training set and a site have in common; UserError if there are fewer than two.

    ``names`` are those of the two data sets, for the error.
    """
    common = [label for label in classes if label in set(site)]
    if len(common) < 2:
        here, there = (", ".join(list(labels)[:SHOWN]) for labels in (classes, site))
        raise UserError(
            f"config: evaluate_on.sites: '{names[1]}' has {len(common)} of the classes of '{names[0]}', but two are "
            f"needed; classes are matched by name ({names[0]}: {here} …; {names[1]}: {there} …): use the same names (for "
            "formats with numbers only set them under labels)"
        )
    return common


def _digests(images: np.ndarray, rows: Iterable[int]) -> list[bytes]:
    """Hash of each image; images are read one by one, so the store may have any size."""
    return [hashlib.blake2b(images[row].tobytes(), digest_size=16).digest() for row in rows]


def match(
    source: tuple[np.ndarray, pd.DataFrame, pd.Series],
    site: tuple[np.ndarray, pd.DataFrame, pd.Series],
    names: tuple[str, str],
    every: bool,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The images of a site that a network trained on the source can classify.

    Images of classes that the source does not have are left out: every prediction would be wrong. Classes of the
    source that the site does not have may still be predicted. Pixel-by-pixel copies of training images are left out.

    Args:
        source: images (N, H, H[, 3]), index and class names by target of the training data set.
        site: the same of the site.
        names: of both.
        every: use all images of the site; otherwise only its test split.

    Returns:
        Index (row in the site's store, target of the source, group, stratum) and a report: ``source``, ``site``,
        ``common``, ``missing`` (classes not in the site), ``unknown`` {class: images left out}, ``copies`` (number
        of images left out), ``copied`` (some of their file names), ``n``.

    Raises:
        UserError: fewer than two common classes, images of another size or colour, or no image left.
    """
    (images, index, classes), (others, rows, labels) = source, site
    if images.shape[1:] != others.shape[1:]:
        raise UserError(
            f"the images of '{names[1]}' are stored as {others.shape[1:]}, those of '{names[0]}' as {images.shape[1:]}; "
            f"set size and colour of datasets.{names[1]}.store to those of datasets.{names[0]}.store"
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
        raise UserError(
            f"all images of '{names[1]}' are copies of training images; remove it from evaluate_on.sites"
        )
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
