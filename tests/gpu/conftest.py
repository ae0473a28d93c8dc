"""Tests that need a GPU: `make test-gpu`, at most ten minutes on one."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "regimes"))  # what all regime tests share


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker("gpu")


@pytest.fixture(autouse=True)
def deterministic():
    """As runs are by default; the tests' common fixture switches it off again."""
    from calibench.training.device import set_determinism

    set_determinism(True)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Images of 64 px, large enough for the layers of torchvision's networks."""
    from tests.training import conftest

    size, conftest.SIZE = conftest.SIZE, 64
    try:
        counts = {"train": 56, "select": 12, "calibrate": 9, "test": 15}
        return conftest.write_store(tmp_path_factory.mktemp("gpu") / "store", counts)
    finally:
        conftest.SIZE = size
