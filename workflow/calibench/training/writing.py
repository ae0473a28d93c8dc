"""Checkpoints written beside the training: the device goes on while a file is on its way to the disk."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map


def host_copy(state: Any) -> Any:
    """All tensors of nested dictionaries and lists as copies on the host, which training does not touch any more."""
    return tree_map(lambda x: x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x, state)


class Writer:
    """Does one piece of writing after the other in a thread, in the order in which they were given.

    At most one round is under way: :meth:`wait` for it before the next one is copied, so memory holds one copy.
    As a context it ends when all is written, also when training stopped with an exception.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._given: list[Future] = []

    def give(self, write: Callable[..., None], *arguments: Any) -> None:
        """Have ``write(*arguments)`` done, unless what was given before it fails."""
        before = self._given[-1] if self._given else None
        self._given.append(self._thread.submit(_after, before, write, arguments))

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            Exception: the first that was raised in writing.
        """
        given, self._given = self._given, []
        for future in given:
            future.result()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type | None, _error: Any, _trace: Any) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown(wait=True)


def _after(before: Future | None, write: Callable[..., None], arguments: tuple) -> None:
    """No state may name best weights whose writing failed."""
    if before is not None:
        before.result()
    write(*arguments)
