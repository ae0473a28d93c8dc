"""Leave one site out: which data sets are planned, and what is told of lists that cannot be cut."""

import pytest
from calibench.errors import UserError
from calibench.planning.checks import check_all
from calibench.planning.configuration import complete
from calibench.planning.naming import data_settings
from calibench.planning.plan import Plan

LIST = "filename,label,stratum\n1.png,x,B\n2.png,y,Site A\n3.png,x,\n"


def config(root, text=LIST, **changes):
    (root / "images.csv").write_text(text)
    dataset = {
        "root": str(root),
        "format": "list",
        "files": {"list": "images.csv"},
        "leave_one_out": "stratum",
    }
    return {"name": "test", "datasets": {"h": dataset | changes}, "backbones": ["resnet20"], "runs": ["hard"]}


def test_one_data_set_for_each_stratum(tmp_path):
    done = complete(config(tmp_path))
    check_all(done)
    assert list(done["datasets"]) == ["h_without_B", "h_without_Site_A"] == Plan(done).datasets
    assert done["datasets"]["h_without_Site_A"]["split"]["test_strata"] == ["Site A"]
    assert complete(done) == done  # Snakemake's jobs complete it again
    assert len(set(Plan(done).store_of.values())) == 2


def test_stores_made_before_the_key_existed_keep_their_names(tmp_path):
    plain = complete(config(tmp_path, leave_one_out=None))
    assert not {"leave_one_out", "test_strata"} & {*(found := data_settings(plain, "h")), *found["split"]}


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        ("filename,label\n1.png,x\n", {}, "images.csv: column 'stratum' is missing"),
        (LIST.replace("Site A", "B"), {}, r"datasets.h.leave_one_out: the lists have 1 strata; two or more"),
        (LIST.replace("3.png,x,", "3.png,x,Site_A"), {}, "two strata are called h_without_Site_A"),
        (LIST, {"files": {"list": "other.csv"}}, "other.csv' does not exist; the strata are read from it"),
        (LIST, {"format": "imagefolder", "files": {}}, "which format imagefolder does not have"),
        (LIST, {"train_on": False}, "leave_one_out has no effect with train_on: false"),
        (LIST, {"split": {"test_strata": ["B"]}}, "leave_one_out sets split.test_strata for each stratum"),
    ],
)
def test_mistakes_are_told(tmp_path, text, changes, told):
    with pytest.raises(UserError, match=told):
        complete(config(tmp_path, text, **changes))
