"""The lists before this one, as they were published."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from churn.io import tables

REMEMBERED = 52
"""How many earlier lists make somebody who returns `back` instead of `new`."""


@dataclass(frozen=True)
class Earlier:
    """The list before: its date, rows (contracts.LIST_COLUMNS), the revision (`<as_of>/r<N>`) and the
    sha256 of its manifest, where it was published."""

    as_of: date
    rows: pd.DataFrame
    revision: str | None = None
    sha256: str | None = None


def latest(place: Path, as_of: date) -> Earlier | None:
    """The last list before `as_of`: its last revision, or the workspace's own where nothing is
    published yet; None for the first list."""
    found = next(_before(place, as_of), None)
    if found is None:
        return None
    day, path = found
    is_published = path.name == "retention_list.parquet"
    return Earlier(
        day,
        pq.read_table(path).to_pandas(),
        path.parent.relative_to(place / "published").as_posix() if is_published else None,
        tables.sha256(path.parent / "manifest.json") if is_published else None,
    )


def ever_listed(place: Path, as_of: date) -> set[str]:
    """Who stood on one of the last `REMEMBERED` lists before `as_of`."""
    seen: set[str] = set()
    for (_, path), _ in zip(_before(place, as_of), range(REMEMBERED), strict=False):
        seen |= set(pq.read_table(path, columns=["customer_id"])["customer_id"].to_pylist())
    return seen


def _before(place: Path, as_of: date) -> Iterator[tuple[date, Path]]:
    """The lists before `as_of`, the newest first: date and file."""
    published = _published(place / "published", as_of)
    yield from published or _kept(place / "retention", as_of)


def _published(published: Path, as_of: date) -> list[tuple[date, Path]]:
    weeks = sorted(
        (week for week in published.glob("????-??-??") if week.name < as_of.isoformat()),
        reverse=True,
    )
    found = []
    for week in weeks:
        numbers = [int(path.parent.name[1:]) for path in week.glob("r*/manifest.json")]
        if numbers:
            path = week / f"r{max(numbers)}" / "retention_list.parquet"
            found.append((date.fromisoformat(week.name), path))
    return found


def _kept(folder: Path, as_of: date) -> list[tuple[date, Path]]:
    if not tables.exists(folder):
        return []
    parts = tables.parts(folder, made_by="retain")
    days = sorted((name for name in parts if name < as_of.isoformat()), reverse=True)
    return [(date.fromisoformat(name), parts[name]) for name in days]
