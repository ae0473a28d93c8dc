"""The page as a browser sees it: one file, nothing fetched, nothing from data taken for markup."""

import json
import re
from html.parser import HTMLParser

import pytest
from calibench.errors import UserError
from calibench.report import kernel, page
from calibench.report.grids import merged
from calibench.stages.report import NOTEBOOK

from tests.report.conftest import HOSTILE

LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href"}


class Tags(HTMLParser):
    """All tags with their attributes, the ids, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("which", [0, 2], ids=["report", "papers"])
def test_opens_without_network(made, which):
    html = made[which]
    for tag, attrs in Tags(html).tags:
        assert tag not in {"script", "iframe", "object", "embed", "base", "link"}, tag
        for key, value in attrs.items():
            assert not key.startswith("on"), (tag, key)
            if key in LOADING:
                assert value.startswith("data:image/png;base64,"), (tag, key, value[:40])
            if key == "href":
                assert value.startswith("#"), value
    css = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    assert "url(" not in css and "@import" not in css
    policies = [a["content"] for t, a in Tags(html).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_names_from_data_are_text(made):
    html = made[0]
    seen = Tags(html)
    for name in HOSTILE:
        assert name in seen.text
    assert "A <b>small</b> experiment" in seen.text
    assert "<i>x.png" in seen.text and "truncated & lost" in seen.text
    assert "cuda: <GPU>" in seen.text
    assert not [t for t, a in seen.tags if t in {"b", "i", "gpu"} or "evil" in str(a)]


def test_no_host_name(made):
    assert "secret-host" not in made[0]
    assert "secret-host" not in json.dumps(made[1])


@pytest.mark.parametrize(("which", "sections"), [(0, 5), (2, 2)], ids=["report", "papers"])
def test_navigation_reaches_every_section(made, which, sections):
    seen = Tags(made[which])
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for t, a in seen.tags if t == "a"]
    assert set(targets) <= set(ids)
    headings = [a for t, a in seen.tags if t in {"h2", "h3"}]
    assert {a["id"] for a in headings} <= set(targets)
    assert len([t for t, _ in seen.tags if t == "h2"]) == sections
    assert len([t for t, _ in seen.tags if t == "h1"]) == 1


def test_partial_results_are_marked(made):
    text = Tags(made[0]).text
    assert "Partial results: 3 of 4 planned runs have finished" in text
    assert "RadImageNet.mini, ResNet-50, OLS, seed 1" in text
    assert "Partial: 1 of 2 seeds" in text


def test_what_is_absent_takes_one_line(made):
    text = Tags(made[0]).text
    assert "No t-SNE figure was drawn" in text
    assert "No heat map was drawn" in text


def test_numbers_and_provenance(made):
    text = Tags(made[0]).text
    assert "24.27" in text
    for wanted in ("Top-1 error (%)", "9.9", "abc+changes", "SHA-256", "1 h 6 min", "2.05", "123"):
        assert wanted in text, wanted
    assert "radimagenet" in text and "weight_decay: 0.0001" in text


def test_for_screen_readers_and_keyboards(made):
    for html in made[0], made[2]:
        tags = Tags(html).tags
        assert all(a.get("alt") for t, a in tags if t == "img")
        assert all(a["scope"] in ("row", "col", "colgroup") for t, a in tags if t == "th")
        assert all("tabindex" in a and a["aria-label"] for t, a in tags if a.get("class") == "scroll")
        levels = [int(t[1]) for t, _ in tags if t in ("h1", "h2", "h3")]
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))


def test_results_come_before_methods_and_the_papers_have_a_page_of_their_own(made):
    order = [a["id"] for t, a in Tags(made[0]).tags if t == "h2"]
    assert order == ["summary", "problems", "results", "methods", "appendix"]
    assert "Holds in its tables" in Tags(made[2]).text and "Holds in its tables" not in made[0]


def test_every_template_is_in_a_page():
    """No file of words lies there unused."""
    files = {path.name: path.read_text() for path in (page.HERE / "templates").glob("*.html")}
    used = {name for text in files.values() for name in re.findall(r'include "(\w+\.html)"', text)}
    assert used | {"page.html", "report.html", "papers.html", "macros.html"} == set(files)


def test_notebook_is_committed_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells)
    assert [c for c in cells if "parameters" in c["metadata"].get("tags", [])] == [cells[0]]


def test_executed_notebook_makes_tables_and_figures_anew(made):
    code = [c for c in made[1]["cells"] if c["cell_type"] == "code"]
    assert all(o["output_type"] != "error" for c in code for o in c["outputs"])
    shown = json.dumps(made[1])
    assert "Top-1 error (%)" in shown and "Average confidence" in shown
    assert shown.count('"image/png"') == 4  # reliability, retention, density and curves of one backbone


def test_failing_cell_is_one_sentence(tmp_path):
    parameters = {"experiment_dir": str(tmp_path / "none"), "settings": {"config": {}}, "stores": []}
    with pytest.raises(UserError, match="--experiment-dir .* is no folder"):
        kernel.execute(NOTEBOOK, parameters)


def test_contents_nest_and_escape():
    found = page.contents('<h1>T</h1><h2 id="a">A &amp; B</h2><h3 id="b">&lt;i&gt;</h3>')
    assert found == [("a", "A & B", [("b", "<i>")])]


def test_equal_cells_merge_only_within_a_block():
    rows = list(merged([["a", "x"], ["a", "x"], ["b", "x"], ["b", "y"]], 2))
    assert [row.stub for row in rows] == [
        [(0, "a", 2), (1, "x", 2)],
        [],
        [(0, "b", 2), (1, "x", 1)],
        [(1, "y", 1)],
    ]
    assert [row.first for row in rows] == [False, False, True, False]
    assert not any(row.first for row in merged([["a", 1], ["b", 2]]))  # every row has a name of its own
