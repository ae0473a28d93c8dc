"""The audit of a list: every image is read once, and what its policy says is done."""

import time
from typing import Any

import pandas as pd

from calibench.data import auditreport, findings
from calibench.data.listing import LIST_COLUMNS
from calibench.data.prints import take_prints
from calibench.data.readers import Reader
from calibench.data.storing import report_unreadable
from calibench.errors import UserError


def check_left(before: pd.DataFrame, after: pd.DataFrame, name: str) -> None:
    """Raise if the policy leaves a class without training images, or a split empty."""
    train = after["split"] == "train"
    gone = before.loc[before["split"] == "train", "label"]
    gone = gone[~gone.isin(after.loc[train, "label"].unique())]
    if len(gone):
        raise UserError(
            f"the audit leaves class '{gone.iloc[0]}' without training images; "
            f"see the audit's table and relax datasets.{name}.audit"
        )
    for split in ("val", "test"):
        if not (after["split"] == split).any():
            raise UserError(f"the audit leaves no image in split '{split}'; relax datasets.{name}.audit")


def audit(
    frame: pd.DataFrame, settings: dict[str, Any], reader: Reader, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Audit a list.

    Returns:
        Table (one row per image), audited list (the list's columns, without what the policy drops; splits that the
        seed drew are drawn anew so that like images stay together), report.

    Raises:
        UserError: unreadable images where the policy says stop, or a class that loses all training images.
    """
    policy, window, name = settings["audit"], settings["store"]["window"], settings["name"]
    begun = time.monotonic()
    names = frame["filename"].tolist()
    prints = take_prints(reader, names, window, threads)
    seconds = time.monotonic() - begun
    told = [(names[row], why) for row, why in sorted(prints.why.items())]
    if told and len(told) == len(names):
        raise UserError(
            f"none of the {len(names)} images of datasets.{name} can be read; the first is {told[0][0]}: {told[0][1]}"
        )
    report_unreadable(told, len(names), settings, "audit")
    found = findings.find(prints, policy)
    prints.form, prints.detail = (
        prints.form[:0].copy(),
        prints.detail[:0].copy(),
    )  # most of the memory; used up
    listed = frame
    if policy["group_by"] != "none":
        frame = listed.assign(group=findings.groups(found, listed, policy["group_by"]))
        frame["split"] = findings.draw_again(frame, settings["split"], settings["split"]["seed"])
    reason = findings.dropped(found, frame, prints.why, policy)
    table = auditreport.table(frame, found, prints, reason)
    report = auditreport.summary(listed, frame, found, prints, reason, policy)
    report |= {
        "seconds": round(seconds, 3),
        "images_per_second": round(len(names) / max(seconds, 1e-9), 1),
        "seconds_searching": round(time.monotonic() - begun - seconds, 3),
    }
    audited = frame[reason == ""].reset_index(drop=True)
    check_left(frame, audited, name)
    return table, audited[LIST_COLUMNS], report
