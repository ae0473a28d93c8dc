"""A printed table, laid out once, written as CSV, Markdown and LaTeX; text from data is escaped."""

import csv
import io
import re
from dataclasses import dataclass, field

import pandas as pd

EMPTY = "–"

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "α": r"$\alpha$",
    "ε": r"$\varepsilon$",
    "–": "--",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~$])")


@dataclass
class Grid:
    """A table as printed.

    ``groups`` are the upper header cells as (text, width), ``columns`` the lower ones; ``blocks`` are runs of
    ``rows`` between rules; ``stub`` counts the leading text columns.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    stub: int
    groups: list[tuple[str, int]] = field(default_factory=list)
    rules: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    label: str = ""

    def frame(self) -> pd.DataFrame:
        """The table as a frame of texts."""
        return pd.DataFrame(self.rows, columns=self.heads())

    def heads(self) -> list[str]:
        """One head per column, ``group, column`` where there are groups."""
        uppers = [text for text, width in self.groups for _ in range(width)] or [""] * len(self.columns)
        return [", ".join(filter(None, pair)) for pair in zip(uppers, self.columns, strict=True)]


def tex(text: str) -> str:
    """Escape for LaTeX text mode; line breaks become spaces."""
    return "".join(_TEX.get(char, char) for char in " ".join(text.split()))


def markdown(text: str) -> str:
    """Escape for a Markdown table cell that may later be shown as HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)


def to_csv(grid: Grid) -> str:
    """Comma-separated, one header row, numbers as printed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(grid.heads())
    writer.writerows(grid.rows)
    return stream.getvalue()


def to_markdown(grid: Grid) -> str:
    """A pipe table with its title above and its notes below."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    body = [line([markdown(cell) for cell in row]) for row in grid.rows]
    align = ["---" if j < grid.stub else "---:" for j in range(len(grid.columns))]
    parts = [f"**{markdown(grid.title)}**", "", line([markdown(h) for h in grid.heads()]), line(align), *body]
    if grid.notes:
        parts += ["", *(f"- {markdown(note)}" for note in grid.notes)]
    return "\n".join(parts) + "\n"


def _tex_header(grid: Grid) -> list[str]:
    lines = []
    if grid.groups:
        cells, rules, at = [], [], 1
        for text, width in grid.groups:
            cells.append(
                rf"\multicolumn{{{width}}}{{c}}{{{tex(text)}}}" if text else " & ".join([""] * width)
            )
            if text:
                rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
            at += width
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    return [*lines, " & ".join(tex(c) for c in grid.columns) + r" \\"]


def to_tex(grid: Grid) -> str:
    r"""A ``table`` float; needs ``booktabs`` and ``graphicx`` (wide tables shrink to the line)."""
    rows = []
    for i, row in enumerate(grid.rows):
        if i in grid.rules and i:
            rows.append(r"\midrule")
        rows.append(" & ".join(tex(cell) for cell in row) + r" \\")
    align = "l" * grid.stub + "r" * (len(grid.columns) - grid.stub)
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(grid.title)}}}",
        rf"\label{{{grid.label}}}" if grid.label else "",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        *_tex_header(grid),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip{{\footnotesize {tex(note)}}}" for note in grid.notes),
        r"\end{table}",
    ]
    return "\n".join(line for line in lines if line) + "\n"
