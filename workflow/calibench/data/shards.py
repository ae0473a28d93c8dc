"""Tar files in WebDataset style: each image next to its label. The tar files are never unpacked.

A sample is all files with the same name up to the first dot: ``000012.jpg`` with ``000012.cls`` (the class, a number
or a name) or ``000012.json`` (``{"label": …}``, optionally with ``group`` and ``stratum``).
Source: https://github.com/webdataset/webdataset.
"""

import json
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.data.splitnames import split_of
from calibench.data.tree import EXTENSIONS, log_skipped
from calibench.data.unreadable import Unreadable, check_bytes
from calibench.errors import UserError

FORMAT = "webdataset"


@dataclass(frozen=True)
class Member:
    """Where a file is inside a tar file: tar file, first byte, number of bytes."""

    shard: Path
    start: int
    size: int

    def read(self) -> bytes:
        """Content of the file; Unreadable if it is too large, or the tar file has become shorter."""
        check_bytes(self.size)
        try:
            with open(self.shard, "rb") as stream:
                stream.seek(self.start)
                data = stream.read(self.size)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error
        if len(data) < self.size:
            raise Unreadable("the tar file ends within this image")
        return data


def find_shards(root: Path) -> list[Path]:
    """The tar files below a folder, sorted; UserError if there is none, or one is a link to another place."""
    found = sorted(p for p in root.rglob("*.tar") if p.is_file() and not p.name.startswith("."))
    if not found:
        packed = next(root.rglob("*.tar.*"), None)
        hint = f"; {packed.name} is compressed and cannot be read: gunzip or unxz it" if packed else ""
        raise UserError(f"{root} has no .tar file{hint}")
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(
                f"{path} is a symbolic link to a file outside the data set's root; copy the file there"
            )
    return found


def members(root: Path, shard: Path) -> Iterator[tuple[str, Member]]:
    """(``shard.tar/name``, place) of all regular files in a tar file, from the headers; UserError if it is damaged."""
    inside = shard.relative_to(root).as_posix()
    try:
        with tarfile.open(shard, "r:") as archive:
            for item in archive:
                archive.members.clear()  # tarfile would keep the headers of a million files in memory
                if item.isreg() and not item.issparse():
                    name = f"{inside}/{posixpath.normpath(item.name)}"
                    yield name, Member(shard, item.offset_data, item.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(f"{shard} is not a tar file, or damaged ({error}); download it again") from error


def split_of_shard(name: str) -> str:
    """The split that the path of a tar file names (``brain-train-000.tar``, ``test/000.tar``), ``''`` if none.

    UserError if it names two.
    """
    found = {split_of(word) for word in re.split(r"[^A-Za-z]+", name.removesuffix(".tar"))} - {""}
    if len(found) > 1:
        raise UserError(f"{name} names two splits, {' and '.join(sorted(found))}; rename the tar file")
    return found.pop() if found else ""


def _label(name: str, member: Member, names: list[str] | None) -> tuple[str, str, str]:
    """Label, group and stratum from a .cls or .json file; ``names`` are the class names by number."""
    try:
        text = member.read().decode("utf-8")
        value = json.loads(text) if name.endswith(".json") else {"label": text.strip()}
        label = value["label"]
    except (Unreadable, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{name}: no label ({error!r}); write {{"label": …}} as UTF-8') from error
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise UserError(f"{name}: the label {str(label)[:80]} is not one class (a name or a number)")
    if names is not None:
        if not str(label).isdecimal() or int(label) >= len(names):
            raise UserError(
                f"{name}: label '{str(label)[:80]}', but the config has {len(names)} names under labels"
            )
        label = names[int(label)]
    return str(label), str(value.get("group", "")), str(value.get("stratum", ""))


Samples = tuple[dict[str, str], dict[str, tuple[str, Member]]]


def _samples(root: Path, shard: Path, skipped: Counter[str]) -> Samples:
    """Name of the image, and name and place of the label, by sample; ``skipped`` counts other files."""
    images, labels = {}, {}
    for name, member in members(root, shard):
        folder, _, base = name.rpartition("/")
        stem, dot, extension = base.partition(".")
        sample, extension = f"{folder}/{stem}", (dot + extension).lower()
        if extension in EXTENSIONS and sample not in images:
            images[sample] = name
        elif extension == ".cls" or (extension == ".json" and sample not in labels):
            labels[sample] = (name, member)
        else:
            skipped[f"{extension or 'other'} files"] += 1
    return images, labels


def read_list(settings: dict[str, Any], root: Path) -> pd.DataFrame:
    """List the images of all tar files below a folder; the split is in the name of the tar file.

    A frame filename (``shard.tar/000012.jpg``), label, split, group, stratum (strings). UserError for missing or
    damaged tar files, no images, or an image without a label.
    """
    rows, skipped = [], Counter()
    for shard in find_shards(root):
        split = split_of_shard(shard.relative_to(root).as_posix())
        images, labels = _samples(root, shard, skipped)
        for sample, image in images.items():
            if sample not in labels:
                raise UserError(f"{image} has no label; add {posixpath.basename(sample)}.cls or .json")
            label, group, stratum = _label(*labels[sample], settings["labels"])
            rows.append((image, label, split, group, stratum))
    if not rows:
        raise UserError(f"{root}: no images in its tar files")
    log_skipped("tar files", skipped)
    return pd.DataFrame(rows, columns=["filename", "label", "split", "group", "stratum"], dtype="str")


def find_images(root: Path) -> dict[str, Member]:
    """Where each image is, by its name in :func:`read_list`."""
    found = (item for shard in find_shards(root) for item in members(root, shard))
    return {name: member for name, member in found if posixpath.splitext(name)[1].lower() in EXTENSIONS}
