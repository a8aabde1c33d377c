"""Customers, subscriptions, contacts, dates: small tables, read whole, refused at the first bad value."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from sqlglot import exp

from churn.contracts import SOURCES
from churn.errors import InputError
from churn.io.engine import Engine, Resources, opened
from churn.io.intake import declared, forgotten, formats, json_lines, listing, steady
from churn.io.intake.forgotten import Forgotten
from churn.io.intake.listing import Delivery
from churn.settings import SourceSettings
from churn.usage import advice
from churn.usage.columns import NO_ID, Column, identifier, moment, number_in, parsed_query

SIDES = ("customers", "subscriptions", "contacts", "dates")
LINE = "churn line"
"""The column that carries line numbers while a table is read."""

_CASTS = {"VARCHAR": "TEXT", "DOUBLE": "DOUBLE", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP"}


def read_all(source: SourceSettings, *, workspace: Path, cache: Path) -> dict[str, pa.Table]:
    """Every side table that the source has, with declared names and types.

    Raises `InputError` for a value that is not what its column declares, a missing id, and a
    customer listed twice without `valid_from`.
    """
    patterns = listing.patterns(source, workspace=workspace)
    there = [name for name in SIDES if name in patterns]
    if not there:
        return {}
    gone = forgotten.read(workspace)
    with opened(Resources()) as engine:
        return {
            name: _read(name, patterns[name], source=source, cache=cache, engine=engine, gone=gone)
            for name in there
        }


def known_customers(source: SourceSettings, *, workspace: Path, cache: Path) -> pa.Table | None:
    """The ids of the customers table, each once (customer_id); None when they refuse nobody."""
    pattern = listing.patterns(source, workspace=workspace).get("customers")
    if pattern is None or source.unknown_customers == "keep":
        return None
    with opened(Resources()) as engine:
        gone = forgotten.read(workspace)
        table = _read("customers", pattern, source=source, cache=cache, engine=engine, gone=gone)
    return pa.table({"customer_id": compute.unique(table["customer_id"])})


def _read(
    name: str, pattern: str, *, source: SourceSettings, cache: Path, engine: Engine, gone: Forgotten
) -> pa.Table:
    """The table without who was forgotten; no copy of a remote file that names them is kept."""
    found = listing.listed(pattern, key=f"source.{name}", cache=cache)
    contents = {delivery.sha256: delivery for delivery in reversed(found)}
    with steady.explained(found):
        tables = [
            _one_file(name, delivery, source=source, engine=engine)
            for delivery in sorted(contents.values(), key=lambda delivery: delivery.path)
        ]
    steady.refuse_changed(found, fresh=set(contents))
    table = _together(tables, name=name, pattern=pattern)
    if gone and "customer_id" in table.column_names:
        ids = gone.among("customer", compute.unique(table["customer_id"]).to_pylist())
        if ids:
            lost = compute.is_in(table["customer_id"], value_set=pa.array(ids, pa.string()))
            table = table.filter(compute.invert(lost))
            for copy in [one.local for one in found if cache in one.local.parents]:
                copy.unlink(missing_ok=True)
    if name == "customers":
        _refuse_twins(table, path=found[0].path)
    return table


def _together(tables: Sequence[pa.Table], *, name: str, pattern: str) -> pa.Table:
    """The rows of all files. Raises `InputError` where a column has two types."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise InputError(
            f"the files of source.{name} do not fit together",
            got=str(error).splitlines()[0],
            expected=f"the same type for a column in every file that {pattern} matches",
            next_step="export them alike, or give the column a name of its own in one of them",
        ) from error


def _one_file(name: str, delivery: Delivery, *, source: SourceSettings, engine: Engine) -> pa.Table:
    rows = _rows(delivery, source=source)
    mapping = dict(source.side_columns.get(name, {}))
    shared = source.columns.get("customer_id")
    has_customers = "customer_id" in SOURCES[name].columns
    if shared and has_customers and "customer_id" not in mapping and shared in rows.column_names:
        mapping["customer_id"] = shared
    there = [column for column in rows.column_names if column != LINE]
    key = f"source.side_columns.{name}"
    names = declared.required_columns(delivery.path, there, name, mapping=mapping, key=key)
    kinds = _kinds(name, delivery.path, names, rows, source=source)
    engine.bind("side", rows)
    extras = {
        column: declared.kind_of(rows.schema.field(column).type)
        for column in there
        if name == "customers" and column not in names.values()
    }
    typed = engine.table(_query(name, names, kinds, extras, source=source))
    _refuse_bad_values(name, delivery.path, names, kinds, typed)
    keep = [n for n in typed.column_names if not n.startswith(LINE)]
    return typed.select(keep)


def _rows(delivery: Delivery, *, source: SourceSettings) -> pa.Table:
    """The file as it is, text where it is a text file, with `LINE`."""
    path = delivery.path
    form = formats.format_of(path, declared="auto")
    if form == "parquet":
        try:
            table = pq.read_table(delivery.local)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path} cannot be read as Parquet",
                got=str(error).splitlines()[0],
                expected="a whole Parquet file",
                next_step="deliver the file again",
            ) from error
        return _with_lines(table, pa.array(range(1, table.num_rows + 1), pa.int64()))
    with formats.opened(delivery.local, path=path) as stream:
        if form == "jsonl":
            return _json_rows(stream, path=path, source=source)
        blocks = list(formats.csv_blocks(stream, path=path, delimiter=source.delimiter))
    _refuse_broken(path, [broken for block in blocks for broken in block.broken])
    return pa.concat_tables([_with_lines(b.rows, pa.array(b.lines, pa.int64())) for b in blocks])


def _with_lines(table: pa.Table, lines: pa.Array) -> pa.Table:
    return table.replace_schema_metadata(None).append_column(LINE, lines)


def _json_rows(stream: IO[bytes], *, path: str, source: SourceSettings) -> pa.Table:
    """JSON objects as a table of text; a key that a line lacks is null there."""
    rows: list[dict[str, object]] = []
    for lines, numbers in formats.line_blocks(stream, path=path):
        if not rows and lines and lines[0].lstrip().startswith("["):
            raise json_lines.not_json_lines(path, lines[0])
        for text, number in zip(lines, numbers, strict=True):
            row = _json_row(text)
            if row is None:
                _refuse_broken(path, [formats.Broken(int(number), "not a JSON object", text)])
                continue
            _refuse_json_id(row, path=path, line=int(number), source=source)
            rows.append(
                {key: _json_text(value) for key, value in row.items()} | {LINE: int(number)}
            )
    names = list(dict.fromkeys(key for row in rows for key in row))
    schema = pa.schema([(n, pa.int64() if n == LINE else pa.string()) for n in names])
    return pa.Table.from_pylist(rows, schema=schema)


def _json_row(text: str) -> dict[str, object] | None:
    """The object on a line; None where there is none, or one that no text can hold."""
    try:
        row = json.loads(text, parse_float=_Number, parse_int=_Digits)
        text.encode() if "\\u" not in text else json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class _Number(str):
    """A number of a JSON file with a decimal point or an exponent, as it is written."""


class _Digits(str):
    """A whole number of a JSON file, digit by digit."""


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return json.dumps(value)


def _refuse_json_id(
    row: dict[str, object], *, path: str, line: int, source: SourceSettings
) -> None:
    for name in {"customer_id", source.columns.get("customer_id", "customer_id")}:
        value, where = row.get(name), f"{path} line {line} column {name!r}"
        if isinstance(value, _Number) or (isinstance(value, _Digits) and not source.integer_ids):
            kind = "integer" if isinstance(value, _Digits) else "number"
            raise declared.number_as_id(where, "customer_id", str(value), kind=kind)
        if value is not None and not isinstance(value, str):
            raise declared.no_text(where, "customer_id", json.dumps(value))


def _refuse_broken(path: str, broken: Sequence[formats.Broken]) -> None:
    if broken:
        first = min(broken, key=lambda b: b.line)
        raise InputError(
            f"{path} line {first.line}: {first.reason}",
            got=advice.shown(first.text),
            expected="a line like the others",
            next_step="correct the line, or export the table again",
        )


def _kinds(
    name: str, path: str, names: dict[str, str], rows: pa.Table, *, source: SourceSettings
) -> dict[str, str]:
    """The kind of every declared column; `InputError` for ids that are numbers."""
    kinds = {
        ours: declared.kind_of(rows.schema.field(theirs).type) for ours, theirs in names.items()
    }
    kind = kinds.get("customer_id")
    if kind == "number" or (kind == "integer" and not source.integer_ids):
        where = f"{path} column {names['customer_id']!r}"
        got = str(rows.schema.field(names["customer_id"]).type)
        raise declared.number_as_id(where, "customer_id", got, kind=kind)
    return kinds


def _query(
    name: str,
    names: dict[str, str],
    kinds: dict[str, str],
    extras: dict[str, str],
    *,
    source: SourceSettings,
) -> exp.Expr:
    """Declared columns with declared types, the text they come from (`LINE` + name), extras."""
    contract = SOURCES[name].columns
    columns = [identifier(LINE)]
    for ours, sql_type in contract.items():
        if ours not in names:
            columns.append(f"CAST(NULL AS {_CASTS[sql_type]}) AS {ours}")
            continue
        quoted = identifier(names[ours])
        text = f"NULLIF(CAST({quoted} AS TEXT), '')"
        value = _typed(quoted, text, Column(names[ours], kinds[ours]), sql_type, source=source)
        columns += [f"{value} AS {ours}", f"{text} AS {identifier(f'{LINE} {ours}')}"]
    columns += [
        f"NULLIF({identifier(extra)}, '') AS {identifier(extra)}"
        if kind == "text"
        else identifier(extra)
        for extra, kind in extras.items()
    ]
    order = ", ".join(f"{ours} NULLS FIRST" for ours in SOURCES[name].order if ours in names)
    return parsed_query(
        f"SELECT {', '.join(columns)} FROM side ORDER BY {order}, {identifier(LINE)}"
    )


def _typed(quoted: str, text: str, column: Column, sql_type: str, *, source: SourceSettings) -> str:
    if sql_type == "VARCHAR":
        return text
    if sql_type == "DOUBLE":
        number = number_in(text) if column.kind == "text" else f"CAST({quoted} AS DOUBLE)"
        return f"CASE WHEN ISFINITE({number}) THEN {number} END"
    zone = source.timezone or "UTC"
    field = text if column.kind == "text" else quoted
    if sql_type == "TIMESTAMP":
        return _in_range(moment(field, column, ts_format=source.ts_format, timezone=zone))
    is_day = column.kind in ("text", "date")
    day = moment(field, column, ts_format=source.date_format, timezone="UTC" if is_day else zone)
    return f"CAST({_in_range(day)} AS DATE)"


def _in_range(time: str) -> str:
    """SQL: `time` from 1900 to 9999. Earlier ones stand for nothing (`0001-01-01`), later ones
    cannot be shown; `9999-12-31` is how registers say never."""
    return f"CASE WHEN {time} >= TIMESTAMP '1900-01-01' AND {time} < TIMESTAMP '10000-01-01' THEN {time} END"


def _refuse_bad_values(
    name: str, path: str, names: dict[str, str], kinds: dict[str, str], typed: pa.Table
) -> None:
    """Raise `InputError` for the first value that its column does not allow, or an empty id.

    An empty date is allowed in a required column too: such a subscription never starts, such a
    contact never happened, and real registers have both.
    """
    for ours, theirs in names.items():
        given = typed[f"{LINE} {ours}"]
        lost = compute.and_(given.is_valid(), typed[ours].is_null())
        if ours == "customer_id":
            lost = compute.fill_null(compute.match_substring_regex(typed[ours], NO_ID), True)
        if ours == "propensity":
            share = compute.fill_null(typed[ours], 0.5)
            beyond = compute.or_(compute.less(share, 0), compute.greater(share, 1))
            lost = compute.or_(lost, beyond)
        bad = typed.filter(lost)
        if not bad.num_rows:
            continue
        first = bad.sort_by(LINE).slice(0, 1)
        value = first[f"{LINE} {ours}"][0].as_py()
        raise InputError(
            f"{path} line {first[LINE][0].as_py()} column {theirs!r} cannot be {ours}",
            got=advice.shown(value),
            expected=_EXPECTED[ours] if ours in _EXPECTED else _expected(name, ours),
            next_step=_advice(name, ours, value)
            if value
            else f"fill {theirs} in, or leave the row out",
        )


_EXPECTED = {
    "customer_id": "an id, without control characters",
    "propensity": "a share from 0 to 1, or nothing",
}


def _setting(name: str, ours: str) -> str:
    kind = SOURCES[name].columns[ours]
    return {"DATE": "source.date_format", "TIMESTAMP": "source.ts_format"}.get(kind, "")


def _expected(name: str, ours: str) -> str:
    if setting := _setting(name, ours):
        return f"a time from 1900 to 9999 as {setting} says, or nothing"
    return "a number, or nothing"


def _advice(name: str, ours: str, value: str) -> str:
    """What a person should try first when a value of a side table is refused."""
    if setting := _setting(name, ours):
        return advice.likely_cause(ours, value, setting)
    if ours == "customer_id":
        return "correct the id in the export; is a quote not closed before it?"
    return (
        "write plain numbers with a decimal point, without thousands separators and currency signs"
    )


def _refuse_twins(table: pa.Table, *, path: str) -> None:
    """Without `valid_from` a customer stands in the table once; with it, once per moment."""
    keys = ["customer_id", "valid_from"]
    counts = table.select(keys).group_by(keys).aggregate([([], "count_all")])
    twins = counts.filter(compute.greater(counts["count_all"], 1)).sort_by("customer_id")
    if twins.num_rows:
        customer = twins["customer_id"][0].as_py()
        raise InputError(
            f"{path} lists customer {customer} {twins['count_all'][0].as_py()} times",
            got=f"{twins.num_rows} customers with more than one row (column customer_id)",
            expected="one row per customer, or per customer and valid_from",
            next_step="remove the repeated rows, or add valid_from to say since when each holds",
        )
