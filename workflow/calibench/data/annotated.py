"""Trees whose labels stand in a file: Hugging Face's ``imagefolder`` (metadata.csv) and Tiny-ImageNet.

Sources: https://huggingface.co/docs/datasets/image_dataset#imagefolder; Tiny-ImageNet-200 (Stanford CS231N 2015):
``train/<class>/images/``, ``val/images/`` with ``val/val_annotations.txt``, ``test/images/`` without labels.
"""

import csv
import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from calibench.data.csvfile import first_line, read_table, read_utf8
from calibench.data.splitnames import split_of
from calibench.data.tree import some
from calibench.errors import UserError

log = logging.getLogger(__name__)
METADATA = "metadata.csv"
OTHER_METADATA = ("metadata.jsonl", "metadata.parquet")
ANNOTATIONS = "val/val_annotations.txt"


def _check_there(name: str, images: Collection[str], where: str) -> None:
    if name not in images:
        raise UserError(
            f"{where}: '{name}' is not there, or no image by its ending; correct or remove the row"
        )


def _tell_left_out(images: list[str], listed: Collection[str], why: str) -> None:
    left = [name for name in images if name not in listed]
    if left:
        log.warning("%d images are left out, for %s: %s", len(left), why, UserError(some(left)))


def _metadata_files(root: Path, images: list[str]) -> list[str]:
    """Folders (``""`` or ``train/``) whose metadata.csv names files; one without file_name is another program's."""
    folders = ["", *sorted({name.split("/")[0] + "/" for name in images if "/" in name})]
    for folder in folders:
        for other in OTHER_METADATA:
            if (root / folder / other).is_file():
                raise UserError(
                    f"{root / folder / other} is not read; write it as {METADATA} with the columns file_name,label"
                )
    found = [folder for folder in folders if (root / folder / METADATA).is_file()]
    return [folder for folder in found if "file_name" in first_line(root / folder / METADATA)]


def _read_metadata(root: Path, folder: str, images: Collection[str]) -> pd.DataFrame:
    """Rows of one metadata.csv; the split is its column's, else its folder's, else that of the file's first folder."""
    table = read_table(root / folder / METADATA)
    frame = table.frame
    frame["filename"] = folder + frame["filename"]
    for row, name in enumerate(frame["filename"]):
        if name not in images:
            _check_there(name, images, f"{table.path}, line {table.line(row)}")
    if (frame["split"] == "").all():
        frame["split"] = [split_of(name.split("/")[0]) if "/" in name else "" for name in frame["filename"]]
    return frame


def _read_tiny(root: Path, images: list[str]) -> pd.DataFrame:
    """Tiny-ImageNet: train by its folders; the annotated images are test, as in papers, for test has no labels."""
    there = set(images)
    parts = [name.split("/") for name in images]
    rows = [("/".join(p), p[1], "train") for p in parts if len(p) > 2 and p[0] == "train"]
    lines = read_utf8(root / ANNOTATIONS).decode("utf-8").splitlines()
    for number, fields in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
        where = f"{root / ANNOTATIONS}, line {number}"
        if len(fields) < 2:
            raise UserError(f"{where}: a file name and a class with a tab between them are needed")
        name = f"val/images/{fields[0]}"
        _check_there(name, there, where)
        rows.append((name, fields[1], "test"))
    log.info("read as Tiny-ImageNet: val, by its annotations, is test; validation is cut from train")
    return pd.DataFrame(rows, columns=["filename", "label", "split"], dtype="str").assign(
        group="", stratum=""
    )


def read(root: Path, images: list[str]) -> pd.DataFrame | None:
    """List a tree by the labels it brings in a file, if it brings one.

    Args:
        root: the tree.
        images: the paths of all images below it.

    Returns:
        Frame filename, label, split, group, stratum (strings), or None: labels are names of folders.

    Raises:
        UserError: a file that names images that are not there, has no labels, or cannot be parsed.
    """
    if (root / ANNOTATIONS).is_file() and any(name.startswith("val/images/") for name in images):
        frame = _read_tiny(root, images)
        _tell_left_out(images, set(frame["filename"]), "they have no label")
        return frame
    folders = _metadata_files(root, images)
    if not folders:
        return None
    there = set(images)
    frame = pd.concat([_read_metadata(root, folder, there) for folder in folders], ignore_index=True)
    log.info(
        "read by %s: labels are its column 'label', not the folders", some([f + METADATA for f in folders])
    )
    _tell_left_out(images, set(frame["filename"]), f"no {METADATA} names them")
    return frame
