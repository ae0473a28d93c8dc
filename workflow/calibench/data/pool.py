"""A pool of threads over many images, with progress in the log; threads, for OpenCV lets go of the GIL."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

log = logging.getLogger(__name__)
Result = TypeVar("Result")

CHUNK = 64
EVERY = 10.0  # seconds between two lines of progress


def over_chunks(work: Callable[[int, int], Result], total: int, threads: int, what: str) -> Iterator[Result]:
    """Call ``work(start, stop)`` for all chunks of ``range(total)``, giving results in order.

    Only a few chunks per thread are under way at once, so results do not pile up.
    """
    cv2.setNumThreads(1)  # one image per thread beats one image by many threads
    chunks = [(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]
    begun = said = time.monotonic()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        pending: deque = deque()
        try:
            for start, stop in chunks:
                pending.append((stop, pool.submit(work, start, stop)))
                while len(pending) >= 4 * max(1, threads) or (pending and stop == total):
                    done, future = pending.popleft()
                    yield future.result()
                    if time.monotonic() - said > EVERY:
                        said = time.monotonic()
                        rate = done / (said - begun)
                        log.info(
                            "%s: %d of %d images, %.0f/s, %.0f s left",
                            what,
                            done,
                            total,
                            rate,
                            (total - done) / rate,
                        )
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
