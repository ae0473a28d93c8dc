"""From an experiment and the templates to pages that need nothing else: no script, no font, no request."""

import base64
import functools
import io
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from calibench.backbones.names import backbone_label
from calibench.report import (
    decision,
    drawn,
    grids,
    measures,
    methods,
    options,
    papers,
    problems,
    sets,
    uses,
    words,
)
from calibench.report.experiment import Experiment

HERE = Path(__file__).parent
SHOWN = 0.55  # figures have 200 dots per inch: about their printed size, a little larger
FILTERS = ("number", "fixed", "measured", "percent", "plural", "listed", "duration", "run_label", "slug")
FILTERS += ("head", "short", "unit", "relevant")
FACTS = {
    part.__name__.rpartition(".")[2]: part
    for part in (decision, drawn, measures, methods, options, papers, problems, sets, uses)
}


@functools.cache
def environment() -> Environment:
    """Templates with every text escaped; a name that does not exist is an error."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )  # fmt: skip
    found.filters |= {name: getattr(words, name) for name in FILTERS}
    found.filters |= {"show": options.show, "merged": grids.merged, "backbone_label": backbone_label}
    found.globals |= {**FACTS, "OPEN_ROWS": grids.OPEN_ROWS, "zip": zip}
    found.globals["m"] = found.get_template("macros.html").module
    return found


def contents(body: str) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(id, text, [(id, text) of the sub-headings]) of the headings of levels 2 and 3."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for level, anchor, text in re.findall(r'<h([23]) id="([^"]+)">(.*?)</h\1>', body, re.S):
        link = (anchor, Markup(text).striptags())
        if level == "2":
            found.append((*link, []))
        elif found:
            found[-1][2].append(link)
    return found


def image(path: Path, scale: float = SHOWN) -> dict[str, Any]:
    """A PNG as text of 256 colours (a third of the bytes, no visible difference), and its size on the page."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(path) as picture:
        on_white = Image.new("RGBA", picture.size, "white")
        on_white.alpha_composite(picture.convert("RGBA"))
        on_white.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        width, height = (round(side * scale) for side in picture.size)
    return {"data": base64.b64encode(stream.getvalue()).decode("ascii"), "width": width, "height": height}


def section(experiment: Experiment, template: str, **more: Any) -> str:
    """One template filled: a section, or the frame of a page."""
    css = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    return environment().get_template(f"{template}.html").render(x=experiment, css=css, image=image, **more)


def render(experiment: Experiment, page: str = "report") -> str:
    """One whole page, ``report`` or ``papers``."""
    body = section(experiment, page)
    return section(experiment, "page", page=page, body=Markup(body), contents=contents(body)) + "\n"
