"""Files of the source that must stay as they are while they are read.

A file is known by its sha256, which is taken first; what is read afterwards must be the same file. A
file that still has the stamp of an earlier run is not hashed again: a week must not cost more the
longer a log is.
"""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from churn.errors import ChurnError, NotArrivedError
from churn.io import tables

Stamp = tuple[int, ...]


SETTLED_SECONDS = 10
"""Longer than a tick of any file system's clock: two changes within one leave the same stamp."""


@dataclass(frozen=True)
class Settled:
    """A content and the stamp of its file, which had not changed for a while when it was hashed."""

    sha256: str
    stamp: Stamp


class Listed(Protocol):
    """What is known of a file of the source (`listing.Delivery`)."""

    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def local(self) -> Path: ...
    @property
    def stamp(self) -> Stamp: ...


def stamp_of(path: Path) -> Stamp:
    """What changes whenever a file is written to or replaced."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_settled(stamp: Stamp) -> bool:
    """Whether the file of `stamp`, just taken, has not changed for `SETTLED_SECONDS`."""
    _, _, modified, changed = stamp
    return max(modified, changed) < time.time_ns() - SETTLED_SECONDS * 1_000_000_000


def refuse_changed(files: Sequence[Listed], *, fresh: Collection[str] = ()) -> None:
    """Raise `NotArrivedError` when one of `files` is not the one that was hashed any more.

    Contents in `fresh` are hashed again, the others only where their stamp has changed: two changes
    within one tick of the file system's clock leave the same stamp, and only a file that is just
    being written has two.
    """
    for file in files:
        if file.sha256 in fresh or _stamp_or_nothing(file.local) != file.stamp:
            require_same(file.path, file.local, sha256=file.sha256)


def require_same(path: str, local: Path, *, sha256: str) -> None:
    """Raise `NotArrivedError` when the file at `local` (called `path`) has another content by now."""
    if local.exists() and tables.sha256(local) == sha256:
        return
    raise NotArrivedError(
        f"{path} changed while it was read",
        got="another content than when the run began" if local.exists() else "no such file now",
        expected="deliveries that are complete when the run begins",
        next_step="run again when it is complete; an export that is written under another name and "
        "then renamed is never seen half",
    )


@contextmanager
def explained(files: Sequence[Listed]) -> Iterator[None]:
    """Whatever cannot be read in the body because it changed meanwhile is refused as that."""
    try:
        yield
    except ChurnError:
        refuse_changed(files)
        raise


def _stamp_or_nothing(path: Path) -> Stamp:
    return stamp_of(path) if path.exists() else ()
