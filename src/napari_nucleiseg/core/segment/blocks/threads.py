"""Several blocks at once, where there are processors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

#: As many blocks at once as there are processors, but no more than this.
MOST_THREADS = 4

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


def in_threads(
    work: Callable[[_Item], _Done], items: Iterable[_Item], threads: int
) -> Generator[_Done, None, None]:
    """Yield what is done of each item, in their order.

    Parameters
    ----------
    work : callable
        Is given an item; done in a thread.
    items : iterable
        Taken one by one, as threads become free.
    threads : int
        How many; with one of them, it is done in the caller's.

    Yields
    ------
    object
        What `work` returned. If the generator is closed, as by `contextlib.closing`,
        what has begun is waited for, and the rest left.
    """
    if threads == 1:
        yield from map(work, items)
        return
    running: deque[Future[_Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) >= threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
