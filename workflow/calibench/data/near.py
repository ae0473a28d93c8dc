"""Like images: pairs whose coarse form agrees (searched exactly), told apart by their fine detail."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibench.data.prints import FORM, SIDE, unpack

log = logging.getLogger(__name__)

ALIKE = 0.97  # correlation of two forms from which on their details are compared
CANDIDATES = (
    512  # compared per image and direction, the likest: a flood of like images must not become a square
)
LEAF = 128  # images per cell of the search
AXES = 16  # directions that decide which images a cell is compared with
REACH = (
    2 - 2 * ALIKE + 1e-3
)  # squared distance of unit vectors that correlate to ALIKE, with room for rounding
SAMPLE = 4096  # images that choose an axis
FLIPS = (
    (1, 1),
    (1, -1),
    (-1, 1),
    (-1, -1),
)  # steps down and to the right: as it is, mirrored, upside down, both
COLUMNS = 8192  # images that one cell is compared with at once
PAIRS = 2048  # pairs whose details are compared at once


@dataclass
class Pairs:
    """P pairs of rows, first < second, in order.

    likeness (P,) float32: correlation of the details; flip (P,) int8: place in FLIPS of what was done to the first.
    """

    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray
    flip: np.ndarray


def _axes(form: np.ndarray) -> np.ndarray:
    """(63, 16) the directions along which forms differ most; the search is quick because they are few."""
    some = form[:: max(1, len(form) // SAMPLE)].astype(np.float32)
    return np.linalg.eigh(np.cov(some.T, ddof=0))[1][:, : -AXES - 1 : -1].astype(np.float32)


def _cells(place: np.ndarray) -> list[np.ndarray]:
    """Rows in cells of at most LEAF like images: cut in half along the widest axis, again and again."""
    cells, waiting = [], [np.arange(len(place))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= LEAF:
            cells.append(rows)
            continue
        widest = place[rows[:: max(1, len(rows) // SAMPLE)]].var(axis=0).argmax()
        order = np.argsort(place[rows, widest], kind="stable")
        waiting += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
    return cells


def _likest(row: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    """Places of the ``count`` best scores of each row."""
    order = np.lexsort((-score, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return order[rank < count]


def _within(low: np.ndarray, high: np.ndarray, place: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` whose ``place`` (N, 16) may be alike to something in the box from ``low`` to ``high``."""
    distance = np.zeros(len(rows), np.float32)
    for start in range(0, AXES, 4):  # most are far away already along the first axes
        axes = slice(start, start + 4)
        here = place[rows, axes]
        gap = np.maximum(np.maximum(low[axes] - here, here - high[axes]), 0)
        distance += np.einsum("ij,ij->i", gap, gap)
        keep = np.flatnonzero(distance <= REACH)
        rows, distance = rows[keep], distance[keep]
    return rows


def _candidates(form: np.ndarray, turn: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """For each cell: pairs (first, second) of rows whose forms, the first one flipped, correlate to ALIKE.

    Exact up to CANDIDATES per image: an image is passed over only if it is too far from a whole cell. The third
    value is the number of pairs beyond CANDIDATES.
    """
    axes = _axes(form)
    place = np.concatenate(
        [form[i : i + SAMPLE].astype(np.float32) @ axes for i in range(0, len(form), SAMPLE)]
    )
    cells = _cells(place)
    order = np.concatenate(cells)
    place = place[order]
    sizes = np.array([len(rows) for rows in cells])
    begins = np.cumsum(sizes) - sizes
    lows, highs = np.minimum.reduceat(place, begins), np.maximum.reduceat(place, begins)
    for number, rows in enumerate(cells):
        here = form[rows].astype(np.float32) * turn
        box = here @ axes
        low, high = box.min(axis=0), box.max(axis=0)
        gap = np.maximum(np.maximum(low - highs, lows - high), 0)
        near = (gap * gap).sum(axis=1) <= REACH
        near[:number] = False  # those have asked already
        others = _within(low, high, place, np.flatnonzero(np.repeat(near, sizes)))
        found, passed = [np.empty((3, 0))], 0
        for start in range(0, len(others), COLUMNS):
            part = others[start : start + COLUMNS]
            columns = order[part]
            scores = (here @ form[columns].astype(np.float32).T).ravel()
            hit = np.flatnonzero(scores >= ALIKE)
            a, b = hit // len(part), hit % len(part)
            once = (
                part[b] > begins[number] + a
            )  # of two rows the one that comes first in the order of the cells asks
            a, b, hit = a[once], b[once], hit[once]
            found.append(np.stack([a, columns[b], scores[hit]]))
            if sum(piece.shape[1] for piece in found) > 2 * CANDIDATES * len(rows):
                found, passed = [_trim(found)], passed + _surplus(found)
        kept = _trim(found)
        yield rows[kept[0].astype(np.int64)], kept[1].astype(np.int64), passed + _surplus(found)


def _trim(found: list[np.ndarray]) -> np.ndarray:
    """(3, P) the CANDIDATES likest per row of (row, column, score)."""
    together = np.concatenate(found, axis=1)
    return together[:, _likest(together[0], together[2], CANDIDATES)]


def _surplus(found: list[np.ndarray]) -> int:
    """How many pairs :func:`_trim` leaves out."""
    rows = np.concatenate([part[0] for part in found]).astype(np.int64)
    return int(np.maximum(np.bincount(rows) - CANDIDATES, 0).sum())


def likeness(detail: np.ndarray, first: np.ndarray, second: np.ndarray, flip: tuple[int, int]) -> np.ndarray:
    """(P,) float32 correlation of the details of pairs of rows, the first one flipped."""
    result = np.zeros(len(first), np.float32)
    for start in range(0, len(first), PAIRS):
        part = slice(start, start + PAIRS)
        sides = []
        for rows in (first[part], second[part]):
            unique, place = np.unique(rows, return_inverse=True)
            sides.append((unpack(detail[unique]), place))
        (a, at), (b, bt) = sides
        a = a.reshape(-1, SIDE, SIDE)[:, :: flip[0], :: flip[1]].reshape(len(a), -1)
        result[part] = np.einsum("ij,ij->i", a[at], b[bt])
    return result


def signs(flip: tuple[int, int]) -> np.ndarray:
    """(63,) float32: flipping an image turns the sign of its odd frequencies."""
    odd = np.arange(FORM) % 2 == 1
    down, right = (np.where(odd & (step < 0), -1, 1) for step in flip)
    return np.outer(down, right).ravel()[1:].astype(np.float32)


def pairs(form: np.ndarray, detail: np.ndarray, rows: np.ndarray, least: float) -> Pairs:
    """All pairs of ``rows`` whose forms correlate to at least 0.97 and whose details to at least ``least``, in any flip.

    Flipped images are looked for because collections are sold with them, and because training flips: a mirror
    image in test is a copy. What this finds and misses is measured in docs/data.md.

    Args:
        form: (N, 63) float16, see :func:`calibench.data.prints.forms`.
        detail: (N, 512) uint8, see :func:`calibench.data.prints.details`.
        rows: (M,) images to look at; all others cost nothing, and no copy of the details is made.

    Returns:
        Pairs of places in ``rows``.
    """
    kinds = (np.int32, np.int32, np.float32, np.int8)
    found = [tuple(np.empty(0, kind) for kind in kinds)]
    passed = 0
    for number, flip in enumerate(FLIPS):
        for a, b, beyond in _candidates(form[rows], signs(flip)) if len(rows) > 1 else ():
            score = likeness(detail, rows[a], rows[b], flip)
            keep = score >= least
            a, b, score = a[keep], b[keep], score[keep]
            sides = (np.minimum(a, b), np.maximum(a, b), score, np.full(len(a), number))
            found.append(tuple(side.astype(kind) for side, kind in zip(sides, kinds, strict=True)))
            passed += beyond
    if passed:
        log.warning("like images: %d candidate pairs in crowded places were not compared", passed)
    first, second, score, flipped = (np.concatenate(side) for side in zip(*found, strict=True))
    # A symmetric pair is found twice; it is shown as what it is more.
    order = np.lexsort((-score, second, first))
    first, second, score, flipped = first[order], second[order], score[order], flipped[order]
    new = np.ones(len(first), bool)
    new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    return Pairs(first[new], second[new], score[new], flipped[new])
