"""`churn rollup`: what the source holds now → daily roll-up, rejects, side tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp, parse_one

from churn import contracts
from churn.errors import ChurnError
from churn.io import tables
from churn.io.engine import Engine, opened, resources
from churn.io.intake import sources
from churn.io.intake.accounts import of_sides
from churn.io.intake.sources import Intake
from churn.io.roll_up import MOST_PIECES, NAMES, Grown, left, roll_up
from churn.io.workspace import SIDES, Workspace, empty
from churn.settings import Settings
from churn.usage import daily, items, texts
from churn.usage.counts import Counts

log = logging.getLogger("churn")

PEOPLE = pa.schema(
    [
        ("customer_id", pa.string()),
        ("user_id", pa.string()),
        ("place", pa.int64()),
        ("bit", pa.int64()),
    ]
)
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
        roll_up(engine, intake, workspace, touched, grown, queries, facts)
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
    there = {month: len(left(workspace, "daily", [month])) for month in grown}
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
