"""SQLGlot expressions in, Arrow tables or Parquet out: on DuckDB here, or on Spark elsewhere.

This package alone knows DuckDB (`duck`) and Spark (`spark`, `dialect`). Whoever asks sees `Engine`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
from sqlglot import exp

from churn.settings import EngineSettings

Relation: TypeAlias = pa.Table | Path | Sequence[Path]

ROWS_PER_GROUP = 131_072

Batches: TypeAlias = Callable[[pa.Table], pa.Table]


@dataclass
class Resources:
    """What a query may use: threads, memory (DuckDB's notation) and where it spills.

    With `name` spark, `master` is the cluster, `memory_limit` what the driver of a local master or
    each executor of a cluster gets, `shuffle_partitions` into how many pieces rows are dealt, and
    `patience_s` for how many seconds a cluster may be without workers.
    """

    threads: int = 2
    memory_limit: str = "4GB"
    spill: str = ""
    name: str = "duckdb"
    master: str = "local[2]"
    shuffle_partitions: int = 8
    patience_s: int = 300


class Engine(ABC):
    """Runs SQLGlot expressions over named inputs; pinned to UTC.

    Inputs are Arrow tables or Parquet files; nothing is left behind but the files that `write` and
    `write_parts` are asked for. Raises `MachineError` when memory, disk or workers give way, and
    `InputError` for a file that cannot be read.
    """

    is_distributed: bool = False
    """Rows may not fit into this process: keep to views and files where there may be many."""

    @abstractmethod
    def close(self) -> None: ...

    @contextmanager
    def beside(
        self, n_items: int, *, reading: Collection[str] | None = None
    ) -> Iterator[Sequence["Engine"]]:
        """Engines to work side by side on so many items of about one size, closed afterwards: as many as
        find room and have two items each, or this one alone. They read what is bound here by then, all
        of it or the tables named in `reading`, but none of its views."""
        yield [self]

    @abstractmethod
    def bind(self, name: str, relation: Relation, *, row_numbers: bool = False) -> None:
        """Make `relation` available to expressions as table `name`.

        With `row_numbers`, Parquet files also show `file_index` (their place in `relation`) and
        `file_row_number`, both from 0.
        """

    @abstractmethod
    def view(self, name: str, query: exp.Expr) -> None:
        """Make the rows of `query` available as table `name`, computed when they are asked for."""

    @abstractmethod
    def materialise(self, name: str, query: exp.Expr) -> None:
        """Compute `query` once and keep it as table `name`."""

    @abstractmethod
    def table(self, query: exp.Expr) -> pa.Table:
        """The rows of `query` as an Arrow table."""

    @abstractmethod
    def write(self, query: exp.Expr, path: Path, *, rows_per_group: int = ROWS_PER_GROUP) -> None:
        """The rows of `query`, in its own order, as a Parquet file at `path`.

        A distributed engine makes `path` a folder of files, whose names sort in that order. Of a file
        with small groups of rows a range of its first column is read without most of the rest.
        """

    @abstractmethod
    def write_parts(
        self, query: exp.Expr, folder: Path, *, by: str, order: Sequence[str], parts: Sequence[str]
    ) -> dict[str, Path]:
        """As `write`, one file below `folder` for each of `parts`, the values of text column `by`.

        In each the rows stand in `order`, without `by`; a part without rows has a file without.
        """

    @abstractmethod
    def apply(self, function: Batches, query: exp.Expr, schema: pa.Schema) -> pa.Table:
        """`function` over the rows of `query`, batch by batch, where the rows are.

        It gets and gives Arrow tables, the latter of `schema`, and must judge each row by itself.
        """


def resources(settings: EngineSettings) -> Resources:
    """What the configuration allows; threads 0 means all that this process may use."""
    threads = settings.threads or available_threads()
    return Resources(
        threads,
        settings.memory_limit,
        settings.spill,
        settings.name,
        settings.master,
        settings.shuffle_partitions,
        settings.patience_s,
    )


def near(resources: Resources) -> Resources:
    """The same for work that stays in this process: always DuckDB."""
    return Resources(resources.threads, resources.memory_limit, resources.spill)


@contextmanager
def opened(resources: Resources, inputs: Mapping[str, Relation] | None = None) -> Iterator[Engine]:
    """An engine with `inputs` bound by name, closed afterwards.

    Raises `ConfigurationError` for Spark where its extra is not installed.
    """
    engine = _started(resources)
    try:
        for name, relation in (inputs or {}).items():
            engine.bind(name, relation)
        yield engine
    finally:
        engine.close()


def _started(resources: Resources) -> Engine:
    """Each engine is imported where it is asked for: Spark is an extra and takes seconds."""
    if resources.name == "spark":
        from churn.io.engine import spark

        return spark.started(resources)
    from churn.io.engine.duck import Duck

    return Duck(resources)


def available_threads() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
