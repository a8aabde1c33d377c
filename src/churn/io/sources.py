"""The log as it is now: deliveries, what counts in them, and clean events month by month.

`take_in` reads what is new, remembers it in `deliveries/index.json` and gives an `Intake`; nothing
is rescanned that has not changed, except that event ids are compared over all deliveries.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from churn.errors import ConfigurationError, InputError
from churn.io import convert, listing, side_tables as sides, tables
from churn.io.convert import Readable
from churn.io.engine import Engine, Resources, opened
from churn.io.listing import Delivery
from churn.settings import SourceSettings
from churn.timeline import Arrival
from churn.usage import events, quality
from churn.usage.events import Reading, Rules

VERSION = 1
"""Of what the index holds; another one means that everything is read again."""

MAX_REJECTS = 100_000
"""How many refused rows of one delivery are kept for a person to look at; all are counted."""

HASHES_AT_ONCE = 1 << 26

REJECTS = ("file", "line", "column", "value", "reason")


@dataclass(frozen=True)
class Account:
    """What became of the rows of one delivery: read = used + duplicate + excluded + refused.

    A delivery whose content was listed before under another name reads nothing.
    """

    path: str
    sha256: str
    read: int
    used: int
    duplicate: int
    excluded: int
    refused: int


@dataclass(frozen=True)
class Entry:
    """What is remembered of one content, before duplicates: `months` are good rows by month."""

    read: int
    excluded: int
    refused: int
    unknown: int
    months: Mapping[str, int]
    first_ts: str | None
    last_ts: str | None


@dataclass(frozen=True)
class Content:
    """One content among the deliveries: the first path that holds it, and how to scan it."""

    path: str
    sha256: str
    file: Readable
    entry: Entry
    dropped: tuple[int, ...] = ()

    @property
    def is_spotless(self) -> bool:
        return not (self.dropped or self.entry.refused or self.entry.excluded)


@dataclass(frozen=True)
class Intake:
    """What the source holds now.

    `rejects` has `REJECTS`; `months` gives for each month (YYYY-MM) with used rows a fingerprint of
    everything its rows depend on; `last_ts` is the UTC time of the last used event.
    """

    accounts: tuple[Account, ...]
    rejects: pd.DataFrame
    months: Mapping[str, str]
    first_day: date
    last_day: date
    last_ts: datetime
    has_loaded_at: bool
    has_user_id: bool
    arrival: Arrival
    contents: tuple[Content, ...]
    rules: Rules
    known_customers: pa.Table | None

    def bind(self, engine: Engine, month: str | None) -> None:
        """Make `clean_events` (`events.CLEAN`, used rows only) visible to expressions: of `month`
        (YYYY-MM), scanning only the files that have rows in it, or of all months."""
        chosen = [c for c in self.contents if month is None or month in c.entry.months]
        if self.known_customers is not None:
            engine.bind("known_customers", self.known_customers)
        queries = []
        for place, (reading, group) in enumerate(_groups(chosen, by_cleanness=True)):
            raw, dropped = f"raw_{place}", f"dropped_{place}"
            engine.bind(raw, [content.file.place for content in group], row_numbers=True)
            if all(content.is_spotless for content in group):
                queries.append(events.spotless(reading, arrival=self.arrival, raw=raw))
                continue
            engine.bind(dropped, _dropped(group))
            queries.append(
                events.used(reading, self.rules, arrival=self.arrival, dropped=dropped, raw=raw)
            )
        engine.view("clean_events", events.together(queries, month=month))


def deliveries(
    source: SourceSettings, *, workspace: Path, cache: Path | None = None
) -> list[Delivery]:
    """The files of the log that `source.events` matches now, sorted by path (see `listing`)."""
    pattern = listing.patterns(source, workspace=workspace)["events"]
    return listing.listed(pattern, key="source.events", cache=cache or workspace / "deliveries")


def side_tables(
    source: SourceSettings, *, workspace: Path, cache: Path | None = None
) -> dict[str, pa.Table]:
    """Customers, subscriptions and contacts, as far as the source has them: declared names and
    types, further attributes of customers as they are (see `io.side_tables`)."""
    return sides.read_all(source, workspace=workspace, cache=cache or workspace / "deliveries")


def take_in(
    source: SourceSettings,
    *,
    workspace: Path,
    arrival: Arrival,
    resources: Resources,
    max_rejected_share: float,
    cache: Path | None = None,
) -> Intake:
    """What the source holds now, every row accounted for.

    `cache` (else `workspace/deliveries`) is where converted files and the index are kept. Raises
    `InputError` for a vanished file, a fault of a whole file, or more than `max_rejected_share`
    refused rows in one; then the index stays as it was.
    """
    cache = cache or workspace / "deliveries"
    found = deliveries(source, workspace=workspace, cache=cache)
    pattern = listing.patterns(source, workspace=workspace)["events"]
    customers = sides.known_customers(source, workspace=workspace, cache=cache)
    memory = _Memory(cache, pattern=pattern, reading=_reading_of(source, customers is not None))
    listing.refuse_vanished(memory.paths, found, index=memory.index)
    rules = Rules({k: tuple(v) for k, v in source.exclude.items()}, customers is not None)
    with opened(resources) as engine:
        if customers is not None:
            engine.bind("known_customers", customers)
            memory.meet_customers(engine.table(events.hashes_of_known()))
        contents, rejects = _contents(found, source, rules=rules, memory=memory, engine=engine)
        _refuse_unusable(contents, arrival=arrival)
        if arrival.known_at is not None and arrival.as_of is None:
            arrival = replace(arrival, as_of=_span(contents)[1].date())
        losers = _losers(contents, rules=rules, arrival=arrival, engine=engine)
    contents = _without(contents, losers)
    rejects = _all_rejects(rejects, losers)
    accounts = _accounts(found, contents, losers)
    _refuse_too_many(accounts, rejects, max_rejected_share=max_rejected_share, source=source)
    intake = _intake(accounts, contents, rejects, arrival=arrival, rules=rules, memory=memory, losers=losers, customers=customers, resources=resources)
    memory.keep(found, contents)
    return intake
