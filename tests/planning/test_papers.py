"""Each table and figure that docs/papers.md promises has a config, and each of these can be planned."""

import re
from pathlib import Path

import pandas as pd
import pytest
from calibench.planning import checks
from calibench.planning import configuration as config
from calibench.planning.plan import Plan
from calibench.tables.arrange import arrange
from calibench.tables.cells import PUBLISHED_AS, Numbers
from calibench.tables.layouts import published_for
from calibench.tables.long import METRICS

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "config" / "papers"
CONFIGS = sorted(str(path.relative_to(PAPERS)) for path in PAPERS.rglob("*.yaml"))
NOTHING = pd.DataFrame(columns=METRICS)
COPIED = ("tfkd_self", "tfkd_reg")  # Zhang's Table IV has these rows from Yuan et al.
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "papers.md").read_text().split("## What was run for real")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| item")
]
PROMISED = [row for row in ROWS if row[-1].startswith("works")]


def config_of(row: list[str]) -> str:
    return row[2].strip("`")


def test_the_page_and_the_folder_name_the_same_configs():
    assert {config_of(row) for row in PROMISED} == set(CONFIGS)
    for row in ROWS:
        assert row in PROMISED or row[2] == "–", f"{row[0]} has a config but does not work"


@pytest.mark.parametrize("file", CONFIGS)
def test_a_config_can_be_planned(file):
    settings = config.read(PAPERS / file)
    checks.check_all(settings)
    plan = Plan(settings)
    for dataset in settings["datasets"]:
        assert checks.list_inputs(settings, dataset) is not None
    for run in dict.fromkeys(run for _, _, run, _ in plan.all_runs):
        for backbone in settings["backbones"]:
            dataset = next(iter(settings["datasets"]))
            assert plan.run_settings(dataset, backbone, run, 0)["store"]
            plan.other_runs(dataset, backbone, run, 0)
    assert plan.figures()


@pytest.mark.parametrize("file", CONFIGS)
def test_every_printed_number_of_its_tables_has_a_cell(file):
    """Of the config's data sets and backbones; a table's own rows only, or all of them where it names no table."""
    settings = config.read(PAPERS / file)
    asked = Plan(settings).tables_settings()
    for layout in settings["tables"]["layouts"]:
        published = published_for(settings["tables"]["published"], layout)
        if published is None:
            continue  # a paper's design on other data
        theirs = {published.dataset_for(name) for name in settings["datasets"]}
        assert None not in theirs
        numbers = Numbers(NOTHING, asked, published, printed_as=layout.get("printed_as"))
        for _, _, keys in arrange(layout, asked).rows:
            for key in keys:
                numbers.theirs(*key)
        backbones = {PUBLISHED_AS.get(name, name) for name in settings["backbones"]}
        wanted = {
            key
            for key in published.cells
            if key[0] in theirs and key[1] in backbones and key[3] in layout["measures"]
        }
        lacking = wanted - numbers.shown
        assert all(key[2] in COPIED for key in lacking), sorted(lacking)[:5]


@pytest.mark.parametrize("row", PROMISED, ids=[f"{row[2]} {row[0]}" for row in PROMISED])
def test_a_promised_file_is_made(row):
    plan = Plan(config.read(PAPERS / config_of(row)))
    for name in re.findall(r"figures/([a-z]+)-|`([a-z]+)-\*`", row[3]):
        kind = "".join(name)
        assert plan.figures(kind), f"{row[0]}: figures.extra lacks {kind}"
    for name in re.findall(r"tables/(\w+)\.", row[3]):
        assert name in ("table1", "table2", "table3") or plan.table_files("csv") == [
            f"{plan.folder}/tables/{name}.csv"
        ]


@pytest.mark.parametrize("file", CONFIGS)
def test_every_value_says_where_it_is_from(file):
    """Settings of training and augmentation; headings of blocks and lines of variants have the word above them."""
    words = ("paper", "code", "ours", "et al.", "stop with an error", "as remembered")
    part = ""
    for line in (PAPERS / file).read_text().splitlines():
        part = line.split(":")[0] if re.match(r"\w", line) else part
        if part in ("train", "augment") and line.startswith("  "):
            assert any(word in line for word in words), line
