"""Confidence functions: by hand, unmoved by what must not matter, and the norm chosen on other images."""

import numpy as np
import pytest
from calibench.metrics import Predictions
from calibench.metrics.confidence import NAMES, best_norm, confidences, max_logit, selective
from calibench.metrics.disagreement import Members
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

RNG = np.random.default_rng(0)


def made_up(n=400, k=6, scale=1.0):
    targets = RNG.integers(0, k, n)
    logits = RNG.normal(size=(n, k)) * scale
    logits[np.arange(n), targets] += 1.2
    return Predictions.of(logits.astype("f4"), targets)


@pytest.mark.parametrize("norm", [0, 1, 2, 5, 9])
def test_max_logit_by_hand(norm):
    z = np.array([[3.0, 1.0, -1.0], [300.0, 0.0, 0.0]])
    centred = z - z.mean(1, keepdims=True)
    length = 1 if norm == 0 else np.linalg.norm(centred, ord=norm, axis=1)
    assert max_logit(z, norm) == pytest.approx(centred.max(1) / length)
    assert max_logit(z + 7, norm) == pytest.approx(max_logit(z, norm))


def test_normalised_logits_do_not_hang_on_the_temperature():
    seen = made_up()
    assert max_logit(seen.scores, 3) == pytest.approx(max_logit(seen.scores * 0.01, 3))
    assert max_logit(np.zeros((2, 4)), 2).tolist() == [0, 0]


def test_margin_and_entropy_equal_scipy():
    seen = made_up()
    found = confidences(seen, 2)
    p = np.sort(softmax(seen.scores.astype(float), axis=1), axis=1)
    assert found["margin"] == pytest.approx(p[:, -1] - p[:, -2])
    assert found["entropy"] == pytest.approx(-entropy(p, axis=1))
    assert list(found) == list(NAMES)


def test_normalised_area_is_that_of_the_roc_curve():
    seen = made_up()
    for name, values in selective(seen, 2).items():
        area = roc_auc_score(seen.correct, confidences(seen, 2)[name])
        assert values["r_auc_normalised"] == pytest.approx(2 * area - 1, abs=1e-9)


def test_the_norm_repairs_what_scale_spoils_and_is_left_alone_otherwise():
    n, k = 600, 8
    targets = RNG.integers(0, k, n)
    logits = RNG.normal(size=(n, k))
    logits[np.arange(n), targets] += RNG.uniform(0, 4, n)
    seen = Predictions.of(logits, targets)
    loud = Predictions.of(logits * np.exp(RNG.normal(size=(n, 1)) * 1.5), targets)  # length says nothing here
    norm = best_norm(loud)
    assert norm and norm > 0
    found = selective(loud, norm)
    assert found["max_logit"]["aurc"] < found["max_probability"]["aurc"]
    perfect = Predictions.of(np.eye(k)[targets] * 5, targets)
    assert best_norm(perfect) is None
    assert np.array_equal(confidences(perfect, None)["max_logit"], perfect.confidence)
    assert seen.correct.mean() == loud.correct.mean()


def test_members_by_hand():
    together = Members()
    for logits in ([[2.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [2.0, 0.0]]):
        together.add(Predictions.of(np.array(logits), np.array([0, 0])))
    p = softmax([2.0, 0.0])
    assert together.probs == pytest.approx(np.array([p, (2 * p + p[::-1]) / 3]))
    found = together.measures()
    assert found["members"] == 3 and found["disagreement"] == pytest.approx(
        1 / 3
    )  # 2 of 3 pairs on 1 of 2 images
    gained = entropy(together.probs[1]) - entropy(p)
    assert found["mutual_information"] == pytest.approx(gained / 2)
