"""Pieces of HTML that are safe by construction: whatever is not :class:`Html` already is escaped."""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from calibench.tables.grid import EMPTY, Grid

DENSE = 7  # tables of so many columns are set smaller
SHOWN = 0.55  # figures have 200 dots per inch: about their printed size, a little larger


class Html(Markup):
    """HTML that a notebook shows; ``format``, ``join`` and ``+`` escape plain strings."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<Html of {len(self):,} characters>"  # else a notebook would hold every figure twice


def join(parts: Iterable[Any], between: str = "\n") -> Html:
    """Parts one after the other, plain strings escaped."""
    return Html(between).join(parts)


def slug(*words: str) -> str:
    """An id made of letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-") or "part"


def paragraph(text: Any, kind: str = "") -> Html:
    """A paragraph; ``kind`` is a class of page.css (note, absent, warning)."""
    return Html('<p class="{}">{}</p>').format(kind, text) if kind else Html("<p>{}</p>").format(text)


def absent(text: Any) -> Html:
    """The one line that stands for a part whose inputs are not there."""
    return paragraph(text, "absent")


def heading(text: Any, anchor: str) -> Html:
    """A sub-heading (level 3), listed in the contents."""
    return Html('<h3 id="{}">{}</h3>').format(anchor, text)


def bullets(items: Iterable[Any]) -> Html:
    """An unordered list."""
    return Html("<ul>{}</ul>").format(join(Html("<li>{}</li>").format(item) for item in items))


def details(summary: Any, body: Any, printed: bool = True) -> Html:
    """A part that is folded on the screen, and open in print or left out there."""
    kind = "" if printed else "screen"
    return Html('<details class="{}"><summary>{}</summary>{}</details>').format(kind, summary, body)


def code(text: str) -> Html:
    """Preformatted text."""
    return Html('<pre tabindex="0"><code>{}</code></pre>').format(text)


def _merged(rows: Sequence[Sequence[Any]], column: int, upto: Sequence[int]) -> dict[int, int]:
    """Row → number of rows its cell spans: equal neighbours become one cell, never across a break in
    ``upto``.
    """
    spans, start = {}, 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or i in upto or rows[i][column] != rows[start][column]:
            spans[start] = i - start
            start = i
    return spans


def _head(columns: Sequence[Any], groups: Sequence[tuple[Any, int]], texts: set[int]) -> Html:
    """One header row, or two where there are groups; a column without a group gets one cell as high
    as both.
    """

    def cell(at: int, height: int = 1) -> Html:
        span = Html(' rowspan="{}"').format(height) if height > 1 else ""
        kind = "text" if at in texts else "number"
        kind += " c0" if at == 0 else ""
        kind += " long" if len(str(columns[at])) > 8 else ""
        return Html('<th scope="col"{} class="{}">{}</th>').format(span, kind, columns[at])

    if not groups:
        return Html("<tr>{}</tr>").format(join(map(cell, range(len(columns))), ""))
    upper, lower, at = [], [], 0
    for text, width in groups:
        columns_below = range(at, at + width)
        if text:
            upper.append(Html('<th scope="colgroup" colspan="{}" class="group">{}</th>').format(width, text))
            lower += map(cell, columns_below)
        else:
            upper += [cell(i, 2) for i in columns_below]
        at += width
    return join(Html("<tr>{}</tr>").format(join(line, "")) for line in (upper, lower))


def table(
    columns: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    *,
    label: str,
    groups: Sequence[tuple[Any, int]] = (),
    stub: int = 1,
    breaks: Iterable[int] = (),
    bold: Iterable[tuple[int, int]] = (),
    caption: Any = "",
    notes: Sequence[Any] = (),
    text_columns: Iterable[int] = (),
    stack: bool = False,
) -> Html:
    """A table that scrolls sideways under a first column that stays.

    Args:
        columns: header, with units.
        rows: cells; None becomes a dash.
        label: what a screen reader calls the table.
        groups: upper header as (text, width); an empty text leaves the lower header to span both.
        stub: leading text columns, whose equal neighbours are merged.
        breaks: rows before which a rule is drawn and merging ends.
        bold: (row, column) positions.
        caption: printed above.
        notes: printed below.
        text_columns: further columns that hold text, aligned left.
        stack: on a phone, lay each row out as a block of its own (tables with sentences in them).
    """
    breaks, bold, texts = set(breaks), set(bold), {*range(stub), *text_columns}
    spans: list[dict[int, int]] = []
    for j in range(stub):
        edges = breaks | (set(spans[-1]) if spans else set())
        spans.append(_merged(rows, j, edges))
    body = []
    for i, row in enumerate(rows):
        cells = []
        for j, value in enumerate(row):
            shown: Any = EMPTY if value is None else value
            if (i, j) in bold:
                shown = Html("<strong>{}</strong>").format(shown)
            if j < stub:
                if i in spans[j]:
                    span = Html(' rowspan="{}"').format(spans[j][i]) if spans[j][i] > 1 else Html()
                    cells.append(
                        Html('<th scope="row"{} class="{}">{}</th>').format(
                            span, "c0" if j == 0 else "c1", shown
                        )
                    )
            else:
                kind = "text" if j in texts else "number"
                named = Html(' data-label="{}"').format(columns[j]) if stack else ""
                cells.append(Html('<td class="{}"{}>{}</td>').format(kind, named, shown))
        rule = Html(' class="rule"') if i in breaks and i else ""
        body.append(Html("<tr{}>{}</tr>").format(rule, join(cells, "")))
    inner = Html("{}<thead>{}</thead><tbody>{}</tbody>").format(
        Html("<caption>{}</caption>").format(caption) if caption else "",
        _head(columns, groups, texts),
        join(body),
    )
    foot = Html('<div class="notes">{}</div>').format(join(paragraph(n) for n in notes)) if notes else ""
    kind = "stack" if stack else "dense" if len(columns) >= DENSE else "plain"
    return Html(
        '<div class="scroll" role="region" tabindex="0" aria-label="{}"><table class="{}">{}</table></div>{}'
    ).format(label, kind, inner, foot)


def from_grid(grid: Grid) -> Html:
    """A printed table of :mod:`calibench.tables.grid` as HTML."""
    groups = [("", width) if not text else (text, width) for text, width in grid.groups]
    return table(
        grid.columns,
        grid.rows,
        label=grid.title,
        groups=groups,
        stub=grid.stub,
        breaks=grid.rules,
        caption=grid.title,
        notes=grid.notes,
    )


def _packed(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A figure as a PNG of 256 colours (a third of the bytes, no visible difference) and its size in pixels."""
    stream = io.BytesIO()
    with Image.open(path) as picture:
        on_white = Image.new("RGBA", picture.size, "white")
        on_white.alpha_composite(picture.convert("RGBA"))
        on_white.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue(), picture.size


def image(path: Path, alt: str, scale: float = SHOWN) -> Html:
    """A PNG inside the page, ``scale`` screen pixels per pixel."""
    content, (width, height) = _packed(path)
    return Html('<img alt="{}" width="{}" height="{}" src="data:image/png;base64,{}">').format(
        alt, round(width * scale), round(height * scale), base64.b64encode(content).decode("ascii")
    )


def figure(path: Path, title: str, caption: Any, alt: str) -> Html:
    """A figure on a white card, with its caption."""
    return Html(
        '<figure><div class="card" tabindex="0">{}</div>'
        "<figcaption><strong>{}</strong> {}</figcaption></figure>"
    ).format(image(path, alt), title, caption)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 class``, ``1,200 classes``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def number(value: Any, places: int = 4) -> str:
    """A number for reading: whole numbers with thousands separators, others with at most ``places``
    decimals.
    """
    if value is None or value != value:
        return EMPTY
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or EMPTY
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) < 10.0**-places or abs(value) >= 1e6:
        return f"{value:.2e}".replace("-", "−")
    places = min(places, 1) if abs(value) >= 100 else places
    return f"{value:,.{places}f}".replace("-", "−")
