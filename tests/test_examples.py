"""The examples of the docs' site run: one for every regime, and those in docstrings of measures and calibrators."""

import doctest
import importlib.util
from pathlib import Path

import pytest
from calibench.regimes.catalog import catalog

from tests.checkout import ROOT

spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs/site_pages.py")
site_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site_pages)
MODULES = [
    f"calibench.{room}.{path.stem}"
    for room in site_pages.ROOMS
    for path in sorted((ROOT / "workflow/calibench" / room).glob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", catalog())
def test_the_example_of_a_regime_runs(name):
    info = catalog()[name]
    if info.required:
        pytest.skip(f"{', '.join(info.required)} have no default")
    scope = {}
    exec(site_pages.example(info), scope)
    assert scope["loss"].shape == () and scope["logits"].grad.abs().sum() > 0


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_give_what_they_say(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed


def test_families_of_measures_have_an_example():
    families = {
        "accuracy",
        "calibration",
        "classwise",
        "debiased",
        "discrimination",
        "proper",
        "selective",
        "smooth",
    }
    assert families <= {name.rpartition(".")[2] for name in MODULES if ".metrics." in name}


class Page:
    """What mkdocs hands over of a page."""

    def __init__(self, name):
        self.file = type("File", (), {"src_uri": name})


@pytest.mark.parametrize(
    ("page", "link", "told"),
    [
        ("data.md", "[keys](../config/README.md)", "[keys](config.md)"),
        ("example/README.md", "[keys](../../config/README.md#x)", "[keys](../config.md#x)"),
        ("example/README.md", "[data](../data.md)", "[data](../data.md)"),
        (
            "regimes.md",
            "[ols.py](../workflow/calibench/regimes/ols.py)",
            "`workflow/calibench/regimes/ols.py`",
        ),
        ("regimes.md", "[the code](../workflow/x.py)", "the code (`workflow/x.py`)"),
        ("regimes.md", "[paper](https://arxiv.org/abs/1)", "[paper](https://arxiv.org/abs/1)"),
        ("regimes.md", "![figure](images/fig2.png)", "![figure](images/fig2.png)"),
    ],
)
def test_links_that_leave_the_site_become_names_of_files(page, link, told):
    assert site_pages.on_page_markdown(link, Page(page)) == told


def test_the_first_page_is_the_readme_seen_from_docs():
    text = site_pages.first_page()
    assert "](install.md)" in text and "](docs/" not in text and "](../config/README.md)" in text


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    mkdocs = pytest.importorskip(
        "mkdocs.commands.build", reason="mkdocs is not installed; make docs fetches it"
    )
    pytest.importorskip("mkdocstrings")
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    mkdocs.build(config)
    page = (tmp_path / "reference/regimes/index.html").read_text()
    assert "Poly" not in page and "renewed once an epoch" in page
    assert Path(tmp_path / "index.html").stat().st_size > 5000
