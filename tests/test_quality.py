"""The gates on what came in: each boundary has a row, and "is there anything at all?" comes first."""

from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from churn.contracts import DAILY, LATE
from churn.errors import ConfigurationError
from churn.io.engine import opened, resources
from churn.io.workspace import arrow_schema
from churn.settings import EngineSettings
from churn.usage import known_weeks, quality
from churn.usage.quality import HELD, NOT_ARRIVED, PASSED, UNKNOWN, Bands

AS_OF = date(2026, 3, 30)
BANDS = Bands()


def weeks(**columns) -> pd.DataFrame:
    """This week first, then those before it."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"back": range(n), **columns})


def days_before(*ages) -> list[date]:
    return sorted(AS_OF - timedelta(days=age) for age in ages)


def fresh(days, *, first_day=date(2025, 1, 1), last_day=None):
    last = last_day or (days[-1] if days else first_day)
    return quality.freshness(days, as_of=AS_OF, first_day=first_day, last_day=last)


@pytest.mark.parametrize(
    ("low", "high", "figure", "outcome"),
    [
        (0.5, 2.0, 0.5, PASSED), (0.5, 2.0, 0.4999, HELD), (0.5, 2.0, 2.0, PASSED), (0.5, 2.0, 2.01, HELD),
        (None, 1.0, -5.0, PASSED), (1.0, None, 99.0, PASSED), (None, 1.0, 1.5, HELD), (1.0, None, 0.5, HELD),
        (None, None, 3.0, PASSED), (None, 1.0, float("nan"), HELD), (None, None, None, HELD),
        (0.0, None, float("inf"), HELD),
    ],
)  # fmt: skip
def test_a_figure_on_its_bound_passes_and_one_that_is_no_number_does_not(
    low, high, figure, outcome
):
    found = quality.judged("g", "m", figure, low=low, high=high, next_step="do")
    assert found.outcome == outcome
    assert found.next_step == ("do" if outcome == HELD else "")
    assert found.stops == (outcome == HELD)
    assert (found.low, found.high) == (low, high)
    if figure is not None and figure != figure:
        assert found.figure is None


def test_only_a_verdict_that_stops_can_be_accepted():
    held, passed = (
        quality.judged("a", "m", 9, high=1, next_step="x"),
        quality.judged("b", "m", 1, next_step=""),
    )
    told = quality.accepted([held, passed, quality.unknown("c", "why")], ["a", "b", "c"])
    assert [one.is_accepted for one in told] == [True, False, False]
    assert [one.stops for one in told] == [False, False, False]
    assert [one.stops for one in quality.accepted([held], ["b"])] == [True]
    missing = quality.Verdict("a", "m", 1, None, 0, NOT_ARRIVED)
    assert missing.stops
    assert not quality.accepted([missing], ["a"])[0].stops


def test_bands_out_of_range_are_refused():
    for key, value in {
        "weeks": 2,
        "least": 1.1,
        "most": 0.9,
        "psi": -1,
        "calibration": 0.5,
    }.items():
        with pytest.raises(ConfigurationError, match=f"quality.{key}"):
            Bands(**{key: value})


def test_a_log_that_reaches_as_of_is_fresh():
    assert fresh(days_before(*range(1, 64))).outcome == PASSED


@pytest.mark.parametrize(("missing", "outcome"), [(0, PASSED), (2, PASSED), (3, NOT_ARRIVED)])
def test_as_many_days_may_miss_as_missed_before(missing, outcome):
    """A shop that was once closed for two days in a row."""
    ages = [age for age in range(1 + missing, 64) if age not in (30, 31)]
    found = fresh(days_before(*ages))
    assert (found.outcome, found.figure, found.high) == (outcome, missing, 2)


def test_nothing_in_all_these_weeks_has_not_arrived():
    found = fresh([])
    assert (found.outcome, found.figure) == (NOT_ARRIVED, None)
    assert found.stops


def test_days_that_came_after_the_cut_need_a_person():
    """Waiting would not help: by this cut they never become known."""
    days = days_before(*range(4, 64))
    assert fresh(days, last_day=AS_OF).outcome == HELD
    assert "known_at" in fresh(days, last_day=AS_OF).next_step
    assert fresh(days, last_day=AS_OF - timedelta(days=1)).outcome == HELD
    assert fresh(days, last_day=AS_OF - timedelta(days=2)).outcome == NOT_ARRIVED


def test_a_log_of_three_weeks_is_the_first_that_can_be_late():
    days = days_before(*range(4, 10))
    assert fresh(days, first_day=AS_OF - timedelta(days=20)).outcome == UNKNOWN
    assert fresh(days, first_day=AS_OF - timedelta(days=21)).outcome == NOT_ARRIVED


def usual(*counts, bands=BANDS):
    return quality.usual("g", "m", list(counts), bands, next_step="look")


def test_a_week_is_compared_with_the_median_of_those_before():
    assert usual(5000, 10_000, 10_000, 10_000).outcome == PASSED
    assert usual(4999, 10_000, 10_000, 10_000).outcome == HELD
    assert usual(18_000, 10_000, 10_000, 10_000).outcome == PASSED
    assert usual(18_001, 10_000, 10_000, 10_000).outcome == HELD
    assert usual(6000, 10_000, 8000, 12_000).figure == 0.6


def test_weeks_that_differ_widen_the_band():
    found = usual(3200, 10_000, 4000, 10_000, 10_000, 30_000)
    assert (found.outcome, found.low, found.high) == (PASSED, 0.32, 3.75)
    assert usual(3199, 10_000, 4000, 10_000, 10_000, 30_000).outcome == HELD


def test_small_counts_may_vary_by_four_standard_deviations():
    assert usual(5, 25, 25, 25).outcome == PASSED
    assert usual(4, 25, 25, 25).outcome == HELD
    assert usual(4, 25, 25, 25).low == pytest.approx(0.2)
    assert usual(0, 25, 25, 25).outcome == HELD
    assert usual(4, 100, 100, 100).low == 0.5
    assert usual(1, 16, 16, 16).low == 0
    assert usual(50, 16, 16, 16).high == 2.0
    assert usual(50, 100, 100, 100).high == 1.8
    assert usual(9, 4, 4, 4).high == 3.0


def test_nothing_at_all_is_held_even_without_a_past():
    assert usual(0).outcome == HELD
    assert usual(0).figure == 0
    assert usual(7).outcome == UNKNOWN
    assert usual(7, 1, 1).outcome == UNKNOWN
    assert usual(7, 7, 7, 7).outcome == PASSED
    assert usual(7, 0, 0, 0).outcome == UNKNOWN


def test_volume_looks_at_rows_and_at_customers():
    rows, customers = quality.volume(
        weeks(n=[400, 1000, 1000, 1000], n_customers=[90, 100, 100, 100]), BANDS
    )
    assert (rows.gate, rows.outcome, customers.gate, customers.outcome) == (
        "volume",
        HELD,
        "customers",
        PASSED,
    )
    gone = quality.volume(weeks(n=[1000] * 3, n_customers=[9] * 3).assign(back=[1, 2, 3]), BANDS)
    assert [one.outcome for one in gone] == [HELD, HELD], "a week without a row is not among them"


def test_the_last_day_may_be_a_holiday_but_not_cut_in_two():
    assert quality.last_day(weeks(n=[2600, 10_000, 10_000, 10_000]), BANDS).outcome == PASSED
    assert quality.last_day(weeks(n=[2400, 10_000, 10_000, 10_000]), BANDS).outcome == HELD
    assert quality.last_day(weeks(n=[0, 10_000, 10_000, 10_000]), BANDS).outcome == UNKNOWN
    strict = quality.last_day(weeks(n=[100, 10_000, 10_000, 10_000]), Bands(least=0.005))
    assert strict.outcome == PASSED, "a person may ask for less"


def test_an_event_type_that_breaks_off_is_named():
    rows = weeks(c_00=[990, 1000, 1000, 1000], c_01=[99, 1000, 1000, 1000], c_02=[0, 99, 99, 99])
    found = quality.event_types(rows, {"login": "c_00", "export": "c_01", "rare": "c_02"}, BANDS)
    assert (found.outcome, found.figure) == (HELD, 0.099)
    assert "export" in found.measured
    assert "of 2" in found.measured
    fine = quality.event_types(weeks(c_01=[100, 1000, 1000, 1000]), {"export": "c_01"}, BANDS)
    assert (fine.outcome, fine.low) == (PASSED, 0.1)
    assert (
        quality.event_types(weeks(c_02=[0, 99, 99, 99]), {"rare": "c_02"}, BANDS).outcome == UNKNOWN
    )
    enough = quality.event_types(weeks(c_02=[0, 100, 100, 100]), {"rare": "c_02"}, BANDS)
    assert enough.outcome == HELD
    young = quality.event_types(weeks(c_02=[0, 100, 100]), {"rare": "c_02"}, BANDS)
    assert young.outcome == UNKNOWN


def test_a_column_that_empties_is_named():
    rows = weeks(n_value=[500, 500, 500, 500], n_person=[10, 900, 900, 900])
    found = quality.columns(rows)
    assert (found.outcome, "user_id" in found.measured) == (HELD, True)
    assert quality.columns(weeks(n_value=[0] * 4, n_person=[0] * 4)).outcome == UNKNOWN


def account(read, refused):
    return {"read": read, "refused": refused}


def test_refused_rows_are_those_of_new_deliveries():
    def outcome(now, before):
        return quality.refused(now, before, BANDS).outcome

    assert outcome([account(1000, 1)], []) == PASSED
    assert outcome([account(1000, 2)], []) == HELD
    assert outcome([account(500, 0), account(500, 2)], []) == HELD
    assert outcome([account(1000, 2)], [account(1000, 1)]) == PASSED
    assert outcome([account(1000, 3)], [account(1000, 1)]) == HELD
    assert outcome([], [account(1000, 1)]) == UNKNOWN
    assert outcome([account(0, 0)], []) == UNKNOWN
    assert quality.refused([account(1000, 2)], [account(0, 0)], BANDS).figure == 0.002


def test_a_side_table_keeps_nine_tenths_of_its_rows():
    assert quality.side_table("customers", 90, 100, BANDS).outcome == PASSED
    assert quality.side_table("customers", 89, 100, BANDS).outcome == HELD
    assert quality.side_table("customers", 0, 100, BANDS).outcome == HELD
    assert quality.side_table("customers", 5, 0, BANDS).outcome == UNKNOWN
    assert quality.side_table("customers", 5, None, BANDS).outcome == UNKNOWN
    assert quality.side_table("dates", 0, None, BANDS) is None
    assert quality.side_table("customers", 99, 100, BANDS).gate == "customers_rows"


def newest(*ages):
    return quality.newest("contacts", days_before(*ages), as_of=AS_OF, weeks=8)


def test_a_side_table_without_new_rows_for_twice_the_longest_wait_has_stopped():
    assert newest() is None
    assert newest(1, 2, 3).outcome == UNKNOWN
    assert newest(14, 15, 16, 17).outcome == PASSED
    found = newest(15, 16, 17, 18)
    assert (found.outcome, found.figure, found.high) == (HELD, 15, 14)
    assert newest(20, 30, 40, 50).outcome == PASSED
    assert newest(21, 31, 41, 51).outcome == HELD
    assert newest(57, 58, 59, 60).outcome == HELD, "silent for as long as we look back"
    assert newest(1, 62, 63, 64).outcome == UNKNOWN, "what is older says nothing of these weeks"


def test_customers_without_events_against_the_weeks_before():
    def outcome(*shares, n=10_000):
        return quality.without_events(list(shares), n, BANDS).outcome

    assert outcome(0.12, 0.1, 0.1, 0.1) == PASSED
    assert outcome(0.1201, 0.1, 0.1, 0.1) == HELD
    assert outcome(0.9) == PASSED
    assert outcome(0.91) == HELD
    assert outcome(0.91, 0.91, 0.91, 0.91) == HELD, "ids that never matched"
    assert outcome(0.2, 0.1, 0.1, 0.1, n=100) == PASSED
    assert outcome(0.23, 0.1, 0.1, 0.1, n=100) == HELD
    assert outcome(0.5, 0.1, 0.1) == PASSED
    assert outcome(0.03, 0.0, 0.0, 0.0) == HELD


def rows_of(table, *rows):
    names = [name for name in table.columns if not name.startswith("c_") or name == "c_00"]
    made = []
    for row in rows:
        given = dict(
            zip(
                ("customer_id", "day", "n", "first_known_on", "known_on", "last_known_on"),
                row,
                strict=True,
            )
        )
        made.append({name: given.get(name, 0) for name in names})
    schema = pa.schema([arrow_schema(table).field(name) for name in names])
    return pa.Table.from_pylist(made, schema=schema)


def test_weeks_and_days_are_counted_as_they_were_known_at_their_end():
    """One row of the second week came late: it is in `daily` from the day that knows it, and in `late`
    what was there before."""
    on = [AS_OF - timedelta(days=age) for age in range(30)]
    daily = rows_of(
        DAILY,
        ("a", on[1], 5, on[0], None, on[0]),
        ("a", on[8], 7, on[7], None, on[3]),
        ("b", on[8], 2, on[7], None, on[7]),
        ("c", on[3], 9, None, None, AS_OF + timedelta(days=2)),
    )  # fmt: skip
    late = rows_of(
        LATE,
        ("a", on[8], 4, None, on[7], on[3]),
        ("a", on[8], 3, None, on[3], on[3]),
    )
    with opened(resources(EngineSettings())) as engine:
        engine.bind("daily", daily)
        engine.bind("late", late)
        found = engine.table(known_weeks.weeks_as_known(AS_OF, weeks=2, columns=["n"])).to_pylist()
        assert found == [
            {"back": 0, "n_customers": 1, "n": 5},
            {"back": 1, "n_customers": 2, "n": 6},
        ]
        day = engine.table(
            known_weeks.weeks_as_known(AS_OF, weeks=1, columns=["n"], n_days=1)
        ).to_pylist()
        assert [row["n"] for row in day] == [5, 6]
        days = engine.table(known_weeks.days_as_known(AS_OF, weeks=1)).to_pylist()
        assert [(row["day"], row["n"]) for row in days] == [(on[8], 9), (on[1], 5)]
        seen = engine.table(known_weeks.customers_seen(AS_OF, n_days=7)).to_pylist()
        assert sorted(row["customer_id"] for row in seen) == ["a"]
        seen = engine.table(known_weeks.customers_seen(AS_OF, n_days=8)).to_pylist()
        assert sorted(row["customer_id"] for row in seen) == ["a", "b"]


def test_clocks_that_were_changed_show_in_the_night():
    def outcome(now, *before, n=1000):
        rows = weeks(n=[n] * (1 + len(before)), n_night=[n * share for share in (now, *before)])
        return quality.hours(rows).outcome

    assert outcome(0.15, 0.1, 0.1, 0.1) == PASSED
    assert outcome(0.151, 0.1, 0.1, 0.1) == HELD
    assert outcome(0.05, 0.1, 0.1, 0.1) == PASSED
    assert outcome(0.049, 0.1, 0.1, 0.1) == HELD
    assert outcome(0.0, 0.04, 0.04, 0.04) == PASSED
    assert outcome(0.5, 0.1, 0.1, 0.3) == PASSED, "it varies so much"
    assert outcome(0.71, 0.1, 0.1, 0.3) == HELD
    assert outcome(0.9, 0.1, 0.1) == UNKNOWN
    assert outcome(0.9, 0.1, 0.1, 0.1, n=99) == UNKNOWN


def test_a_value_in_cents_is_noticed():
    def outcome(now, *before, n=1000):
        sums = [n * mean for mean in (now, *before)]
        return quality.values(weeks(n_value=[n] * len(sums), value_sum=sums), BANDS).outcome

    assert outcome(30, 10, 10, 10) == PASSED
    assert outcome(31, 10, 10, 10) == HELD
    assert outcome(4, 10, 10, 10) == PASSED
    assert outcome(3, 10, 10, 10) == HELD
    assert outcome(-10, 10, 10, 10) == HELD
    assert outcome(50, 10, 10, 10, 40) == PASSED, "it was so before"
    assert outcome(51, 10, 10, 10, 40) == HELD
    assert outcome(99, 10, 10) == UNKNOWN
    assert outcome(99, 10, 10, 10, n=99) == UNKNOWN
    assert outcome(99, 10, 10, 10, n=100) == HELD
    assert outcome(10, 0, 0, 0) == UNKNOWN
