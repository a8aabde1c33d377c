"""The engine that runs elsewhere: Spark, local or a cluster, by the same statements.

One Spark application per process, started by the first engine and left running: starting takes
seconds. Each engine is a session of its own in it, so that names do not meet.
"""

import re
import shutil
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp, parse_one

from churn.errors import ConfigurationError, InputError, MachineError
from churn.io.engine import ROWS_PER_GROUP, Batches, Engine, Relation, Resources
from churn.io.engine.application import application, require_installed
from churn.io.engine.dialect import spark_sql
from churn.io.engine.guard import require_inside

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEME = "^file:/+"
"""Spark spells one file in two ways, `file:/x` and `file:///x`."""

DAMAGED = ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "PARQUET_COLUMN_DATA_TYPE_MISMATCH")
DIVIDED = ("DIVIDE_BY_ZERO", "REMAINDER_BY_ZERO")
TOO_LARGE = ("ARITHMETIC_OVERFLOW", "CAST_OVERFLOW")


def started(resources: Resources) -> Engine:
    """A session on `resources.master`.

    Raises `ConfigurationError` without the extra or Java, `MachineError` where there is no cluster.
    """
    require_installed()
    try:
        with failures():
            return Spark(application(resources).newSession(), resources)
    except MachineError as error:
        raise MachineError(
            "Spark did not start",
            got=error.got,
            expected=f"an application on {resources.master}",
            next_step="look at engine.master, and whether the cluster and Java 17 are there",
        ) from error


class Spark(Engine):
    """One session of the Spark application. Files must be where driver and workers both see them."""

    is_distributed = True

    def __init__(self, session: "SparkSession", resources: Resources) -> None:
        self._session = session
        self._resources = resources
        self._kept: dict[str, DataFrame] = {}
        self._bound: set[str] = set()

    def close(self) -> None:
        for frame in self._kept.values():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _quietly_released(frame)

    def bind(self, name: str, relation: Relation, *, row_numbers: bool = False) -> None:
        with failures():
            if isinstance(relation, pa.Table):
                frame = self._session.createDataFrame(relation)
            else:
                frame = self._read(relation, row_numbers=row_numbers)
            frame.createOrReplaceTempView(name)
        self._bound.add(name)

    def view(self, name: str, query: exp.Expr) -> None:
        with failures():
            self._rows(query).createOrReplaceTempView(name)
        self._bound.add(name)

    def materialise(self, name: str, query: exp.Expr) -> None:
        with failures():
            frame = self._rows(query).persist()
            frame.createOrReplaceTempView(name)
            if name in self._kept:
                self._kept[name].unpersist()
            self._kept[name] = frame
        self._bound.add(name)

    def table(self, query: exp.Expr) -> pa.Table:
        with self._watched(), failures():
            return _nullable(self._rows(query).toArrow())

    def write(self, query: exp.Expr, path: Path, *, rows_per_group: int = ROWS_PER_GROUP) -> None:
        with _whole(path), self._watched(), failures():
            written(self._rows(query), path)

    def write_parts(
        self, query: exp.Expr, folder: Path, *, by: str, order: Sequence[str], parts: Sequence[str]
    ) -> dict[str, Path]:
        place = folder / "parts"
        with _whole(place), self._watched(), failures():
            rows = self._rows(query)
            chosen = rows.where(rows[by].isin(*parts)).sort(by, *order)
            written(chosen, place, by=by)
            nothing = _arrow_schema(rows.drop(by)).empty_table()
            for part in parts:
                if not (place / f"{by}={part}").exists():
                    (place / f"{by}={part}").mkdir()
                    pq.write_table(nothing, place / f"{by}={part}" / "part-00000.parquet")
        return {part: place / f"{by}={part}" for part in parts}

    def apply(self, function: Batches, query: exp.Expr, schema: pa.Schema) -> pa.Table:
        from pyspark.sql.pandas.types import from_arrow_schema

        def batches(rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in rows:
                yield from function(pa.Table.from_batches([batch])).cast(schema).to_batches()

        with self._watched(), failures():
            kinds = from_arrow_schema(schema, prefer_timestamp_ntz=True)
            return _nullable(self._rows(query).mapInArrow(batches, kinds).toArrow()).cast(schema)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Give a job up that has no workers: Spark itself would wait for new ones for ever.

        Raises `MachineError` when there was none for `patience_s` seconds.
        """
        if self._resources.master.startswith("local"):
            yield
            return
        context = self._session.sparkContext
        is_done, is_given_up = threading.Event(), threading.Event()

        def watch() -> None:
            n_alone = 0
            while not is_done.wait(1):
                is_alone = context._jsc.sc().getExecutorMemoryStatus().size() <= 1  # the driver
                n_alone = n_alone + 1 if is_alone else 0
                if n_alone > self._resources.patience_s:
                    is_given_up.set()
                    context.cancelAllJobs()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except MachineError as error:
            if is_given_up.is_set():
                raise _no_workers(self._resources) from error
            raise
        finally:
            is_done.set()
            watcher.join()

    def _rows(self, query: exp.Expr) -> "DataFrame":
        if isinstance(query, exp.Expr):
            require_inside(query, self._bound)
        else:  # a test's, that kept it as text
            query = parse_one(query.sql(dialect="duckdb"), dialect="duckdb")
        return self._session.sql(spark_sql(query))

    def _read(self, relation: Path | Sequence[Path], *, row_numbers: bool) -> "DataFrame":
        """Parquet files of one schema, which is read here: Spark would run a job to find it."""
        from pyspark.sql import functions as f

        files = files_of([relation] if isinstance(relation, Path) else relation)
        frame = self._session.read.schema(_schema(files)).parquet(*map(_escaped, files))
        if not row_numbers:
            return frame
        places = {str(path): place for place, path in enumerate(files)}
        uris = [re.sub(SCHEME, "/", uri) for uri in frame.inputFiles()]
        known = f.create_map(*[f.lit(x) for uri in uris for x in (uri, places[unquote(uri)])])
        index = f.element_at(known, f.regexp_replace(f.col("_metadata.file_path"), SCHEME, "/"))
        return frame.select(
            "*",
            index.cast("bigint").alias("file_index"),
            f.col("_metadata.row_index").alias("file_row_number"),
        )


def _no_workers(resources: Resources) -> MachineError:
    return MachineError(
        "Spark has no workers to run a query",
        got=f"none on {resources.master} for {resources.patience_s} seconds",
        expected="workers with the memory and cores that the configuration asks for",
        next_step="run the command again when there are some: nothing was changed",
    )


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files behind `paths`, of which some may be folders that `write` made."""
    found = []
    for path in paths:
        found += sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return found


def _schema(files: Sequence[Path]) -> Any:
    """The columns of Parquet files as Spark's types, timestamps without zone staying that.

    Spark fills a column that a file lacks with nulls; here it is refused, as DuckDB does.

    A column of a type that Spark lacks is left out: nobody asks for it here. One that holds nothing
    but nulls has a type that Spark cannot read, and its file says INT32.
    """
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructType

    known, first = StructType(), pq.read_schema(files[0])
    for file in files[1:]:
        if lacking := set(first.names) - set(pq.read_schema(file).names):
            raise InputError(
                f"{file} lacks columns that {files[0]} has",
                got=f"no {', '.join(sorted(lacking))}",
                expected="files with the same columns",
                next_step="run the command that wrote them again",
            )
    for field in first:
        type_ = pa.int32() if pa.types.is_null(field.type) else field.type
        with suppress(PySparkTypeError):
            known = known.add(field.name, from_arrow_type(type_, prefer_timestamp_ntz=True))
    return known


def _escaped(path: Path) -> str:
    """`path` for a reader that takes `*`, `?`, `[` and `{` for a pattern."""
    if ":" in path.name:
        raise InputError(
            f"{path} has a colon in its name",
            got=path.name,
            expected="a name that Hadoop's file systems take",
            next_step="rename the file, or run this command with engine=duckdb",
        )
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", str(path))


def _nullable(table: pa.Table) -> pa.Table:
    """Spark also says what cannot be null; DuckDB and Parquet files of either do not."""
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))


def _arrow_schema(frame: "DataFrame") -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return pa.schema([field.with_nullable(True) for field in to_arrow_schema(frame.schema)])


def written(frame: "DataFrame", path: Path, *, by: str | None = None) -> None:
    """Let the workers write `frame` below `path`, and see that every row of it is there.

    Workers that do not share the driver's file system write into their own, and Spark calls that a
    success: an empty table.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as f

    counted = Observation("written")
    writer = frame.observe(counted, f.count(f.lit(1)).alias("n")).write
    (writer.partitionBy(by) if by else writer).parquet(str(path))
    n_rows, found = counted.get["n"], path.rglob("*.parquet")
    n_found = sum(pq.read_metadata(file).num_rows for file in found)
    if n_found != n_rows:
        raise MachineError(
            "the workers wrote to a place that this process does not see",
            got=f"{n_found:,} of {n_rows:,} rows in {path}",
            expected="a workspace that driver and workers share",
            next_step="put the workspace on storage mounted at the same path everywhere",
        )


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Nothing at `path` unless all of it is written."""
    is_done = False
    try:
        yield
        is_done = True
    finally:
        if not is_done:
            shutil.rmtree(path, ignore_errors=True)


def _quietly_released(frame: "DataFrame") -> None:
    """Give back what was kept; an application that has died has given it back already."""
    from py4j.protocol import Py4JError

    with suppress(Py4JError, OSError):
        frame.unpersist()


@contextmanager
def failures() -> Iterator[None]:
    """Spark's errors as ours: one line for a person instead of a hundred of two stack traces."""
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, PySparkException

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*PySpark does not yet fully support pandas")
            yield
    except AnalysisException:
        raise  # a statement that Spark does not understand is a fault of ours
    except pa.ArrowInvalid as error:
        raise _told(f"{DAMAGED[0]}: {error}") from error
    except (PySparkException, Py4JError, OSError) as error:
        raise _told(str(error)) from error


def _told(said: str) -> ConfigurationError | InputError | MachineError:
    """The error that a person can act on, by what Spark calls it anywhere in its trace."""
    lines = [
        line.removeprefix(": ") for line in said.splitlines() if re.match(r"\[[A-Z_.]+\]|: ", line)
    ]
    first = (lines or said.splitlines() or ["no reason given"])[0][:300]
    if any(name in said for name in DIVIDED):
        return ConfigurationError(
            "a statement divides by zero",
            got=first,
            expected="feature definitions that guard every denominator with NULLIF(…, 0)",
            next_step="mend the feature in features.more; DuckDB would call the result infinite",
        )
    if any(name in said for name in TOO_LARGE):
        return InputError(
            "a sum does not fit into 64 bits",
            got=first,
            expected="values of at most 9e13 in total per customer",
            next_step="look at the values of the log with `churn check`",
        )
    if any(name in said for name in DAMAGED):
        return InputError(
            "the engine could not read its input",
            got=first,
            expected="files as they were written",
            next_step="deliver or build the damaged file again",
        )
    return MachineError(
        "Spark could not finish a query",
        got=first,
        expected="workers that stay, with enough memory and disk",
        next_step="run the command again: nothing was changed; else raise engine.memory_limit",
    )
