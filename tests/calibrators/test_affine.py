"""Structured scaling and Dirichlet calibration: their minima by another optimiser, many classes, few images."""

import numpy as np
import pytest
import torch
from calibench import calibrators as fits
from calibench.calibrators import structured
from calibench.calibrators.affine import Affine, Penalty, fit
from calibench.calibrators.dirichlet import _scores
from calibench.metrics.probabilities import softmax
from calibench.metrics.proper import nll

from tests.finished.fake_runs import make_logits


def mixed(rng, n, k):
    """Logits that take class 0 for class 1 too often and are sure of some classes only."""
    targets = rng.integers(0, k, n)
    logits = make_logits(rng, targets, k, 2.0, 1.0) * np.linspace(1, 2, k, dtype=np.float32)
    logits[:, 0] += 0.5 * logits[:, 1]
    return logits, targets


def fold_of(logits, targets):
    return fits.CalibrateFold(logits, targets, ["calibrate"] * len(targets))


def by_torch(x, targets, penalty, full):
    """The same minimum by Newton's steps on torch's own derivatives."""
    k = x.shape[1]
    x, y = torch.tensor(x), torch.tensor(targets)
    identity = torch.eye(k, dtype=torch.float64)

    def value(flat):
        weights = flat[:-k].reshape(k, k) if full else torch.diag(flat[:k])
        away, off = weights - identity, ~torch.eye(k, dtype=torch.bool)
        ridge = penalty.diagonal * away.diagonal().square().sum() + penalty.bias * flat[-k:].square().sum()
        ridge = ridge + (penalty.rest * away[off].square().sum() if full else 0)
        return torch.nn.functional.cross_entropy(x @ weights.T + flat[-k:], y) + ridge

    first = identity.ravel() if full else torch.ones(k, dtype=torch.float64)
    flat = torch.cat([first, torch.zeros(k, dtype=torch.float64)])
    for _ in range(15):
        slope = torch.autograd.functional.jacobian(value, flat)
        bend = torch.autograd.functional.hessian(value, flat) + 1e-12 * torch.eye(len(flat))
        flat = flat - torch.linalg.solve(bend, slope)
    return float(value(flat))


@pytest.mark.parametrize("full", [False, True])
def test_the_minimum_is_that_of_newtons_method(rng, full):
    logits, targets = mixed(rng, 400, 5)
    x, penalty = _scores(logits), Penalty(0.01, 0.02, 0.03)
    start = Affine(np.eye(5) if full else np.ones(5), np.zeros(5))
    found = fit(x, targets, penalty, start)
    away = found.weights - start.weights
    diagonal = np.diag(away) if full else away
    value = nll(found.log_probs(x), targets) + 0.01 * (diagonal**2).sum() + 0.03 * (found.bias**2).sum()
    value += 0.02 * ((away**2).sum() - (diagonal**2).sum()) if full else 0
    assert value == pytest.approx(by_torch(x, targets, penalty, full), abs=1e-8)


def test_structured_penalties_are_those_of_the_paper(rng, monkeypatch):
    asked = []
    monkeypatch.setattr(structured, "fit", lambda x, y, p, start: asked.append(p) or start)
    logits, targets = mixed(rng, 200, 5)
    x = structured._tempered(fold_of(logits, targets))(logits)
    fits.structured_matrix(fold_of(logits, targets))
    assert asked == [Penalty(5 / 200, 20 / 200, 5 / 200)]
    t = fits.temperature(fold_of(logits, targets)).parameters["temperature"]
    expected = np.log(200 / 201 * softmax(logits.astype(float) / t) + 1 / 201 / 5)
    assert x == pytest.approx(expected, rel=1e-9)


def test_matrices_undo_what_a_temperature_cannot(rng):
    (logits, targets), (new, truths) = mixed(rng, 3000, 5), mixed(rng, 3000, 5)
    fold = fold_of(logits, targets)
    least = nll(np.log(fits.temperature(fold).apply(new)), truths)
    for name in ("structured_vector", "structured_matrix", "dirichlet"):
        assert nll(np.log(fits.FITS[name](fold).apply(new)), truths) < least - 0.02, name
    assert fits.dirichlet(fold).parameters["strength"] < np.inf


@pytest.mark.parametrize("name", ["structured_vector", "structured_matrix", "dirichlet"])
def test_165_classes_of_which_some_have_no_image(rng, name):
    targets = rng.integers(0, 120, 300)
    logits = make_logits(rng, targets, 165, 4.0, 1.0)
    new = rng.integers(0, 165, 300)
    fold, tested = fold_of(logits, targets), make_logits(rng, new, 165, 4.0, 1.0)
    probs = fits.FITS[name](fold).apply(tested)
    assert np.isfinite(probs).all() and probs.sum(axis=1) == pytest.approx(1)
    assert nll(np.log(probs), new) < nll(np.log(fits.temperature(fold).apply(tested)), new) + 0.5


def test_a_fold_too_small_to_cut_or_without_a_mistake_gives_a_temperature(rng):
    logits, targets = mixed(rng, 2, 4)
    small = fold_of(logits, targets)
    assert fits.dirichlet(small).apply(logits) == pytest.approx(fits.temperature(small).apply(logits))
    sure = fold_of(20 * np.eye(4, dtype=np.float32)[np.arange(80) % 4], np.arange(80) % 4)
    for name in ("structured_vector", "structured_matrix", "dirichlet"):
        assert np.isfinite(fits.FITS[name](sure).apply(logits)).all()
