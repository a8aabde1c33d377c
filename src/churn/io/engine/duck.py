"""The engine in this process: DuckDB, one connection in memory."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlglot import exp

from churn.errors import ConfigurationError, InputError, MachineError
from churn.io.engine import ROWS_PER_GROUP, Batches, Engine, Relation, Resources
from churn.io.engine.guard import require_inside

SETTINGS = (
    "TimeZone = 'UTC'",
    "python_enable_replacements = false",
    # A panel asks each month's file once per range of customers: reading its footer anew each time is
    # a third of that, and grows with the history.
    "parquet_metadata_cache = true",
)

ROWS_PER_VALUE = 64
"""Rows of a row group for each value of its dictionary, or there is none: a larger one takes a sixth of
the time of writing, for little."""

TEXTS_KEPT = 32
"""Texts of queries: more than are asked for between two ranges of customers."""

# What Arrow gives back NumPy takes for its next array, and the other way round: memory that is fresh to
# the process costs more than what is put into it.
pa.set_memory_pool(pa.system_memory_pool())


class Duck(Engine):
    """DuckDB; nothing is created outside the connection but the files that are asked for.

    What is read from an Arrow table stays in its order.
    """

    def __init__(
        self, resources: Resources, connection: duckdb.DuckDBPyConnection | None = None
    ) -> None:
        self._resources = resources
        self._connection = connection or _connected(resources, 1)[0]
        self._inputs: dict[str, tuple[Relation, bool]] = {}
        self._bound: dict[str, str] = {}  # the kind of what stands under each name
        # by id, which is nobody else's while the query is kept
        self._texts: dict[int, tuple[exp.Expr, str]] = {}

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def beside(
        self, n_items: int, *, reading: Collection[str] | None = None
    ) -> Iterator[Sequence[Engine]]:
        room = _left_over(self._resources.memory_limit) // ROOM
        n = min(self._resources.threads, room, n_items // 2)
        if n < 2:
            yield [self]
            return
        # a query in one thread takes less of a processor than in several, and they share nothing
        resources = replace(self._resources, threads=self._resources.threads - n + 1)
        engines = [Duck(resources, connection) for connection in _connected(resources, n)]
        try:
            for engine in engines:
                for name, (relation, row_numbers) in self._inputs.items():
                    if reading is None or name in reading:
                        engine.bind(name, relation, row_numbers=row_numbers)
            yield engines
        finally:
            for engine in reversed(engines):
                engine.close()

    def bind(self, name: str, relation: Relation, *, row_numbers: bool = False) -> None:
        self._inputs[name] = relation, row_numbers
        if isinstance(relation, pa.Table):
            self._free(name)
            self._connection.register(name, relation)
            self._bound[name] = "VIEW"
            return
        paths = [relation] if isinstance(relation, Path) else list(relation)
        listed = ", ".join(_literal(str(path)) for path in paths)
        numbers = ", file_index, file_row_number" if row_numbers else ""
        self._make("VIEW", name, f"SELECT *{numbers} FROM read_parquet([{listed}])")

    def view(self, name: str, query: exp.Expr) -> None:
        self._inputs.pop(name, None)
        self._make("VIEW", name, self._sql(query))

    def materialise(self, name: str, query: exp.Expr) -> None:
        self._inputs.pop(name, None)
        self._make("TABLE", name, self._sql(query))

    def _make(self, kind: str, name: str, sql: str) -> None:
        if self._bound.get(name, kind) != kind:
            self._free(name)
        self._execute(f"CREATE OR REPLACE TEMP {kind} {_identifier(name)} AS {sql}")
        self._bound[name] = kind

    def _free(self, name: str) -> None:
        """Drop what stands under `name`: an Arrow table would hide a view of the same name."""
        kind = self._bound.pop(name, None)
        if kind:
            self._connection.unregister(name)
            self._execute(f"DROP {kind} IF EXISTS {_identifier(name)}")

    def table(self, query: exp.Expr) -> pa.Table:
        with _machine_failures():
            return self._connection.sql(self._sql(query)).to_arrow_table()

    def write(self, query: exp.Expr, path: Path, *, rows_per_group: int = ROWS_PER_GROUP) -> None:
        self._write(self._sql(query), path, rows_per_group)

    def write_parts(
        self, query: exp.Expr, folder: Path, *, by: str, order: Sequence[str], parts: Sequence[str]
    ) -> dict[str, Path]:
        written = {part: folder / f"{part}.parquet" for part in parts}
        for part, path in written.items():
            chosen = f"FROM ({self._sql(query)}) AS q WHERE {by} = {_literal(part)}"
            self._write(f"SELECT * EXCLUDE ({by}) {chosen} ORDER BY {', '.join(order)}", path)
        return written

    def _write(self, sql: str, path: Path, rows_per_group: int = ROWS_PER_GROUP) -> None:
        self._execute(
            f"COPY ({sql}) TO {_literal(str(path))} "
            f"(FORMAT parquet, ROW_GROUP_SIZE {rows_per_group}, "
            f"DICTIONARY_SIZE_LIMIT {rows_per_group // ROWS_PER_VALUE})"
        )

    def apply(self, function: Batches, query: exp.Expr, schema: pa.Schema) -> pa.Table:
        return function(self.table(query)).cast(schema)

    def _sql(self, query: exp.Expr) -> str:
        """The text of `query`, checked and written once: a panel asks the same of every range."""
        if not isinstance(query, exp.Expr):
            return query.sql(dialect="duckdb")  # a test's, that kept it as text
        kept = self._texts.pop(id(query), None)
        if kept is None:
            require_inside(query, self._bound)
            kept = query, query.sql(dialect="duckdb")
        self._texts[id(query)] = kept  # the newest at the end
        if len(self._texts) > TEXTS_KEPT:
            del self._texts[next(iter(self._texts))]
        return kept[1]

    def _execute(self, sql: str) -> None:
        with _machine_failures():
            self._connection.execute(sql)


def _connected(resources: Resources, n: int) -> list[duckdb.DuckDBPyConnection]:
    """So many connections to one database in memory."""
    limit = _left_over(resources.memory_limit)
    if n > 1:
        limit = max(SMALLEST, limit - n * OUTSIDE)
    connection = duckdb.connect(
        config={
            "threads": resources.threads,
            # files are read by the thread that needs them: handing over costs more than local disks do
            "async_threads": 0,
            "memory_limit": f"{limit}B" if limit else resources.memory_limit,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            **({"temp_directory": resources.spill} if resources.spill else {}),
        }
    )
    # Kept from one query to the next, of which a panel asks many: fresh memory is slow. More than the
    # machine has is refused here; said while connecting, it ends the process.
    with suppress(duckdb.InvalidInputException):
        connection.execute(f"SET block_allocator_memory = '{min(KEPT, limit // 4)}B'")
    connections = [connection, *(connection.cursor() for _ in range(n - 1))]
    for one in connections:
        for setting in SETTINGS:
            one.execute(f"SET {setting}")
    connection.execute("SET lock_configuration = true")
    return connections


ROOM = 1_000_000_000
"""Bytes that an engine should have to work beside others."""

OUTSIDE = 400_000_000
"""Of these, what is kept for the arrays that Python makes of what it gives."""

SMALLEST = 200_000_000
"""Bytes without which DuckDB gets nowhere, whatever the process has taken already."""


KEPT = 256_000_000
"""Bytes that are not given back before the engine is closed, at most a quarter of what it may use."""


def _left_over(limit: str) -> int:
    """Bytes of a memory limit that are left for DuckDB: Python and its packages live in the same process.

    0 for a limit that only DuckDB understands.
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", limit, re.IGNORECASE)
    if found is None:
        return 0
    amount, unit, binary = found.groups()
    scale = (1024 if binary else 1000) ** " KMGT".index(unit.upper() or " ")
    return max(SMALLEST, int(float(amount) * scale) - _resident())


def _resident() -> int:
    """Bytes of memory that this process holds now; 0 where nobody says."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _machine_failures() -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise MachineError(
            "the engine could not finish a query",
            got=str(error).splitlines()[0],
            expected="enough memory and disk, and files that can be read",
            next_step="raise engine.memory_limit, or point engine.spill to a disk with room",
        ) from error
    except duckdb.OutOfRangeException as error:
        raise InputError(
            "a number does not fit into 64 bits",
            got=str(error).splitlines()[0],
            expected="values and definitions whose sums and products do",
            next_step="look at the values of the log with `churn check`, and at definitions that multiply",
        ) from error
    except duckdb.BinderException as error:
        raise ConfigurationError(
            "an expression does not fit the tables that it reads",
            got=str(error).splitlines()[0],
            expected="columns that are there, of the types that its functions take",
            next_step="correct the feature definition or the expression in the configuration",
        ) from error
    except duckdb.Error as error:
        is_unreadable = (
            isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException)
            or type(error) is duckdb.Error
        )  # what a damaged header is refused with
        if not is_unreadable:
            raise
        raise InputError(
            "the engine could not read its input",
            got=str(error).splitlines()[0],
            expected="files as they were written",
            next_step="deliver or build the damaged file again",
        ) from error


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
