"""Two folders that change places in one step, so that a reader meets the one or the other."""

import ctypes
import os
from pathlib import Path

from churn.io import tables

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def folders(new: Path, old: Path) -> None:
    """Let `new` stand where `old` does, and `old` where `new` did.

    In one step where the system can (Linux, on most file systems); elsewhere there is a moment
    between two renames in which nothing stands there.
    """
    if not _at_once(new, old):
        aside = new.with_name(f"{new.name}.old")
        os.rename(old, aside)
        os.rename(new, old)
        os.rename(aside, new)
    tables.sync(old.parent)


def _at_once(new: Path, old: Path) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    paths = os.fsencode(new), os.fsencode(old)
    done = library.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE)
    return int(done) == 0
