"""Attacks: exact on a linear network, within their bound and 0..255, grey stays grey."""

import numpy as np
import pytest
import torch
from calibench.errors import UserError
from calibench.finished.sets import evaluation_sets
from calibench.planning.configuration import evaluation_settings
from calibench.training.attacks import LEVEL, attack

ROWS = np.arange(6)


def settings(method="pgd", **more):
    """An attack as a config gives it."""
    import json

    text = json.dumps({"attacks": {"it": {"method": method, "eps": 8, **more}}})
    return evaluation_sets(evaluation_settings(text), [])["test@it"]


def batch(grey=True):
    torch.manual_seed(0)
    images = torch.rand(6, 1 if grey else 3, 4, 4) * 2 - 1
    return images.expand(-1, 3, -1, -1), torch.arange(6) % 3


class Linear(torch.nn.Module):
    """Logits that are linear in the pixels, so that every attack's end is known."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", images, self.weight)


def test_fgsm_by_hand():
    images, targets = batch(grey=False)
    model = Linear()
    x = images.clone().requires_grad_()
    torch.nn.functional.cross_entropy(model(x), targets).backward()
    by_hand = (images + 8 * LEVEL * x.grad.sign()).clamp(-1, 1)
    assert torch.allclose(attack(model, images, targets, ROWS, settings("fgsm"), False), by_hand)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_pgd_reaches_the_bound_and_stays_within_it(loss, start):
    images, targets = batch(grey=False)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3)).requires_grad_(False)
    wanted = settings(random_start=start, loss=loss, steps=10, step_size=2)
    changed = attack(model, images, targets, ROWS, wanted, False)
    assert (changed - images).abs().max() <= 8 * LEVEL + 1e-6
    assert changed.min() >= -1 and changed.max() <= 1
    loss_of = torch.nn.functional.cross_entropy
    assert loss_of(model(changed), targets) > loss_of(model(images), targets)
    inside = (images.abs() < 1 - 9 * LEVEL) & (changed != images)
    assert ((changed - images).abs()[inside] > 8 * LEVEL - 1e-6).float().mean() > 0.9
    again = attack(model, images, targets, ROWS, wanted, False)
    assert torch.equal(changed, again)


def test_one_step_as_long_as_the_bound_is_fgsm():
    images, targets = batch()
    one = attack(Linear(), images, targets, ROWS, settings(steps=1, step_size=8), True)
    assert torch.equal(one, attack(Linear(), images, targets, ROWS, settings("fgsm"), True))


def test_grey_stays_grey():
    images, targets = batch()
    for grey in (True, False):
        changed = attack(Linear(), images, targets, ROWS, settings("fgsm"), grey)
        assert changed.shape == images.shape
        assert torch.equal(changed[:, 0], changed[:, 1]) == grey


def test_a_random_start_hangs_on_the_row_alone():
    images, targets = batch()
    wanted = settings(random_start=True, steps=1, step_size=0.01)
    whole = attack(Linear(), images, targets, ROWS, wanted, True)
    part = attack(Linear(), images[4:], targets[4:], ROWS[4:], wanted, True)
    assert torch.equal(whole[4:], part) and (whole - images).abs().max() > LEVEL


def test_a_saturated_softmax_hides_cross_entropy_but_not_the_margin():
    images, targets = batch()
    sure = Linear()
    sure.weight = sure.weight * 1e4
    targets = sure(images).argmax(1)
    assert torch.equal(attack(sure, images, targets, ROWS, settings("fgsm"), True), images)
    assert not torch.equal(attack(sure, images, targets, ROWS, settings("fgsm", loss="margin"), True), images)


def test_a_network_without_a_finite_gradient_is_refused():
    images, targets = batch()
    with pytest.raises(UserError, match="no finite gradient"):
        attack(lambda x: Linear()(x.log()), images, targets, ROWS, settings("fgsm"), True)
