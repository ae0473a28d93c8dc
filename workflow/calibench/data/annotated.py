"""Image folders with the labels in a file: Hugging Face's ``imagefolder`` (metadata.csv) and Tiny-ImageNet.

Sources: https://huggingface.co/docs/datasets/image_dataset#imagefolder; Tiny-ImageNet-200 (Stanford CS231N 2015):
``train/<class>/images/``, ``val/images/`` with ``val/val_annotations.txt``, ``test/images/`` without labels.
"""

import csv
import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from calibench.data.csvfile import first_record, read_table, read_utf8
from calibench.data.splitnames import split_of
from calibench.data.tree import first_names
from calibench.errors import UserError

log = logging.getLogger(__name__)
METADATA = "metadata.csv"
OTHER_METADATA = ("metadata.jsonl", "metadata.parquet")
ANNOTATIONS = "val/val_annotations.txt"


def _missing(name: str, where: str) -> UserError:
    return UserError(f"{where}: '{name}' does not exist or is not an image; correct or remove the row")


def _metadata_folders(root: Path, images: list[str]) -> list[str]:
    """Folders (``""`` or ``train/``) whose metadata.csv has the column file_name; others belong to other programs."""
    folders = ["", *sorted({name.split("/")[0] + "/" for name in images if "/" in name})]
    for path in (root / folder / name for folder in folders for name in OTHER_METADATA):
        if path.is_file():
            raise UserError(
                f"{path} is not supported; save it as {METADATA} with the columns file_name,label"
            )
    paths = {folder: root / folder / METADATA for folder in folders}
    return [f for f, path in paths.items() if path.is_file() and "file_name" in first_record(path)]


def _read_metadata(root: Path, folder: str, images: Collection[str]) -> pd.DataFrame:
    """Rows of one metadata.csv; without a split column the first folder of the image names the split."""
    table = read_table(root / folder / METADATA)
    frame = table.frame
    frame["filename"] = folder + frame["filename"]
    for row, name in enumerate(frame["filename"]):
        if name not in images:
            raise _missing(name, f"{table.path}, line {table.line(row)}")
    if (frame["split"] == "").all():
        frame["split"] = [split_of(name.split("/")[0]) if "/" in name else "" for name in frame["filename"]]
    return frame


def _read_tiny_imagenet(root: Path, images: Collection[str]) -> pd.DataFrame:
    """Train from its folders. Val, from its annotations, becomes test, as in papers: the real test has no labels."""
    parts = [name.split("/") for name in sorted(images)]
    rows = [("/".join(p), p[1], "train") for p in parts if len(p) > 2 and p[0] == "train"]
    lines = read_utf8(root / ANNOTATIONS).decode("utf-8").splitlines()
    for number, fields in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
        where = f"{root / ANNOTATIONS}, line {number}"
        if len(fields) < 2:
            raise UserError(f"{where}: write a file name, a tab and a class")
        name = f"val/images/{fields[0]}"
        if name not in images:
            raise _missing(name, where)
        rows.append((name, fields[1], "test"))
    log.info("read as Tiny-ImageNet: its val is used as test; validation is drawn from train")
    return pd.DataFrame(rows, columns=["filename", "label", "split"]).assign(group="", stratum="")


def read(root: Path, images: list[str]) -> pd.DataFrame | None:
    """Frame filename, label, split, group, stratum of ``images`` below ``root``; None if there is no label file.

    Raises:
        UserError: the file names images that do not exist, has no labels, or cannot be parsed.
    """
    if (root / ANNOTATIONS).is_file() and any(name.startswith("val/images/") for name in images):
        frame, reason = _read_tiny_imagenet(root, set(images)), "they have no label"
    elif folders := _metadata_folders(root, images):
        known = set(images)
        frame = pd.concat([_read_metadata(root, folder, known) for folder in folders], ignore_index=True)
        files = first_names([folder + METADATA for folder in folders])
        log.info("labels are taken from %s, not from the folders", files)
        reason = f"no {METADATA} names them"
    else:
        return None
    listed = set(frame["filename"])
    if left := [name for name in images if name not in listed]:
        log.warning("%d images are left out, because %s: %s", len(left), reason, UserError(first_names(left)))
    return frame
