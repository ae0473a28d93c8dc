"""Tar files in WebDataset style: each image beside its label, read where they lie, never unpacked.

A sample is all members with one name up to the first dot: ``000012.jpg`` with ``000012.cls`` (the class, a number or
a name) or ``000012.json`` (``{"label": …}``, with ``group`` and ``stratum`` if there are any).
Source: https://github.com/webdataset/webdataset.
"""

import json
import logging
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.data.limits import MAX_BYTES
from calibench.data.splitnames import split_of
from calibench.data.tree import EXTENSIONS
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError

log = logging.getLogger(__name__)
FORMAT = "webdataset"
LABELS = (".cls", ".json")


@dataclass(frozen=True)
class Member:
    """Where a member's bytes lie: file, first byte, number of bytes."""

    shard: Path
    start: int
    size: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            Unreadable: too large, or the file is shorter by now.
        """
        if self.size > MAX_BYTES:
            raise Unreadable(f"{self.size} bytes, more than the limit of {MAX_BYTES}")
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
    """The tar files below a folder, sorted.

    Raises:
        UserError: none, or one that a link puts there from elsewhere.
    """
    found = sorted(p for p in root.rglob("*.tar") if p.is_file() and not p.name.startswith("."))
    if not found:
        packed = next(root.rglob("*.tar.*"), None)
        hint = (
            f"; {packed.name} is compressed, which forbids reading in it: gunzip or unxz it" if packed else ""
        )
        raise UserError(f"{root} has no .tar file{hint}")
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}: a symbolic link leads out of the dataset's root; copy the file there")
    return found


def members(root: Path, shard: Path) -> Iterator[tuple[str, Member]]:
    """(``shard.tar/name``, place) of all regular members; only the headers are read.

    Raises:
        UserError: no tar file, or a truncated one.
    """
    inside = shard.relative_to(root).as_posix()
    try:
        with tarfile.open(shard, "r:") as archive:
            for item in archive:
                archive.members.clear()  # tarfile would keep all headers of a file with a million
                if not item.isreg() or item.issparse():
                    continue
                yield (
                    f"{inside}/{posixpath.normpath(item.name)}",
                    Member(shard, item.offset_data, item.size),
                )
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(f"{shard} is no tar file, or damaged ({error}); copy or download it again") from error


def split_of_shard(name: str) -> str:
    """The split that a word of a tar file's path spells (``brain-train-000.tar``, ``test/000.tar``), ``''`` if none.

    Raises:
        UserError: if words spell different splits.
    """
    found = {split_of(word) for word in re.split(r"[^A-Za-z]+", name.removesuffix(".tar"))} - {""}
    if len(found) > 1:
        raise UserError(f"{name} names the splits {' and '.join(sorted(found))}; rename the tar file")
    return found.pop() if found else ""


def _label(name: str, place: Member, names: list[str] | None) -> tuple[str, str, str]:
    """Label, group and stratum that a .cls or .json member holds; ``names`` are those of the numbers."""
    try:
        text = place.read().decode("utf-8")
        value = json.loads(text) if name.endswith(".json") else {"label": text.strip()}
        label = value["label"]
    except (Unreadable, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{name}: no label ({error!r}); {{"label": …}} as UTF-8 is needed') from error
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise UserError(
            f"{name}: the label {str(label)[:80]} is neither a name nor a number; one class is needed"
        )
    if names is not None:
        if not str(label).isdecimal() or int(label) >= len(names):
            raise UserError(f"{name}: label '{str(label)[:80]}' but {len(names)} names under 'labels'")
        label = names[int(label)]
    return str(label), str(value.get("group", "")), str(value.get("stratum", ""))


def _samples(root: Path, shard: Path) -> tuple[dict[str, str], dict[str, tuple[str, Member]], Counter[str]]:
    """By sample: name of its image; name and place of its label. And how many other members there are."""
    images: dict[str, str] = {}
    labels: dict[str, tuple[str, Member]] = {}
    others: Counter[str] = Counter()
    for name, place in members(root, shard):
        folder, _, base = name.rpartition("/")
        key, dot, extension = base.partition(".")
        sample, extension = f"{folder}/{key}", (dot + extension).lower()
        if extension in EXTENSIONS and sample not in images:
            images[sample] = name
        elif extension in LABELS and (extension == ".cls" or sample not in labels):
            labels[sample] = (name, place)
        else:
            others[extension or "without ending"] += 1
    return images, labels, others


def read_list(settings: dict[str, Any], root: Path) -> pd.DataFrame:
    """List the images of all tar files below a folder; the split is what the tar file's name says.

    Returns:
        Frame filename (``shard.tar/000012.jpg``), label, split, group, stratum (strings).

    Raises:
        UserError: no or damaged tar files, no images, an image without a label.
    """
    rows, passed = [], Counter()
    names = None if settings["labels"] is None else [str(name) for name in settings["labels"]]
    for shard in find_shards(root):
        split = split_of_shard(shard.relative_to(root).as_posix())
        images, labels, others = _samples(root, shard)
        passed += others
        for sample, image in images.items():
            if sample not in labels:
                raise UserError(
                    f"{image} has no label; {posixpath.basename(sample)}.cls or .json is needed beside it"
                )
            label, group, stratum = _label(*labels[sample], names)
            rows.append((image, label, split, group, stratum))
    if not rows:
        raise UserError(f"{root}: no images in its tar files")
    if passed:
        log.info("passed over in tar files: %s", UserError(str(dict(passed.most_common(6)))))
    return pd.DataFrame(rows, columns=["filename", "label", "split", "group", "stratum"], dtype="str")


def places(root: Path) -> dict[str, Member]:
    """Where each image lies, by the names that :func:`read_list` gives."""
    found = (item for shard in find_shards(root) for item in members(root, shard))
    return {name: place for name, place in found if posixpath.splitext(name)[1].lower() in EXTENSIONS}
