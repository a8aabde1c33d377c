"""One run per workspace at a time; a lock dies with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from churn.errors import LockedError


@contextmanager
def held(place: Path, *, doing: str) -> Iterator[None]:
    """Hold the lock of workspace `place`; raises `LockedError` naming the process that has it."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LockedError(
                f"another run works in {place}",
                got=f"the lock of {file.read().strip() or 'a process that has just started'}",
                expected="one run per workspace at a time",
                next_step="wait for it to end, or use another workspace=",
            ) from error
        file.truncate(0)
        file.write(f"`churn {doing}`, process {os.getpid()}")
        file.flush()
        yield
        file.truncate(0)
