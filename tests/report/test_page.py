"""The page as a browser sees it: one file, nothing fetched, nothing from data taken for markup."""

import json
import re
from html.parser import HTMLParser

import pytest
from calibench.errors import UserError
from calibench.report import kernel, page
from calibench.report.html import Html, table

from tests.report.conftest import HOSTILE, NOTEBOOK

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


def test_opens_without_network(made):
    html = made[0]
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


def test_navigation_reaches_every_section(made):
    seen = Tags(made[0])
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for t, a in seen.tags if t == "a"]
    assert set(targets) <= set(ids)
    headings = [a for t, a in seen.tags if t in {"h2", "h3"}]
    assert {a["id"] for a in headings} <= set(targets)
    assert len([t for t, _ in seen.tags if t == "h2"]) == 9
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
    for wanted in ("24.27", "Top-1 error (%)", "9.9", "abc+changes", "SHA-256", "1 h 6 min", "2.05", "123"):
        assert wanted in text, wanted
    assert "radimagenet" in text and "weight_decay: 0.0001" in text


def test_notebook_is_committed_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells)
    assert [c for c in cells if "parameters" in c["metadata"].get("tags", [])] == [cells[0]]
    assert all(len("".join(c["source"]).splitlines()) <= 3 for c in cells)


def test_executed_notebook_holds_each_figure_once(made):
    html, notebook = made
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(o["output_type"] != "error" for c in code for o in c["outputs"])
    assert json.dumps(notebook).count("data:image/png") == html.count("data:image/png") == 1


def test_failing_cell_is_one_sentence(tmp_path):
    bad = json.loads(NOTEBOOK.read_text())
    bad["cells"] = bad["cells"][:2]
    path = tmp_path / "bad.ipynb"
    path.write_text(json.dumps(bad))
    with pytest.raises(UserError, match="--experiment-dir .* is no folder"):
        kernel.execute(
            path, {"experiment_dir": str(tmp_path / "none"), "settings": {"config": {}}, "stores": []}
        )


def test_contents_nest_and_escape():
    found = page.headings('<h1>T</h1><h2 id="a">A &amp; B</h2><h3 id="b">&lt;i&gt;</h3>')
    assert found == [(1, "", "T"), (2, "a", "A & B"), (3, "b", "<i>")]
    assert '<a href="#b">&lt;i&gt;</a>' in page.contents(found)


def test_equal_cells_merge_only_within_a_block():
    rows = [["a", "1"], ["a", "2"], ["a", "3"], ["b", "4"]]
    html = table(["x", "y"], rows, label="t", breaks=[2])
    spans = [a.get("rowspan", "1") for t, a in Tags(html).tags if t == "th" and a["scope"] == "row"]
    assert spans == ["2", "1", "1"]


def test_html_escapes_plain_strings():
    assert Html("<p>{}</p>").format("<b>") == "<p>&lt;b&gt;</p>"
    assert "&lt;b&gt;" in table(["<b>"], [["<b>"]], label="<b>", notes=["<b>"], caption="<b>")
    assert "<b>" not in table(["<b>"], [["<b>"]], label="<b>", notes=["<b>"], caption="<b>")
