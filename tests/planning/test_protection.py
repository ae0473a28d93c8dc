"""A finished run stays finished when a newer version knows more keys."""

import json

import pytest
from calibench.errors import UserError
from calibench.planning import configuration as config
from calibench.planning import protection
from calibench.planning.settings import settings_of

from tests.workflow.conftest import MINI

NEWER = {"train": ("watch_test", "snapshots"), "augment": ("scale", "ratio"), "data": ("noise",)}


def settings(**changes):
    full = config.complete(config.merge(MINI, changes))
    return settings_of(full, "ols", "digits", "resnet20", 0) | {"store": "s", "code": "now"}


@pytest.fixture
def record(tmp_path):
    """Of a run that a version without the newer keys trained."""
    older = settings() | {"code": "then"}
    for part, keys in NEWER.items():
        older[part] = {key: value for key, value in older[part].items() if key not in keys}
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"settings": older}))
    return path


def test_a_run_that_did_not_know_a_key_had_its_default(record):
    kept = protection.with_recorded_code(record, settings())
    assert kept == json.loads(record.read_text())["settings"], "Snakemake sees the same text as then"
    protection.check_unchanged(record, kept)


def test_another_value_of_a_newer_key_is_another_run(record):
    wanted = protection.with_recorded_code(record, settings(augment={"scale": [0.1, 1.0]}))
    with pytest.raises(UserError, match=r"augment: scale: None → \[0.1, 1.0\]"):
        protection.check_unchanged(record, wanted)


def test_a_run_with_the_refined_checkpoint_serves_the_others_too(record):
    """Only an experiment that shows that checkpoint asks for it, and then a run without it is another run."""
    plain, refined = settings(), settings(tables={"checkpoint": "refined"})
    assert "refined" not in plain["train"] and refined["train"]["refined"] is True
    with pytest.raises(UserError, match="train: refined: None → True"):
        protection.check_unchanged(record, protection.with_recorded_code(record, refined))
    record.write_text(json.dumps({"settings": refined | {"code": "then"}}))
    kept = protection.with_recorded_code(record, plain)
    assert kept["code"] == "then" and kept["train"]["refined"] is True
