"""Made-up predictions and run folders."""

import numpy as np
import pytest

from tests.finished.fake_runs import make_logits


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def sample(rng):
    """Logits (600, 11) float32 and targets, some right, some wrong."""
    targets = rng.integers(0, 11, 600)
    return make_logits(rng, targets, 11, 1.5, 1.5), targets
