"""One row of the log: times, known_on, values, who wins an event_id."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logbook import Logbook, day, events, row
from sqlglot import parse_one

from churn.io.engine import Resources, opened
from churn.timeline import Arrival
from churn.usage import columns, duplicates
from churn.usage.columns import Column
from churn.usage.events import Rules, broken_rules, like, tally
from churn.usage.reading import Reading


@pytest.fixture
def book(tmp_path):
    return Logbook(tmp_path)


def read(text: str, *, ts_format: str = "iso", timezone: str = "UTC") -> str | None:
    """What `text` is as a UTC time."""
    sql = columns.moment("t", Column("t", "text"), ts_format=ts_format, timezone=timezone)
    with opened(Resources(), {"texts": pa.table({"t": [text]})}) as engine:
        found = engine.table(parse_one(f"SELECT {sql} AS ts FROM texts", dialect="duckdb"))
    assert found.schema.field("ts").type == pa.timestamp("us")
    value = found["ts"][0].as_py()
    return value.isoformat() if value else None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05", "2026-01-05T00:00:00"),
        ("2026-01-05 10:11", "2026-01-05T10:11:00"),
        ("2026-01-05T10:11:12", "2026-01-05T10:11:12"),
        ("2026-01-05T10:11:12.5", "2026-01-05T10:11:12.500000"),
        ("2026-01-05T10:11:12.123456Z", "2026-01-05T10:11:12.123456"),
        ("2026-01-05 10:11:12+02:00", "2026-01-05T08:11:12"),
        ("2026-01-05 23:11-05:30", "2026-01-06T04:41:00"),
        *((bad, None) for bad in (
            "2026-1-5", "2026/01/05", "05.01.2026", "01/02/2026", "infinity", "2026-02-29",
            "2026-01-05 24:00", "2026-01-05 10:11:12 Europe/Berlin", " 2026-01-05", "now", "",
            "2026-01-05 10:61", "20260105", "2026-01-05T10", "2026-01-05 10:11:12+2",
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("timezone", ["UTC", "Etc/UTC"])
def test_iso_is_what_it_says_and_nothing_else(text, moment, timezone):
    assert read(text, timezone=timezone) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05 10:00", "2026-01-05T09:00:00"),
        ("2026-07-05 10:00", "2026-07-05T08:00:00"),
        ("2026-07-05 10:00Z", "2026-07-05T10:00:00"),
        ("2026-03-29 02:30", "2026-03-29T01:30:00"),  # an hour that does not exist
        ("2026-10-25 02:30", "2026-10-25T01:30:00"),  # an hour that comes twice: the second
        ("2026-10-25 02:30+02:00", "2026-10-25T00:30:00"),
    ],
)
def test_a_time_without_an_offset_is_local(text, moment):
    assert read(text, timezone="Europe/Berlin") == moment


@pytest.mark.parametrize(
    ("text", "ts_format", "moment"),
    [
        ("1767225600", "epoch_s", "2026-01-01T00:00:00"),
        ("1767225600.25", "epoch_s", "2026-01-01T00:00:00.250000"),
        ("1767225600001", "epoch_ms", "2026-01-01T00:00:00.001000"),
        ("1767225600001", "epoch_s", None),
        ("1767225600", "epoch_ms", None),
        ("2026-01-01", "epoch_s", None),
        ("31.12.2025 23:59:58", "%d.%m.%Y %H:%M:%S", "2025-12-31T23:59:58"),
        ("12/31/2025", "%m/%d/%Y", "2025-12-31T00:00:00"),
        ("31/12/2025", "%m/%d/%Y", None),
        ("10/Oct/2025:13:55:36 +0200", "%d/%b/%Y:%H:%M:%S %z", "2025-10-10T11:55:36"),
    ],
)
def test_other_formats_are_declared(text, ts_format, moment):
    assert read(text, ts_format=ts_format) == moment


def known(book: Logbook, ts: str, loaded_at: str | None, arrival: Arrival) -> str:
    book.parquet("a.parquet", [row(ts=ts, loaded_at=loaded_at)])
    return events(book.take_in(arrival=arrival))[0]["known_on"].isoformat()


@pytest.mark.parametrize(
    ("ts", "loaded_at", "known_on"),
    [
        ("2026-01-05 00:00", "2026-01-05 00:00", "2026-01-06"),
        ("2026-01-05 23:59", "2026-01-06 05:59", "2026-01-06"),
        ("2026-01-05 23:59", "2026-01-06 06:00", "2026-01-07"),
        ("2026-01-05 10:00", "2026-02-01 05:00", "2026-02-01"),
        ("2026-01-05 10:00", None, "2026-01-06"),
        ("2026-01-05 10:00", "2026-01-04 10:00", "2026-01-06"),  # a clock that is ahead
    ],
)
def test_known_on_is_the_first_snapshot_that_knows_the_row(book, ts, loaded_at, known_on):
    assert known(book, ts, loaded_at, Arrival(6)) == known_on


@pytest.mark.parametrize(
    ("loaded_at", "known_on"),
    [
        ("2026-01-06 01:00", "2026-01-06"),  # known before as_of: stays
        ("2026-01-10 12:00", "2026-01-10"),  # would be late, but known_at takes it in
        ("2026-01-10 18:00", "2026-01-11"),
        ("2026-01-12 18:00", "2026-01-13"),
    ],
)
def test_known_at_replaces_the_cut_of_as_of_alone(book, loaded_at, known_on):
    arrival = Arrival(6, day("2026-01-10"), datetime(2026, 1, 10, 18))
    assert known(book, "2026-01-05 10:00", loaded_at, arrival) == known_on


def test_known_at_can_leave_out_what_the_rule_would_take_in(book):
    arrival = Arrival(6, day("2026-01-06"), datetime(2026, 1, 6, 1))
    assert known(book, "2026-01-05 10:00", "2026-01-06 02:00", arrival) == "2026-01-07"


def test_values_are_whole_ten_thousandths_and_hours_are_local(book):
    book.parquet("a.parquet", [row(value=10.00005), row("b", value=-0.1), row("c", value=None)])
    found = events(book.take_in(timezone="Asia/Kolkata"))
    assert [e["value_units"] for e in found] == [100001, -1000, None]
    assert [(e["ts"].hour, e["local_hour"]) for e in found] == [(4, 10)] * 3


@pytest.mark.parametrize("order", [1, -1])
def test_the_row_known_first_wins_its_event_id_whatever_the_order(book, order):
    twins = [
        row("a", "2026-01-05", event_id="1", loaded_at="2026-01-09"),
        row("b", "2026-01-06", event_id="1", loaded_at="2026-01-07"),
        row("c", "2026-01-06", event_id="1", loaded_at="2026-01-07 01:00"),
    ]
    book.parquet("a.parquet", twins[::order])
    assert [e["customer_id"] for e in events(book.take_in())] == ["b"]


def test_cutting_the_log_by_arrival_never_changes_who_won_before_the_cut(book):
    rng = np.random.default_rng(3)
    rows = [
        row(
            str(rng.integers(3)),
            f"2026-01-{rng.integers(1, 9):02d} {rng.integers(24):02d}:00",
            event_id=str(rng.integers(60)),
            loaded_at=f"2026-01-{rng.integers(9, 20):02d} {rng.integers(24):02d}:00",
        )
        for _ in range(200)
    ]
    book.parquet("a.parquet", rows)
    whole = events(book.take_in())
    for cut in (10, 13, 16, 20):
        before = [r for r in rows if r["loaded_at"] < datetime(2026, 1, cut, 6)]
        book.parquet("a.parquet", before)
        expected = [e for e in whole if e["known_on"] <= day(f"2026-01-{cut:02d}")]
        assert events(book.take_in()) == expected


def test_repeated_finds_each_value_that_occurs_more_than_once():
    hashes = np.array([5, 2, 5, 9, 2, 5], dtype=np.uint64)
    assert duplicates.repeated(hashes).tolist() == [2, 5]
    assert len(duplicates.repeated(hashes[:0])) == 0


def test_hashes_are_compared_in_parts_where_there_are_many(book, monkeypatch):
    monkeypatch.setattr("churn.io.intake.rivals.HASHES_AT_ONCE", 3)
    book.parquet("a.parquet", [row(event_id=str(i % 7)) for i in range(12)])
    assert len(events(book.take_in())) == 7


@pytest.mark.parametrize(
    ("glob", "pattern"), [("bot*", "bot%"), ("a?b", "a_b"), ("50%_x", r"50\%\_x"), ("\\", r"\\")]
)
def test_globs_become_like_patterns(glob, pattern):
    assert like(glob) == pattern


GOOD = {
    "customer_id": "a",
    "ts": datetime(2026, 1, 5),
    "event": "login",
    "value": 1.0,
    "loaded_at": datetime(2026, 1, 5),
}
READING = Reading(
    tuple(
        (name, Column(name, "number" if name == "value" else kind))
        for name, kind in zip(GOOD, ["text", "timestamp", "text", "", "timestamp"], strict=True)
    )
)
BAD = [
    ("customer_id", None, 2),
    ("customer_id", "", 2),
    ("customer_id", " \t\n", 2),
    ("ts", None, 3),
    ("ts", datetime(1989, 12, 31), 5),
    ("ts", datetime(2200, 1, 1), 5),
    ("event", None, 6),
    ("event", " ", 6),
    ("value", float("nan"), 7),
    ("value", float("-inf"), 7),
    ("value", 9.1e13, 7),
    ("value", -9.1e13, 7),
    ("loaded_at", datetime(1989, 12, 31), 8),
    ("loaded_at", datetime(2200, 1, 1), 8),
    ("ts", datetime(2027, 2, 1), 11),
    ("loaded_at", datetime(9999, 12, 31), 8),
    ("loaded_at", 9_223_371_331_199_999_999, 8),  # microseconds; a year on there is no time
]


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(("column", "value", "code"), [*BAD, ("value", None, 0)])
def test_one_bad_row_is_found_without_judging_all(tmp_path, column, value, code, statistics):
    rows = pa.Table.from_pylist([GOOD] * 300)
    rows = rows.set_column(
        rows.schema.get_field_index(column),
        column,
        pa.array([*rows[column].to_pylist()[:-1], value], rows.schema.field(column).type),
    )
    path = tmp_path / "a.parquet"
    pq.write_table(rows, path, row_group_size=100, write_statistics=statistics)
    with opened(Resources()) as engine:
        engine.bind("raw", path, row_numbers=True)
        broken = engine.table(broken_rules(READING))["code"].to_pylist()
        few = engine.table(tally(READING, Rules(), broken=broken)).to_pylist()
        every = engine.table(tally(READING, Rules())).to_pylist()
    assert few == every
    assert code in broken or not (code or broken)
    assert [row["n"] for row in few if row["fault"] == code] == [1 if code else 300]
