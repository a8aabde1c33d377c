"""`churn rollup`: what the source holds now → daily roll-up, rejects, side tables."""

import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from sqlglot import exp, parse_one

from churn import contracts
from churn.errors import ChurnError
from churn.io import progress, tables
from churn.io.engine import Engine, opened, resources
from churn.io.engine.together import side_by_side
from churn.io.intake import sources, steady
from churn.io.intake.accounts import of_sides
from churn.io.intake.index import Content
from churn.io.intake.sources import Intake
from churn.io.workspace import SIDES, Workspace, empty
from churn.settings import Settings
from churn.usage import contents, daily, first_days, items, texts
from churn.usage.counts import COUNT_BITS, Counts

log = logging.getLogger("churn")

PEOPLE = pa.schema(
    [
        ("customer_id", pa.string()),
        ("user_id", pa.string()),
        ("place", pa.int64()),
        ("bit", pa.int64()),
    ]
)
ORDERS = {
    "daily": contracts.DAILY.order,
    "late": contracts.LATE.order,
    "texts": contracts.TEXTS.order,
    "items": contracts.ITEMS.order,
}
READ = {"late": "loaded_at", "texts": "text", "items": "item"}
"""Of these, but for `daily`: the column of the log without which a table has no row."""

MOST_PIECES = 8
"""Files of a month from which on it is rolled up as a whole again."""

Grown: TypeAlias = Mapping[str, Sequence[Content]]
"""Months that got later days alone → the contents that these are in."""

NAMES = [*ORDERS, "first_days"]
Queries: TypeAlias = Callable[[int], dict[str, exp.Expr]]
"""The query of each table of `ORDERS` by the bits of counts (see `usage.counts`)."""

PEOPLE_IN_ORDER = "SELECT customer_id, user_id, place, bit FROM people ORDER BY customer_id, place"


def run(settings: Settings) -> None:
    """Update the tables of usage, `rejects/` and the side tables; only touched months again."""
    workspace = Workspace(settings.place)
    sources.fetch(settings.source, workspace=settings.place, resources=resources(settings.engine))
    sides = sources.side_tables(settings.source, workspace=settings.place)
    intake = sources.take_in(
        settings.source,
        workspace=settings.place,
        arrival=settings.arrival(settings.as_of_date()),
        resources=resources(settings.engine),
        max_rejected_share=settings.rollup.max_rejected_share,
    )
    before = _before(workspace, intake, settings.rollup.texts)
    touched = [
        month for month in intake.months if intake.months[month] != before["months"].get(month)
    ]
    with opened(resources(settings.engine)) as engine:
        grown = {} if engine.is_distributed else _grown(workspace, intake, before)
        known = before["event_types"]
        engine.bind("people_before", before["people"])
        with intake.explained(engine):
            appeared = _appeared(engine, intake, touched, grown, known=known)
            _know_people(engine, intake, touched, grown)
        event_types = [*dict.fromkeys([*known, *appeared])]  # nobody ever changes places
        if _width(event_types) != _width(known):
            touched, grown = list(intake.months), {}
        what = {"with_people": intake.has("user_id"), "with_arrival": intake.has("loaded_at")}
        spoken = texts.texts(texts.speaking(settings.rollup.texts, event_types))
        others = {"texts": spoken, "items": items.items()}

        @cache
        def queries(bits: int) -> dict[str, exp.Expr]:
            counts = Counts(event_types, bits)
            days = {"daily": daily.daily(counts, **what), "late": daily.late(counts, **what)}
            return days | others

        facts = _facts(intake, event_types, sides, known_at=settings.known_at)
        facts |= {"texts": settings.rollup.texts, "tables": NAMES}
        # before `daily`, whose facts say which months are done: a run killed in between does them again
        _keep_people(engine, workspace.folder("people"))
        _roll_up(engine, intake, workspace, touched, grown, queries, facts)
    tables.write(workspace.folder("rejects"), {"rejects": intake.rejects})
    for name in SIDES:
        table = sides.get(name, empty(contracts.SOURCES[name]))
        tables.write(workspace.folder(name), {name: table})
    intake.drop_copies()
    _report(intake, touched, facts)


def _width(event_types: Sequence[str]) -> int:
    return len(contracts.kept_places(len(event_types)))


def _before(workspace: Workspace, intake: Intake, texts: str) -> dict[str, Any]:
    """What the last roll-up left; nothing where a month has gone, the tables are others, or one of
    their files is damaged: then all is rolled up again.

    A month is done where every table has it: a run that died between two of them began it only.
    """
    fresh = {"months": {}, "event_types": [], "people": PEOPLE.empty_table()}
    if not tables.exists(workspace.folder("daily")):
        return fresh
    try:
        for name in (*NAMES, "people"):
            tables.parts(workspace.folder(name), made_by="rollup")
    except ChurnError as error:
        log.warning("%s: everything is rolled up again", error.what)
        return fresh
    facts = workspace.usage_facts()
    is_same = facts.get("columns") == list(contracts.DAILY.columns) and facts.get("texts") == texts
    is_same = is_same and facts.get("tables") == NAMES
    if set(facts["months"]) - set(intake.months) or not is_same:
        return fresh
    others = [tables.facts(workspace.folder(name), made_by="rollup") for name in NAMES]
    if any(other["event_types"] != facts["event_types"] for other in others):
        return fresh
    done = {
        month: rows
        for month, rows in facts["months"].items()
        if all(other["months"].get(month) == rows for other in others)
    }
    files = tables.parts(workspace.folder("people"), made_by="rollup")
    return {**facts, "months": done, "people": list(files.values())}


def _grown(workspace: Workspace, intake: Intake, before: Mapping[str, Any]) -> Grown:
    """The months of which only days are rolled up that came behind those that are there; not for ever, for
    each time leaves a file more."""
    if not before["months"]:
        return {}
    read = {delivery["sha256"] for delivery in before["deliveries"]}
    grown = intake.grown(before["months"], read=read)
    there = {month: len(_left(workspace, "daily", [month])) for month in grown}
    return {month: fresh for month, fresh in grown.items() if there[month] < MOST_PIECES}


def _appeared(
    engine: Engine, intake: Intake, touched: Sequence[str], grown: Grown, *, known: Sequence[str]
) -> list[str]:
    """The event types of months `touched` that are not `known`, by when they were first known.

    Once one month was asked, the later ones are for the types that it has not settled: mostly none.
    """
    spans = _spans(engine, intake, touched, grown)
    if spans == [None] and len(touched) > 1 and not engine.is_distributed:
        spans = [touched[0], None]
    found: dict[str, tuple[date, datetime]] = {}
    for place, month in enumerate(spans):
        settled = _settled(found, before=touched[place])
        intake.bind(engine, month, among=touched, of=grown.get(month or ""))
        asked = daily.first_appearances(
            with_arrival=intake.has("loaded_at"), but=[*known, *settled]
        )
        for row in engine.table(asked).to_pylist():
            when = row["known_on"], row["ts"]
            found[row["event"]] = min(found.get(row["event"], when), when)
    return sorted(found, key=lambda event: (found[event], event))


def _settled(found: Mapping[str, tuple[date, datetime]], *, before: str) -> list[str]:
    """The types of `found` that no row of month `before` (YYYY-MM) or later makes known earlier: a row is
    known on the day after its own at the earliest."""
    earliest = date.fromisoformat(f"{before}-02")
    return [event for event, (known_on, _) in found.items() if known_on <= earliest]


def _know_people(engine: Engine, intake: Intake, touched: Sequence[str], grown: Grown) -> None:
    """Make table `people` of `people_before` and who appeared in months `touched`."""
    appeared: list[str] = []
    for month in _spans(engine, intake, touched, grown) if intake.has("user_id") else []:
        intake.bind(engine, month, among=touched, of=grown.get(month or ""))
        appeared.append(f"appeared_{len(appeared)}")
        engine.materialise(appeared[-1], daily.first_people())
    if not appeared:
        engine.view("people", _rows_of(["people_before"]))
        return
    engine.view("appeared_rows", _rows_of(appeared))
    engine.materialise("appeared", daily.merged_people())
    engine.materialise("people", daily.numbered_people())


def _spans(
    engine: Engine, intake: Intake, touched: Sequence[str], grown: Grown
) -> list[str | None]:
    """The months `touched` one by one; None for all of them at once."""
    is_everything = len(touched) == len(intake.months) and not grown
    return [None] if touched and (is_everything or engine.is_distributed) else [*touched]


ROWS_PER_GROUP = 32_768
"""Of a month: a panel reads it by ranges of customers."""


def _rows_of(names: Sequence[str]) -> exp.Expr:
    """All rows of some tables of the engine with the same columns."""
    return parse_one(" UNION ALL ".join(f"SELECT * FROM {name}" for name in names))


def _keep_people(engine: Engine, folder: Path) -> None:
    """Keep table `people` as the part of its folder, in a total order, and read it from there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tables.staging(folder) as place:
        engine.write(parse_one(PEOPLE_IN_ORDER), place / "people.parquet")
        tables.commit(folder, {"people": place / "people.parquet"}, keep=[], facts={})
    engine.bind("people", [*tables.parts(folder, made_by="rollup").values()])


def _roll_up(
    engine: Engine,
    intake: Intake,
    workspace: Workspace,
    touched: list[str],
    grown: Grown,
    queries: Queries,
    facts: dict[str, Any],
) -> None:
    """The tables of `queries` anew from the months that stay and the months rolled up again.

    The first, `daily`, is committed last: it carries the facts that readers begin with.
    """
    with ExitStack() as stack:
        places = {}
        for name in NAMES:
            workspace.folder(name).mkdir(parents=True, exist_ok=True)
            places[name] = stack.enter_context(tables.staging(workspace.folder(name)))
        with intake.explained(engine):
            if engine.is_distributed:
                parts = _months_at_once(engine, intake, touched, queries, places)
            else:
                parts = _month_by_month(engine, intake, touched, grown, queries, places)
                _put_behind(workspace, parts, grown)
        steady.refuse_changed(intake.deliveries)
        if touched:
            engine.bind("daily_part", _files(parts["daily"].values()))
            rolled_up = contents.by_month("daily_part", n="SUM(n)")
            intake.refuse_others(engine.table(rolled_up).to_pylist(), among=touched)
        parts["first_days"] = _first_days(
            engine, intake, workspace, parts["daily"], grown, places["first_days"]
        )
        for name in reversed(NAMES):
            folder = workspace.folder(name)
            tables.commit(folder, parts[name], keep=list(intake.months), facts=facts)


def _month_by_month(
    engine: Engine,
    intake: Intake,
    touched: list[str],
    grown: Grown,
    queries: Queries,
    places: dict[str, Path],
) -> dict[str, dict[str, Path]]:
    """Roll up each touched month, of one that has `grown` what is new, into a finished file of every
    table."""
    widest = COUNT_BITS[0]
    without_rows: dict[str, Path] = {}

    def rolled_up(engine: Engine, month: str) -> dict[str, Path]:
        nonlocal widest
        intake.bind(engine, month, of=grown.get(month))
        files = {name: places[name] / f"{month}.parquet" for name in ORDERS}
        bits = _write_days(engine, queries, files["daily"], bits=widest)
        widest = max(widest, bits)
        for name, column in READ.items():
            if name in without_rows:
                shutil.copyfile(without_rows[name], files[name])
                continue
            engine.write(queries(bits)[name], files[name], rows_per_group=ROWS_PER_GROUP)
            if not intake.has(column):
                without_rows[name] = files[name]
        return files

    with engine.beside(len(touched), reading=["people"]) as engines:
        done = side_by_side(engines, rolled_up, touched)
        files = [*progress.watched(done, total=len(touched), what="rolling up months")]
    return {
        name: {month: of_month[name] for month, of_month in zip(touched, files, strict=True)}
        for name in ORDERS
    }


def _put_behind(
    workspace: Workspace, parts: Mapping[str, dict[str, Path]], months: Iterable[str]
) -> None:
    """Make each of `months` a folder of the files that are there and the new one behind them."""
    for name, month in product(parts, [*months]):
        new = parts[name][month]
        pieces = new.with_suffix("")
        pieces.mkdir()
        for place, path in enumerate([*_left(workspace, name, [month]), new]):
            _link(path, pieces / f"{place:05d}.parquet")
        parts[name][month] = pieces


def _link(path: Path, other: Path) -> None:
    """The same file under another name, on a disk that cannot a copy."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _files(parts: Iterable[Path]) -> list[Path]:
    """The files of parts, each a file or a folder of them."""
    return [
        file
        for part in parts
        for file in (sorted(part.glob("*.parquet")) if part.is_dir() else [part])
    ]


def _write_days(engine: Engine, queries: Queries, path: Path, *, bits: int) -> int:
    """Write `daily` of a month, bound as `daily_part`, with counts of `bits` or, where a day has too many
    events for these, of more; how many it took."""
    for wide in COUNT_BITS[COUNT_BITS.index(bits) :]:
        engine.write(queries(wide)["daily"], path, rows_per_group=ROWS_PER_GROUP)
        engine.bind("daily_part", path)
        busiest = engine.table(daily.busiest_day())["n"][0].as_py() or 0
        if busiest < 2**wide:
            break
    return wide


def _months_at_once(
    engine: Engine,
    intake: Intake,
    touched: list[str],
    queries: Queries,
    places: dict[str, Path],
) -> dict[str, dict[str, Path]]:
    """The same in one job for all of them: a job for each would leave most workers idle."""
    written: dict[str, dict[str, Path]] = {name: {} for name in ORDERS}
    if not touched:
        return written
    intake.bind(engine, None, among=touched)
    for name, query in queries(COUNT_BITS[-1]).items():
        written[name] = engine.write_parts(
            _with_month(query), places[name], by="month", order=ORDERS[name], parts=touched
        )
        if name == "daily":
            engine.bind("daily_part", list(written[name].values()))
    return written


def _first_days(
    engine: Engine,
    intake: Intake,
    workspace: Workspace,
    rolled_up: Mapping[str, Path],
    grown: Grown,
    place: Path,
) -> dict[str, Path]:
    """The rows of `first_days` for the months from the first rolled up again on: a month keeps only what
    the days before do not make needless. Of a first one that has `grown`, those of the new days."""
    if not rolled_up:
        return {}
    first, *later = (month for month in sorted(intake.months) if month >= min(rolled_up))
    behind = [first] if first in grown else []
    before = _left(workspace, "first_days", {*intake.months} - {first, *later} | {*behind})
    days = _files([rolled_up[first]])[-1 if behind else 0 :]
    days += _files(rolled_up[month] for month in later if month in rolled_up)
    engine.bind("daily_part", [*days, *_left(workspace, "daily", set(later) - set(rolled_up))])
    engine.bind("first_days_before", before or empty(contracts.FIRST_DAYS))
    engine.materialise("new_first_days", _with_month(first_days.first_days()))
    rows = parse_one("SELECT * FROM new_first_days")
    order = contracts.FIRST_DAYS.order
    written = engine.write_parts(rows, place, by="month", order=order, parts=[first, *later])
    _put_behind(workspace, {"first_days": written}, behind)
    return written


def _left(workspace: Workspace, name: str, months: Collection[str]) -> list[Path]:
    """The files of table `name` that the last roll-up left for `months`."""
    if not months:
        return []
    return [*tables.parts(workspace.folder(name), made_by="rollup", only=months).values()]


def _with_month(query: exp.Expr) -> exp.Expr:
    """`query` with the month (YYYY-MM) of its `day`."""
    month = "SUBSTRING(CAST(day AS TEXT), 1, 7) AS month"
    rows = query.sql(dialect="duckdb")
    return parse_one(f"SELECT *, {month} FROM ({rows}) AS dated", dialect="duckdb")


def _facts(
    intake: Intake, event_types: list[str], sides: dict[str, pa.Table], *, known_at: str | None
) -> dict[str, Any]:
    """What later stages need to know of the log."""
    customers = sides.get("customers", empty(contracts.CUSTOMERS))
    shown = set(contracts.CUSTOMERS.columns) - {"segment"}
    kinds = {
        name: "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "category"
        for name, kind in zip(customers.schema.names, customers.schema.types, strict=True)
        if name not in shown
    }
    accounts = sorted(intake.accounts, key=lambda account: (account.sha256, account.path))
    counted = ("read", "used", "duplicate", "excluded", "refused")
    return {
        "event_types": event_types,
        "months": dict(intake.months),
        "columns": list(contracts.DAILY.columns),
        "first_day": intake.first_day.isoformat(),
        "last_day": intake.last_day.isoformat(),
        "attributes": kinds,
        "has_customer_versions": bool(customers.num_rows)
        and customers["valid_from"].null_count < customers.num_rows,
        "has_loaded_at": intake.has("loaded_at"),
        "known_at": known_at,
        "deliveries": [
            {"sha256": a.sha256, **{name: getattr(a, name) for name in counted}} for a in accounts
        ],
        "rows": {name: sum(getattr(a, name) for a in accounts) for name in counted},
        "sides": {name: asdict(account) for name, account in of_sides(sides).items()},
    }


def _report(intake: Intake, touched: list[str], facts: dict[str, Any]) -> None:
    rows = facts["rows"]
    log.info(
        "rows read %s = used %s + duplicate %s + excluded %s + refused %s",
        *(f"{rows[name]:,}" for name in ("read", "used", "duplicate", "excluded", "refused")),
    )
    for name, side in facts["sides"].items():
        log.info(
            "%s: rows read %s = used %s + excluded %s%s", name,
            *(f"{side[part]:,}" for part in ("read", "used", "excluded")),
            f"; {side['unknown_customers']:,} of customers not in the customers table"
            if side["unknown_customers"] else "",
        )  # fmt: skip
    log.info(
        "%s to %s, %d event types; %d of %d months rolled up",
        intake.first_day, intake.last_day, len(facts["event_types"]), len(touched), len(intake.months),
    )  # fmt: skip
