"""`first_days`: whatever the date, the earliest day known then, and no month hangs on the way it was made."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import exit_code
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import parse_one

from churn import contracts
from churn.io import tables
from churn.io.engine import Engine, Resources, opened
from churn.io.workspace import arrow_schema, empty
from churn.usage.first_days import first_days

FIRST = date(2025, 11, 1)
SCHEMA = arrow_schema(contracts.FIRST_DAYS)

Day = tuple[str, date, date]
"""customer_id, day, first_known_on."""


def a_day(customer: str, day: int, lag: int) -> Day:
    return customer, FIRST + timedelta(days=day), FIRST + timedelta(days=day + lag)


DAYS = st.lists(
    st.builds(a_day, st.sampled_from("ab"), st.integers(0, 90), st.integers(1, 60)),
    unique_by=lambda row: row[:2],
    max_size=14,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with opened(Resources(threads=1)) as found:
        yield found


def bound(rows: Sequence[Day]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    return pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)


def kept(engine: Engine, rows: Sequence[Day], before: Sequence[Day]) -> list[Day]:
    engine.bind("daily_part", bound(rows))
    engine.bind("first_days_before", bound(before) if before else empty(contracts.FIRST_DAYS))
    return [tuple(row.values()) for row in engine.table(first_days()).to_pylist()]


def earliest(rows: Sequence[Day], known_on: date) -> dict[str, date]:
    days: dict[str, date] = {}
    for customer, day, first_known_on in rows:
        if first_known_on <= known_on:
            days[customer] = min(day, days.get(customer, day))
    return days


@given(DAYS, st.integers(0, 150))
def test_the_earliest_day_known_at_any_date_is_there(
    engine: Engine, rows: list[Day], at: int
) -> None:
    known_on = FIRST + timedelta(days=at)
    assert earliest(kept(engine, rows, []), known_on) == earliest(rows, known_on)


@given(DAYS)
def test_month_by_month_and_at_once_are_the_same(engine: Engine, rows: list[Day]) -> None:
    found: list[Day] = []
    for month in sorted({day.strftime("%Y-%m") for _, day, _ in rows}):
        found += kept(engine, [row for row in rows if row[1].strftime("%Y-%m") == month], found)
    assert sorted(found) == kept(engine, rows, [])


def test_a_customer_without_late_rows_has_one_day(engine: Engine) -> None:
    rows = [a_day("a", day, 1) for day in range(0, 90, 7)]
    assert kept(engine, rows, []) == rows[:1]
    assert kept(engine, rows[5:], rows[:1]) == []


def test_what_is_bound_last_is_what_is_read(engine: Engine, tmp_path: Path) -> None:
    """An Arrow table, files, a view and a table under one name, in any order: none hides another."""
    days = [a_day("a", day, 1) for day in range(3)]
    pq.write_table(bound(days[:2]), tmp_path / "days.parquet")
    kinds: list[tuple[Callable[[], None], int]] = [
        (lambda: engine.bind("some", bound(days[:1])), 1),
        (lambda: engine.bind("some", [tmp_path / "days.parquet"]), 2),
        (lambda: engine.view("some", parse_one("SELECT 1 AS one WHERE FALSE")), 0),
        (lambda: engine.materialise("some", parse_one("SELECT 1 AS one")), 1),
    ]
    for order in itertools.product(kinds, repeat=3):
        for bind, n in order:
            bind()
            assert engine.table(parse_one("SELECT * FROM some")).num_rows == n


def test_a_log_without_late_rows_has_one_row_for_each_customer(tmp_path: Path) -> None:
    """Three months by the command: what the month before has is not written again."""
    rows = [
        f"c{k % 3},2025-{month:02d}-{1 + k:02d} 10:00:00,login"
        for month in (1, 2, 3)
        for k in range(9)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["customer_id,ts,event", *rows]) + "\n")
    words = ["source=files", f"source.events={tmp_path}/log.csv", f"workspace={tmp_path}/ws"]
    assert exit_code("rollup", *words) == 0
    found = tables.read(tmp_path / "ws" / "first_days", made_by="rollup")
    assert found["day"].astype(str).tolist() == ["2025-01-01", "2025-01-02", "2025-01-03"]
    assert tables.names(tmp_path / "ws" / "first_days") == ["2025-01", "2025-02", "2025-03"]
