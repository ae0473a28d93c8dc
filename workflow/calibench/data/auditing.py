"""The audit of a list: read every image once, then drop or group images as ``datasets.<name>.audit`` says."""

import time
from typing import Any

import pandas as pd

from calibench.data import auditreport, findings
from calibench.data.listing import LIST_COLUMNS
from calibench.data.prints import take_prints
from calibench.data.readers import Reader
from calibench.data.storing import report_unreadable
from calibench.errors import UserError


def _check_left(before: pd.DataFrame, after: pd.DataFrame, name: str) -> None:
    """Raise UserError if a class has no training image left, or a split no image."""
    labels = (f.loc[f["split"] == "train", "label"].unique() for f in (before, after))
    if lost := sorted(set.difference(*map(set, labels))):
        raise UserError(
            f"the audit leaves class '{lost[0]}' without training images; "
            f"see the table of the audit and drop fewer images in datasets.{name}.audit"
        )
    for split in ("val", "test"):
        if not (after["split"] == split).any():
            raise UserError(
                f"the audit leaves no image in split '{split}'; drop fewer images in datasets.{name}.audit"
            )


def audit(
    frame: pd.DataFrame, settings: dict[str, Any], reader: Reader, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Audit a list.

    Returns:
        Table (one row per image); audited list (columns of the list, without dropped images; splits that were
        drawn are drawn again, so that similar images stay together); report.

    Raises:
        UserError: no image can be read, ``audit.unreadable`` is stop and one cannot, or a class loses all its
            training images.
    """
    policy, name, names = settings["audit"], settings["name"], frame["filename"].tolist()
    begun = time.monotonic()
    prints = take_prints(reader, names, settings["store"]["window"], threads)
    seconds = time.monotonic() - begun
    unreadable = {names[row]: reason for row, reason in sorted(prints.unreadable.items())}
    if unreadable and len(unreadable) == len(names):
        first, reason = next(iter(unreadable.items()))
        raise UserError(
            f"none of the {len(names)} images of datasets.{name} can be read; the first is {first}: {reason}"
        )
    report_unreadable(unreadable, len(names), settings, "audit")
    found = findings.find(prints, policy)
    prints.form, prints.detail = prints.form[:0].copy(), prints.detail[:0].copy()  # frees most of the memory
    listed = frame
    if policy["group_by"] != "none":
        frame = listed.assign(group=findings.groups(found, listed, policy["group_by"]))
        frame["split"] = findings.draw_again(frame, settings["split"], settings["split"]["seed"])
    reason = findings.dropped(found, frame, prints.unreadable, policy)
    table = auditreport.table(frame, found, prints, reason)
    report = auditreport.summary(listed, frame, found, prints, reason, policy)
    report |= {
        "seconds": round(seconds, 3),
        "images_per_second": round(len(names) / max(seconds, 1e-9), 1),
        "seconds_searching": round(time.monotonic() - begun - seconds, 3),
    }
    audited = frame[reason == ""].reset_index(drop=True)
    _check_left(frame, audited, name)
    return table, audited[LIST_COLUMNS], report
