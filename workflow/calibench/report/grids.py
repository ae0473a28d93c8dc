"""Rows of a table as cells that know how far they reach: equal neighbours in the leading columns become one cell."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

OPEN_ROWS = 40  # longer tables are folded


class Row(NamedTuple):
    """``stub``: (text, rows it spans) of the leading cells that begin here; ``cells``: the others."""

    first: bool  # a rule is drawn above
    stub: list[tuple[int, Any, int]]
    cells: list[tuple[int, Any]]


def merged(rows: Sequence[Sequence[Any]], stub: int = 1) -> Iterator[Row]:
    """Rows with their leading ``stub`` cells merged downwards; a merge never crosses one of the column before.

    A rule stands above every new value of the first column, unless every row has a value of its own.
    """
    starts = [
        [i == 0 or rows[i][: j + 1] != rows[i - 1][: j + 1] for i in range(len(rows))] for j in range(stub)
    ]
    for i, row in enumerate(rows):
        begun = [(j, row[j], _reach(starts[j], i)) for j in range(stub) if starts[j][i]]
        rule = bool(i and starts[0][i] and not all(starts[0]))
        yield Row(rule, begun, list(enumerate(row))[stub:])


def _reach(starts: Sequence[bool], i: int) -> int:
    return next((k for k in range(i + 1, len(starts)) if starts[k]), len(starts)) - i
