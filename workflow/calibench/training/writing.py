"""Write checkpoints in a thread, so that training continues in the meantime."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map


def host_copy(state: Any) -> Any:
    """Nested dictionaries and lists with all tensors copied to the host, so that training cannot change them."""
    return tree_map(lambda x: x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else x, state)


class Writer:
    """Writes in a thread, one piece after the other, in the order given.

    Call :meth:`wait` before copying the next state, so that memory holds only one copy. A ``with`` block ends when all
    is written, also after an exception.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._given: list[Future] = []

    def give(self, write: Callable[..., None], *arguments: Any) -> None:
        """Call ``write(*arguments)`` in the thread, unless an earlier piece fails."""
        before = self._given[-1] if self._given else None
        self._given.append(self._thread.submit(_after, before, write, arguments))

    def wait(self) -> None:
        """Wait until all is written; raises the first exception of the thread."""
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
    """Write, unless the piece before failed: a state must not name best weights that were not written."""
    if before is not None:
        before.result()
    write(*arguments)
