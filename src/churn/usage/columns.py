"""Columns of a log and the times in them, as SQL: what is a time, and which moment in UTC it is."""

from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp, parse_one

ISO = r"\d{4}-\d{2}-\d{2}([ T]([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?"
"""What `source.ts_format=iso` accepts; DuckDB's own cast also takes `2025/1/5` and `infinity`."""

OFFSET = r"(Z|[+-]\d{2}:\d{2})$"

NO_ID = r"^[\s\p{Z}]*$|[\x00-\x1f\x7f]"
"""What no id and no event is: nothing but white space, or something with a control character. A line
break in one is a quote that was not closed, and has swallowed the rows up to the next quote."""

FIRST_YEAR, BEFORE_YEAR = 1990, 2200
"""A time outside is a fault of the clock or of the format, not an event."""


@dataclass(frozen=True)
class Column:
    """A column of the files: its `name` there, and its `kind` (see `KINDS`)."""

    name: str
    kind: str


KINDS = ("text", "integer", "number", "timestamp", "timestamp_ns", "instant", "date", "other")
"""`timestamp` has no zone, `instant` is a moment in UTC, `other` can be shown as text."""


def moment(name: str, column: Column, *, ts_format: str, timezone: str) -> str:
    """SQL that turns a column into a UTC timestamp without zone; NULL where it is none.

    Without an offset the time is local time of `timezone`: an hour that a clock skips is read with
    the offset before the skip, an hour that it repeats is read as the second one.
    """
    if column.kind == "instant":
        return f"TIMEZONE('UTC', CAST({name} AS TIMESTAMPTZ))"
    if column.kind in ("timestamp", "timestamp_ns", "date"):
        bare = name if column.kind == "timestamp" else f"CAST({name} AS TIMESTAMP)"
        return _in_utc(bare, timezone)
    if ts_format in ("epoch_s", "epoch_ms"):
        return _since_epoch(name, column, per_second=1 if ts_format == "epoch_s" else 1000)
    if ts_format == "iso":
        return _iso(name, timezone)
    parsed = f"TRY_STRPTIME({name}, {literal(ts_format)})"
    return f"TIMEZONE('UTC', {parsed})" if "%z" in ts_format else _in_utc(parsed, timezone)


def _iso(name: str, timezone: str) -> str:
    instant = f"TIMEZONE('UTC', TRY_CAST({name} AS TIMESTAMPTZ))"
    shape = f"REGEXP_FULL_MATCH({name}, {literal(ISO)})"
    if timezone == "UTC":
        return f"CASE WHEN {shape} THEN {instant} END"
    local = _in_utc(f"TRY_CAST({name} AS TIMESTAMP)", timezone)
    offset = f"REGEXP_MATCHES({name}, {literal(OFFSET)})"
    return f"CASE WHEN NOT {shape} THEN NULL WHEN {offset} THEN {instant} ELSE {local} END"


def _since_epoch(name: str, column: Column, *, per_second: int) -> str:
    first, before = (
        int((datetime(year, 1, 1) - datetime(1970, 1, 1)).total_seconds()) * per_second
        for year in (FIRST_YEAR, BEFORE_YEAR)
    )
    amount = f"TRY_CAST({name} AS DECIMAL(20, 6))"
    micros = f"CAST(ROUND({amount} * {1_000_000 // per_second}) AS BIGINT)"
    return (
        f"CASE WHEN {amount} >= {first} AND {amount} < {before} THEN MAKE_TIMESTAMP({micros}) END"
    )


def _in_utc(local: str, timezone: str) -> str:
    if timezone == "UTC":
        return local
    return f"TIMEZONE('UTC', TIMEZONE({literal(timezone)}, {local}))"


def number_in(text: str) -> str:
    """SQL for the number that a text is; NULL where it is none (DuckDB alone reads 1_000 as one)."""
    return f"CASE WHEN NOT CONTAINS({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"


def literal(text: str) -> str:
    return exp.Literal.string(text).sql(dialect="duckdb")


def identifier(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def sql(query: exp.Expr) -> str:
    return query.sql(dialect="duckdb")


def parsed_query(text: str) -> exp.Expr:
    """`text` as a checked expression."""
    query = parse_one(text, dialect="duckdb")
    assert isinstance(query, exp.Expr)
    return query
