"""Run folders of three regimes, written once."""

import matplotlib.pyplot as plt
import pytest

from tests.finished.fake_runs import write_classes, write_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """(folders of hard, ols, ols seed 1; classes.csv with an awkward class name)."""
    base = tmp_path_factory.mktemp("results")
    folders = [write_run(base, "hard", n=150, spread=1.6), write_run(base, "ols", n=150, spread=0.8)]
    folders.append(write_run(base, "ols", seed=1, n=150, spread=0.8))
    names = [r"$\undefined_macro$", "ca++_tendinosis", "normal <b>", *map(str, range(3, 10))]
    return folders, write_classes(base / "classes.csv", names)


@pytest.fixture(autouse=True)
def closed():
    """Matplotlib keeps every figure until it is closed."""
    yield
    plt.close("all")
