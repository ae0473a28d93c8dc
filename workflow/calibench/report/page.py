"""From an executed notebook to one HTML file that needs nothing else: no script, no font, no request."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.report.html import Html, join, slug

# the browser itself refuses whatever is not in the file
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CELLS = """
{%- for cell in nb.cells -%}
  {%- if cell.cell_type == 'markdown' -%}
    {{ cell.source | markdown2html }}
  {%- elif cell.cell_type == 'code' -%}
    {%- for output in cell.outputs -%}
      {%- if output.data is defined and 'text/html' in output.data -%}
        {{ output.data['text/html'] }}
      {%- elif output.data is defined and 'image/png' in output.data -%}
        <figure><div class="card">
          <img alt="" src="data:image/png;base64,{{ output.data['image/png'] | replace('\\n', '') | e }}">
        </div></figure>
      {%- elif output.output_type == 'stream' -%}
        <pre>{{ output.text | e }}</pre>
      {%- elif output.data is defined and 'text/plain' in output.data -%}
        <pre>{{ output.data['text/plain'] | e }}</pre>
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endfor -%}
"""
PAGE = Html("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="calibench">
<title>{title}</title>
<style>
{css}
</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<nav aria-label="Contents"><p class="brand">Contents</p>{contents}</nav>
<main id="content">
{body}
</main>
</body>
</html>
""")


class _Headings(HTMLParser):
    """Collects (level, id, text) of the headings with an id, and the title."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[Any]] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("h1", "h2", "h3"):
            self._open = tag
            self.found.append([int(tag[1]), dict(attrs).get("id"), ""])

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[-1][2] += data


def headings(body: str) -> list[tuple[int, str, str]]:
    """(level, id, text) of the headings of a page, in order."""
    parser = _Headings()
    parser.feed(body)
    return [(level, anchor or "", " ".join(text.split())) for level, anchor, text in parser.found]


def contents(found: list[tuple[int, str, str]]) -> Html:
    """A nested list of links to the headings of levels 2 and 3."""
    items: list[tuple[Html, list[Html]]] = []
    for level, anchor, text in found:
        link = Html('<a href="#{}">{}</a>').format(anchor, text)
        if level == 2:
            items.append((link, []))
        elif level == 3 and items:
            items[-1][1].append(link)

    def nested(links: list[Html]) -> Html:
        return (
            Html("<ol>{}</ol>").format(join(Html("<li>{}</li>").format(a) for a in links))
            if links
            else Html()
        )

    return Html("<ol>{}</ol>").format(
        join(Html("<li>{}{}</li>").format(link, nested(below)) for link, below in items)
    )


def body_of(notebook: Any) -> str:
    """Outputs and text of an executed notebook as HTML, without its code."""
    try:
        from jinja2 import DictLoader
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise UserError(f"the report needs nbconvert ({error}); install envs/report.yaml") from error
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"cells.html": CELLS})],
        template_file="cells.html",
        embed_images=True,
        exclude_anchor_links=True,
        require_js_url="",
        mathjax_url="",
    )
    html = exporter.from_notebook_node(notebook)[0]
    # headings of level 2 are the notebook's own text: what comes from data is escaped
    return re.sub(r"<h2>(.*?)</h2>", lambda found: f'<h2 id="{slug(found[1])}">{found[1]}</h2>', html)


def render(notebook: Any) -> str:
    """The whole page."""
    body = body_of(notebook)
    found = headings(body)
    title = next((text for level, _, text in found if level == 1), "Report")
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return str(
        PAGE.format(policy=POLICY, title=title, css=Html(css), contents=contents(found), body=Html(body))
    )
