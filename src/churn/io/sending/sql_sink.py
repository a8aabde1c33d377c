"""Results → tables of a database: the rows of the same dates are replaced, in one transaction."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS, SCORES
from churn.io import sql
from churn.io.sending.sink import DATED, Shipment
from churn.settings import SinkSettings

BATCH_ROWS = 10_000

TYPES: Mapping[str, tuple[Any, pa.DataType]] = {
    "VARCHAR": (sa.Text(), pa.string()),
    "BIGINT": (sa.BigInteger(), pa.int64()),
    "DOUBLE": (sa.Double(), pa.float64()),
    "BOOLEAN": (sa.Boolean(), pa.bool_()),
    "DATE": (sa.Date(), pa.date32()),
    "TIMESTAMP": (sa.DateTime(), pa.timestamp("us")),
}

_LIST_KINDS = {
    "BIGINT": ("rank", "weeks_on_list"),
    "DATE": ("act_before", "last_contact", "as_of"),
    "DOUBLE": (
        "risk", "risk_8w", "risk_change", "times_average", "value_month", "at_stake", "priority",
    ),
}  # fmt: skip
_LIST = {
    name: next((kind for kind, names in _LIST_KINDS.items() if name in names), "VARCHAR")
    for name in LIST_COLUMNS
}
DECLARED: Mapping[str, Mapping[str, str]] = {"scores": SCORES.columns, "retention": _LIST}
"""Types that do not depend on what a file holds: an empty column has one too. The panel's columns
are those of its features, typed by the statement that made them."""


def replace(sink: SinkSettings, name: str, shipment: Shipment) -> int:
    """Make the rows of `shipment` the only ones of its dates in table `name`; returns how many.

    The table is created where it is missing, and columns are added that it does not have yet. What
    people filled into a list there stays, with the whole row where the customer is no longer listed.
    """
    files = [pq.ParquetFile(path) for path in shipment.paths]
    kinds = {field.name: _kind(shipment.name, field) for field in files[0].schema_arrow}
    with sql.connected(sink.url_variable, is_read_only=False) as connection:
        table = _table(name, kinds, schema=sink.schema, dated=DATED[shipment.name])
        _prepare(connection, table)
        ours = table.c[DATED[shipment.name]].in_(shipment.dates)
        filled = _filled_in(connection, table, ours)
        connection.execute(sa.delete(table).where(ours))
        for file in files:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                _insert(connection, table, _typed(pa.Table.from_batches([batch]), kinds))
        _give_back(connection, table, filled)
    return sum(int(file.metadata.num_rows) for file in files)


def without(sink: SinkSettings, name: str, customer: str) -> int:
    """Delete the rows of a customer from table `name`, if it is there; how many."""
    with sql.connected(sink.url_variable, is_read_only=False) as connection:
        if not sa.inspect(connection).has_table(name, schema=sink.schema):
            return 0
        table = sa.table(name, sa.column("customer_id"), schema=sink.schema)
        return connection.execute(sa.delete(table).where(table.c.customer_id == customer)).rowcount


def _filled_in(
    connection: sa.Connection, table: sa.Table, ours: sa.ColumnElement[bool]
) -> list[dict[str, Any]]:
    """The rows into which somebody has written what came of a contact."""
    columns = [table.c[name] for name in FEEDBACK_COLUMNS if name in table.c]
    if not columns:
        return []
    is_filled = sa.or_(
        *(sa.func.coalesce(sa.cast(column, sa.Text), "") != "" for column in columns)
    )
    found = connection.execute(sa.select(table).where(ours, is_filled))
    return [dict(row) for row in found.mappings()]


def _give_back(connection: sa.Connection, table: sa.Table, filled: list[dict[str, Any]]) -> None:
    for row in filled:
        said = {name: row[name] for name in FEEDBACK_COLUMNS if name in row}
        keys = [column == row[column.name] for column in table.primary_key.columns]
        if not connection.execute(sa.update(table).where(*keys).values(said)).rowcount:
            connection.execute(sa.insert(table).values(row))


def _kind(name: str, field: pa.Field) -> str:
    """The declared type of a column, else that of the file."""
    if field.name in DECLARED.get(name, {}):
        return DECLARED[name][field.name]
    kinds = pa.types
    tests = (
        (kinds.is_boolean, "BOOLEAN"), (kinds.is_integer, "BIGINT"), (kinds.is_floating, "DOUBLE"),
        (kinds.is_decimal, "DOUBLE"), (kinds.is_date, "DATE"), (kinds.is_timestamp, "TIMESTAMP"),
    )  # fmt: skip
    return next((kind for test, kind in tests if test(field.type)), "VARCHAR")


def _table(name: str, kinds: Mapping[str, str], *, schema: str | None, dated: str) -> sa.Table:
    keys = (dated, "customer_id")
    columns = [
        sa.Column(column, TYPES[kind][0], primary_key=column in keys, autoincrement=False)
        for column, kind in kinds.items()
    ]
    return sa.Table(name, sa.MetaData(), *columns, schema=schema)


def _prepare(connection: sa.Connection, table: sa.Table) -> None:
    """Create the table, or add the columns it lacks; what it has beyond stays, and stays empty."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name, schema=table.schema):
        table.create(connection)
        return
    there = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    place = connection.dialect.identifier_preparer.format_table(table)
    for column in table.columns:
        if column.name not in there:
            added = sa.Column(column.name, column.type)
            spelled = sa.schema.CreateColumn(added).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {place} ADD COLUMN {spelled}")


def _typed(rows: pa.Table, kinds: Mapping[str, str]) -> pa.Table:
    """`rows` with the declared types; a column in which nothing is known has its type all the same."""
    arrays = []
    for name in rows.column_names:
        kind = TYPES[kinds[name]][1]
        column = rows[name]
        if column.null_count == len(column):
            arrays.append(pa.nulls(len(column), kind))
        elif pa.types.is_nested(column.type):
            arrays.append(pa.array([_as_json(value) for value in column.to_pylist()], kind))
        else:
            arrays.append(column.cast(kind))
    return pa.table(arrays, names=rows.column_names)


def _as_json(value: Any) -> str | None:
    """A list or struct as JSON: a table of a database has no other way that all of them share."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """COPY where the driver is psycopg 3, else INSERT with many rows."""
    if connection.dialect.driver != "psycopg":
        connection.execute(sa.insert(table), rows.to_pylist())
        return
    quoted = connection.dialect.identifier_preparer
    columns = ", ".join(quoted.quote(name) for name in rows.column_names)
    # As CSV an empty text is "" and nothing at all is NULL, for Arrow and for PostgreSQL alike.
    content = io.BytesIO()
    pc.write_csv(rows, content, pc.WriteOptions(include_header=False))
    driver: Any = connection.connection.driver_connection
    statement = f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN (FORMAT csv)"
    statement = statement.replace(
        "%%", "%"
    )  # doubled for statements with parameters; this has none
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(content.getvalue())
