"""Each boundary has a row: what is counted, in which window, and what was known."""

from datetime import date, datetime, timedelta

import pytest
import world as worlds

from churn.features.labels import Definition
from churn.timeline import Arrival

S = date(2026, 6, 1)
SUBSCRIBED = "customer_id | start_date\nann | 2020-01-01"
NAMES = ("n_events_7d", "n_events_28d", "n_events_182d", "recency_days", "first_event_days")


def row_of(ts: str, loaded_at: str = "") -> dict:
    """The features of a subscriber whose only event is this one."""
    events = (
        f"customer_id | ts | event | user_id | loaded_at\nann | {ts} | login | u1 | {loaded_at}"
    )
    tables = {"events": events, "subscriptions": SUBSCRIBED}
    found = worlds.answer(tables, snapshot=S, names=NAMES, definition=Definition("cancellation"))
    return {name: found["ann"][name] for name in NAMES}


NOTHING = dict.fromkeys(NAMES[:3], 0) | dict.fromkeys(NAMES[3:])


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        ("2026-06-01 00:00:00.000000", NOTHING),
        ("2026-05-31 23:59:59.999999", (1, 1, 1, 1, 1)),
        ("2026-05-25 00:00:00.000000", (1, 1, 1, 7, 7)),
        ("2026-05-24 23:59:59.999999", (0, 1, 1, 8, 8)),
        ("2026-05-04 00:00:00.000000", (0, 1, 1, 28, 28)),
        ("2026-05-03 23:59:59.999999", (0, 0, 1, 29, 29)),
        ("2025-12-01 00:00:00.000000", (0, 0, 1, 182, 182)),
        ("2025-11-30 23:59:59.999999", (0, 0, 0, 183, 183)),
        ("2025-06-01 00:00:00.000000", (0, 0, 0, 365, 365)),
        ("2025-05-31 23:59:59.999999", (0, 0, 0, None, 366)),
    ],
)
def test_when_it_happened(ts, expected):
    expected = expected if isinstance(expected, dict) else dict(zip(NAMES, expected, strict=True))
    assert row_of(ts) == expected


@pytest.mark.parametrize(
    ("loaded_at", "is_known"),
    [
        ("", True),  # from ts on
        ("2026-06-01 05:59:59.999999", True),
        ("2026-06-01 06:00:00.000000", False),
        ("2026-05-31 10:00", True),
        ("2026-01-01 10:00", True),  # a clock that is wrong: before it happened
    ],
)
def test_when_it_arrived(loaded_at, is_known):
    assert row_of("2026-05-31 12:00", loaded_at)["n_events_7d"] == int(is_known)


def test_a_late_day_counts_as_far_as_it_was_known():
    """Three events of one day: in time, two days late, nine days late."""
    tables = {
        "events": """
            customer_id | ts               | event | user_id | loaded_at
            ann         | 2026-05-30 09:00 | login | u1      | 2026-05-30 09:05
            ann         | 2026-05-30 10:00 | login | u1      | 2026-06-01 10:00
            ann         | 2026-05-30 11:00 | login | u1      | 2026-06-08 11:00
        """
    }
    weeks = (S + timedelta(days=7), S + timedelta(days=14))
    found = worlds.answer(tables, snapshot=S, later=weeks, names=("n_events_28d",))
    counts = {snapshot: row["n_events_28d"] for (snapshot, _), row in found.items()}
    assert counts == {S: 1, weeks[0]: 2, weeks[1]: 3}


@pytest.mark.parametrize(
    ("known_at", "n"),
    [
        (None, 1),
        (datetime(2026, 6, 3), 1),
        (datetime(2026, 6, 3, 0, 0, 1), 2),
        (datetime(2026, 5, 31), 0),
    ],
)
def test_known_at_takes_late_rows_in_or_leaves_them_out(known_at, n):
    tables = {
        "events": """
            customer_id | ts               | event | user_id | loaded_at
            ann         | 2026-05-30 09:00 | login | u1      | 2026-05-31 00:00
            ann         | 2026-05-30 10:00 | login | u1      | 2026-06-03 00:00
        """,
        "subscriptions": SUBSCRIBED,
    }
    arrival = Arrival(as_of=S, known_at=known_at) if known_at else Arrival()
    asked = {"definition": Definition("cancellation"), "arrival": arrival}
    found = worlds.answer(tables, snapshot=S, names=("n_events_28d",), **asked)
    assert found["ann"]["n_events_28d"] == n


@pytest.mark.parametrize(("hours", "n"), [(0, 1), (6, 2), (24, 2), (29, 2), (30, 3), (54, 3)])
def test_arrival_hours_move_the_cut(hours, n):
    tables = {
        "events": """
            customer_id | ts               | event | user_id | loaded_at
            ann         | 2026-05-30 09:00 | login | u1      | 2026-05-31 23:59
            ann         | 2026-05-30 10:00 | login | u1      | 2026-06-01 00:00
            ann         | 2026-05-30 11:00 | login | u1      | 2026-06-02 05:59
        """
    }
    asked = {"arrival": Arrival(hours)}
    found = worlds.answer(tables, snapshot=S, names=("n_events_28d",), **asked)
    assert found["ann"]["n_events_28d"] == n


def test_a_row_that_comes_again_counts_once_and_from_its_first_arrival_on():
    tables = {
        "events": """
            customer_id | ts               | event | user_id | event_id | loaded_at
            ann         | 2026-05-30 09:00 | login | u1      | a1       | 2026-06-05 00:00
            ann         | 2026-05-30 09:00 | login | u1      | a1       | 2026-05-30 09:01
            ann         | 2026-05-30 09:00 | login | u1      | a1       | 2026-05-30 09:01
            bob         | 2026-05-30 09:00 | login | u1      |          | 2026-05-30 09:01
            bob         | 2026-05-30 09:00 | login | u1      |          | 2026-05-30 09:01
        """
    }
    found = worlds.answer(tables, snapshot=S, names=("n_events_28d",))
    assert {who: row["n_events_28d"] for who, row in found.items()} == {"ann": 1, "bob": 2}


def test_an_id_is_text():
    """007 is not 7, and nobody is 7.0."""
    tables = {
        "events": """
            customer_id | ts               | event | user_id
            007         | 2026-05-30 09:00 | login | u1
            7           | 2026-05-30 09:00 | login | u1
            1e5         | 2026-05-30 09:00 | login | u1
            NA          | 2026-05-30 09:00 | login | u1
        """
    }
    found = worlds.answer(tables, snapshot=S, names=("n_events_28d",))
    assert [*found] == ["007", "1e5", "7", "NA"]


def test_an_attribute_without_versions_counts_from_its_arrival_on():
    """Tables without `valid_from`: what `source.static` names never changes, but it can be unknown."""
    events = "customer_id | ts | event | user_id" + "".join(
        f"\n{who} | 2026-05-30 09:00 | login | u1" for who in ("ann", "bob", "cid")
    )
    tables = {
        "events": events,
        "customers": """
            customer_id | signed_up_at     | loaded_at                  | country | size
            ann         | 2026-05-01 09:00 |                            | DE      | 1.0
            bob         | 2026-05-01 09:00 | 2026-06-01 05:59:59.999999 | FR      | 2.0
            cid         | 2026-05-01 09:00 | 2026-06-01 06:00           | NL      | 3.0
        """,
    }
    names = ("profile_country", "profile_size", "tenure_days")
    found = worlds.answer(tables, snapshot=S, names=names)
    assert {who: tuple(row[name] for name in names) for who, row in found.items()} == {
        "ann": ("DE", 1, 31),
        "bob": ("FR", 2, 31),
        "cid": (None, None, 2),
    }


@pytest.mark.parametrize("loaded_at", ["", "2026-07-01"])  # the second: the path of late rows
@pytest.mark.parametrize(("age", "gap"), [(365, 355), (366, None)])
def test_a_gap_begins_within_the_lookback(age, gap, loaded_at):
    tables = {
        "events": f"""
            customer_id | age   | at    | event | user_id | loaded_at
            ann         | {age} | 09:00 | login | u1      |
            ann         | 10    | 09:00 | login | u1      |
            ann         | 5     | 09:00 | login |         | {loaded_at}
        """
    }
    found = worlds.answer(tables, snapshot=S, names=("gap_max_days",))
    assert found["ann"]["gap_max_days"] == gap
