"""What time a log covers: from when to when, and which of its months have changed."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from churn.errors import ConfigurationError, InputError
from churn.io.intake.index import Content, Index
from churn.timeline import Arrival


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
