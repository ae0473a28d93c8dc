"""Probabilities beside the votes of readers, by hand and by SciPy."""

import numpy as np
import pytest
from calibench.errors import UserError
from calibench.metrics.human import human, vote_shares
from calibench.metrics.probabilities import Predictions
from calibench.metrics.proper import nll
from scipy.stats import entropy


def test_the_divergence_is_scipys_over_all_and_over_right_predictions(rng, sample):
    seen = Predictions.of(*sample)
    votes = rng.integers(0, 3, (600, 11)) + np.eye(11)[seen.targets]
    votes[5] = np.nan
    found = human(seen, vote_shares(votes, 11, "votes"))
    each = np.delete(entropy(votes, seen.probs, axis=1), 5)
    right = np.delete(seen.correct, 5)
    assert found["kl_human"] == pytest.approx(each.mean(), rel=1e-9)
    assert found["kl_human_right"] == pytest.approx(each[right].mean(), rel=1e-9)
    people = np.delete(entropy(votes, axis=1), 5)
    assert found["ce_human"] == pytest.approx((each + people).mean(), rel=1e-9)
    assert found["ce_human_right"] == pytest.approx((each + people)[right].mean(), rel=1e-9)


def test_votes_for_one_class_give_the_nll(sample):
    seen = Predictions.of(*sample)
    found = human(seen, vote_shares(7 * np.eye(11)[seen.targets], 11, "votes"))
    assert found["ce_human"] == found["kl_human"] == pytest.approx(nll(seen.log_probs, seen.targets))
    nobody = human(seen, vote_shares(np.full((600, 11), np.nan), 11, "votes"))
    assert all(np.isnan(value) for value in nobody.values())


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([[1, 2, 3]], "shape .1, 3., but there are 2 classes"),
        ([[1, 0], [0, 0]], r"row 1 are \[0.0, 0.0\]"),
        ([[1, -1], [1, 0]], "row 0"),
        ([[1, np.nan]], "row 0"),
        ([[1, np.inf]], "row 0"),
    ],
)
def test_votes_that_are_none_are_refused_by_row(votes, message):
    with pytest.raises(UserError, match=f"h.npy: .*{message}"):
        vote_shares(np.array(votes, float), 2, "h.npy")
