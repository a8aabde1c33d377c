"""Published revisions as they are read: which there are, which is current, the lists before this one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from churn.errors import InputError
from churn.io import tables
from churn.settings import Settings
from churn.timeline import Arrival, parse_moment

LIST, MANIFEST = "retention_list.parquet", "manifest.json"
RESTORE = "restore the file from a backup, or run `churn weekly` with the as_of and known_at of that revision"
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


def current(published: Path) -> Path | None:
    """The folder of the current revision, or None when nothing was ever published."""
    pointer = published / "CURRENT"
    if not pointer.exists():
        return None
    name = pointer.read_bytes().decode(errors="replace").strip()
    if not re.fullmatch(r"\d{4}-\d\d-\d\d/r\d+", name) or not (published / name).is_dir():
        raise InputError(
            f"{pointer} names no revision",
            got=repr(name),
            expected="the date and number of one, such as 2026-01-05/r1",
            next_step="run `churn weekly`, which writes it anew",
        )
    return published / name


def names(published: Path) -> list[str]:
    """All revisions as `<as_of>/r<N>`, the oldest first."""
    weeks = sorted(week for week in published.glob("[!.]*") if week.is_dir())
    found = [place for week in weeks for place in numbered(week).values()]
    return [place.relative_to(published).as_posix() for place in found]


def verify(place: Path) -> Mapping[str, Any]:
    """The manifest of the revision at `place`; raises `InputError` when a file does not match it."""
    manifest: Mapping[str, Any] = manifest_of(place)
    for name in manifest["files"]:
        trusted(place, name)
    return manifest


def latest(settings: Settings, as_of: date) -> Earlier | None:
    """The last list before `as_of`, or the workspace's own where nothing is published yet; None for
    the first list.

    Of several revisions it is the last that was known at the cut of `as_of`: what became known of
    an earlier week since leaves the lists after it as they were.
    """
    found = next(_before(settings, as_of), None)
    if found is None:
        return None
    day, path = found
    is_published = path.name == LIST
    return Earlier(
        day,
        pq.read_table(path).to_pandas(),
        path.parent.relative_to(settings.place / "published").as_posix() if is_published else None,
        tables.sha256(path.parent / MANIFEST) if is_published else None,
    )


def ever_listed(settings: Settings, as_of: date) -> set[str]:
    """Who stood on one of the last `REMEMBERED` lists before `as_of`."""
    seen: set[str] = set()
    for (_, path), _ in zip(_before(settings, as_of), range(REMEMBERED), strict=False):
        seen |= set(pq.read_table(path, columns=["customer_id"])["customer_id"].to_pylist())
    return seen


def numbered(week: Path) -> dict[int, Path]:
    """The revisions of a week by their number, in order."""
    found = {int(p.name[1:]): p for p in week.glob("r*") if p.name[1:].isdecimal()}
    return {number: found[number] for number in sorted(found)}


def manifest_of(place: Path) -> dict[str, Any]:
    """What the manifest of a revision says; `InputError` when it is gone or damaged."""
    if not (place / MANIFEST).exists():
        raise InputError(
            f"{place / MANIFEST} is gone",
            got="no such file",
            expected="a manifest in every revision",
            next_step=RESTORE,
        )
    found: dict[str, Any] = tables.read_json(place / MANIFEST)
    return found


def trusted(place: Path, name: str) -> Path:
    """File `name` of a revision, after it was found to be the one that was published."""
    expected = manifest_of(place)["files"].get(name, {}).get("sha256")
    tables.verify(place / name, expected, next_step=RESTORE)
    return place / name


def _before(settings: Settings, as_of: date) -> Iterator[tuple[date, Path]]:
    """The lists before `as_of`, the newest first: date and file."""
    cut = settings.arrival(as_of).cut(as_of)
    weeks = sorted(
        week
        for week in (settings.place / "published").glob("????-??-??")
        if week.name < as_of.isoformat() and numbered(week)
    )
    for week in reversed(weeks):
        yield date.fromisoformat(week.name), trusted(_known(week, cut), LIST)
    if not weeks:
        yield from _kept(settings.place / "retention", as_of)


def _known(week: Path, cut: datetime) -> Path:
    """The last revision of a week made of what was known at `cut`; its first, where none was."""
    places = [*numbered(week).values()]
    known = [place for place in places if _cut_of(place) <= cut]
    return known[-1] if known else places[0]


def _cut_of(place: Path) -> datetime:
    """Until when rows had to have arrived to count for a revision."""
    manifest = manifest_of(place)
    said = manifest["configuration"]
    as_of = date.fromisoformat(manifest["as_of"])
    known_at = said["known_at"] and parse_moment(said["known_at"], key="known_at")
    return Arrival(said["source"]["arrival_hours"], as_of, known_at or None).cut(as_of)


def _kept(folder: Path, as_of: date) -> list[tuple[date, Path]]:
    days = [name for name in tables.names(folder) if name < as_of.isoformat()]
    parts = tables.parts(folder, made_by="retain", only=days) if days else {}
    return [(date.fromisoformat(name), parts[name]) for name in sorted(days, reverse=True)]
