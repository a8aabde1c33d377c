"""What each gate says, word by word: a person at three in the morning has nothing else."""

from datetime import date, timedelta

import pandas as pd
import pytest

from churn.errors import ConfigurationError
from churn.usage import quality
from churn.usage.quality import HELD, NOT_ARRIVED, PASSED, UNKNOWN, Bands, Verdict

AS_OF = date(2026, 3, 30)
BANDS = Bands(least=0.5, most=2.0, refused=0.001, kept=0.9, without_events=0.9)
USUAL = [1000.0, 1000.0, 1000.0, 1000.0]


def weeks(**columns: list[float]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"back": range(n), **columns})


def ages(*before: int) -> list[date]:
    return sorted(AS_OF - timedelta(days=age) for age in before)


def fresh(*before: int, first: int = 400, last: int = 400) -> Verdict:
    days = {"first_day": AS_OF - timedelta(days=first), "last_day": AS_OF - timedelta(days=last)}
    return quality.freshness(ages(*before), as_of=AS_OF, **days)


DAYS = "days without a row before as_of"
WAIT = "wait until the log holds 2026-03-29, then run again"
TAKE = "these days arrived after the cut of as_of=2026-03-30: run again with known_at=TIMESTAMP to take them in"


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        ((), {}, Verdict("freshness", f"{DAYS}, and none in the weeks before", None, None, 0, NOT_ARRIVED,
                          "look whether the source still delivers; nothing of these weeks is here")),
        ((1, 2, 3,), {}, Verdict("freshness", DAYS, 0, None, 0, PASSED)),
        ((1,), {}, Verdict("freshness", DAYS, 0, None, 0, PASSED)),
        ((2,), {}, Verdict("freshness", DAYS, 1, None, 0, NOT_ARRIVED, WAIT)),
        ((3, 5, 9,), {}, Verdict("freshness", DAYS, 2, None, 3, PASSED)),
        ((3, 4, 5,), {}, Verdict("freshness", DAYS, 2, None, 0, NOT_ARRIVED, WAIT)),
        ((3, 4,), {"last": 1}, Verdict("freshness", DAYS, 2, None, 0, HELD, TAKE)),
        ((3, 4,), {"last": 2}, Verdict("freshness", DAYS, 2, None, 0, NOT_ARRIVED, WAIT)),
        ((9, 11,), {"last": 2}, Verdict("freshness", DAYS, 8, None, 1, HELD, TAKE)),
        ((9, 11,), {"last": 3}, Verdict("freshness", DAYS, 8, None, 1, NOT_ARRIVED, WAIT)),
        ((3, 4,), {"first": 21}, Verdict("freshness", DAYS, 2, None, 0, NOT_ARRIVED, WAIT)),
        ((3, 4,), {"first": 20}, Verdict("freshness", "the log has just begun", None, None, None, UNKNOWN)),
    ],
)  # fmt: skip
def test_freshness(given: tuple[int, ...], more: dict[str, int], expected: Verdict) -> None:
    assert fresh(*given, **more) == expected


ROWS, WHO = "rows of the week / usual week", "customers with a row in the week / usual week"


def test_volume() -> None:
    found = quality.volume(weeks(n=[100.0, *USUAL], n_customers=[3000.0, *USUAL]), BANDS)
    assert found == [
        Verdict("volume", ROWS, 0.1, 0.5, 2.0, HELD,
                "look at the source with `churn check`: what is missing, or came twice?"),
        Verdict("customers", WHO, 3.0, 0.5, 2.0, HELD,
                "look whether ids changed, or a part of the customers is missing"),
    ]  # fmt: skip
    same = quality.volume(weeks(n=[1100.0, *USUAL], n_customers=[900.0, *USUAL]), BANDS)
    assert [(v.figure, v.outcome, v.next_step) for v in same] == [
        (1.1, PASSED, ""), (0.9, PASSED, ""),
    ]  # fmt: skip
    nothing, gone = quality.volume(weeks(n=[0.0, *USUAL], n_customers=[None, *USUAL]), BANDS)
    assert nothing == Verdict(
        "volume", f"{ROWS}: nothing at all", 0.0, 0.5, 2.0, HELD,
        "look at the source with `churn check`: what is missing, or came twice?",
    )  # fmt: skip
    assert gone.measured == f"{WHO}: nothing at all"
    short = quality.volume(weeks(n=[5.0, 5.0, 5.0], n_customers=[5.0, 5.0, 5.0]), BANDS)
    assert short == [
        Verdict(gate, f"{words}: fewer than 3 earlier weeks", None, None, None, UNKNOWN)
        for gate, words in (("volume", ROWS), ("customers", WHO))
    ]


def test_last_day() -> None:
    measured = "rows of the last day / the same weekday"
    wait = "wait until the day has arrived whole, then run again"
    low = quality.last_day(weeks(n=[200.0, *USUAL]), BANDS)
    assert low == Verdict("last_day", measured, 0.2, 0.25, 2.0, HELD, wait)
    none = quality.last_day(weeks(n=[0.0, *USUAL]), BANDS)
    said = f"{measured}: none, see freshness"
    assert none == Verdict("last_day", said, None, None, None, UNKNOWN)


def test_event_types_and_columns() -> None:
    by_type = weeks(c_00=[1000.0, *USUAL], c_01=[50.0, *USUAL], c_02=[0.0, 1.0, 1.0, 1.0, 1.0])
    places = {"login": "c_00", "export": "c_01", "rare": "c_02"}
    assert quality.event_types(by_type, places, BANDS) == Verdict(
        "event_types", "rows of export / usual week (the least of 2)", 0.05, 0.1, None, HELD,
        "an event type that stops is usually tracking that broke: ask who changed it",
    )  # fmt: skip
    same = weeks(c_00=[500.0, *USUAL], c_01=[500.0, *USUAL])
    assert "rows of a /" in quality.event_types(same, {"b": "c_00", "a": "c_01"}, BANDS).measured
    few = quality.event_types(by_type, {"rare": "c_02"}, BANDS)
    words = "no rows often enough in earlier weeks to be missed"
    assert few == Verdict("event_types", words, None, None, None, UNKNOWN)
    lost = "compare the columns of the newest file with those of the one before"
    assert quality.columns(weeks(n_value=[0.0, *USUAL], n_person=[900.0, *USUAL])) == Verdict(
        "columns", "rows with a value / usual week (the least of 2)", 0.0, 0.1, None, HELD, lost
    )
    person = quality.columns(weeks(n_value=[1000.0, *USUAL], n_person=[90.0, *USUAL]))
    assert person.measured == "rows with a user_id / usual week (the least of 2)"
    nobody = quality.columns(weeks(n_value=[1000.0, *USUAL]))
    assert nobody.measured == "rows with a value / usual week (the least of 1)"


def test_values() -> None:
    advice, measured = (
        "look at the unit and the currency of the values",
        "mean value of the week / usual week",
    )
    same = weeks(
        n_value=[200.0, 100.0, 100.0, 100.0, 100.0],
        value_sum=[4000.0, 1000.0, 2000.0, 1000.0, 1000.0],
    )
    found = quality.values(same, BANDS)
    assert found == Verdict("values", measured, 2.0, 1 / 3, 3.0, PASSED)
    cents = weeks(n_value=[100.0] * 5, value_sum=[1e5, 1e3, 1e3, 1e3, 1e3])
    assert quality.values(cents, BANDS) == Verdict(
        "values", measured, 100.0, 1 / 3, 3.0, HELD, advice
    )
    wild = weeks(n_value=[100.0] * 5, value_sum=[4e3, 1e3, 1e3, 4e3, 2e2])
    assert quality.values(wild, BANDS) == Verdict(
        "values", measured, 4.0, pytest.approx(0.16), 5.0, PASSED
    )
    for few in (
        weeks(n_value=[99.0, *USUAL], value_sum=[1e3, *USUAL]),
        weeks(n_value=USUAL[:3], value_sum=USUAL[:3]),
        weeks(n_value=[1000.0, *USUAL], value_sum=[1e3, 0.0, 0.0, 0.0, 0.0]),
    ):
        said = f"{measured}: too few values in some week"
        assert quality.values(few, BANDS) == Verdict("values", said, None, None, None, UNKNOWN)
    enough = weeks(n_value=[100.0] * 4, value_sum=[1e3] * 4)
    assert quality.values(enough, BANDS).outcome == PASSED


def test_refused_rows() -> None:
    now, before = [{"read": 100, "refused": 3}], [{"read": 100, "refused": 1}]
    advice = "`churn check` lists what is refused, with file, line and reason"
    assert quality.refused(now, before, BANDS) == Verdict(
        "refused_rows", "share of new rows refused", 0.03, None, 0.02, HELD, advice
    )
    assert quality.refused(now, [], BANDS).high == 0.001
    assert quality.refused([], before, BANDS) == Verdict(
        "refused_rows", "no new rows since the last list", None, None, None, UNKNOWN
    )


def test_side_tables() -> None:
    assert quality.side_table("contacts", 50, 1000, BANDS) == Verdict(
        "contacts_rows", "rows of contacts / at the last list", 0.05, 0.9, None, HELD,
        "look whether contacts was exported whole; its rows went from 1,000 to 50",
    )  # fmt: skip
    assert quality.side_table("contacts", 5, 0, BANDS) == Verdict(
        "contacts_rows", "rows of contacts / at the last list: none then", None, None, None, UNKNOWN
    )
    assert quality.side_table("contacts", 0, None, BANDS) is None
    wait = "look whether contacts is still exported"
    measured = "days since the newest row of contacts"
    late = quality.newest("contacts", ages(15, 16, 17, 18), as_of=AS_OF, weeks=8)
    assert late == Verdict("contacts_freshness", measured, 15, None, 14, HELD, wait)
    edge = quality.newest("contacts", ages(1, 21, 42, 57), as_of=AS_OF, weeks=8)
    assert edge == Verdict("contacts_freshness", measured, 1, None, 42, PASSED)
    few = quality.newest("contacts", ages(1, 21, 42, 58), as_of=AS_OF, weeks=8)
    words = "fewer than 4 new rows of contacts in 8 weeks"
    assert few == Verdict("contacts_freshness", words, None, None, None, UNKNOWN)
    assert quality.newest("contacts", [], as_of=AS_OF, weeks=8) is None


def test_customers_without_events() -> None:
    measured = "share of customers without an event in eight weeks"
    advice = "compare the customer ids of the log with those of the subscriptions: 007 is not 7"
    gate = "customers_without_events"
    first = quality.without_events([0.95], 1000, BANDS)
    assert first == Verdict(gate, measured, 0.95, None, 0.9, HELD, advice)
    later = quality.without_events([0.3, 0.1, 0.1, 0.1], 10_000, BANDS)
    assert later == Verdict(gate, measured, 0.3, None, pytest.approx(0.12), HELD, advice)
    small = quality.without_events([0.1, 0.0, 0.0, 0.0], 4, BANDS)
    assert small == Verdict(gate, measured, 0.1, None, 0.9, PASSED)
    nobody = quality.without_events([0.1, 0.0, 0.0, 0.0], 100, BANDS)
    assert nobody.high == pytest.approx(0.04)


def test_a_verdict_without_figure_and_one_that_is_overruled() -> None:
    assert quality.unknown("g", "why") == Verdict("g", "why", None, None, None, UNKNOWN)


@pytest.mark.parametrize(("name", "bounds"), quality.RANGES.items())
def test_a_band_is_bounded_and_the_bounds_are_allowed(
    name: str, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    for value in bounds:
        assert getattr(Bands(**{name: value}), name) == value
    for value in (low - 0.01, high + 0.01):
        with pytest.raises(ConfigurationError) as caught:
            Bands(**{name: value})
        assert caught.value.what == f"quality.{name} is out of range"
        assert caught.value.got == str(value)
        assert caught.value.expected == f"a number from {low} to {high}"
        assert caught.value.next_step == f"set quality.{name} within that range"
