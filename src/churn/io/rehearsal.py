"""A workspace to rehearse in: what a dry run makes is seen by nobody and is gone afterwards.

It stands inside the real one and shares everything with it: what is only read by a link to the
folder, what is written by links to its files, since a table never changes a file (it adds new ones
and renames its manifest, see `tables`).
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MADE = ("scores", "scored", "rescored", "not_scored", "reasons", "retention")
"""What the stages that make a list write."""


@contextmanager
def place(workspace: Path) -> Iterator[Path]:
    """The place to work in instead of `workspace`; what an earlier one left when it was killed goes."""
    for left in workspace.glob(".rehearsal-*"):
        shutil.rmtree(left)
    own = workspace / f".rehearsal-{uuid.uuid4().hex}"
    own.mkdir()
    try:
        for path in workspace.iterdir():
            if path.name in MADE:
                shutil.copytree(path, own / path.name, copy_function=os.link)
            elif not path.name.startswith("."):
                (own / path.name).symlink_to(path)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
