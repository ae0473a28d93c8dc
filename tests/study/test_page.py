"""The study's page: every number on it follows from the rows that are kept beside it."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).parents[2] / "docs" / "study"
spec = importlib.util.spec_from_file_location("study_pages", STUDY / "pages.py")
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


def test_the_page_is_what_its_template_makes_of_the_rows():
    assert (STUDY / "README.md").read_text() == pages.page(), "run: python docs/study/pages.py write"


def test_no_number_of_the_template_is_typed_that_the_rows_could_give():
    """Results have decimals: in the template they come from a function, but for the protocol's limits."""
    text = "".join(
        re.split(
            r"\{[{%].*?[%}]\}", (STUDY / "README.md.j2").read_text().split("## Repeat it")[0], flags=re.S
        )
    )
    typed = set(re.findall(r"(?<![\w.])[+−-]?\d*\.\d+(?![\w.])", text))
    assert typed <= {".01", ".02", "2510.20011"}, typed


def test_differences_follow_from_the_rows():
    compared = pages.contrasts().query("family != 'best'")
    assert len(compared) > 300
    for _, row in compared.iterrows():
        assert row["difference"] == pytest.approx(pages.recomputed(row), abs=2e-6), row


def test_intervals_are_at_least_as_wide_as_the_draw_of_seeds_makes_them():
    """Images widen them further; those need the logits, which are not kept."""
    from scipy.stats import t

    for _, row in pages.contrasts().query("family == 'primary' and split == 'test'").iterrows():
        blocks = int(row["blocks"])
        half = (row["high"] - row["low"]) / 2
        assert half > 0.99 * t.isf(0.025, blocks - 1) * row["se_seeds"], row


def test_every_cell_has_the_same_seeds():
    test = pages.rows().xs(
        ("study", "test", "none", "nll"), level=["experiment", "split", "calibrator", "metric"]
    )
    seeds = test.groupby(["dataset", "backbone", "run"]).size()
    assert len(seeds) == 4 * 2 * 11 and seeds.nunique() == 1
    assert np.isfinite(test["value"]).all()
