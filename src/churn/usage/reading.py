"""A log's files → rows with declared names and types, whatever the files call and write them.

Everything here builds SQLGlot expressions over a relation `raw` (the files of one `Reading`, with
`file_index` and `file_row_number`). Whether a row counts is another matter (`usage.events`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from churn.usage.columns import (
    NO_ID,
    Column,
    identifier,
    literal,
    moment,
    number_in,
    parsed_query,
    sql,
)

TYPED = (
    "line",
    "customer_id",
    "ts",
    "event",
    "value",
    "event_id",
    "user_id",
    "text",
    "item",
    "loaded_at",
    "ts_raw",
    "value_raw",
    "loaded_raw",
    "broken",
    "raw",
)
"""What `parsed` gives of a row, and what a converted text file holds."""


@dataclass(frozen=True)
class Reading:
    """How one group of files is read: our column names → theirs, and what their times mean.

    `form` is `parquet` (read in place), `text` (all fields as text, with `line`, `broken` and
    `raw`, while a text file is converted) or `typed` (the result: what `parsed` gives, stored).
    """

    columns: tuple[tuple[str, Column], ...]
    ts_format: str = "iso"
    timezone: str = "UTC"
    form: str = "parquet"

    def column(self, name: str) -> Column | None:
        return dict(self.columns).get(name)


NO_TEXT = {
    "customer_id": "white space or a control character in an id",
    "event": "white space or a control character in an event",
}
"""What a row of a text file is broken by, column by column (see `columns.NO_ID`)."""


def parsed(reading: Reading, *, raw: str = "raw") -> exp.Expr:
    """Every row of `raw` with declared names and types: file_no, row (from 0) and `TYPED`.

    `ts_raw`, `value_raw` and `loaded_raw` keep the text of what could not be read (else NULL).
    """
    if reading.form == "typed":
        return parsed_query(
            f"SELECT file_index AS file_no, file_row_number AS row, {', '.join(TYPED)} FROM {raw}"
        )
    is_text = reading.form == "text"
    fields = {
        "line": "CAST(line AS BIGINT)" if is_text else "CAST(file_row_number + 1 AS BIGINT)",
        "customer_id": _as_text(reading, "customer_id"),
        "ts": _as_moment(reading, "ts"),
        "event": _as_text(reading, "event"),
        "value": _as_number(reading, "value"),
        "event_id": optional(reading, "event_id"),
        "user_id": optional(reading, "user_id"),
        "text": optional(reading, "text"),
        "item": optional(reading, "item"),
        "loaded_at": _as_moment(reading, "loaded_at"),
        "ts_raw": _unread(reading, "ts", _as_moment(reading, "ts")),
        "value_raw": _unread(reading, "value", _as_number(reading, "value")),
        "loaded_raw": _unread(reading, "loaded_at", _as_moment(reading, "loaded_at")),
        "broken": _broken(reading, "broken", NO_TEXT) if is_text else "CAST(NULL AS TEXT)",
        "raw": _broken(reading, "raw", {}) if is_text else "CAST(NULL AS TEXT)",
    }
    columns = ", ".join(f"{fields[name]} AS {name}" for name in TYPED)
    return parsed_query(
        f"SELECT file_index AS file_no, file_row_number AS row, {columns} FROM {raw}"
    )


def _broken(reading: Reading, otherwise: str, reasons: Mapping[str, str]) -> str:
    """SQL for what breaks a row of text (with `reasons`, else the value that does)."""
    whens = []
    for name in NO_TEXT:
        text = _as_text(reading, name)
        is_one = f"REGEXP_MATCHES({text}, {literal(NO_ID)}) AND REPLACE({text}, ' ', '') <> ''"
        whens.append(f"WHEN {is_one} THEN {literal(reasons[name]) if reasons else text}")
    return f"CASE WHEN NOT broken IS NULL THEN {otherwise} {' '.join(whens)} END"


def stored(reading: Reading, *, raw: str = "raw") -> exp.Expr:
    """What a converted text file keeps of `raw`: `TYPED`, in the order of its lines."""
    return parsed_query(f"SELECT {', '.join(TYPED)} FROM ({sql(parsed(reading, raw=raw))}) AS p")


def _unread(reading: Reading, name: str, read: str) -> str:
    """SQL for the text of a field where `read` made nothing of it."""
    column = reading.column(name)
    if column is None or column.kind in ("timestamp", "timestamp_ns", "instant", "date"):
        return "CAST(NULL AS TEXT)"
    if column.kind in ("integer", "number") and name == "value":
        return "CAST(NULL AS TEXT)"
    return f"CASE WHEN {read} IS NULL THEN {optional(reading, name)} END"


def _as_text(reading: Reading, name: str) -> str:
    column = reading.column(name)
    if column is None:
        return "CAST(NULL AS TEXT)"
    quoted = identifier(column.name)
    return quoted if column.kind == "text" else f"CAST({quoted} AS TEXT)"


def optional(reading: Reading, name: str) -> str:
    return (
        f"NULLIF({_as_text(reading, name)}, '')" if reading.column(name) else "CAST(NULL AS TEXT)"
    )


def _as_moment(reading: Reading, name: str) -> str:
    column = reading.column(name)
    if column is None:
        return "CAST(NULL AS TIMESTAMP)"
    return moment(
        identifier(column.name), column, ts_format=reading.ts_format, timezone=reading.timezone
    )


def _as_number(reading: Reading, name: str) -> str:
    column = reading.column(name)
    if column is None:
        return "CAST(NULL AS DOUBLE)"
    if column.kind == "text":
        return number_in(optional(reading, name))
    return f"CAST({identifier(column.name)} AS DOUBLE)"


def named(reading: Reading, *, raw: str = "raw") -> exp.Expr:
    """Every pair of customer_id and user_id of `raw`, each once."""
    return parsed_query(
        f"SELECT DISTINCT {_as_text(reading, 'customer_id')} AS customer_id, "
        f"{optional(reading, 'user_id')} AS user_id FROM {raw}"
    )
