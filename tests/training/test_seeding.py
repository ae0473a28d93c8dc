"""Seeding of torch at every step: the numbers torch's own function gives, without its cost."""

import torch
from calibench.training.device import set_determinism
from calibench.training.randomness import Purpose, seed_torch, torch_seed


def test_the_numbers_are_those_of_torch():
    seed_torch(3, Purpose.DROPOUT, 2, 5)
    ours = torch.nn.functional.dropout(torch.ones(1000), 0.5)
    torch.manual_seed(torch_seed(3, Purpose.DROPOUT, 2, 5))
    assert torch.equal(ours, torch.nn.functional.dropout(torch.ones(1000), 0.5))


def test_other_steps_draw_other_numbers():
    seed_torch(3, Purpose.DROPOUT, 2, 5)
    one = torch.rand(10)
    seed_torch(3, Purpose.DROPOUT, 2, 6)
    assert not torch.equal(one, torch.rand(10))


def test_determinism_does_not_fill_fresh_memory():
    before = torch.are_deterministic_algorithms_enabled()
    try:
        set_determinism(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        set_determinism(before)
