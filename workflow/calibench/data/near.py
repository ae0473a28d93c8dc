"""Search for similar images: find all pairs with the same coarse form, then compare their fine detail."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibench.data.prints import FORM, SIDE, unpack

log = logging.getLogger(__name__)

SAME_FORM = 0.97  # lowest correlation of two forms at which their details are compared
REACH = 2 - 2 * SAME_FORM + 1e-3  # squared distance of unit vectors with that correlation, rounded up
CANDIDATES = 512  # limit per image and flip: without one, n similar images need n² comparisons
LEAF = 128  # images per cell of the search
AXES = 16  # directions that decide which cells are compared
SAMPLE = 4096  # images that an axis is computed from
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # steps down and right: none, mirrored, upside down, both
COLUMNS = 8192  # images that are compared with one cell at once
PAIRS = 2048  # pairs whose details are compared at once


@dataclass
class Pairs:
    """P pairs of rows, first < second, sorted."""

    first: np.ndarray
    second: np.ndarray
    likeness: np.ndarray  # (P,) float32: correlation of the details
    flip: np.ndarray  # (P,) int8: index into FLIPS, how the first image was flipped


def _axes(form: np.ndarray) -> np.ndarray:
    """(63, 16) directions in which forms differ most (principal components)."""
    sample = form[:: max(1, len(form) // SAMPLE)].astype(np.float32)
    return np.linalg.eigh(np.cov(sample.T, ddof=0))[1][:, : -AXES - 1 : -1].astype(np.float32)


def _cells(place: np.ndarray) -> list[np.ndarray]:
    """Rows in cells of at most LEAF neighbours: a k-d tree, which halves along the widest axis again and again."""
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


def _in_reach(low: np.ndarray, high: np.ndarray, place: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` whose ``place`` (N, 16) is in reach of the box from ``low`` to ``high``."""
    distance = np.zeros(len(rows), np.float32)
    for start in range(0, AXES, 4):  # the first axes already exclude most
        axes = slice(start, start + 4)
        here = place[rows, axes]
        gap = np.maximum(np.maximum(low[axes] - here, here - high[axes]), 0)
        distance += np.einsum("ij,ij->i", gap, gap)
        keep = np.flatnonzero(distance <= REACH)
        rows, distance = rows[keep], distance[keep]
    return rows


def _best(found: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """(3, P) the best CANDIDATES pairs of each row among (row, column, score), and the number of all others."""
    pairs = np.concatenate(found, axis=1)
    pairs = pairs[:, np.lexsort((-pairs[2], pairs[0]))]
    rank = np.arange(pairs.shape[1]) - np.searchsorted(pairs[0], pairs[0])
    kept = pairs[:, rank < CANDIDATES]
    return kept, pairs.shape[1] - kept.shape[1]


def _candidates(form: np.ndarray, sign: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """For each cell: pairs (first, second) of rows whose forms, the first one flipped, correlate at least SAME_FORM.

    Exact up to CANDIDATES per image: a cell is skipped only if all of it is out of reach. The third value is the
    number of pairs beyond CANDIDATES.
    """
    axes = _axes(form)
    blocks = (form[i : i + SAMPLE].astype(np.float32) @ axes for i in range(0, len(form), SAMPLE))
    place = np.concatenate(list(blocks))
    cells = _cells(place)
    order = np.concatenate(cells)
    place = place[order]
    sizes = np.array([len(rows) for rows in cells])
    begins = np.cumsum(sizes) - sizes
    lows, highs = np.minimum.reduceat(place, begins), np.maximum.reduceat(place, begins)
    for number, rows in enumerate(cells):
        here = form[rows].astype(np.float32) * sign
        box = here @ axes
        low, high = box.min(axis=0), box.max(axis=0)
        gap = np.maximum(np.maximum(low - highs, lows - high), 0)
        close = (gap * gap).sum(axis=1) <= REACH
        close[:number] = False  # compared before
        others = _in_reach(low, high, place, np.flatnonzero(np.repeat(close, sizes)))
        found, beyond = [np.empty((3, 0))], 0
        for start in range(0, len(others), COLUMNS):
            part = others[start : start + COLUMNS]
            columns = order[part]
            scores = (here @ form[columns].astype(np.float32).T).ravel()
            hit = np.flatnonzero(scores >= SAME_FORM)
            a, b = hit // len(part), hit % len(part)
            once = part[b] > begins[number] + a  # each pair once: from the row that comes first in the cells
            a, b, hit = a[once], b[once], hit[once]
            found.append(np.stack([a, columns[b], scores[hit]]))
            if sum(pairs.shape[1] for pairs in found) > 2 * CANDIDATES * len(rows):
                best, more = _best(found)
                found, beyond = [best], beyond + more
        best, more = _best(found)
        yield rows[best[0].astype(np.int64)], best[1].astype(np.int64), beyond + more


def likeness(detail: np.ndarray, first: np.ndarray, second: np.ndarray, flip: tuple[int, int]) -> np.ndarray:
    """(P,) float32 correlation of the details of pairs of rows, with the first one flipped."""
    result = np.zeros(len(first), np.float32)
    for start in range(0, len(first), PAIRS):
        part = slice(start, start + PAIRS)
        rows_a, at = np.unique(first[part], return_inverse=True)
        rows_b, bt = np.unique(second[part], return_inverse=True)
        a = unpack(detail[rows_a]).reshape(-1, SIDE, SIDE)[:, :: flip[0], :: flip[1]].reshape(len(rows_a), -1)
        result[part] = np.einsum("ij,ij->i", a[at], unpack(detail[rows_b])[bt])
    return result


def signs(flip: tuple[int, int]) -> np.ndarray:
    """(63,) float32: flipping an image changes the sign of its odd frequencies."""
    odd = np.arange(FORM) % 2 == 1
    down, right = (np.where(odd & (step < 0), -1, 1) for step in flip)
    return np.outer(down, right).ravel()[1:].astype(np.float32)


def pairs(form: np.ndarray, detail: np.ndarray, rows: np.ndarray, lowest: float) -> Pairs:
    """All pairs of ``rows`` whose forms correlate at least 0.97 and whose details at least ``lowest``, in any flip.

    Flips count because collections contain flipped images and training flips them: a mirror image in test is a copy.
    docs/data.md says what this finds and misses.

    Args:
        form: (N, 63) float16, see :func:`calibench.data.prints.forms`.
        detail: (N, 512) uint8, see :func:`calibench.data.prints.details`.
        rows: (M,) images to compare; all others cost nothing, and the details are not copied.
        lowest: lowest correlation of the details.

    Returns:
        Pairs of indices into ``rows``.
    """
    kinds = (np.int32, np.int32, np.float32, np.int8)
    found = [tuple(np.empty(0, kind) for kind in kinds)]
    beyond = 0
    for number, flip in enumerate(FLIPS):
        for a, b, more in _candidates(form[rows], signs(flip)) if len(rows) > 1 else ():
            score = likeness(detail, rows[a], rows[b], flip)
            keep = score >= lowest
            a, b, score = a[keep], b[keep], score[keep]
            columns = (np.minimum(a, b), np.maximum(a, b), score, np.full(len(a), number))
            found.append(tuple(column.astype(kind) for column, kind in zip(columns, kinds, strict=True)))
            beyond += more
    if beyond:
        log.warning("too many images are similar: %d pairs were not compared", beyond)
    first, second, score, flipped = (np.concatenate(column) for column in zip(*found, strict=True))
    # A symmetric pair appears in two flips: keep the one with the higher correlation.
    order = np.lexsort((-score, second, first))
    first, second, score, flipped = first[order], second[order], score[order], flipped[order]
    new = np.ones(len(first), bool)
    new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    return Pairs(first[new], second[new], score[new], flipped[new])
