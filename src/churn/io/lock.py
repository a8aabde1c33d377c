"""One run per workspace at a time, and who is still alive: a lock dies with its process.

A process that is forked while a lock is held lets go of it at once: the lock belongs to whom took it,
and a child that lives longer must not keep the next run out.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from churn.errors import LockedError
from churn.io import tables

log = logging.getLogger("churn")

_mine: set[IO[str]] = set()


def _let_go() -> None:
    """Closing a copy of a descriptor leaves the lock to the others; unlocking would not."""
    for file in _mine:
        file.close()
    _mine.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def held(place: Path, *, doing: str, waits: bool = False) -> Iterator[None]:
    """Hold the lock of workspace `place`; raises `LockedError` naming the process that has it, unless
    it `waits` for that one to end.

    What runs that were killed here had begun to write is removed.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("a+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "a process that has just started"
            if not waits:
                raise LockedError(
                    f"another run works in {place}",
                    got=f"the lock of {holder}",
                    expected="one run per workspace at a time",
                    next_step="wait for it to end, or use another workspace=",
                ) from error
            log.info("waits for %s to end", holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"`churn {doing}`, process {os.getpid()}")
        file.flush()
        _mine.add(file)
        try:
            _sweep(place)
            yield
        finally:
            _mine.discard(file)
        file.truncate(0)


def _sweep(place: Path) -> None:
    swept = tables.sweep(place)
    if swept:
        log.info("removed what a run that was killed had begun to write: %d places", len(swept))


@contextmanager
def sign_of_life(path: Path, words: str) -> Iterator[None]:
    """A file at `path` with `words` in it that is locked for as long as this process lives.

    It appears under its name only when it is locked. It is gone when the body has ended well; after
    an error it stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unnamed = path.with_name(f".{path.name}.{os.getpid()}")
    with unnamed.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(words)
        file.flush()
        os.replace(unnamed, path)
        yield
        path.unlink(missing_ok=True)


def dead(folder: Path) -> Iterator[tuple[Path, str]]:
    """The signs of life in `folder` whose processes are gone, each with its words.

    Each is locked while the caller looks at it, so that two who clear up do not meet.
    """
    for path in sorted(folder.glob("[!.]*")):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield path, file.read()
