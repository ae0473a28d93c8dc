"""Work on many images in a pool of threads, with progress in the log. Threads suffice: OpenCV releases the GIL."""

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
PENDING = 3  # limit of unfinished or unread chunks per thread, so that results do not pile up in memory
INTERVAL = 10.0  # seconds between two lines of progress


def over_chunks(work: Callable[[int, int], Result], total: int, threads: int, name: str) -> Iterator[Result]:
    """Call ``work(start, stop)`` for all chunks of ``range(total)`` and yield the results in order."""
    cv2.setNumThreads(1)  # one image per thread is faster than many threads for one image
    threads = max(1, threads)
    begun = logged = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        pending: deque = deque()
        try:
            for start in range(0, total, CHUNK):
                stop = min(start + CHUNK, total)
                pending.append((stop, pool.submit(work, start, stop)))
                while len(pending) >= PENDING * threads or (pending and stop == total):
                    done, future = pending.popleft()
                    yield future.result()
                    if (now := time.monotonic()) - logged > INTERVAL:
                        logged, rate = now, done / (now - begun)
                        left = (total - done) / rate
                        log.info("%s: %d of %d images, %.0f/s, %.0f s left", name, done, total, rate, left)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
