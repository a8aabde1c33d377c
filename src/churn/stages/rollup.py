"""`churn rollup`: what the source holds now → daily roll-up, rejects, side tables."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from churn import contracts
from churn.io import progress, sources, tables
from churn.io.engine import Engine, opened, resources
from churn.io.sources import Intake
from churn.io.workspace import SIDES, Workspace, empty
from churn.settings import Settings
from churn.usage import daily, texts

log = logging.getLogger("churn")

PEOPLE = pa.schema(
    [
        ("customer_id", pa.string()),
        ("user_id", pa.string()),
        ("place", pa.int64()),
        ("bit", pa.int64()),
    ]
)


def run(settings: Settings) -> None:
    """Update `daily/`, `late/`, `people/`, `rejects/` and the side tables; only touched months again."""
    workspace = Workspace(settings.place)
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
        event_types, people = before["event_types"], before["people"]
        if touched:
            event_types, people = _numbered(engine, intake, touched, event_types, people)
        engine.bind("people", people)
        if _width(event_types) != _width(before["event_types"]):
            touched = list(intake.months)
        queries = {
            "daily": daily.daily(event_types=event_types, with_people=intake.has_user_id),
            "late": daily.late(event_types=event_types, with_people=intake.has_user_id),
            "texts": texts.texts(texts.speaking(settings.rollup.texts, event_types)),
        }
        parts = _month_files(engine, intake, workspace, touched, queries)
    facts = _facts(intake, event_types, sides, known_at=settings.known_at)
    facts["texts"] = settings.rollup.texts
    _commit(workspace, intake, parts, facts)
    tables.write(workspace.folder("people"), {"people": people})
    tables.write(workspace.folder("rejects"), {"rejects": intake.rejects})
    for name in SIDES:
        table = sides.get(name, empty(contracts.SOURCES[name]))
        tables.write(workspace.folder(name), {name: table})
    _report(intake, touched, facts)


def _width(event_types: Sequence[str]) -> int:
    return len(contracts.kept_places(len(event_types)))


def _before(workspace: Workspace, intake: Intake, texts: str) -> dict[str, Any]:
    """What the last roll-up left; nothing where a month has gone or the tables are others."""
    fresh = {"months": {}, "event_types": [], "people": PEOPLE.empty_table()}
    if not tables.exists(workspace.folder("daily")):
        return fresh
    facts = workspace.usage_facts()
    is_same = facts.get("columns") == list(contracts.DAILY.columns) and facts.get("texts") == texts
    if set(facts["months"]) - set(intake.months) or not is_same:
        return fresh
    files = tables.parts(workspace.folder("people"), made_by="rollup")
    return {**facts, "people": pq.read_table(files["people"])}


def _numbered(
    engine: Engine, intake: Intake, touched: list[str], event_types: list[str], people: pa.Table
) -> tuple[list[str], pa.Table]:
    """The dictionary of event types and the people of each account, with what is new appended."""
    spans = [None] if len(touched) == len(intake.months) else touched
    appeared: list[pa.Table] = []
    for month in spans:
        intake.bind(engine, month)
        seen = engine.table(daily.first_appearances()).to_pandas()
        fresh = seen.sort_values(["known_on", "ts", "event"])["event"].tolist()
        event_types = daily.extended_dictionary(event_types, fresh)
        if intake.has_user_id:
            appeared.append(engine.table(daily.first_people()))
    if appeared:
        engine.bind("appeared_rows", pa.concat_tables(appeared))
        engine.bind("people", people)
        engine.materialise("appeared", daily.merged_people())
        people = engine.table(daily.numbered_people())
    return event_types, people


def _month_files(
    engine: Engine,
    intake: Intake,
    workspace: Workspace,
    touched: list[str],
    queries: dict[str, Any],
) -> dict[str, dict[str, Path]]:
    """Roll up each touched month into a finished file of every table of `queries`."""
    written: dict[str, dict[str, Path]] = {name: {} for name in queries}
    for month in progress.watched(touched, what="rolling up months"):
        intake.bind(engine, month)
        for name, query in queries.items():
            folder = workspace.folder(name)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f".{month}.{os.getpid()}.tmp"
            engine.write(query, path)
            written[name][month] = path
            if name == "daily":
                engine.bind("daily_part", path)
    return written


def _commit(
    workspace: Workspace, intake: Intake, parts: dict[str, dict[str, Path]], facts: dict[str, Any]
) -> None:
    """All tables anew from the months that stay and the months rolled up again; `daily` last."""
    for name in ("texts", "late", "daily"):
        tables.commit(workspace.folder(name), parts[name], keep=list(intake.months), facts=facts)


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
        "has_loaded_at": intake.has_loaded_at,
        "known_at": known_at,
        "deliveries": [
            {"sha256": a.sha256, **{name: getattr(a, name) for name in counted}} for a in accounts
        ],
        "rows": {name: sum(getattr(a, name) for a in accounts) for name in counted},
    }


def _report(intake: Intake, touched: list[str], facts: dict[str, Any]) -> None:
    rows = facts["rows"]
    log.info(
        "rows read %s = used %s + duplicate %s + excluded %s + refused %s",
        *(f"{rows[name]:,}" for name in ("read", "used", "duplicate", "excluded", "refused")),
    )
    log.info(
        "%s to %s, %d event types; %d of %d months rolled up",
        intake.first_day, intake.last_day, len(facts["event_types"]), len(touched), len(intake.months),
    )  # fmt: skip
