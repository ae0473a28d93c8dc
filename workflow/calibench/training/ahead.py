"""Batches made ahead on a GPU: a thread reads and crops the next ones while the GPU computes. Not run on a GPU by us."""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
DEPTH = 2  # batches made before they are asked for


class SideStream:
    """A stream beside that of the training, on which batches are uploaded and cropped."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.stream.wait_stream(torch.cuda.current_stream(device))

    def here(self) -> contextlib.AbstractContextManager:
        """What is queued inside, in any thread, goes to this stream."""
        return torch.cuda.stream(self.stream)

    def mark(self) -> torch.cuda.Event:
        """The end of what was queued so far."""
        return self.stream.record_event()

    def hand_over(self, made: Any, mark: torch.cuda.Event) -> None:
        """Let the stream of this thread wait for the mark, and keep the memory of ``made`` until that stream has used it."""
        user = torch.cuda.current_stream(self.stream.device)
        user.wait_event(mark)
        for tensor in _tensors(made):
            if tensor.is_cuda:
                tensor.record_stream(user)


def _tensors(made: Any) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, tuple):
        for part in made:
            yield from _tensors(part)
    elif is_dataclass(made):
        for field in fields(made):
            yield from _tensors(getattr(made, field.name))


def ahead(made: Iterator[T], device: torch.device, wanted: bool) -> Iterator[T]:
    """The same items in the same order; on a GPU, if ``wanted``, up to :data:`DEPTH` of them are made ahead.

    Images that are on the GPU already need no thread: it would only take time from the thread that launches the step.

    Args:
        made: items with tensors; the next ones are computed in a thread, without gradients.
        device: of the tensors.
        wanted: whether an item takes long on the host, as from a memory map.
    """
    return _in_a_thread(made, SideStream(device)) if wanted and device.type == "cuda" else made


def _in_a_thread(made: Iterator[T], side: SideStream) -> Iterator[T]:
    done = object()

    @torch.no_grad()
    def make() -> tuple[Any, Any]:
        with side.here():
            return next(made, done), side.mark()

    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        waiting.extend(thread.submit(make) for _ in range(DEPTH))
        while True:
            item, mark = waiting.popleft().result()
            if item is done:
                return
            waiting.append(thread.submit(make))
            side.hand_over(item, mark)
            yield item
