"""Old revisions make room, where `weekly.keep_weeks` says so; by default all stay for ever.

A week that is gone can no longer be opened or verified by its manifest. Its list stays in the
workspace's own tables, from which the track record, the impact and the reading of filled-in lists are
made; the index no longer names it, and it cannot be published again under its old number with
any promise about its bytes. So these are never removed: the current revision, the last `LEAST_WEEKS`
weeks (which say who is `back`), and every revision to which somebody has answered.
"""

import logging
import os
import shutil
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn.errors import InputError
from churn.io import records, revisions

log = logging.getLogger("churn")


def expire(place: Path, *, keep_weeks: int) -> list[str]:
    """Remove the revisions of workspace `place` that are older than the last `keep_weeks` weeks and
    that nothing needs (0: none); their names. Each is gone at once for whoever reads."""
    published = place / "published"
    if not keep_weeks:
        return []
    there = revisions.names(published)
    weeks = sorted({name.split("/")[0] for name in there})
    old = [name for name in there if name.split("/")[0] in weeks[:-keep_weeks]]
    answered = set(records.outcomes(place)["list_id"]) if old else set()
    gone = [name for name in old if not _is_needed(published / name, answered)]
    for name in gone:
        _remove(published, name)
    if gone:
        log.info("%d old revisions removed (weekly.keep_weeks=%d)", len(gone), keep_weeks)
    return gone


def _is_needed(revision: Path, answered: set[str]) -> bool:
    """Whether somebody has answered to the list; so it is taken where that cannot be read."""
    path = revision / revisions.LIST
    try:
        rows = pq.read_table(path, columns=["list_id"])
    except (pa.ArrowException, OSError) as error:
        unread = InputError(
            f"{path} cannot be read, so this old revision stays",
            got=str(error),
            expected="the list that was published",
            next_step=f"{revisions.RESTORE}; or remove the folder, if nobody has answered to it",
        )
        log.warning("%s", unread)
        return True
    return bool(set(rows["list_id"].to_pylist()) & answered)


def _remove(published: Path, name: str) -> None:
    expired = published / f".expired.{uuid.uuid4().hex}"  # `tables.sweep` knows such names
    os.replace(published / name, expired)
    shutil.rmtree(expired)
    week = (published / name).parent
    if not any(week.iterdir()):
        week.rmdir()
