"""Like images: pairs whose coarse form agrees (searched exactly), told apart by their fine detail."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibench.data.prints import FORM, SIDE, unpack

log = logging.getLogger(__name__)

ALIKE = 0.97  # correlation of two forms from which on their details are compared
CANDIDATES = 512  # compared per image and direction, the likest: a flood of like images must not become a square
LEAF = 512  # images per cell of the search
COLUMNS = 8192  # images that one cell is compared with at once
PAIRS = 8192  # pairs whose details are compared at once


@dataclass
class Pairs:
    """P pairs of rows, first < second, in order.

    likeness (P,) float32: correlation of the details; mirrored (P,) bool: of one with the other's mirror image.
    """

    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray
    mirrored: np.ndarray


def _cells(form: np.ndarray) -> list[np.ndarray]:
    """Rows in cells of at most LEAF like images: cut in half along the widest direction, again and again."""
    cells, waiting = [], [np.arange(len(form))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= LEAF:
            cells.append(rows)
            continue
        some = rows[:: max(1, len(rows) // 4096)]
        column = form[rows, form[some].astype(np.float32).var(axis=0).argmax()]
        order = np.argsort(column, kind="stable")
        waiting += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
    return cells


def _likest(row: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    """Places of the ``count`` best scores of each row."""
    order = np.lexsort((-score, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return order[rank < count]


def _candidates(
    form: np.ndarray, cells: list[np.ndarray], flip: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """For each cell: pairs (first, second) of rows whose forms, the first one flipped, correlate to ALIKE.

    Exact up to CANDIDATES per image: a cell is passed over only if its bounding box is too far away. The third
    value is the number of pairs beyond CANDIDATES.
    """
    boxes = [(form[rows].min(axis=0), form[rows].max(axis=0)) for rows in cells]
    low, high = (np.array(side, dtype=np.float32) for side in zip(*boxes, strict=True))
    for number, rows in enumerate(cells):
        here = form[rows].astype(np.float32) * flip
        gap = np.maximum(np.maximum(low[number:] - here.max(axis=0), here.min(axis=0) - high[number:]), 0)
        # Of unit vectors with correlation c the squared distance is 2 - 2c.
        within = number + np.flatnonzero((gap * gap).sum(axis=1) <= 2 - 2 * ALIKE)
        others = np.concatenate([cells[i] for i in within]) if len(within) else rows[:0]
        found = [np.empty((3, 0))]
        passed = 0
        for start in range(0, len(others), COLUMNS):
            columns = others[start : start + COLUMNS]
            scores = here @ form[columns].astype(np.float32).T
            hit = np.flatnonzero(scores.ravel() >= ALIKE)
            a, b = hit // len(columns), hit % len(columns)
            # Within a cell each pair is met twice; a smaller row elsewhere is met once.
            keep = (start + b >= len(rows)) | (rows[a] < columns[b]) if within[0] == number else slice(None)
            found.append(np.stack([a[keep], columns[b[keep]], scores.ravel()[hit[keep]]]))
            if sum(part.shape[1] for part in found) > 2 * CANDIDATES * len(rows):
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


def likeness(detail: np.ndarray, first: np.ndarray, second: np.ndarray, mirrored: bool) -> np.ndarray:
    """(P,) float32 correlation of the details of pairs of rows, the first one mirrored or not."""
    result = np.zeros(len(first), np.float32)
    for start in range(0, len(first), PAIRS):
        part = slice(start, start + PAIRS)
        sides = []
        for rows in (first[part], second[part]):
            unique, place = np.unique(rows, return_inverse=True)
            sides.append((unpack(detail[unique]), place))
        (a, at), (b, bt) = sides
        if mirrored:
            a = a.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(a), -1)
        result[part] = np.einsum("ij,ij->i", a[at], b[bt])
    return result


def pairs(form: np.ndarray, detail: np.ndarray, copy: float, series: float) -> Pairs:
    """All pairs whose forms correlate to at least 0.97 and whose details to at least ``series``.

    Mirror images are looked for as well, but only copies: symmetric bodies look like their own mirror image,
    so a weaker likeness says nothing. What this finds and misses is measured in docs/data.md.

    Args:
        form: (N, 63) float16, see :func:`calibench.data.prints.forms`.
        detail: (N, 512) uint8, see :func:`calibench.data.prints.details`.
        copy: least correlation of the details of a mirrored copy.
        series: least correlation of the details of the other pairs.
    """
    cells = _cells(form)
    frequencies = np.tile(np.arange(FORM), FORM)[1:]
    found: list[tuple[np.ndarray, ...]] = [(np.empty(0, np.int64),) * 2 + (np.empty(0, np.float32),) * 2]
    passed = 0
    for mirrored, least in ((False, series), (True, copy)):
        flip = np.where(mirrored & (frequencies % 2 == 1), -1, 1).astype(np.float32)
        for a, b, beyond in _candidates(form, cells, flip) if len(form) else ():
            score = likeness(detail, a, b, mirrored)
            keep = score >= least
            a, b, score = a[keep], b[keep], score[keep]
            found.append((np.minimum(a, b), np.maximum(a, b), score, np.full(len(a), mirrored)))
            passed += beyond
    if passed:
        log.warning("like images: %d candidate pairs in crowded places were not compared", passed)
    first, second, score, mirror = (np.concatenate(side) for side in zip(*found, strict=True))
    # A symmetric pair is found twice; it is shown as what it is more.
    order = np.lexsort((-score, second, first))
    first, second, score, mirror = first[order], second[order], score[order], mirror[order].astype(bool)
    new = np.ones(len(first), bool)
    new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    return Pairs(first[new], second[new], score[new], mirror[new])
