"""What CS recorded in a table of a database, under the names of the list's columns."""

from typing import Any

import pandas as pd
import sqlalchemy as sa

from churn.contracts import FEEDBACK_COLUMNS
from churn.errors import InputError, nearest
from churn.io import sql
from churn.io.feedback import answers
from churn.io.feedback.filled_in import Row

READ = ("customer_id", "as_of", "list_id", *FEEDBACK_COLUMNS)


def read(variable: str, table: str) -> pd.DataFrame:
    """The filled-in rows of `table` ([SCHEMA.]TABLE or a view), as `feedback.read` gives them.

    `variable` names the environment variable with the database's URL; `line` counts the rows in the
    order of as_of and customer_id. Raises `InputError` for a table or column that is not there and
    for values that are wrong, `MachineError` for a connection that fails.
    """
    schema, _, name = table.strip().rpartition(".")
    with sql.connected(variable, is_read_only=True) as connection:
        there = _columns(connection, name, schema or None)
        known = {column: there[column] for column in READ if column in there}
        wanted: list[Any] = [sa.column(column.name).label(ours) for ours, column in known.items()]
        keys: list[Any] = [sa.column(known[key].name) for key in ("as_of", "customer_id")]
        source = sa.table(name, schema=schema or None)
        found = connection.execute(sa.select(*wanted).select_from(source).order_by(*keys))
        rows = [
            Row(line, {key: value for key, value in row.items() if value not in (None, "")})
            for line, row in enumerate(found.mappings(), start=1)
        ]
    return answers.checked(
        [Row(row.line, {str(key): value for key, value in row.cells.items()}) for row in rows],
        file=f"table {table.strip()}",
    )


def _columns(
    connection: sa.Connection, name: str, schema: str | None
) -> dict[str, sa.Column[object]]:
    """The columns of the table by our names, whatever capitals the database has."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(name, schema=schema):
        tables = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        raise InputError(
            f"there is no table {name}",
            got=f"{len(tables)} tables and views in that schema",
            expected=nearest(name, tables) if tables else "a table",
            next_step="name the table as SCHEMA.TABLE, with capitals as the database has them",
        )
    found = {
        str(column["name"]).lower(): sa.Column(column["name"], column["type"])
        for column in inspector.get_columns(name, schema=schema)
    }
    for needed in ("customer_id", "as_of"):
        if needed not in found:
            raise InputError(
                f"table {name} has no column {needed}",
                got=", ".join(sorted(found)) or "no columns",
                expected=f"{', '.join(READ)} (what CS fills in may be missing)",
                next_step=f"add {needed}, or name a view that has it",
            )
    return found
