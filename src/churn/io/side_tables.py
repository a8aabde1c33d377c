"""Customers, subscriptions, contacts, dates: small tables, read whole, refused at the first bad value."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
from sqlglot import exp

from churn.contracts import SOURCES
from churn.errors import InputError
from churn.io import convert, forgotten, formats, listing, steady
from churn.io.engine import Engine, Resources, opened
from churn.io.forgotten import Forgotten
from churn.io.listing import Delivery
from churn.settings import SourceSettings
from churn.usage import advice
from churn.usage.columns import Column, identifier, moment, parsed_query

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
    gone = forgotten.read(workspace)
    with opened(Resources()) as engine:
        return {
            name: _read(name, patterns[name], source=source, cache=cache, engine=engine, gone=gone)
            for name in SIDES
            if name in patterns
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
    table = pa.concat_tables(tables, promote_options="permissive")
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


def _one_file(name: str, delivery: Delivery, *, source: SourceSettings, engine: Engine) -> pa.Table:
    rows = _rows(delivery, source=source)
    mapping = dict(source.side_columns.get(name, {}))
    shared = source.columns.get("customer_id")
    has_customers = "customer_id" in SOURCES[name].columns
    if shared and has_customers and "customer_id" not in mapping and shared in rows.column_names:
        mapping["customer_id"] = shared
    there = [column for column in rows.column_names if column != LINE]
    key = f"source.side_columns.{name}"
    names = convert.required_columns(delivery.path, there, name, mapping=mapping, key=key)
    kinds = _kinds(name, delivery.path, names, rows, source=source)
    engine.bind("side", rows)
    extras = {
        column: convert.kind_of(rows.schema.field(column).type)
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
    declared = formats.format_of(path, declared="auto")
    if declared == "parquet":
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
        if declared == "jsonl":
            return _json_rows(stream, path=path, source=source)
        blocks = list(formats.csv_blocks(stream, path=path, delimiter=source.delimiter))
    _refuse_broken(path, [broken for block in blocks for broken in block.broken])
    return pa.concat_tables([_with_lines(b.rows, pa.array(b.lines, pa.int64())) for b in blocks])


def _with_lines(table: pa.Table, lines: pa.Array) -> pa.Table:
    return table.replace_schema_metadata(None).append_column(LINE, lines)


def _json_rows(stream: IO[bytes], *, path: str, source: SourceSettings) -> pa.Table:
    """JSON objects as a table of text; a key that a line lacks is null there."""
    import json

    rows: list[dict[str, object]] = []
    for lines, numbers in formats.line_blocks(stream, path=path):
        for text, number in zip(lines, numbers, strict=True):
            try:
                row = json.loads(text, parse_float=str, parse_int=_Digits)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                broken = formats.Broken(int(number), "not a JSON object", text)
                _refuse_broken(path, [broken])
            _refuse_json_number(row, path=path, line=int(number), source=source)
            rows.append(
                {key: _json_text(value) for key, value in row.items()} | {LINE: int(number)}
            )
    names = list(dict.fromkeys(key for row in rows for key in row))
    schema = pa.schema([(n, pa.int64() if n == LINE else pa.string()) for n in names])
    return pa.Table.from_pylist(rows, schema=schema)


class _Digits(str):
    """A whole number of a JSON file, digit by digit."""


def _json_text(value: object) -> str | None:
    import json

    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    return json.dumps(value)


def _refuse_json_number(
    row: dict[str, object], *, path: str, line: int, source: SourceSettings
) -> None:
    for name in {"customer_id", source.columns.get("customer_id", "customer_id")}:
        if isinstance(row.get(name), _Digits) and not source.integer_ids:
            where = f"{path} line {line} column {name!r}"
            raise convert.number_as_id(where, "customer_id", str(row[name]), kind="integer")


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
        ours: convert.kind_of(rows.schema.field(theirs).type) for ours, theirs in names.items()
    }
    kind = kinds.get("customer_id")
    if kind == "number" or (kind == "integer" and not source.integer_ids):
        where = f"{path} column {names['customer_id']!r}"
        got = str(rows.schema.field(names["customer_id"]).type)
        raise convert.number_as_id(where, "customer_id", got, kind=kind)
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
        number = (
            f"TRY_CAST({text} AS DOUBLE)" if column.kind == "text" else f"CAST({quoted} AS DOUBLE)"
        )
        return f"CASE WHEN ISFINITE({number}) THEN {number} END"
    zone = source.timezone or "UTC"
    field = text if column.kind == "text" else quoted
    if sql_type == "TIMESTAMP":
        return moment(field, column, ts_format=source.ts_format, timezone=zone)
    if column.kind == "text" or column.kind == "date":
        day = moment(field, column, ts_format=source.date_format, timezone="UTC")
        return f"CAST({day} AS DATE)"
    return f"CAST({moment(field, column, ts_format=source.date_format, timezone=zone)} AS DATE)"


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
            lost = typed[ours].is_null()
        bad = typed.filter(lost)
        if not bad.num_rows:
            continue
        first = bad.sort_by(LINE).slice(0, 1)
        value = first[f"{LINE} {ours}"][0].as_py()
        setting = (
            "source.date_format" if SOURCES[name].columns[ours] == "DATE" else "source.ts_format"
        )
        is_time = SOURCES[name].columns[ours] in ("DATE", "TIMESTAMP")
        raise InputError(
            f"{path} line {first[LINE][0].as_py()} column {theirs!r} cannot be {ours}",
            got=advice.shown(value),
            expected=f"{SOURCES[name].columns[ours].lower()}"
            + (f" as {setting} says" if is_time else "")
            + ("" if ours == "customer_id" else ", or nothing"),
            next_step=advice.likely_cause(ours, value, setting if is_time else "")
            if value
            else f"fill {theirs} in, or leave the row out",
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
