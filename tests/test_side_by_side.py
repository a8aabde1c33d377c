"""Engines at work beside each other: the same results as one alone, in order, and all ended on an error."""

import datetime as dt
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import world as worlds
from reference import Row, World
from sqlglot import exp, parse_one

from churn.errors import ConfigurationError, InputError
from churn.io import roll_up, tables
from churn.io.engine import Engine, Resources, duck, opened
from churn.io.engine.together import side_by_side
from churn.stages import rollup


def sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")


def setting(engine: Engine, name: str) -> object:
    """What no query may ask."""
    connection = engine._connection  # type: ignore[attr-defined]
    return connection.execute(f"SELECT CURRENT_SETTING('{name}')").fetchall()[0][0]


@pytest.mark.parametrize(
    ("threads", "memory", "n_items", "n"),
    [(2, "40GB", 4, 2), (2, "40GB", 3, 1), (1, "40GB", 9, 1), (2, "1GB", 9, 1), (8, "40GB", 7, 3)],
)
def test_as_many_work_as_find_room_and_have_enough_to_do(
    threads: int, memory: str, n_items: int, n: int
) -> None:
    with (
        opened(Resources(threads=threads, memory_limit=memory)) as engine,
        engine.beside(n_items) as engines,
    ):
        assert len(engines) == n
        assert (engine in engines) == (n == 1)
        assert {setting(one, "threads") for one in engines} == {threads - n + 1}


def test_a_machine_with_less_memory_than_what_would_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DuckDB ends the process when it is told so while connecting."""
    monkeypatch.setattr(duck, "KEPT", 10**15)
    with opened(Resources(memory_limit="4000TB")) as engine:
        assert setting(engine, "block_allocator_memory") == "0 bytes"
        assert engine.table(sql("SELECT 1 AS one")).to_pylist() == [{"one": 1}]


def test_they_read_what_was_bound_and_share_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2]}), path)
    with opened(Resources(), {"file": path, "gone": path}) as engine:
        engine.bind("raw", [path, path], row_numbers=True)
        engine.bind("arrow", pa.table({"n": [5]}))
        engine.bind("other", pa.table({"n": [6]}))
        engine.materialise("other", sql("SELECT 7 AS n"))
        engine.view("gone", sql("SELECT 8 AS n"))
        path.rename(tmp_path / "b.parquet")
        with engine.beside(4, reading=["arrow"]) as engines:
            assert engines[1].table(sql("SELECT n FROM arrow")).to_pylist() == [{"n": 5}]
        (tmp_path / "b.parquet").rename(path)
        with engine.beside(4) as engines:
            for place, one in enumerate(engines):
                raw = one.table(sql("SELECT SUM(n) AS n, MAX(file_index) AS place FROM raw"))
                assert raw.to_pylist() == [{"n": 6, "place": 1}]
                assert one.table(sql("SELECT n FROM arrow")).to_pylist() == [{"n": 5}]
                for name in ("other", "gone"):
                    with pytest.raises(ConfigurationError, match="not given"):
                        one.table(sql(f"SELECT n FROM {name}"))
                one.bind("arrow", pa.table({"n": [place]}))
                one.materialise("mine", sql(f"SELECT {place} AS n"))
            mine = [
                one.table(sql("SELECT a.n + m.n AS n FROM arrow AS a, mine AS m"))
                for one in engines
            ]
            assert [one["n"][0].as_py() for one in mine] == [0, 2]
        assert engine.table(sql("SELECT n FROM arrow")).to_pylist() == [{"n": 5}]


def test_every_one_is_pinned_and_locked() -> None:
    with opened(Resources(memory_limit="40GB")) as engine, engine.beside(4) as engines:
        for one in engines:
            assert setting(one, "TimeZone") == "UTC"
            with pytest.raises(InputError, match="locked"):
                one._execute("SET TimeZone = 'Asia/Tokyo'")  # type: ignore[attr-defined]


def test_results_are_in_order_though_the_first_waits_for_the_second() -> None:
    second_began = threading.Event()

    def work(engine: Engine, item: int) -> int:
        if item == 0:
            assert second_began.wait(30), "nobody works beside"
        if item == 1:
            second_began.set()
        return int(engine.table(sql(f"SELECT {item} AS n"))["n"][0].as_py())

    with opened(Resources(memory_limit="40GB")) as engine, engine.beside(9) as engines:
        assert list(side_by_side(engines, work, range(9))) == list(range(9))


def test_an_error_ends_it_all() -> None:
    begun: list[int] = []
    before = threading.enumerate()

    def work(engine: Engine, item: int) -> int:
        begun.append(item)
        if item == 2:
            engine.table(sql("SELECT nothing FROM nowhere"))
        return item

    with opened(Resources(memory_limit="40GB")) as engine:
        with engine.beside(50) as engines, pytest.raises(ConfigurationError):
            list(side_by_side(engines, work, range(50)))
        assert max(begun) <= 4
        assert engine.table(sql("SELECT 1 AS n")).to_pylist() == [{"n": 1}]
    assert not set(threading.enumerate()) - set(before)


def test_a_result_that_nobody_wants_any_more_ends_it_too() -> None:
    begun: list[int] = []
    with opened(Resources(memory_limit="40GB")) as engine, engine.beside(50) as engines:
        results = side_by_side(engines, lambda _, item: begun.append(item), range(50))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert max(begun) <= 2


@pytest.mark.parametrize("busy_month", [0, 3, 6])
def test_months_are_rolled_up_the_same_beside_each_other(tmp_path: Path, busy_month: int) -> None:
    """Seven months, one of which has a day that takes wider counts; with and without rows that came late."""

    def one(customer: str, day: dt.date, late: int) -> Row:
        ts = dt.datetime.combine(day, dt.time(9))
        return {"customer_id": customer, "ts": ts, "event": "login", "value": 2.0, "user_id": "u",
                "loaded_at": ts + dt.timedelta(days=late), "item": "pen", "text": "hello"}  # fmt: skip

    months = [dt.date(2025, month, 3) for month in range(3, 10)]
    log = [one(f"k{n}", day, n % 3) for day in months for n in range(5)]
    log += [one("busy", months[busy_month], n % 2) for n in range(300)]
    worlds.write(World(events=log), tmp_path)
    found = []
    for threads in (1, 2):
        settings = worlds.settings_of(tmp_path, tmp_path / f"workspace_{threads}")
        settings.engine.threads = threads
        rollup.run(settings)
        names = [*roll_up.NAMES, "people"]
        files = {name: tables.parts(settings.place / name, made_by="rollup") for name in names}
        found.append({n: {m: path.read_bytes() for m, path in files[n].items()} for n in names})
    assert found[0] == found[1]
    assert len(found[0]["daily"]) == len(months)
