"""What holds for every log: the panel is the reference's, and the future cannot be seen in it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import reference
import world as worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Row, World
from world import Question, by_engine, by_reference, differences, rolled_up, settings_of, write

from churn.features.definitions import expand
from churn.features.labels import Definition
from churn.io import tables
from churn.settings import Settings, TrainSettings, feature_documents
from churn.stages import features, rollup
from churn.timeline import Arrival, midnight

AS_OF = date(2026, 4, 6)
SNAPSHOTS = (date(2026, 2, 9), date(2026, 3, 9), AS_OF)
INACTIVITY = Definition("inactivity", active_days=28, horizon_days=28)
CANCELLATION = Definition("cancellation", horizon_days=21, gap_days=7)
asked = partial(Question, lookback_days=182)
"""Shorter than the default, so that a small log reaches beyond it."""
EXAMPLES = int(os.environ.get("CHURN_EXAMPLES", "6"))

# --- small random worlds --------------------------------------------------------------------------

ages = st.sampled_from((0, 1, 2, 7, 8, 14, 15, 27, 28, 29, 56, 57, 84, 85, 112))
days = st.one_of(
    st.builds(lambda s, age: s - timedelta(days=age), st.sampled_from(SNAPSHOTS), ages),
    st.builds(lambda age: AS_OF - timedelta(days=age), st.sampled_from((181, 182, 183))),
    st.builds(lambda n: AS_OF - timedelta(days=n), st.integers(-20, 120)),
)
moments = st.builds(
    lambda day, at: midnight(day) + at,
    days,
    st.sampled_from(
        (
            timedelta(0),
            timedelta(microseconds=1),
            timedelta(hours=5, minutes=59),
            timedelta(hours=6),
            timedelta(hours=13),
            timedelta(days=1, microseconds=-1),
        )
    ),
)


def arrivals(ts: datetime) -> st.SearchStrategy[datetime | None]:
    """When a row of `ts` arrives: soon, days later, or exactly at the cut of a snapshot."""
    soon = st.sampled_from((timedelta(0), timedelta(minutes=5), timedelta(hours=-2)))
    late = st.builds(lambda days: timedelta(days=days), st.integers(1, 40))
    cuts = [midnight(s) + timedelta(hours=6) for s in SNAPSHOTS if midnight(s) > ts]
    exact = [cut + step for cut in cuts for step in (timedelta(0), timedelta(microseconds=-1))]
    choices = [st.none(), soon.map(lambda delay: ts + delay), late.map(lambda delay: ts + delay)]
    return st.one_of(*choices, *([st.sampled_from(exact)] if exact else []))


@st.composite
def logs(draw: st.DrawFn, *, max_size: int = 30) -> list[Row]:
    """Events of three customers, with late rows and rows that come again under their event_id."""
    rows: list[Row] = []
    for number, ts in enumerate(draw(st.lists(moments, min_size=1, max_size=max_size))):
        row = {
            "customer_id": draw(st.sampled_from(("ann", "bob", "007"))),
            "ts": ts,
            "event": draw(
                st.sampled_from(("login", "export", "api_error", "ticket", "card_declined"))
            ),
            "value": draw(st.sampled_from((None, None, 0.0, 1.5, 20.25, -2.5))),
            "user_id": draw(st.sampled_from((None, "u1", "u2", "u3"))),
            "item": draw(st.sampled_from((None, "", "pen", "ink"))),
            "event_id": draw(st.sampled_from((None, f"id{number}"))),
            "loaded_at": draw(arrivals(ts)),
        }
        rows.append(row)
        if row["event_id"] and draw(st.booleans()):
            rows.append(row | {"loaded_at": draw(arrivals(ts))})
    return draw(st.permutations(rows))


@st.composite
def sides(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Versions of customers and subscriptions (one version per moment), contacts, and dates."""
    people = ("ann", "bob", "eve")
    whole_days = days.map(midnight)
    keys = st.tuples(st.sampled_from(people), whole_days)
    customers = [
        {
            "customer_id": customer,
            "valid_from": valid_from,
            "loaded_at": draw(arrivals(valid_from)),
            "signed_up_at": draw(st.one_of(st.none(), moments)),
            "country": draw(st.sampled_from((None, "DE", "FR"))),
            "size": draw(st.sampled_from((None, 1.0, 2.0))),
        }
        for customer, valid_from in draw(st.lists(keys, min_size=1, max_size=4, unique=True))
    ]
    starts = {
        customer: draw(st.lists(days, min_size=1, max_size=2, unique=True)) for customer in people
    }
    has_versions = draw(st.booleans())  # else one row per term
    subscriptions = []
    for customer, valid_from in draw(st.lists(keys, max_size=6, unique=True)):
        subscriptions.append(
            {
                "customer_id": customer,
                "start_date": draw(st.sampled_from(starts[customer])),
                "term_start": draw(st.one_of(st.none(), days))
                if has_versions
                else valid_from.date(),
                "term_end": draw(st.one_of(st.none(), days, st.just(date(2026, 12, 1)))),
                "end_date": draw(st.one_of(st.none(), st.none(), days)),
                "plan": draw(st.sampled_from((None, "pro", "basic"))),
                "seats": draw(st.sampled_from((None, 0.0, 3.0))),
                "price_month": draw(st.sampled_from((None, 29.0))),
                "valid_from": valid_from if has_versions else None,
                "loaded_at": draw(arrivals(valid_from)) if has_versions else None,
            }
        )
    contacts = [
        {
            "customer_id": draw(st.sampled_from(people)),
            "contacted_at": at,
            "recorded_at": draw(arrivals(at)),
        }
        for at in draw(st.lists(moments, max_size=3))
    ]
    named = st.tuples(days, st.sampled_from(("holiday", "Rain mm")))
    dates = [
        {
            "date": day,
            "name": name,
            "value": draw(st.sampled_from((0.0, 1.0, 2.25))),
            "loaded_at": draw(arrivals(midnight(day))),
        }
        for day, name in draw(st.lists(named, max_size=6))
    ]
    return {
        "customers": customers,
        "subscriptions": subscriptions,
        "contacts": contacts,
        "dates": dates,
    }


START = [
    {"customer_id": "zoe", "ts": datetime(2025, 10, 1, hour), "event": event}
    for hour, event in enumerate(("login", "export", "api_error", "ticket", "card_declined"))
]
"""Every log starts with these: event types stand in one order, and a statement is made once."""

any_world = st.builds(lambda events, other: World([*START, *events], **other), logs(), sides())


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder for one example (pytest's is shared by all examples of a test)."""
    place = Path(tempfile.mkdtemp())
    try:
        yield place
    finally:
        shutil.rmtree(place)


# --- the panel is the reference's -----------------------------------------------------------------


@given(any_world, st.sampled_from((INACTIVITY, CANCELLATION)))
@settings(max_examples=EXAMPLES)
def test_engine_and_reference_agree_in_every_cell(world: World, definition: Definition) -> None:
    question = asked(SNAPSHOTS, AS_OF, definition)
    with folder() as place:
        found = by_engine(rolled_up(world, place), question)
    assert differences(found, by_reference(world, question)) == []


@given(logs(), st.sampled_from((0, 6, 30)), st.integers(-3, 10))
@settings(max_examples=EXAMPLES // 2)
def test_they_agree_under_other_arrival_rules_too(
    events: list[Row], hours: int, known_days: int
) -> None:
    """`known_at` replaces the cut at `as_of`, later or (by less than the horizon) earlier."""
    arrival = Arrival(hours, as_of=AS_OF, known_at=midnight(AS_OF) + timedelta(days=known_days))
    events = [{**row, "loaded_at": row["loaded_at"] or row["ts"]} for row in events]
    someone = {"customer_id": "eve", "country": "DE", "size": 1.0}
    world = World([*START, *events], customers=[someone])
    question = asked(SNAPSHOTS, AS_OF, INACTIVITY, arrival=arrival)
    with folder() as place:
        found = by_engine(rolled_up(world, place, arrival=arrival), question)
    assert differences(found, by_reference(world, question)) == []


@given(any_world, st.sampled_from((INACTIVITY, CANCELLATION)))
@settings(max_examples=EXAMPLES // 2)
def test_every_active_customer_appears_exactly_once(world: World, definition: Definition) -> None:
    question = asked(SNAPSHOTS, AS_OF, definition)
    with folder() as place:
        found = by_engine(rolled_up(world, place), question)  # refuses a customer listed twice
    everybody = {
        (s, customer)
        for s in SNAPSHOTS
        for customer in reference.population(world, s, definition, Arrival())
    }
    assert set(found) == everybody


# --- the future cannot be seen --------------------------------------------------------------------


@st.composite
def world_and_what_came_later(draw: st.DrawFn) -> tuple[World, list[Row]]:
    """A world as known at `AS_OF`, and rows that happened later or arrived later."""
    everything = draw(any_world)
    cut = Arrival().cut(AS_OF)

    def is_known(row: Row) -> bool:
        return row["ts"] < midnight(AS_OF) and (row.get("loaded_at") or row["ts"]) < cut

    later = [row for row in everything.events if not is_known(row)]
    strange = [
        {**row, "ts": row["ts"] + timedelta(days=400), "loaded_at": None, "event": "new_thing"}
        for row in draw(st.lists(st.sampled_from(everything.events), max_size=3))
    ]
    strange = [{**row, "event_id": None} for row in strange]
    known = [row for row in everything.events if is_known(row)]
    return replace(everything, events=known), [*later, *strange]


@given(world_and_what_came_later())
@settings(max_examples=EXAMPLES)
def test_what_happened_or_arrived_later_never_changes_a_feature(
    case: tuple[World, list[Row]],
) -> None:
    world, later = case
    question = asked(SNAPSHOTS, AS_OF, INACTIVITY)
    with folder() as place:
        known = by_engine(rolled_up(world, place / "a"), question)
        both = replace(world, events=[*world.events, *later])
        assert by_engine(rolled_up(both, place / "b"), question) == known


def panel_file(world: World, place: Path, definition: Definition) -> tuple[str, dict]:
    """The sha256 of the panel that `churn features` writes, and what it says beside it."""
    write(world, place)
    given_settings = settings_of(
        place,
        place / "workspace",
        churn=definition,
        as_of=AS_OF.isoformat(),
        train=TrainSettings(snapshots=6, step_days=14),
    )
    rollup.run(given_settings)
    features.run(given_settings)
    folder = place / "workspace" / "panel"
    return tables.fingerprint(folder, made_by="features"), tables.facts(folder, made_by="features")


@given(world_and_what_came_later())
@settings(max_examples=max(1, EXAMPLES // 4))
def test_the_training_panel_is_the_same_bytes_whatever_came_later(
    case: tuple[World, list[Row]],
) -> None:
    """Which snapshots, event types and families there are depends on what was known, too."""
    world, later = case
    both = replace(world, events=[*world.events, *later])
    with folder() as place:
        known = panel_file(world, place / "a", INACTIVITY)
        assert panel_file(both, place / "b", INACTIVITY) == known


# --- how the log is delivered ---------------------------------------------------------------------


@given(any_world, st.data())
@settings(max_examples=EXAMPLES // 2)
def test_order_files_and_redelivery_never_matter(world: World, data: st.DataObject) -> None:
    """Rows in any order, in any files, some files twice, rolled up at once or as they come."""
    question = asked(SNAPSHOTS, AS_OF, CANCELLATION)
    shuffled = data.draw(st.permutations(world.events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    edges = [0, *cuts, len(shuffled)]
    files = [shuffled[first:last] for first, last in pairwise(edges)]
    with_id = [row for row in shuffled if row.get("event_id")]
    again = data.draw(st.sampled_from(([], [with_id], [files[-1]])))
    with folder() as place:
        whole = by_engine(rolled_up(world, place / "a"), question)
        for n_files in range(1, len(files) + len(again) + 1):
            chosen = [rows for rows in [*files, *again][:n_files] if rows]
            if chosen:
                rolled_up(world, place / "b", files=chosen)
        assert by_engine(place / "b" / "workspace", question) == whole


# --- more event types and people than there are places ---------------------------------------------


def crowded(names: str, *, n: int, first: datetime, minutes: int = 60) -> list[Row]:
    """An event of each of `n` event types, each by another person, `minutes` apart, oldest first."""
    return [
        {
            "customer_id": "ann",
            "ts": first + timedelta(minutes=minutes * number),
            "event": f"{names}{number:02d}",
            "user_id": f"u_{names}{number:02d}",
            "loaded_at": first + timedelta(minutes=minutes * number),
        }
        for number in range(n)
    ]


PLAIN = replace(worlds.VOCABULARY, event_types=["a00", "a61", "a62"], static={})
PLAIN_FEATURES = tuple(expand(feature_documents(Settings()), PLAIN))


def plain(place: Path, world: World, **changes: Any) -> Row:
    """The row of ann at `AS_OF` in a world without attributes."""
    question = Question((AS_OF,), AS_OF, INACTIVITY, features=PLAIN_FEATURES, vocabulary=PLAIN)
    return by_engine(rolled_up(world, place, **changes), question)[AS_OF, "ann"]


def test_the_63rd_event_type_counts_as_an_event_and_in_no_type(tmp_path: Path) -> None:
    found = plain(tmp_path, World(crowded("a", n=70, first=datetime(2026, 3, 30))))
    expected = {
        "n_events_28d": 70,
        "n_event_types_28d": 62,
        "n_events_a00_28d": 1,
        "n_events_a61_28d": 1,
        "n_events_a62_28d": 0,
        "recency_days_a62": None,
        "n_people_28d": 62,  # from the 63rd on people share a bit
    }
    assert {name: found[name] for name in expected} == expected


def test_who_shares_a_bit_does_not_depend_on_rows_that_arrive_later(tmp_path: Path) -> None:
    """70 people and event types; of the last ones an older row arrives after the snapshot."""
    first = crowded("a", n=70, first=datetime(2026, 3, 1), minutes=1)
    recent = [
        {**row, "ts": datetime(2026, 4, 1), "loaded_at": None} for row in [*first[:10], *first[62:]]
    ]
    late = [
        {**row, "ts": datetime(2026, 2, 1), "loaded_at": datetime(2026, 5, 1)} for row in first[40:]
    ]
    before = plain(tmp_path / "a", World([*first, *recent]))
    assert (before["n_people_7d"], before["n_event_types_7d"]) == (10, 10)
    assert plain(tmp_path / "b", World([*first, *recent, *late])) == before


# --- event types that come and go -----------------------------------------------------------------


def test_an_event_type_first_seen_later_changes_nothing_before(tmp_path: Path) -> None:
    old = crowded("a", n=5, first=datetime(2026, 3, 30))
    new = crowded("b", n=5, first=datetime(2026, 4, 6))
    before = plain(tmp_path, World(old))
    assert plain(tmp_path, World(old), files=[old, new]) == before


def test_a_ninth_event_type_has_every_month_rolled_up_again(tmp_path: Path) -> None:
    """The roll-up keeps columns for eight event types at a time."""
    old = crowded("a", n=8, first=datetime(2026, 2, 1))
    new = crowded("b", n=3, first=datetime(2026, 4, 1))
    rolled_up(World(old), tmp_path / "grown")
    grown = plain(tmp_path / "grown", World([*old, *new]), files=[old, new])
    assert grown == plain(tmp_path / "fresh", World([*old, *new]), files=[old, new])
    daily = tmp_path / "grown" / "workspace" / "daily"
    assert {len(pq.read_schema(path)) for path in daily.glob("*.parquet")} == {31}


def test_an_event_type_that_never_came_again_is_counted_as_none(tmp_path: Path) -> None:
    """A model speaks of `login` and `api_error`; the log that is scored has neither."""
    world = World(
        crowded("a", n=2, first=datetime(2026, 3, 30)),
        customers=[{"customer_id": "ann", "country": "DE", "size": 1.0}],
    )
    found = by_engine(rolled_up(world, tmp_path), Question((AS_OF,), AS_OF, INACTIVITY))
    row = found[AS_OF, "ann"]
    names = ("n_events_28d", "n_events_login_28d", "recency_days_login", "n_errors_28d")
    assert [row[name] for name in names] == [2, 0, None, 0]


# --- bugs these tests have found -------------------------------------------------------------------


@pytest.mark.parametrize(
    "later",
    [
        {"ts": datetime(2025, 11, 1)},  # history: more snapshots could be learnt from
        {"event": "api_error"},  # a role that the log did not have
        {"value": -5.0},  # a family that the log did not have
    ],
)
def test_what_arrives_later_adds_no_snapshot_and_no_feature(tmp_path: Path, later: Row) -> None:
    first, last = datetime(2026, 2, 1), datetime(2026, 4, 1)
    events = crowded("a", n=5, first=first) + crowded("a", n=5, first=last)
    late = {**events[-1], "loaded_at": datetime(2026, 4, 6, 6), **later}
    known = panel_file(World(events), tmp_path / "a", INACTIVITY)
    assert panel_file(World([*events, late]), tmp_path / "b", INACTIVITY) == known


@pytest.mark.parametrize(
    "later",
    [
        {"valid_from": datetime(2026, 4, 6), "term_end": date(2026, 12, 1)},
        {"valid_from": datetime(2026, 4, 1), "loaded_at": datetime(2026, 4, 6, 6), "seats": 5.0},
        {"valid_from": datetime(2026, 6, 1), "end_date": date(2026, 2, 1)},
    ],
)
def test_a_later_change_of_a_side_table_leaves_a_past_panel_alone(
    tmp_path: Path, later: Row
) -> None:
    events = crowded("a", n=5, first=datetime(2026, 1, 1))
    contract = {
        "customer_id": "ann",
        "start_date": date(2025, 12, 1),
        "valid_from": datetime(2025, 12, 1),
    }
    person = {
        "customer_id": "ann",
        "valid_from": datetime(2025, 12, 1),
        "country": "DE",
        "signed_up_at": None,
    }
    holiday = {"date": date(2026, 4, 1), "name": "holiday", "value": 1.0}
    holidays = [{**holiday, "loaded_at": datetime(2026, 3, 1)}]
    arrived = {"loaded_at": datetime(2026, 4, 6, 6)}
    announced_later = [
        {**holiday, **arrived, "value": 0.0},
        {**holiday, **arrived, "name": "outage"},
        {**holiday, "name": "rain", "date": date(2026, 4, 6), "loaded_at": None},
    ]
    world = World(events, customers=[person], subscriptions=[contract], dates=holidays)
    moment = {"valid_from": later["valid_from"], "loaded_at": later.get("loaded_at")}
    changed = World(
        events,
        customers=[
            person,
            {**person, "country": "FR", "signed_up_at": datetime(2025, 1, 1), **moment},
        ],
        subscriptions=[contract, {**contract, **later}],
        dates=[*holidays, *announced_later],
    )
    known = panel_file(world, tmp_path / "a", CANCELLATION)
    assert panel_file(changed, tmp_path / "b", CANCELLATION) == known
