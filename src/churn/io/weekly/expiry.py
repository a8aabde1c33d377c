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

import pyarrow.parquet as pq

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
    gone = [name for name in old if not _list_ids(published / name) & answered]
    for name in gone:
        _remove(published, name)
    if gone:
        log.info("%d old revisions removed (weekly.keep_weeks=%d)", len(gone), keep_weeks)
    return gone


def _list_ids(revision: Path) -> set[str]:
    rows = pq.read_table(revision / "retention_list.parquet", columns=["list_id"])
    return set(rows["list_id"].to_pylist())


def _remove(published: Path, name: str) -> None:
    expired = published / f".expired.{uuid.uuid4().hex}"  # `tables.sweep` knows such names
    os.replace(published / name, expired)
    shutil.rmtree(expired)
    week = (published / name).parent
    if not any(week.iterdir()):
        week.rmdir()
