"""The log as it is now: deliveries, what counts in them, and clean events month by month.

`take_in` reads what is new, remembers it in `deliveries/index.json` and gives an `Intake`; nothing
is rescanned that has not changed, except that event ids are compared over all deliveries.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from churn.io.engine import Engine, Resources, near, opened
from churn.io.intake import (
    accounts,
    convert,
    damaged,
    declared,
    extents,
    forgotten,
    listing,
    months,
    rivals,
    steady,
)
from churn.io.intake import side_tables as sides
from churn.io.intake.accounts import Account
from churn.io.intake.forgotten import Forgotten
from churn.io.intake.index import Content, Entry, Found, Index
from churn.io.intake.listing import Delivery
from churn.io.intake.rivals import groups_of
from churn.settings import SourceSettings
from churn.timeline import Arrival
from churn.usage import events
from churn.usage.events import Rules
from churn.usage.reading import Reading, named

log = logging.getLogger("churn")

MAX_REJECTS = 100_000
"""How many refused rows of one delivery are kept for a person to look at; all are counted."""


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
    arrival: Arrival
    contents: tuple[Content, ...]
    rules: Rules
    known_customers: pa.Table | None
    gone: Mapping[str, pa.Table]
    copies: tuple[Path, ...]
    deliveries: tuple[Delivery, ...]
    index: Index

    def grown(
        self, before: Mapping[str, str], *, read: Collection[str]
    ) -> dict[str, list[Content]]:
        """See `months.grown`."""
        return months.grown(
            self.contents, before, read=read, arrival=self.arrival, index=self.index
        )

    def has(self, column: str) -> bool:
        """Whether a delivery has this column of the log."""
        return months.has_column(self.contents, column)

    def refuse_others(
        self, found: Sequence[Mapping[str, Any]], *, among: Collection[str] | None = None
    ) -> None:
        """See `months.refuse_others`."""
        span = self.first_day, self.last_day
        months.refuse_others(self.contents, found, among=among, span=span)

    def drop_copies(self) -> None:
        """Delete the copies of remote files in which somebody stands who was forgotten, once they
        are read: the next run copies them anew."""
        for path in self.copies:
            path.unlink(missing_ok=True)

    @contextmanager
    def explained(self, engine: Engine) -> Iterator[None]:
        """What cannot be read in the body because a delivery changed meanwhile, or is damaged inside, is
        refused as that: rows were judged by as few columns as could show a fault."""
        with steady.explained(self.deliveries), damaged.named(self.contents, engine):
            yield

    def bind(
        self,
        engine: Engine,
        month: str | None,
        *,
        among: Collection[str] | None = None,
        of: Sequence[Content] | None = None,
    ) -> None:
        """Make `clean_events` (`events.CLEAN`, used rows only) visible to expressions: of `month`
        (YYYY-MM), scanning only the files that have rows in it, or of all months; with `among`, of
        all files that have rows in one of these months; with `of`, of these contents alone."""
        wanted = {month} if month else among
        chosen = [
            content
            for content in (self.contents if of is None else of)
            if wanted is None or {*wanted} & {*content.entry.months}
        ]
        if self.known_customers is not None:
            engine.bind("known_customers", self.known_customers)
        for name, ids in self.gone.items():
            engine.bind(name, ids)
        queries = []
        spotless = [content for content in chosen if content.is_spotless]
        others = [content for content in chosen if not content.is_spotless]
        for place, (reading, group) in enumerate(groups_of(spotless) + groups_of(others)):
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


def fetch(source: SourceSettings, *, workspace: Path, resources: Resources) -> None:
    """Land in the workspace what the source keeps elsewhere (`sql_source`, `spark_source`)."""
    if source.name == "sql":
        from churn.io.intake import sql_source

        sql_source.fetch(source, workspace=workspace, resources=resources)
    if source.name == "spark":
        from churn.io.intake import spark_source

        spark_source.fetch(source, workspace=workspace, resources=resources)


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
    declared.refuse_unknown_formats(source)
    pattern = listing.patterns(source, workspace=workspace)["events"]
    gone = forgotten.read(workspace)
    if gone.unfinished:
        log.warning(
            "%d of the erasures that were begun here have not ended: run `churn forget` with the same "
            "words again",
            len(gone.unfinished),
        )
    index = Index(cache, pattern=pattern, source=source, forgotten=gone.digest)
    found = listing.listed(pattern, key="source.events", cache=cache, known=index.settled)
    listing.refuse_vanished(index.paths, found, index=index.path)
    known = sides.known_customers(source, workspace=workspace, cache=cache)
    excluded = {name: tuple(globs) for name, globs in source.exclude.items()}
    rules = Rules(excluded, known is not None, bool(gone))
    with (
        steady.explained(found),
        opened(resources) as engine,
        _in_this_process(engine, resources) as here,
    ):
        if known is not None:
            here.bind("known_customers", known)
            engine.bind("known_customers", known)
        index.meet(here.table(events.known_hashes()) if known is not None else None)
        files = _files(found, source, index=index, here=here, engine=engine, gone=gone)
        with damaged.named(files, engine):
            left_out = _left_out(files, gone, index=index, engine=engine)
        contents = _contents(files, rules=rules, index=index, engine=engine)
        rejects = accounts.rejects_of(contents, index)
        accounts.refuse_too_many(
            accounts.accounts_of(found, contents, None), rejects, share=max_rejected_share
        )
        arrival = months.completed(arrival, contents)
        with damaged.named(contents, engine):
            losers = rivals.losers(contents, rules=rules, arrival=arrival, engine=engine)
        contents = _without(contents, losers)
        rejects = accounts.with_conflicts(rejects, losers)
        counted = accounts.accounts_of(found, contents, losers)
        accounts.refuse_too_many(counted, rejects, share=max_rejected_share)
        first, last = months.span(contents)
        intake = Intake(
            accounts=counted,
            rejects=rejects,
            months=months.fingerprints(contents, arrival=arrival, index=index),
            first_day=first.date(),
            last_day=last.date(),
            last_ts=last,
            arrival=arrival,
            contents=contents,
            rules=rules,
            known_customers=known,
            gone=left_out,
            copies=_tainted(found, contents, cache) if gone else (),
            deliveries=tuple(found),
            index=index,
        )
        if any(not content.has_duplicates_only for content in contents):
            with damaged.named(contents, engine):
                intake = _with_exact_span(intake, engine)
    fresh = {one.sha256 for one in found if index.entry(one.sha256) is None and not one.is_settled}
    steady.refuse_changed(found, fresh=fresh)
    index.keep(found, contents)
    return intake


def _tainted(
    found: Sequence[Delivery], contents: Sequence[Content], cache: Path
) -> tuple[Path, ...]:
    """The copies of remote files of which rows were left out."""
    excluded = {content.sha256 for content in contents if content.entry.excluded}
    return tuple(d.local for d in found if d.sha256 in excluded and cache in d.local.parents)


def _left_out(
    files: Sequence[Found], gone: Forgotten, *, index: Index, engine: Engine
) -> dict[str, pa.Table]:
    """Tables `forgotten_customers` and `forgotten_users`, bound: the ids in `files` of who was
    forgotten. Only files with rows that are new, or were excluded, are asked again."""
    ids: dict[str, set[str]] = {"customer": set(), "user": set()}
    asked = [file for file in files if (e := index.entry(file.sha256)) is None or e.excluded]
    for reading, group in groups_of(asked) if gone else []:
        engine.bind("raw", [file.file.place for file in group], row_numbers=True)
        there = engine.table(named(reading))
        for kind, found in ids.items():
            found |= {*gone.among(kind, compute.unique(there[f"{kind}_id"]).to_pylist())}
    tables_of = {
        f"forgotten_{kind}s": pa.table({f"{kind}_id": pa.array(sorted(found), pa.string())})
        for kind, found in ids.items()
    }
    for name, table in tables_of.items() if gone else []:
        engine.bind(name, table)
    return tables_of if gone else {}


@contextmanager
def _in_this_process(engine: Engine, resources: Resources) -> Iterator[Engine]:
    """`engine` itself, or DuckDB beside one that runs elsewhere.

    Text is parsed, and customers are hashed, by one engine alone: what is a number or a time, and
    which customers are new, must not depend on where the rows are counted.
    """
    if not engine.is_distributed:
        yield engine
        return
    with opened(near(resources)) as here:
        yield here


def _files(
    found: Sequence[Delivery],
    source: SourceSettings,
    *,
    index: Index,
    here: Engine,
    engine: Engine,
    gone: Forgotten,
) -> list[Found]:
    """Every content once, under the first path that holds it, as something `engine` can scan."""
    firsts = {delivery.sha256: delivery for delivery in reversed(found)}
    return [
        Found(
            delivery.path,
            delivery.sha256,
            convert.readable(
                delivery.path,
                delivery.local,
                sha256=delivery.sha256,
                target=index.converted(delivery.sha256),
                source=source,
                engine=here,
                is_read_elsewhere=engine.is_distributed,
                gone=gone,
            ),
        )
        for delivery in sorted(firsts.values(), key=lambda delivery: delivery.path)
    ]


def _contents(
    files: Sequence[Found], *, rules: Rules, index: Index, engine: Engine
) -> tuple[Content, ...]:
    """`files` with what became of their rows; what is new is judged now."""
    known = {file.sha256: index.entry(file.sha256) for file in files}
    fresh = [file for file in files if known[file.sha256] is None]
    entries = _judged(fresh, rules=rules, index=index, engine=engine)
    return tuple(
        Content(file.path, file.sha256, file.file, known[file.sha256] or entries[file.sha256])
        for file in files
    )


def _judged(
    files: Sequence[Found], *, rules: Rules, index: Index, engine: Engine
) -> dict[str, Entry]:
    """Entries of contents never seen before; their refused rows are kept beside the index."""
    entries: dict[str, Entry] = {}
    for reading, group in groups_of(files):
        rows = _tallied(reading, group, rules=rules, engine=engine)
        for place, content in enumerate(group):
            own = [row for row in rows if row["file_no"] == place]
            entries[content.sha256] = Entry.of(own, n_skipped=content.file.n_skipped)
        dirty = [content for content in group if entries[content.sha256].refused]
        if dirty:
            engine.bind("raw", [content.file.place for content in dirty], row_numbers=True)
            found = engine.table(events.rejected(reading, rules, limit=MAX_REJECTS)).to_pandas()
            for place, content in enumerate(dirty):
                index.keep_rejects(content.sha256, found[found["file_no"] == place])
    return entries


def _tallied(
    reading: Reading, group: Sequence[Found], *, rules: Rules, engine: Engine
) -> list[dict[str, Any]]:
    """The rows of `events.tally`; a file that is damaged inside is named."""
    with damaged.named(group, engine):
        _bind_raw(engine, group)
        broken = None
        if not engine.is_distributed:  # it has no statistics that would answer for the rows
            kept = events.kept_rules(file.file.extents for file in group)
            broken = engine.table(events.broken_rules(reading, kept=kept))["code"].to_pylist()
        told = {}
        if broken == [] and rules == Rules():  # every row is good, whatever else it says
            told = extents.tallied([file.file for file in group])
        asked = [place for place in range(len(group)) if place not in told]
        if not asked:
            return [*told.values()]
        if told:
            _bind_raw(engine, [group[place] for place in asked])
        rows = engine.table(events.tally(reading, rules, broken=broken)).to_pylist()
        return [*told.values(), *(row | {"file_no": asked[row["file_no"]]} for row in rows)]


def _bind_raw(engine: Engine, files: Sequence[Found]) -> None:
    engine.bind("raw", [file.file.place for file in files], row_numbers=True)


def _without(contents: Sequence[Content], losers: pd.DataFrame) -> tuple[Content, ...]:
    """`contents`, each with the rows it loses."""
    by_path = dict(tuple(losers.groupby("path")))
    changed = []
    for content in contents:
        lost = by_path.get(content.path)
        if lost is not None:
            lost_months = Counter(pd.to_datetime(lost["day"]).dt.strftime("%Y-%m"))
            content = replace(
                content,
                dropped=tuple(int(row) for row in lost["row"]),
                lost_months=dict(lost_months),
                has_duplicates_only=bool(lost["is_duplicate"].all()),
            )
        changed.append(content)
    return tuple(changed)


def _with_exact_span(intake: Intake, engine: Engine) -> Intake:
    """Refused twins may have held the first or the last place: look at what is used."""
    intake.bind(engine, None)
    row = engine.table(events.span()).to_pylist()[0]
    first, last = row["first_ts"], row["last_ts"]
    return replace(intake, first_day=first.date(), last_day=last.date(), last_ts=last)


def _dropped(group: Sequence[Content]) -> pa.Table:
    """The rows that `group` loses: file_no (place in the group) and row."""
    numbers = [place for place, content in enumerate(group) for _ in content.dropped]
    rows = [row for content in group for row in content.dropped]
    return pa.table({"file_no": pa.array(numbers, pa.int64()), "row": pa.array(rows, pa.int64())})
