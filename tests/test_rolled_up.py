"""What a panel finds in a roll-up that died half-way, that is all late, or that a definition does not fit."""

import datetime as dt
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import world as worlds
from reference import Row, World
from sqlglot import exp, parse_one
from world import Question

from churn.errors import ConfigurationError, InputError
from churn.features import panel
from churn.features.definitions import Feature
from churn.features.running import Whole
from churn.features.vocabulary import Vocabulary
from churn.io import roll_up, tables
from churn.io.engine import Resources, opened
from churn.io.modelling import panels, spans
from churn.io.workspace import Workspace
from churn.stages import rollup

FIRST = date(2025, 8, 1)
SNAPSHOT = date(2025, 10, 13)


def event(customer: str, day: int, *, loaded_on: date | None = None) -> Row:
    happened = dt.datetime.combine(FIRST + timedelta(days=day), dt.time(9))
    return {
        "customer_id": customer, "ts": happened, "event": "login", "value": None, "event_id": None,
        "loaded_at": loaded_on and dt.datetime.combine(loaded_on, dt.time(9)), "user_id": None,
        "text": None, "item": "pen",
    }  # fmt: skip


def feature(name: str, expression: str, **more: str) -> Feature:
    return Feature(name, "What is asked.", "units", "test", expression, **more)


TENURE = feature("tenure", "its_since_first_event_days")
N_ITEMS = feature("n_items", "SUM(n)", rows="items")
N_28D = feature("n_28d", "SUM(CASE WHEN age_days <= 28 THEN n END)")
KNOWN = Vocabulary(windows=[7], event_types=["login"], available=["items"])


def asked(*features: Feature, snapshots: tuple[date, ...] = (SNAPSHOT,)) -> Question:
    return Question(snapshots=snapshots, as_of=snapshots[-1], vocabulary=KNOWN, features=features)


@pytest.mark.parametrize("dies_before", ["first_days", "items", "late", "daily"])
def test_a_roll_up_that_died_between_its_tables_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_before: str
) -> None:
    """A wrong delivery, whose roll-up dies; then it is put right, with the dates that it should have."""
    good = [event(f"k{n}", day) for n in range(20) for day in range(0, 60, 2)]
    wrong = [event(f"new{n}", day - 30) for n in range(5) for day in range(60, 70)]
    right = [event(f"new{n}", day) for n in range(5) for day in range(60, 70)]
    place, commit = tmp_path / "workspace", tables.commit

    def failing(folder: Path, *arguments: object, **named: object) -> None:
        if folder.name == dies_before:
            raise OSError("the disk is full")
        commit(folder, *arguments, **named)

    worlds.write(World(), tmp_path, files=[good])
    rollup.run(worlds.settings_of(tmp_path, place))
    worlds.write(World(), tmp_path, files=[good, wrong])
    with monkeypatch.context() as context:
        context.setattr(tables, "commit", failing)
        with pytest.raises(OSError, match="full"):
            rollup.run(worlds.settings_of(tmp_path, place))
    if dies_before != roll_up.NAMES[-1]:
        with pytest.raises(InputError, match="is not whole") as refused:
            Workspace(place).usage()
        assert "churn rollup" in refused.value.next_step
    worlds.write(World(), tmp_path, files=[good, right])
    for workspace in (place, tmp_path / "fresh"):
        rollup.run(worlds.settings_of(tmp_path, workspace))
    question = asked(TENURE, N_ITEMS, N_28D)
    found = worlds.by_engine(place, question)
    assert found == worlds.by_engine(tmp_path / "fresh", question)
    assert found[SNAPSHOT, "new0"]["tenure"] == 13


def test_a_log_that_is_loaded_once_a_week_is_rebuilt_a_few_snapshots_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded on Tuesdays, asked on Mondays: every pair has days that were not known."""
    snapshots = tuple(SNAPSHOT + timedelta(days=7 * week) for week in range(6))
    events = [
        event(f"k{n}", day, loaded_on=FIRST + timedelta(days=day + 7 - (day + 3) % 7))
        for n in range(4)
        for day in range(0, 110, n + 1)
    ]
    place = worlds.rolled_up(World(events=events), tmp_path)
    rows: list[int] = []
    as_known = spans.Spans._as_known

    def counted(*asked: Any) -> tuple[spans.Rows, Whole]:
        known, of_pair = as_known(*asked)
        rows.append(len(known.day))
        return known, of_pair

    monkeypatch.setattr(spans.Spans, "_as_known", counted)
    question = asked(N_28D, snapshots=snapshots)
    whole = worlds.by_engine(place, question)
    assert len(rows) == 1
    n_rows = rows.pop()
    monkeypatch.setattr(panels, "CELLS_AT_ONCE", n_rows)
    assert worlds.by_engine(place, question) == whole
    assert len(rows) > 1
    assert max(rows) < n_rows == sum(rows)
    assert whole == worlds.by_reference(World(events=events), question)


@pytest.mark.parametrize("busiest", [127, 128, 32_767, 32_768])
def test_days_are_counted_right_however_busy(tmp_path: Path, busiest: int) -> None:
    """A quiet month, one with a day of so many events of the last type, and a quiet one again."""
    types = [f"type_{n:02d}" for n in range(20)]
    log = [
        event("ann", day) | {"event": name, "loaded_at": None}
        for day in (0, 40, 70)
        for name in types[: day // 3 + 1]
    ]
    night = dt.datetime.combine(FIRST + timedelta(days=41), dt.time(3))
    refund = {"event": types[8], "ts": night, "value": -1.0}
    crowd = event("bob", 41) | refund | {"loaded_at": None}
    late = event("bob", 41, loaded_on=FIRST + timedelta(days=45)) | refund
    place = worlds.rolled_up(World(events=[*log, *[crowd] * (busiest - 1), late]), tmp_path)
    event_types = Workspace(place).usage_facts()["event_types"]
    assert event_types == types
    daily = tables.read(place / "daily", made_by="rollup").set_index(["customer_id", "day"])
    bob = daily.loc["bob"].iloc[0]
    assert (bob["n"], bob["c_08"], bob["n_other"]) == (busiest, busiest, 0)
    assert (bob["n_negative"], bob["n_night"]) == (busiest, busiest)
    assert bob["event_mask"] == 1 << 8
    for day in (0, 40, 70):
        ann = daily.loc[("ann", FIRST + timedelta(days=day))]
        there = min(day // 3 + 1, len(types))
        assert [ann[f"c_{n:02d}"] for n in range(24)] == [1] * there + [0] * (24 - there)
        assert ann["event_mask"] == (1 << there) - 1
        assert (ann["n_negative"], ann["n_night"]) == (0, 0)
    rows = tables.read(place / "late", made_by="rollup")
    assert sorted(rows["c_08"]) == [1, busiest - 1]


@pytest.mark.parametrize("with_arrival", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_event_types_are_in_the_order_in_which_they_were_known(
    tmp_path: Path, seed: int, with_arrival: bool
) -> None:
    """Over four months, also those that become known long after types of later months, and when a new
    type or an old one comes with another delivery."""
    rng = random.Random(seed)
    log = []
    for place in range(250):
        day = rng.randrange(110)
        loaded = FIRST + timedelta(days=day + rng.choice([0, 1, 40, 70])) if with_arrival else None
        name = f"type_{min(rng.randrange(40), rng.randrange(40)) + place // 150 * 20:02d}"
        ts = dt.datetime.combine(FIRST + timedelta(days=day), dt.time(place % 24, place % 60))
        log.append(event("ann", day, loaded_on=loaded) | {"event": name, "ts": ts})

    def known(row: Row) -> tuple[date, dt.datetime]:
        loaded = row.get("loaded_at") or row["ts"]
        by = loaded.date() + timedelta(days=loaded.hour >= 6)
        return max(row["ts"].date() + timedelta(days=1), by), row["ts"]

    def in_order(rows: list[Row]) -> list[str]:
        first: dict[str, tuple[date, dt.datetime]] = {}
        for row in rows:
            first[row["event"]] = min(first.get(row["event"], known(row)), known(row))
        return sorted(first, key=lambda name: (first[name], name))

    settings = worlds.settings_of(tmp_path, tmp_path / "workspace")
    if not with_arrival:
        settings.source.columns = {"loaded_at": ""}
    found = []
    # the second delivery is of the second and the third month alone
    few = [row for row in log[150:] if row["ts"].month in (9, 10)]
    for files in ([log[:150]], [log[:150], few]):
        worlds.write(World(), tmp_path, files=files)
        rollup.run(settings)
        found.append(Workspace(settings.place).usage_facts()["event_types"])
    before, after = found
    assert before == in_order(log[:150])
    assert after[: len(before)] == before
    fresh = [row for row in few if row["event"] not in before]
    assert fresh
    assert after[len(before) :] == in_order(fresh)


def test_a_type_that_became_known_late_is_looked_for_in_the_next_month_too(tmp_path: Path) -> None:
    """One of August that arrives on 2 September, when a row of 1 September has made it known."""
    late = event("ann", 5, loaded_on=date(2025, 9, 2)) | {"event": "a"}
    first = dt.datetime(2025, 9, 1, 9)
    log = [late, event("ann", 31) | {"event": "a", "ts": first}]
    log.append(event("ann", 31) | {"event": "b", "ts": first.replace(hour=10)})
    place = worlds.rolled_up(World(events=log), tmp_path)
    assert Workspace(place).usage_facts()["event_types"] == ["a", "b"]


@pytest.mark.parametrize("n_types", [1, 7, 16, 62, 70])
def test_negative_and_nightly_events_are_counted_whatever_their_type(
    tmp_path: Path, n_types: int
) -> None:
    """Seven types leave the last of nine places in a sum to the nights; the types from 62 on have none."""

    def one(customer: str, place: int, hour: int, value: float) -> Row:
        ts = dt.datetime.combine(FIRST, dt.time(hour))
        return event(customer, 0) | {"event": f"type_{place:02d}", "ts": ts, "value": value}

    log = [one("ann", place, 3, -1.0) for place in range(n_types)]
    log += [one("bob", place, 9, 1.0) for place in range(n_types)]
    log += [one("cid", n_types - 1, 3, -1.0)] * 127
    place = worlds.rolled_up(World(events=log), tmp_path)
    daily = tables.read(place / "daily", made_by="rollup").set_index("customer_id")
    n_other = {
        "ann": max(0, n_types - 62),
        "bob": max(0, n_types - 62),
        "cid": 127 * (n_types > 62),
    }
    counted = {"ann": n_types, "bob": 0, "cid": 127}
    assert daily["n_other"].to_dict() == n_other
    assert daily["n_night"].to_dict() == daily["n_negative"].to_dict() == counted


def test_a_panel_that_comes_out_of_order_is_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few ranges of customers: the first is made again, the others are sorted at once."""
    events = [event(f"k{n}", day) for n in range(9) for day in range(0, 70, n + 1)]
    place = worlds.rolled_up(World(events=events), tmp_path)
    question = asked(TENURE, N_28D, snapshots=(SNAPSHOT - timedelta(days=14), SNAPSHOT))
    asked_for: list[str] = []

    def backwards(statement: exp.Expr) -> exp.Expr:
        sql = statement.sql(dialect="duckdb")
        return parse_one(sql.replace("customer_id, snapshot", "customer_id DESC"), dialect="duckdb")

    def told(statements: list[exp.Expr], made: Callable[[exp.Expr], pa.Table]) -> pa.Table:
        rows = in_turn(statements, made)
        asked_for.append(f"{len(statements)} {rows['customer_id'].to_pylist()}")
        return rows

    whole = worlds.by_engine(place, question)
    in_turn = panels._in_turn
    monkeypatch.setattr(panel, "as_it_comes", backwards)
    monkeypatch.setattr(panels, "_in_turn", told)
    monkeypatch.setattr(panels, "CELLS_AT_ONCE", 3_500)
    assert worlds.by_engine(place, question) == whole
    assert len(asked_for) > 2
    assert {said[0] for said in asked_for} == {"1"}


def test_a_range_of_customers_fits_though_most_before_it_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids count up with time, so that the last ranges are all alive."""
    gone = [event(f"a{n:03d}", -900) for n in range(200)]
    here = [event(f"z{n:02d}", day) for n in range(20) for day in range(70)]
    place = worlds.rolled_up(World(events=[*gone, *here]), tmp_path)
    question, room = asked(N_28D), 4_000
    whole = worlds.by_engine(place, question)
    days: list[int] = []

    def told(rows: pa.Table) -> spans.Rows:
        days.append(rows.num_rows * rows.num_columns)
        return in_order(rows)

    in_order = spans.in_order
    monkeypatch.setattr(spans, "in_order", told)
    monkeypatch.setattr(panels, "CELLS_AT_ONCE", room)
    assert worlds.by_engine(place, question) == whole
    assert sum(days) > room
    assert max(days) <= room


def test_a_query_that_does_not_fit_its_tables_is_refused() -> None:
    with opened(Resources(threads=1)) as engine:
        engine.bind("days", pa.table({"n": pa.array([2**62, 2**62])}))
        for sql in ("SELECT SUM(c_40) AS x FROM days", "SELECT SUM(n) / n AS x FROM days"):
            with pytest.raises(ConfigurationError, match="does not fit the tables"):
                engine.table(parse_one(sql, dialect="duckdb"))
        with pytest.raises(InputError, match="does not fit into 64 bits"):
            engine.table(parse_one("SELECT n * n AS x FROM days", dialect="duckdb"))
