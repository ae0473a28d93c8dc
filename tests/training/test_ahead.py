"""Batches made ahead in a thread: the same ones in the same order. Its stream is tried in tests/gpu."""

import contextlib
import threading

import pytest
import torch
from calibench.errors import UserError
from calibench.training import ahead


class NoStream:
    """In the place of a GPU's stream: notes what is handed over."""

    def __init__(self):
        self.given = []

    def here(self):
        return contextlib.nullcontext()

    def mark(self):
        return threading.current_thread().name

    def hand_over(self, made, mark):
        self.given.append((made, mark))


def numbers(seen, count=6):
    for number in range(count):
        seen.append(number)
        yield number, torch.full((2,), number)


def test_a_thread_makes_the_same_items_in_the_same_order_and_few_ahead():
    seen, side, got = [], NoStream(), []
    for number, tensor in ahead._in_a_thread(numbers(seen), side):
        assert len(seen) <= len(got) + 1 + ahead.DEPTH
        got.append((number, tensor.tolist()))
    assert got == [(n, [n, n]) for n in range(6)] and [made[0] for made, _ in side.given] == list(range(6))
    assert all(name.startswith("batches") for _, name in side.given)


def test_a_failure_of_the_thread_comes_at_its_place_and_a_loop_may_end_early():
    def failing():
        yield from numbers([], 3)
        raise UserError("images.npy is gone")

    got = []
    with pytest.raises(UserError, match="is gone"):
        for number, _ in ahead._in_a_thread(failing(), NoStream()):
            got.append(number)
    assert got == [0, 1, 2]
    before = threading.active_count()
    made = ahead._in_a_thread(numbers([]), NoStream())
    next(made)
    made.close()
    assert threading.active_count() == before


def test_on_the_cpu_there_is_no_thread():
    made = numbers([])
    assert ahead.ahead(made, torch.device("cpu"), True) is made
    assert ahead.ahead(made, torch.device("cuda"), False) is made
