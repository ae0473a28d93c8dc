"""Stage audit: read each image once; find the unreadable, blank, copied, conflicting and leaking ones."""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.cli import run
from calibench.data import auditreport, findings
from calibench.data.csvfile import read_frame, write_frame
from calibench.data.listing import DRAWN, LIST_COLUMNS
from calibench.data.prints import fingerprint
from calibench.data.readers import Reader, open_reader
from calibench.data.settings import code_of, parse
from calibench.data.storing import report_unreadable
from calibench.errors import UserError
from calibench.files import write_json

log = logging.getLogger(__name__)


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
    prints = fingerprint(reader, names, window, threads)
    seconds = time.monotonic() - begun
    told = [(names[row], why) for row, why in sorted(prints.why.items())]
    report_unreadable(told, policy["unreadable"], f"datasets.{name}.audit.unreadable")
    if len(told) == len(names):
        raise UserError(
            f"none of the {len(names)} images of datasets.{name} can be read; the first is {told[0][0]}: {told[0][1]}"
        )
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


def main(argv: Sequence[str] | None = None) -> None:
    """Write audit.csv, audited.csv, audit.json and thumbnails of example pairs."""
    parser = argparse.ArgumentParser(prog="python -m calibench.audit", description=__doc__)
    parser.add_argument("--settings", required=True, help="settings of the dataset, JSON")
    parser.add_argument("--list", required=True, help="list.csv of the stage list")
    parser.add_argument("--out-table", required=True, help="CSV: one row per image and what was found")
    parser.add_argument("--out-list", required=True, help="CSV: the list without what the policy drops")
    parser.add_argument("--out-report", required=True, help="JSON: counts, error floor, examples")
    parser.add_argument("--thumbnails", type=Path, help="folder for PNGs of example pairs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="reading threads")
    args = parser.parse_args(argv)
    settings = parse(args.settings)
    frame = read_frame(args.list, [*LIST_COLUMNS, DRAWN])
    if settings["audit"]["enabled"]:
        reader = open_reader(settings)
        table, audited, report = audit(frame, settings, reader, args.threads)
        if args.thumbnails:
            args.thumbnails.mkdir(parents=True, exist_ok=True)
            auditreport.write_thumbnails(
                report["examples"], reader, settings["store"]["window"], args.thumbnails
            )
    else:
        table, audited, report = (
            frame[["filename", "label", "split"]],
            frame[LIST_COLUMNS],
            {"images": len(frame), "enabled": False},
        )
        if args.thumbnails:
            args.thumbnails.mkdir(parents=True, exist_ok=True)
    write_frame(table, args.out_table)
    write_frame(audited, args.out_list)
    write_json(args.out_report, report | {"kept": len(audited), "code": code_of(args.settings)})
    log.info("%d of %d images kept", len(audited), len(frame))


if __name__ == "__main__":
    run(main)
