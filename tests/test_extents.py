"""What files tell of their times: the same counts as from their rows, and never more than is so."""

import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logbook import Logbook

from churn.errors import InputError
from churn.io import tables
from churn.io.intake.extents import extents
from churn.settings import Settings
from churn.stages import check, rollup
from churn.usage.events import AHEAD, kept_rules

JANUARY, FEBRUARY = datetime(2026, 1, 20), datetime(2026, 2, 20)
KINDS = {
    "us": pa.timestamp("us"),
    "ms": pa.timestamp("ms"),
    "ns": pa.timestamp("ns"),
    "zone": pa.timestamp("us", tz="America/New_York"),
    "date": pa.date32(),
}


def rows(days: list[int], *, rng: random.Random) -> list[dict[str, Any]]:
    """Events on `days` of 2026, in no order; some are loaded later."""
    begin = datetime(2026, 1, 1)
    made = []
    for place, day in enumerate(days):
        ts = begin + timedelta(days=day, seconds=rng.randrange(86_400))
        loaded = ts + timedelta(days=rng.choice([0, 0, 30]))
        made.append(
            {
                "customer_id": f"k{place % 7}",
                "ts": ts,
                "event": rng.choice("xy"),
                "loaded_at": loaded,
            }
        )
    return made


@pytest.mark.parametrize("exclude", [{}, {"event": ["y"]}])
@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_counted_as_if_their_rows_were_read(
    tmp_path: Path, kind: str, timezone: str, exclude: dict[str, list[str]]
) -> None:
    """In one month, over its end, at its end on a clock elsewhere, and empty."""
    rng = random.Random(7)
    found = []
    for told in (True, False):
        book = Logbook(tmp_path / str(told), {"timezone": timezone, "exclude": exclude})
        book.place.mkdir()
        rng.seed(7)
        for place, days in enumerate([range(31), range(20, 50), [30] * 50 + [31] * 50, []]):
            log = pa.Table.from_pylist(
                rows([*days], rng=rng),
                schema=pa.schema([("customer_id", pa.string()), ("ts", pa.timestamp("us")),
                                  ("event", pa.string()), ("loaded_at", pa.timestamp("us"))]),
            )  # fmt: skip
            if pa.types.is_timestamp(KINDS[kind]) and KINDS[kind].tz:
                log = log.set_column(1, "ts", log["ts"].cast(pa.timestamp("us", tz="UTC")))
            log = log.set_column(1, "ts", log["ts"].cast(KINDS[kind], safe=False))
            pq.write_table(
                log, book.logs / f"{place}.parquet", row_group_size=9, write_statistics=told
            )
        intake = book.take_in()
        counted = [(content.path[-9:], content.entry) for content in intake.contents]
        found.append((counted, intake.first_day, intake.last_day, intake.last_ts))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_tells_only_what_is_so_to_the_microsecond(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    moments = [JANUARY, FEBRUARY]
    if kind == "zone":
        moments = [moment.replace(tzinfo=UTC) for moment in moments]
    table = pa.table({"ts": pa.array(moments, KINDS[kind]), "a.ts": ["x", "y"]})
    pq.write_table(table, path, row_group_size=1)
    told = extents(pq.ParquetFile(path), {"ts": "ts"})
    assert told == ({} if kind in ("ns", "date") else {"ts": (JANUARY, FEBRUARY)})


def test_a_column_inside_another_is_not_taken_for_one_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    inside = pa.array([{"ts": FEBRUARY}], pa.struct([("ts", pa.timestamp("us"))]))
    own = pa.array([JANUARY], pa.timestamp("us"))
    for columns in ({"a.ts": own, "a": inside}, {"a": inside, "a.ts": own}):
        pq.write_table(pa.table(columns), path)
        assert extents(pq.ParquetFile(path), {"ts": "a.ts"}) == {}


def test_a_file_of_which_a_part_does_not_tell_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    column = pa.array([JANUARY, None, JANUARY], pa.timestamp("us"))
    pq.write_table(pa.table({"ts": column}), path, row_group_size=1)
    assert extents(pq.ParquetFile(path), {"ts": "ts"}) == {}
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"), safe=False)
    pq.write_table(pa.table({"ts": far}), path)
    assert extents(pq.ParquetFile(path), {"ts": "ts"}) == {}


@pytest.mark.parametrize(("days", "is_kept"), [(366, True), (367, False)])
def test_a_rule_is_kept_where_no_row_can_break_it(days: int, is_kept: bool) -> None:
    ts = (JANUARY, JANUARY + timedelta(days=days))
    loaded = (JANUARY, JANUARY + timedelta(days=1000))
    assert kept_rules([{"ts": ts, "loaded_at": loaded}]) == ({AHEAD} if is_kept else set())
    assert kept_rules([{"ts": ts, "loaded_at": loaded}, {"ts": ts}]) == set()


@pytest.mark.parametrize("far", [datetime(1, 1, 1), datetime(9999, 12, 31)])
def test_rows_ahead_of_their_arrival_are_refused_whatever_the_others_say(
    tmp_path: Path, far: datetime
) -> None:
    book = Logbook(tmp_path)
    good = {"customer_id": "a", "ts": JANUARY, "event": "x", "loaded_at": JANUARY}
    ahead = good | {"loaded_at": JANUARY - timedelta(days=367)}
    book.parquet("a.parquet", [good, good | {"loaded_at": far}])
    book.parquet("b.parquet", [good | {"event": "y"}, ahead])
    rejects = book.take_in().rejects.sort_values("file")
    assert rejects["column"].tolist() == ["loaded_at", "ts"]
    assert rejects["line"].tolist() == [2, 2]


@pytest.mark.parametrize("exclude", [{}, {"event": ["no*"]}])
@pytest.mark.parametrize("beside", [[], [JANUARY, FEBRUARY + timedelta(days=40)]])
def test_a_file_that_tells_of_another_month_is_refused(
    tmp_path: Path, exclude: dict[str, list[str]], beside: list[datetime]
) -> None:
    """Engines believe it: its rows would be left out, or be those of a month in which they are not. They
    may lie in the midst of the log."""
    book = Logbook(tmp_path, {"exclude": exclude})
    times = [FEBRUARY, *[FEBRUARY + timedelta(days=1)] * 300]
    log = [{"customer_id": f"k{n}", "ts": ts, "event": "x"} for n, ts in enumerate(times)]
    path = book.parquet("a.parquet", log)
    if beside:
        book.parquet("b.parquet", [log[0] | {"ts": ts} for ts in beside])
    settings = Settings(workspace=str(book.workspace), source=book.source(), as_of="2026-04-01")
    rollup.run(settings)
    before = tables.read(book.workspace / "daily", made_by="rollup")
    for moment in set(times):
        _lie(path, moment, moment + timedelta(days=28))
    with pytest.raises(InputError, match="statistics"):
        rollup.run(settings)
    if not exclude:  # else the rows themselves are looked at, and no month is left out
        with pytest.raises(InputError, match="statistics"):
            check.run(settings)
    assert tables.read(book.workspace / "daily", made_by="rollup").equals(before)


def test_a_file_that_tells_of_other_days_is_refused(tmp_path: Path) -> None:
    """Of the right month, so that all its rows are there: but the log would begin on another day."""
    book = Logbook(tmp_path)
    log = [{"customer_id": "a", "ts": JANUARY + timedelta(days=n), "event": "x"} for n in range(3)]
    path = book.parquet("a.parquet", log)
    settings = Settings(workspace=str(book.workspace), source=book.source(), as_of="2026-03-01")
    rollup.run(settings)
    _lie(path, JANUARY, JANUARY - timedelta(days=3))
    with pytest.raises(InputError, match="rows of 2026-01") as refusal:
        rollup.run(settings)
    assert refusal.value.got == "3 rows, of 2026-01-20 to 2026-01-22"
    assert "3, in a log from 2026-01-17 to 2026-01-22, from" in str(refusal.value.expected)


def _lie(path: Path, moment: datetime, instead: datetime) -> None:
    """Replace a time in the statistics of a file."""
    content = path.read_bytes()
    length = struct.unpack("<I", content[-8:-4])[0]
    footer = content[-8 - length : -8]
    assert _micros(moment) in footer
    footer = footer.replace(_micros(moment), _micros(instead))
    path.write_bytes(content[: -8 - length] + footer + content[-8:])


def _micros(moment: datetime) -> bytes:
    return struct.pack("<q", (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1))
