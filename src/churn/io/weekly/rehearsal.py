"""A workspace to rehearse in: what is made there is seen by nobody until it is handed out, or is gone.

It stands inside the real one and shares everything with it: what is only read by a link to the
folder, what is written by links to its files, since a table never changes a file (it adds new ones
and renames its manifest, see `tables`). A dry run makes a whole week there; every weekly run makes its
list there, so that one which the gates hold back counts nowhere as handed out.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from churn.io import tables
from churn.io.documents import people

HANDED_OUT = ("retention", "qualified", "assignments")
"""Whom a list names: what the record of lists, their impact and the lists after it are made from."""

MADE = ("scores", "scored", "rescored", "not_scored", "reasons", *HANDED_OUT)
"""What the stages that make a list write."""


@contextmanager
def place(workspace: Path, *, made: Collection[str] = MADE) -> Iterator[Path]:
    """The place to work in instead of `workspace`, with the tables `made` of its own."""
    there = [path for path in workspace.iterdir() if not path.name.startswith(".")]
    with tables.staging(workspace) as own:
        for path in there:
            if path.name in made:
                shutil.copytree(path, own / path.name, copy_function=_linked, ignore=_folders)
            else:
                (own / path.name).symlink_to(path)
        yield own


def hand_out(own: Path, workspace: Path, as_of: date) -> None:
    """Move the list of `as_of` that was made in `own` to `workspace`: its documents and `HANDED_OUT`.

    Killed in between it leaves some of it; the run that does the week again writes all.
    """
    part = as_of.isoformat()
    _move_documents(own / "retention" / part, workspace / "retention" / part)
    for name in HANDED_OUT:
        since = [one for one in tables.names(own / name) if one >= part]  # later lists lose rows
        made = tables.parts(own / name, made_by="retain", only=since)
        folder = workspace / name
        folder.mkdir(exist_ok=True)
        tables.commit(folder, made, keep=tables.names(folder), facts={})


def _move_documents(made: Path, target: Path) -> None:
    """Each file in one rename; digests of owners who have no list any more are removed."""
    shutil.rmtree(target / people.DIGESTS, ignore_errors=True)
    for name in people.files(made):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, target / name)
    tables.sync(target)


def _linked(source: str, target: str) -> None:
    """A second name for a file; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _folders(folder: str, names: list[str]) -> list[str]:
    """What people opened in earlier weeks: no table, and too much to link every week."""
    return [name for name in names if Path(folder, name).is_dir()]
