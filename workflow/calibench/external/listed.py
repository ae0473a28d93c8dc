"""Predictions of other programs matched with the images of a store, so that they can stand beside runs trained on it."""

from dataclasses import replace

import numpy as np
import pandas as pd

from calibench.errors import UserError
from calibench.external.given import Given

HELD_OUT = ("select", "calibrate", "test")


def matched(given: Given, store: pd.DataFrame, classes: list[str]) -> Given:
    """The predictions for the images of a store, in its order and with its rows, parts, groups and strata.

    Images are matched by file name; a file without names holds the test images in the order of the store. All test
    images are needed. Validation is used if all of it is there, and left out if none is.

    Args:
        given: what the file says.
        store: ``index.csv`` of a store.
        classes: its K class names, by number.

    Raises:
        UserError: other classes, an image or a label that the list and the file do not share.
    """
    given = _in_order(given, classes)
    if (given.index["image"] == "").any():
        wanted = store[store["part"] == "test"]
        if len(wanted) != len(given.index):
            raise UserError(
                f"{given.where} has {len(given.index)} predictions without file names for {len(wanted)} test images (after "
                "the audit); add an array `filename` as in the list"
            )
        place = pd.Series(np.arange(len(wanted)), index=wanted.index)
    else:
        place = _by_name(given, store)
    wanted, found = store.loc[place.index], given.rows(place.to_numpy())
    apart = found.index["target"].to_numpy() != wanted["target"].to_numpy()
    if apart.any():
        row = wanted.iloc[int(np.flatnonzero(apart)[0])]
        mine = classes[int(found.index["target"][apart].iloc[0])]
        raise UserError(
            f"{given.where}: '{row['filename']}' has the label '{mine}' but '{row['label']}' in the list"
        )
    columns = [c for c in ("row", "target", "part", "group", "stratum") if c in wanted]
    return replace(found, index=wanted[columns].reset_index(drop=True), classes=classes)


def _in_order(given: Given, classes: list[str]) -> Given:
    """With the columns in the order of the store's classes; a file that does not name its classes has that order."""
    if len(given.classes) != len(classes):
        raise UserError(f"{given.where} has {len(given.classes)} classes and the data set {len(classes)}")
    if given.classes == [str(i) for i in range(len(classes))]:
        return given
    unknown = set(given.classes) - set(classes)
    if unknown:
        raise UserError(f"{given.where} has the class '{sorted(unknown)[0]}', which the data set lacks")
    order = np.array([given.classes.index(name) for name in classes])
    votes = None if given.votes is None else given.votes[:, order]
    targets = np.argsort(order)[given.index["target"]]
    return replace(
        given, logits=given.logits[:, order], votes=votes, index=given.index.assign(target=targets)
    )


def _by_name(given: Given, store: pd.DataFrame) -> pd.Series:
    """Row of the file for each row of the store that is used."""
    double = given.index["image"].duplicated()
    if double.any():
        raise UserError(f"{given.where} names '{given.index['image'][double].iloc[0]}' twice")
    rows = pd.Series(np.arange(len(given.index)), given.index["image"])
    place = rows.reindex(store["filename"]).set_axis(store.index)
    lost = place.isna()
    kept = store["part"] == "test"
    for parts in (("test",), HELD_OUT[:2]):
        here = store["part"].isin(parts)
        if parts == ("test",) or not lost[here].all():
            kept |= here
            if (here & lost).any():
                image = store.loc[here & lost, "filename"].iloc[0]
                raise UserError(
                    f"{given.where} lacks the image '{image}' ({store.loc[here & lost, 'part'].iloc[0]})"
                )
    return place[kept].astype(np.int64)
