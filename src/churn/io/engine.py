"""DuckDB, and nothing else here knows it: SQLGlot expressions in, Arrow tables or Parquet out."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa
from sqlglot import exp

from churn.errors import InputError, MachineError
from churn.settings import EngineSettings

Relation: TypeAlias = pa.Table | Path | Sequence[Path]


@dataclass
class Resources:
    """What a query may use: threads, memory (DuckDB's notation) and where it spills."""

    threads: int = 2
    memory_limit: str = "4GB"
    spill: str = ""


def resources(settings: EngineSettings) -> Resources:
    """What the configuration allows; threads 0 means all that this process may use."""
    threads = settings.threads or available_threads()
    return Resources(threads, settings.memory_limit, settings.spill)


class Engine:
    """Runs SQLGlot expressions over named inputs; one connection in memory, pinned to UTC.

    Inputs are Arrow tables or Parquet files; nothing is created outside the connection but the
    files that `write` is asked for.
    """

    def __init__(self, resources: Resources) -> None:
        self._connection = duckdb.connect(
            config={
                "threads": resources.threads,
                "memory_limit": resources.memory_limit,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                **({"temp_directory": resources.spill} if resources.spill else {}),
            }
        )
        self._connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        self._connection.close()

    def bind(self, name: str, relation: Relation, *, row_numbers: bool = False) -> None:
        """Make `relation` available to expressions as table `name`.

        With `row_numbers`, Parquet files also show `file_index` (their place in `relation`) and
        `file_row_number`, both from 0.
        """
        if isinstance(relation, pa.Table):
            self._connection.register(name, relation)
            return
        paths = [relation] if isinstance(relation, Path) else list(relation)
        listed = ", ".join(_literal(str(path)) for path in paths)
        numbers = ", file_index, file_row_number" if row_numbers else ""
        self._execute(
            f"CREATE OR REPLACE VIEW {_identifier(name)} AS "
            f"SELECT *{numbers} FROM read_parquet([{listed}])"
        )

    def view(self, name: str, query: exp.Expr) -> None:
        """Make the rows of `query` available as table `name`, computed when they are asked for."""
        self._execute(f"CREATE OR REPLACE VIEW {_identifier(name)} AS {_sql(query)}")

    def materialise(self, name: str, query: exp.Expr) -> None:
        """Compute `query` once and keep it as table `name`."""
        self._execute(f"CREATE OR REPLACE TEMP TABLE {_identifier(name)} AS {_sql(query)}")

    def table(self, query: exp.Expr) -> pa.Table:
        """The rows of `query` as an Arrow table."""
        with _machine_failures():
            return self._connection.sql(_sql(query)).to_arrow_table()

    def write(self, query: exp.Expr, path: Path) -> None:
        """The rows of `query`, in its own order, as a Parquet file at `path`."""
        self._execute(
            f"COPY ({_sql(query)}) TO {_literal(str(path))} "
            "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)"
        )

    def _execute(self, sql: str) -> None:
        with _machine_failures():
            self._connection.execute(sql)


@contextmanager
def opened(resources: Resources, inputs: Mapping[str, Relation] | None = None) -> Iterator[Engine]:
    """An engine with `inputs` bound by name, closed afterwards."""
    engine = Engine(resources)
    try:
        for name, relation in (inputs or {}).items():
            engine.bind(name, relation)
        yield engine
    finally:
        engine.close()


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
    except duckdb.InvalidInputException as error:
        raise InputError(
            "the engine could not read its input",
            got=str(error).splitlines()[0],
            expected="files as they were written",
            next_step="deliver or build the damaged file again",
        ) from error


def _sql(query: exp.Expr) -> str:
    return query.sql(dialect="duckdb")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def available_threads() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
