"""Tables of a database → Parquet files in the workspace: events in increments, the rest whole.

Types are those that the database declares, ids are not touched: what an integer id means is decided
where Parquet files are read. Rows come through a server-side cursor, a batch at a time.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from churn.contracts import SOURCES
from churn.errors import ConfigurationError, InputError, nearest
from churn.io import sql, tables
from churn.io.engine import Resources
from churn.io.intake import declared, forgotten, landing
from churn.io.intake.forgotten import Forgotten
from churn.io.intake.landing import Reach
from churn.io.lock import held
from churn.settings import SourceSettings

log = logging.getLogger("churn")

ROW_GROUP = 131_072
FLOW = ("integer", "timestamp", "instant", "date")
"""The kinds of columns that can be a watermark: an order that both sides agree on, without NaN."""

KINDS: Mapping[str, tuple[Any, pa.DataType, bool]] = {
    "text": (sa.Text(), pa.string(), False),
    "integer": (sa.BigInteger(), pa.int64(), False),
    "number": (sa.Double(), pa.float64(), False),
    "decimal": (sa.Double(), pa.float64(), True),
    "boolean": (sa.Boolean(), pa.bool_(), False),
    "date": (sa.Date(), pa.date32(), False),
    "timestamp": (sa.DateTime(), pa.timestamp("us"), False),
    "instant": (sa.DateTime(timezone=True), pa.timestamp("us", "UTC"), False),
    "bytes": (sa.LargeBinary(), pa.binary(), False),
    "shown": (sa.Text(), pa.string(), True),
}
"""What a column is → its SQL type, its Arrow type, and whether the database casts it. `shown` is
everything else (uuid, json, enums, padded char, intervals …), as the database shows it as text."""

POSTGRESQL = {
    16: "boolean", 17: "bytes", 20: "integer", 21: "integer", 23: "integer", 25: "text",
    700: "number", 701: "number", 1043: "text", 1082: "date", 1114: "timestamp", 1184: "instant",
    1700: "decimal",
}  # fmt: skip
"""PostgreSQL's numbers for its types, which every driver gives for a table and a SELECT alike."""


@dataclass(frozen=True)
class Field:
    """A column of a table or SELECT, and what it is (`KINDS`)."""

    name: str
    kind: str

    @property
    def arrow(self) -> pa.Field:
        return pa.field(self.name, KINDS[self.kind][1])

    @property
    def plain(self) -> sa.ColumnElement[Any]:
        return sa.column(self.name, KINDS[self.kind][0])

    @property
    def selected(self) -> sa.ColumnElement[Any]:
        kind, _, is_cast = KINDS[self.kind]
        return sa.cast(sa.column(self.name), kind).label(self.name) if is_cast else self.plain


@dataclass(frozen=True)
class Relation:
    """What one of the source's tables is read from: `label` for messages, its FROM, its columns."""

    label: str
    origin: sa.FromClause | sa.TextClause
    fields: tuple[Field, ...]


def fetch(source: SourceSettings, *, workspace: Path, resources: Resources) -> None:
    """Bring what the database holds now into the workspace, where `listing` finds it.

    New events land as one file more (with `source.watermark`) or in place of the one there is; the
    other tables are read whole. All are read as of one moment. Raises `ConfigurationError` for an
    address or a setting, `InputError` for a table or column that is missing or cannot be used,
    `MachineError` for a connection that fails; then nothing has landed.
    """
    given = {name: getattr(source, name) for name in SOURCES if getattr(source, name)}
    if "events" not in given:
        raise ConfigurationError(
            "source.events is not set",
            got="no table to read",
            expected="the table, view or SELECT that holds the usage log",
            next_step="set source.events=SCHEMA.TABLE",
        )
    place, gone = landing.folder(source, workspace=workspace), forgotten.read(workspace)
    with (
        held(place, doing="rollup"),
        sql.connected(source.url_variable, is_read_only=True) as connection,
    ):
        found = {name: _relation(connection, name, text) for name, text in given.items()}
        fields = {name: _fields(name, found[name], source=source) for name in found}
        tables.write_json(place / "asked.json", {**given, "watermark": source.watermark})
        for name, relation in found.items():
            if name != "events":
                target = place / f"{name}.parquet"
                _whole(connection, relation, fields[name], target, source=source, gone=gone)
        if source.watermark:
            _increment(
                connection, found["events"], fields["events"], place / "events", source=source,
                resources=resources, gone=gone,
            )  # fmt: skip
        else:
            target = place / "events" / "whole.parquet"
            n_rows = _whole(
                connection, found["events"], fields["events"], target, source=source, gone=gone
            )
            if not n_rows:
                raise _empty(found["events"])
            log.info("%s: %s rows", found["events"].label, f"{n_rows:,}")


def _relation(connection: sa.Connection, name: str, text: str) -> Relation:
    """The table, view or SELECT that `source.<name>` names, with the columns it has now."""
    if "://" in text.split("'")[0]:
        raise ConfigurationError(
            f"source.{name} names no table",
            got="a URL (not shown: it may hold a password)",
            expected="SCHEMA.TABLE or a SELECT; the URL stands in an environment variable",
            next_step=f"set source.{name}=SCHEMA.TABLE",
        )
    if re.match(r"\s*(\(|--|/\*|select\b|with\b)", text, re.IGNORECASE):
        return _selected(connection, f"the SELECT of source.{name}", text)
    schema, _, table = text.strip().rpartition(".")
    inspector = sa.inspect(connection)
    if not inspector.has_table(table, schema=schema or None):
        raise _no_table(inspector, name, text, schema)
    origin = sa.table(table, schema=schema or None)
    label = f"table {text.strip()}"
    if connection.dialect.name == "postgresql":
        return Relation(label, origin, _described(connection, origin))
    columns = inspector.get_columns(table, schema=schema or None)
    return Relation(label, origin, tuple(Field(c["name"], _declared(c["type"])) for c in columns))


def _selected(connection: sa.Connection, label: str, text: str) -> Relation:
    """A SELECT; only PostgreSQL says of which types its columns are before there are rows."""
    if connection.dialect.name != "postgresql":
        raise ConfigurationError(
            f"{label} cannot be read from this database",
            got=f"a SELECT for {connection.dialect.name}, which does not declare its types",
            expected="the name of a table or view, whose types are declared",
            next_step="create a view with that SELECT, and name it",
        )
    literal = text.strip().rstrip(";").replace(":", "\\:")  # no parameters, colons are colons
    origin = sa.text(f"({literal}\n) AS churn_source")
    return Relation(label, origin, _described(connection, origin))


def _described(
    connection: sa.Connection, origin: sa.FromClause | sa.TextClause
) -> tuple[Field, ...]:
    """The columns of `origin` as PostgreSQL declares them (a domain as the type beneath it)."""
    statement = sa.select(sa.text("*")).select_from(origin).limit(0)
    with connection.execute(statement) as result:
        description: Any = result.cursor.description if result.cursor else ()
        return tuple(Field(entry[0], POSTGRESQL.get(entry[1], "shown")) for entry in description)


def _declared(type_: Any) -> str:
    """The kind of a column by its SQLAlchemy type."""
    kinds: Iterable[tuple[Any, str]] = (
        (sa.Boolean, "boolean"), (sa.Integer, "integer"), (sa.Float, "number"),
        (sa.Numeric, "decimal"), (sa.Enum, "shown"), (sa.CHAR, "shown"), (sa.String, "text"),
        (sa.DateTime, "timestamp"), (sa.Date, "date"), (sa.LargeBinary, "bytes"),
    )  # fmt: skip
    kind = next((kind for known, kind in kinds if isinstance(type_, known)), "shown")
    return "instant" if kind == "timestamp" and type_.timezone else kind


def _no_table(inspector: Any, name: str, text: str, schema: str) -> InputError:
    schemas = inspector.get_schema_names()
    is_known = not schema or schema in schemas
    there = (
        [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
        if is_known
        else schemas
    )
    prefix = f"{schema}." if schema and is_known else ""
    known = [f"{prefix}{found}" for found in there]
    return InputError(
        f"there is no table {text.strip()} (source.{name})",
        got=f"{len(known)} tables in that schema" if is_known else f"no schema {schema}",
        expected=nearest(text.strip() if is_known else schema, known) if known else "a table",
        next_step=f"set source.{name}=SCHEMA.TABLE, with capitals as the database has them",
    )


def _fields(name: str, relation: Relation, *, source: SourceSettings) -> list[Field]:
    """The columns to read: of events those that are mapped, of another table all.

    Raises `InputError` for one that is missing or whose type cannot be what it is needed for.
    """
    there = {field.name: field for field in relation.fields}
    wanted = landing.wanted(name, relation.label, list(there), source=source)
    for ours, theirs in wanted.items():
        kind = there[theirs].arrow
        if name == "events":
            declared.checked_kind(relation.label, ours, kind, source=source)
        elif ours == "customer_id" and there[theirs].kind in ("integer", "number", "decimal"):
            is_whole = there[theirs].kind == "integer"
            if not (is_whole and source.integer_ids):
                where = f"{relation.label} column {theirs!r}"
                kind_of_number = "integer" if is_whole else "number"
                raise declared.number_as_id(where, ours, str(kind.type), kind=kind_of_number)
    if name != "events":
        return list(relation.fields)
    names = list(dict.fromkeys(wanted.values()))
    if source.watermark:
        _refuse_watermark(relation, source.watermark)
        names = list(dict.fromkeys([*names, source.watermark]))
    return [there[found] for found in names]


def _refuse_watermark(relation: Relation, name: str) -> None:
    kinds = {field.name: field.kind for field in relation.fields}
    if name not in kinds:
        raise landing.no_column(relation.label, name, list(kinds), key="source.watermark")
    if kinds[name] not in FLOW:
        raise InputError(
            f"{relation.label} column {name!r} cannot be the watermark",
            got=f"a column that is {kinds[name]}",
            expected="a whole number, a date or a timestamp that grows with every row",
            next_step="name another column, or leave source.watermark out to read the table whole",
        )


def _whole(
    connection: sa.Connection, relation: Relation, fields: list[Field], target: Path, *,
    source: SourceSettings, gone: Forgotten,
) -> int:  # fmt: skip
    """Read a table whole into `target`, which stays as it is where nothing has changed.

    The rows are ordered by everything, so that the same rows give the same bytes.
    """
    statement = sa.select(*(field.selected for field in fields)).select_from(relation.origin)
    ordered = statement.order_by(*(sa.text(str(n)) for n in range(1, len(fields) + 1)))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tables.staging(target.parent) as staged:
        path = staged / "fetched.parquet"
        n_rows = _stream(connection, relation, ordered, fields, path, batch_rows=source.batch_rows)
        n_rows -= landing.strip(path, source=source, gone=gone)
        is_known = target.exists() and tables.sha256(path) == tables.sha256(target)
        if not is_known and (n_rows or target.stem != "whole"):
            landing.put(path, target)
    return n_rows


def _increment(
    connection: sa.Connection, relation: Relation, fields: list[Field], place: Path, *,
    source: SourceSettings, resources: Resources, gone: Forgotten,
) -> None:  # fmt: skip
    """Land the rows that have come since the last file, if any, as one file more in `place`."""
    watermark = str(source.watermark)
    place.mkdir(parents=True, exist_ok=True)
    files = landing.landed(place)
    reach = landing.reach(files, watermark, reread_rows=source.reread_rows)
    statement = _since(relation, fields, watermark, reach, is_strict=not source.reread_rows)
    with tables.staging(place) as staged:
        path = staged / "fetched.parquet"
        n_rows = _stream(
            connection, relation, statement, fields, path, batch_rows=source.batch_rows,
            watermark=watermark,
        )  # fmt: skip
        n_rows -= landing.strip(path, source=source, gone=gone)
        if reach and source.reread_rows:
            chosen = staged / "fresh.parquet"
            n_rows = landing.fresh(
                path, chosen, files, watermark=watermark, reach=reach, resources=resources
            )
            path = chosen
        elif not reach and not n_rows:
            raise _empty(relation)
        if n_rows:
            landed = landing.land(path, place, watermark)
            log.info("%s: %s new rows landed in %s", relation.label, f"{n_rows:,}", landed.name)
        else:
            log.info("%s: no new rows since %s %s", relation.label, watermark, reach and reach.last)


def _since(
    relation: Relation, fields: list[Field], watermark: str, reach: Reach | None, *, is_strict: bool
) -> sa.Select[Any]:
    """The rows from the floor on (strictly: after the last landed one) in the watermark's order;
    those without a watermark too, so that they are seen and refused instead of never read."""
    by = next(field for field in fields if field.name == watermark)
    places = [fields.index(by) + 1, *(n for n in range(1, len(fields) + 1) if fields[n - 1] != by)]
    statement = sa.select(*(field.selected for field in fields)).select_from(relation.origin)
    if reach:
        value = reach.last.as_py() if is_strict else reach.floor.as_py()
        after = by.plain > value if is_strict else by.plain >= value
        statement = statement.where(sa.or_(after, by.plain.is_(None)))
    return statement.order_by(*(sa.text(str(place)) for place in places))


def _stream(
    connection: sa.Connection, relation: Relation, statement: sa.Select[Any], fields: list[Field],
    path: Path, *, batch_rows: int, watermark: str | None = None,
) -> int:  # fmt: skip
    """Write the rows of `statement` to `path`, never more than a batch in memory; how many.

    Raises `InputError` for a row without a watermark, where there is to be one.
    """
    schema = pa.schema([field.arrow for field in fields])
    options = {"yield_per": batch_rows}
    n_rows = 0
    with (
        connection.execute(statement, execution_options=options) as result,
        pq.ParquetWriter(
            path, schema, compression="zstd", write_statistics=_without_numbers(schema)
        ) as writer,
    ):
        for rows in result.partitions():
            batch = _batch(relation, rows, schema)
            if watermark and batch[watermark].null_count:
                raise _without_watermark(relation, watermark)
            writer.write_table(batch, row_group_size=ROW_GROUP)
            n_rows += batch.num_rows
    return n_rows


def _without_numbers(schema: pa.Schema) -> list[str]:
    """The columns that get statistics: those of numbers do not count NaN, and DuckDB concludes from
    them that there is none, so that a value that is no number would pass as one."""
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _batch(relation: Relation, rows: Any, schema: pa.Schema) -> pa.Table:
    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        try:
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InputError(
                f"{relation.label} column {field.name!r} holds what its type does not allow",
                got=str(error).splitlines()[0],
                expected=f"values of type {field.type}",
                next_step="correct the rows, or convert the column in a view",
            ) from error
    return pa.table(arrays, schema=schema)


def _without_watermark(relation: Relation, watermark: str) -> InputError:
    return InputError(
        f"{relation.label} column {watermark!r} is empty in some rows",
        got="rows without a watermark, which no later run would ever find",
        expected="a watermark in every row",
        next_step="declare the column NOT NULL with a default, or name another column",
    )


def _empty(relation: Relation) -> InputError:
    return InputError(
        f"{relation.label} is empty",
        got="no rows",
        expected="at least one event",
        next_step="check that this is the right table and database",
    )
