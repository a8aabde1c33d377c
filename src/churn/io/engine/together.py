"""Several engines at work side by side, each in a thread of its own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from churn.io.engine import Engine

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    engines: Sequence[Engine], work: Callable[[Engine, T], R], items: Iterable[T]
) -> Iterator[R]:
    """What `work` makes of each of `items`, in their order, on whichever of `engines` is free.

    There are never more results that nobody has taken than engines. What `work` raises ends it all, once
    those that are at work have come to their end.
    """
    if len(engines) == 1:
        for item in items:
            yield work(engines[0], item)
        return
    free: SimpleQueue[Engine] = SimpleQueue()
    for engine in engines:
        free.put(engine)

    def done(item: T) -> R:
        engine = free.get()
        try:
            return work(engine, item)
        finally:
            free.put(engine)

    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(len(engines)) as threads:
        try:
            for item in items:
                under_way.append(threads.submit(done, item))
                if len(under_way) == len(engines):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)
