"""Progress where a person watches and it takes a while; silence otherwise."""

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

DELAY_SECONDS = 2

_bars: list[str] = []
"""What `watched` is counting just now; the clock of `timed` stands back meanwhile."""


def watched(items: Iterable[T], *, total: int | None = None, what: str = "") -> Iterator[T]:
    """`items`, with a bar on a terminal when they take longer than two seconds."""
    if not sys.stderr.isatty():
        yield from items
        return
    _bars.append(what)
    try:
        yield from tqdm(items, total=total, desc=what, delay=DELAY_SECONDS, leave=False)
    finally:
        _bars.remove(what)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """A running clock on a terminal, for a step that cannot say how far it is."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    clock = threading.Thread(target=_show_clock, args=(what, done), daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


def _show_clock(what: str, done: threading.Event) -> None:
    if done.wait(DELAY_SECONDS):
        return
    with tqdm(bar_format=f"{what} … {{elapsed}}", leave=False, delay=1e-9) as clock:
        clock.start_t -= DELAY_SECONDS
        while not done.wait(0.5):
            clock.clear() if _bars else clock.refresh()


class LogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Log lines on the error stream, above whatever bar or clock stands there."""

    def emit(self, record: logging.LogRecord) -> None:
        with above_bars(self.stream):
            super().emit(record)


def above_bars(stream: TextIO | None = None) -> AbstractContextManager[None]:
    """Whatever bar or clock stands on a terminal is out of the way meanwhile."""
    found: AbstractContextManager[None] = tqdm.external_write_mode(file=stream or sys.stderr)
    return found
