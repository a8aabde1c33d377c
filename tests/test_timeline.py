"""Dates: each boundary of a window, of a horizon, of maturity and of arrival."""

from datetime import date, datetime

import pytest

from churn import timeline
from churn.errors import ConfigurationError
from churn.timeline import Arrival, Window

MONDAY = date(2026, 1, 5)


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_a_window_is_half_open_and_counts_its_days() -> None:
    assert Window(day("2026-01-01"), day("2026-01-08")).n_days == 7
    assert Window(MONDAY, MONDAY).n_days == 0


@pytest.mark.parametrize(
    ("arrival", "snapshot", "cut"),
    [
        (Arrival(), "2026-01-05", "2026-01-05 06:00"),
        (Arrival(0), "2026-01-05", "2026-01-05 00:00"),
        (Arrival(30), "2026-01-05", "2026-01-06 06:00"),
        (Arrival(6, MONDAY, datetime(2026, 1, 9, 1)), "2026-01-05", "2026-01-09 01:00"),
        (Arrival(6, MONDAY, datetime(2026, 1, 9, 1)), "2026-01-04", "2026-01-04 06:00"),
        (Arrival(6, MONDAY, None), "2026-01-05", "2026-01-05 06:00"),
    ],
)
def test_known_at_replaces_the_cut_of_as_of_alone(
    arrival: Arrival, snapshot: str, cut: str
) -> None:
    assert arrival.cut(day(snapshot)) == datetime.fromisoformat(cut)


def test_midnight_has_no_zone() -> None:
    assert timeline.midnight(MONDAY) == datetime(2026, 1, 5)


def test_a_date_is_read_as_iso_or_refused_by_its_key() -> None:
    assert timeline.parse_date("2026-01-05", key="as_of") == MONDAY
    with pytest.raises(ConfigurationError) as caught:
        timeline.parse_date("5.1.2026", key="as_of")
    assert caught.value.what == "as_of is not a date"
    assert caught.value.got == "5.1.2026"
    assert caught.value.expected == "a date such as 2026-01-05 (YYYY-MM-DD)"
    assert caught.value.next_step == "write as_of=YYYY-MM-DD"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05T06:00:00", "2026-01-05 06:00"),
        ("2026-01-05T06:00:00+02:00", "2026-01-05 04:00"),
        ("2026-01-05T06:00:00-02:00", "2026-01-05 08:00"),
        ("2026-01-05T06:00:00Z", "2026-01-05 06:00"),
    ],
)
def test_a_moment_is_utc_without_zone(text: str, moment: str) -> None:
    found = timeline.parse_moment(text, key="known_at")
    assert found == datetime.fromisoformat(moment)
    assert found.tzinfo is None


def test_what_is_no_moment_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        timeline.parse_moment("noon", key="known_at")
    assert caught.value.what == "known_at is not a timestamp"
    assert caught.value.got == "noon"
    assert caught.value.expected == "a timestamp such as 2026-01-05T06:00:00 (UTC)"
    assert caught.value.next_step == "write known_at=YYYY-MM-DDTHH:MM:SS"


def test_the_label_window_begins_after_the_gap_and_lasts_the_horizon() -> None:
    found = timeline.label_window(MONDAY, gap_days=7, horizon_days=28)
    assert found == Window(day("2026-01-12"), day("2026-02-09"))


@pytest.mark.parametrize(("as_of", "is_mature"), [("2026-02-08", False), ("2026-02-09", True)])
def test_a_label_is_mature_when_its_window_lies_wholly_before(as_of: str, is_mature: bool) -> None:
    found = timeline.is_mature(MONDAY, as_of=day(as_of), gap_days=7, horizon_days=28)
    assert found is is_mature


def test_training_takes_the_latest_mature_snapshots_oldest_first() -> None:
    found = timeline.training_snapshots(
        day("2026-03-16"), gap_days=7, horizon_days=28, n_snapshots=3, step_days=14
    )
    assert found == [day("2026-01-12"), day("2026-01-26"), day("2026-02-09")]
    assert timeline.is_mature(found[-1], as_of=day("2026-03-16"), gap_days=7, horizon_days=28)


def test_the_last_test_snapshot_of_the_last_origin_is_the_latest_mature_one() -> None:
    found = timeline.origins(
        day("2026-03-16"), gap_days=7, horizon_days=28, n_origins=2, step_days=28, n_tests=3,
        test_step_days=7,
    )  # fmt: skip
    assert found == [
        (day("2025-12-29"), [day("2025-12-29"), day("2026-01-05"), day("2026-01-12")]),
        (day("2026-01-26"), [day("2026-01-26"), day("2026-02-02"), day("2026-02-09")]),
    ]


def test_missed_weeks_are_every_seven_days_with_the_last_where_it_falls_on_one() -> None:
    weeks = [MONDAY, day("2026-01-12"), day("2026-01-19")]
    assert timeline.as_of_dates(MONDAY, day("2026-01-19")) == weeks
    assert timeline.as_of_dates(MONDAY, day("2026-01-25")) == weeks
    assert timeline.as_of_dates(MONDAY, MONDAY) == [MONDAY]
    assert timeline.as_of_dates(MONDAY, day("2026-01-04")) == []
    assert timeline.as_of_dates(MONDAY, day("2026-01-08"), step_days=3) == [
        MONDAY,
        day("2026-01-08"),
    ]
