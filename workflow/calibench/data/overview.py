"""A first look at a data set, fast for any size: ten thumbnails per class, sizes and modes of a sample.

It shows most mistakes in a list at once: wrong folder, wrong window, two classes exchanged.
"""

import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from calibench.data import splitting
from calibench.data.decode import Window, to_colour, to_uint8
from calibench.data.pool import over_chunks
from calibench.data.readers import Reader, open_reader
from calibench.data.splitnames import SPLITS
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError
from calibench.files import atomic_path

EACH = 10  # thumbnails per class
SAMPLE = 200  # images of the whole set whose size and mode are counted, besides the thumbnails
TILE = 72  # pixels per side of a thumbnail
ROWS = 30  # classes in one picture; more classes make more pictures
GAP = 4  # pixels between two rows
HEAD = 40  # pixels above the first row
GREY = 238  # fills the tile of an image that is not square
LABEL = 300  # width of the class names in pixels
DPI = 128  # a power of two: a size in inches is then exact, and no column of pixels is lost


@dataclass
class Look:
    """Thumbnails (TILE, TILE, 3) RGB by row of the list, and counts of sizes and modes."""

    tiles: dict[int, np.ndarray] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    modes: Counter[str] = field(default_factory=Counter)
    unreadable: dict[int, str] = field(default_factory=dict)


def mode_of(image: np.ndarray) -> str:
    """Depth and colours in words, such as ``8-bit grey``."""
    depth = "float" if image.dtype.kind == "f" else f"{8 * image.dtype.itemsize}-bit"
    if image.ndim == 2 or image.shape[2] == 1:
        return f"{depth} grey"
    same = (image[:, :, :1] == image[:, :, 1:3]).all()
    return f"{depth} colour" + (", all grey" if same else "") + (" with alpha" if image.shape[2] == 4 else "")


def tile_of(image: np.ndarray, window: Window) -> np.ndarray:
    """Thumbnail (TILE, TILE, 3) RGB, aspect ratio kept; without a window, deep images are shown with their full range."""
    try:
        eight = to_uint8(image, window)
    except Unreadable:
        low, high = float(np.nanmin(image)), float(np.nanmax(image))
        eight = to_uint8(np.nan_to_num(image, nan=low), [low, max(high, low + 1)])
    rgb = to_colour(eight, "rgb")
    scale = TILE / max(rgb.shape[:2])
    height, width = (max(1, round(scale * side)) for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.full((TILE, TILE, 3), GREY, np.uint8)
    top, left = (TILE - height) // 2, (TILE - width) // 2
    tile[top : top + height, left : left + width] = small
    return tile


def _cross() -> np.ndarray:
    """The thumbnail of an image that cannot be read."""
    tile = np.full((TILE, TILE, 3), GREY, np.uint8)
    for ends in (((0, 0), (TILE, TILE)), ((0, TILE), (TILE, 0))):
        cv2.line(tile, *ends, (200, 0, 0), 2)
    return tile


def look(frame: pd.DataFrame, reader: Reader, window: Window, threads: int) -> Look:
    """Read the images for the thumbnails and a sample, chosen by a hash of their names."""
    names = frame["filename"].tolist()
    shown = splitting.cap(frame["target"], names, EACH, seed=0)
    sampled = np.zeros(len(names), dtype=bool)
    sampled[np.argsort(splitting.keys(names, 0, "overview"))[:SAMPLE]] = True
    rows = np.flatnonzero(shown | sampled).tolist()

    def work(start: int, stop: int) -> Look:
        part = Look()
        for row in rows[start:stop]:
            try:
                image = reader.read(names[row])
                if shown[row]:
                    part.tiles[row] = tile_of(image, window)
                part.sizes[image.shape[1], image.shape[0]] += 1
                part.modes[mode_of(image)] += 1
            except Unreadable as error:
                part.unreadable[row] = str(error)
                if shown[row]:
                    part.tiles[row] = _cross()
        return part

    found = Look()
    for part in over_chunks(work, len(rows), threads, "show"):
        found.tiles |= part.tiles
        found.sizes += part.sizes
        found.modes += part.modes
        found.unreadable |= part.unreadable
    return found


def describe(name: str, frame: pd.DataFrame, classes: pd.DataFrame, found: Look, window: Window) -> str:
    """Classes, images per split and class, sizes and modes, as lines for the terminal."""
    total = classes[list(SPLITS)].sum()
    table = pd.concat([classes[["label", *SPLITS]], pd.DataFrame([{"label": "all", **total}])])
    sizes = [f"{w}x{h} ({n})" for (w, h), n in found.sizes.most_common(6)]
    more = len(found.sizes) - len(sizes)
    modes = [f"{mode} ({n})" for mode, n in found.modes.most_common()]
    lines = [
        f"read {sum(found.sizes.values())} images, chosen by a seed",
        f"sizes, width x height: {', '.join(sizes) or 'none'}" + (f" and {more} more" if more > 0 else ""),
        f"modes: {', '.join(modes) or 'none'}",
    ]
    if window is None and any(not mode.startswith("8-bit") for mode in found.modes):
        key = f"datasets.{name}.store.window"
        lines.append(f"images of more than 8 bits need {key}; the thumbnails show their full range")
    if found.unreadable:
        row, reason = next(iter(found.unreadable.items()))
        lines.append(f"unreadable: {len(found.unreadable)}, the first is {frame['filename'][row]}: {reason}")
    first = f"{name}: {len(frame)} images of {len(classes)} classes"
    return "\n".join([first, table.to_string(index=False), *(str(UserError(line)) for line in lines)])


def _mosaic(frame: pd.DataFrame, targets: list[int], found: Look) -> np.ndarray:
    """Thumbnails of some classes, one row each: (rows x (TILE + GAP), EACH x TILE, 3)."""
    image = np.full((len(targets) * (TILE + GAP), EACH * TILE, 3), 255, np.uint8)
    of_row = frame["target"].to_numpy()
    for i, target in enumerate(targets):
        rows = [row for row in sorted(found.tiles) if of_row[row] == target]
        for j, row in enumerate(rows):
            image[i * (TILE + GAP) : i * (TILE + GAP) + TILE, j * TILE : (j + 1) * TILE] = found.tiles[row]
    return image


def _write_page(path: Path, title: str, labels: list[str], mosaic: np.ndarray) -> None:
    """One picture: the mosaic pixel by pixel, and the names of the classes left of their rows."""
    from matplotlib.figure import Figure

    height, width = mosaic.shape[0] + HEAD, mosaic.shape[1] + LABEL
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(mosaic, LABEL, 0, origin="upper")
    figure.text(10 / width, 1 - HEAD / 2 / height, title, va="center", fontsize=8, parse_math=False)
    for i, label in enumerate(labels):
        middle = 1 - (HEAD + i * (TILE + GAP) + TILE / 2) / height
        figure.text(10 / width, middle, label, va="center", fontsize=6, parse_math=False)
    with atomic_path(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter missing in the font becomes a box
        figure.savefig(part, format="png", dpi=DPI)  # whatever style another figure has set


def draw(name: str, frame: pd.DataFrame, classes: pd.DataFrame, found: Look, path: Path) -> list[Path]:
    """Write the thumbnails, ROWS classes per picture: into ``path``, then into the same name with -2, -3, …"""
    pages = [classes.iloc[start : start + ROWS] for start in range(0, len(classes), ROWS)]
    paths = [path if i == 1 else path.with_stem(f"{path.stem}-{i}") for i in range(1, len(pages) + 1)]
    for number, (page, file) in enumerate(zip(pages, paths, strict=True), start=1):
        names = ["\n".join(textwrap.wrap(label, 40)[:2]) for label in page["label"]]
        counts = page[list(SPLITS)].astype(str).agg(" / ".join, axis=1)
        labels = [f"{label}\n{count}" for label, count in zip(names, counts, strict=True)]
        title = f"{name}: images in train / val / test"
        title += f", page {number} of {len(pages)}" if len(pages) > 1 else ""
        _write_page(file, title, labels, _mosaic(frame, page["target"].tolist(), found))
    return paths


def show(
    settings: dict[str, Any], frame: pd.DataFrame, classes: pd.DataFrame, path: Path, threads: int
) -> Iterator[str]:
    """Draw a data set into ``path``; yields the lines for the terminal."""
    name, window = settings["name"], settings["store"]["window"]
    found = look(frame, open_reader(settings), window, threads)
    yield describe(name, frame, classes, found, window)
    yield "drawn: " + ", ".join(map(str, draw(name, frame, classes, found, path)))
