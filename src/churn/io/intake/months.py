"""What time a log covers: from when to when, and which of its months have changed."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from churn.errors import ConfigurationError, InputError
from churn.io.intake.index import Content, Index
from churn.timeline import Arrival

MAX_NAMED = 5
"""How many files a message names."""


def span(contents: Sequence[Content]) -> tuple[datetime, datetime]:
    """First and last time of a good row. Raises `InputError` when there is none at all."""
    firsts = [content.entry.first_ts for content in contents if content.entry.first_ts]
    lasts = [content.entry.last_ts for content in contents if content.entry.last_ts]
    if not firsts:
        raise InputError(
            "the log has no usable event",
            got=f"{sum(content.entry.read for content in contents):,} rows read, none of them used",
            expected="at least one event",
            next_step="run `churn check` to see what was refused or excluded, and why",
        )
    return datetime.fromisoformat(min(firsts)), datetime.fromisoformat(max(lasts))


def fingerprints(contents: Sequence[Content], *, arrival: Arrival, index: Index) -> dict[str, str]:
    """A fingerprint for each month with used rows: it changes when one of its rows may have."""
    counts: dict[str, list[object]] = {}
    used = n_used(contents)
    for content in sorted(contents, key=lambda content: content.sha256):
        lost = content.lost_months
        for month, n in content.entry.months.items():
            dropped = content.dropped if month in lost else ()
            known = index.customers if content.entry.unknown else ""
            counts.setdefault(month, []).append([content.sha256, n, dropped, known])
    rule = [index.reading, arrival.hours, *_special(arrival)]
    return {
        month: hashlib.sha256(json.dumps([rule, counts[month]]).encode()).hexdigest()
        for month in sorted(counts)
        if used[month]
    }


def grown(
    contents: Sequence[Content],
    before: Mapping[str, str],
    *,
    read: Collection[str],
    arrival: Arrival,
    index: Index,
) -> dict[str, list[Content]]:
    """Of the months that had other fingerprints `before`, when the contents `read` (sha256) were there, those
    that have got nothing but rows of later days: month → the contents that these are in."""
    known = [content for content in contents if content.sha256 in read]
    as_it_was = fingerprints(known, arrival=arrival, index=index)
    now = fingerprints(contents, arrival=arrival, index=index)
    found = {}
    for month, fingerprint in before.items():
        if as_it_was.get(month) != fingerprint or now[month] == fingerprint:
            continue
        of_month = [content for content in contents if month in content.entry.months]
        fresh = [content for content in of_month if content.sha256 not in read]
        last = max(_days(content, month)[1] for content in of_month if content.sha256 in read)
        if fresh and min(_days(content, month)[0] for content in fresh) > last:
            found[month] = fresh
    return found


def _days(content: Content, month: str) -> tuple[str, str]:
    """Days of `month` (YYYY-MM-DD) between which all good rows of a content in it lie."""
    first, last = content.entry.first_ts or "", content.entry.last_ts or ""
    return max(first[:10], f"{month}-01"), min(last[:10], f"{month}-31")


def refuse_others(
    contents: Sequence[Content],
    found: Sequence[Mapping[str, Any]],
    *,
    among: Collection[str] | None,
    span: tuple[date, date],
) -> None:
    """Raise `InputError` unless the rows that were `found` by month (`contents.by_month`) are as many as
    were judged, and begin and end on the days of `span`, of all months or `among` these.

    Of a file whose statistics are of other times than its rows, an engine leaves rows out, or takes others.
    """
    wanted = {m: n for m, n in n_used(contents).items() if n and (among is None or m in among)}
    there = {row["month"]: row for row in found}
    for month in sorted({*wanted, *there}):
        row = there.get(month, {"n": 0, "first_day": None, "last_day": None})
        edges = zip(span, (row["first_day"], row["last_day"]), strict=True)
        is_edged = all(f"{told}"[:7] != month or told == day for told, day in edges)
        if row["n"] == wanted.get(month, 0) and is_edged:
            continue
        files = [content.path for content in contents if month in content.entry.months]
        more = f" and {len(files) - MAX_NAMED} more" if len(files) > MAX_NAMED else ""
        days = f", of {row['first_day']} to {row['last_day']}" if row["n"] else ""
        raise InputError(
            f"the rows of {month} are not those that its files tell of",
            got=f"{row['n']:,} rows{days}",
            expected=f"{wanted.get(month, 0):,}, in a log from {span[0]} to {span[1]}, "
            f"from {', '.join(files[:MAX_NAMED]) or 'no file'}{more}",
            next_step="write the file anew, not only again: its Parquet statistics are not those of its rows",
        )


def n_used(contents: Sequence[Content]) -> Counter[str]:
    """How many rows of each month (YYYY-MM) are used."""
    used: Counter[str] = Counter()
    for content in contents:
        used.update(content.entry.months)
        used.subtract(content.lost_months)
    return used


def _special(arrival: Arrival) -> list[str]:
    return [str(arrival.known_at), str(arrival.as_of)] if arrival.known_at else []


def completed(arrival: Arrival, contents: Sequence[Content]) -> Arrival:
    """`arrival`, with the default `as_of` where `known_at` needs one."""
    if arrival.known_at is None:
        return arrival
    if not has_column(contents, "loaded_at"):
        raise ConfigurationError(
            "known_at needs a log that says when rows arrived",
            got="no column loaded_at in the log",
            expected="loaded_at, the time at which a row was loaded",
            next_step="leave known_at out, or set source.columns.loaded_at=NAME",
        )
    return arrival if arrival.as_of else replace(arrival, as_of=span(contents)[1].date())


def has_column(contents: Sequence[Content], name: str) -> bool:
    return any(content.file.reading.column(name) for content in contents)
