"""A workspace to rehearse in: what a dry run makes is seen by nobody and is gone afterwards.

It stands inside the real one and shares everything with it: what is only read by a link to the
folder, what is written by links to its files, since a table never changes a file (it adds new ones
and renames its manifest, see `tables`).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from churn.io import tables

MADE = ("scores", "scored", "rescored", "not_scored", "reasons", "retention")
"""What the stages that make a list write."""


@contextmanager
def place(workspace: Path) -> Iterator[Path]:
    """The place to work in instead of `workspace`."""
    there = [path for path in workspace.iterdir() if not path.name.startswith(".")]
    with tables.staging(workspace) as own:
        for path in there:
            if path.name in MADE:
                shutil.copytree(path, own / path.name, copy_function=os.link)
            else:
                (own / path.name).symlink_to(path)
        yield own
