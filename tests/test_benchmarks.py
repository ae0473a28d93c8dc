"""Benchmarks measure what they say: each contestant under switches of its own."""

import torch

from benchmarks import training


def test_torchs_switches_are_set_for_each_contestant():
    seen = []

    def look():
        seen.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark))

    strict, plain = training.with_flags(True, look), training.with_flags(False, look)
    for work in (strict, plain, strict, plain):
        work()
    assert seen == [(True, False), (False, False)] * 2
