"""Aggregates taken apart into spans, and running totals: what they give is what SQL gives."""

from dataclasses import replace

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.features import running
from churn.features.definitions import Feature
from churn.features.running import Days
from churn.features.spans import Span, taken_apart

LOOKBACK = 60
SNAPSHOTS = (40, 54, 90)

APART = (
    "SUM(CASE WHEN age_days <= 28 THEN n END)",
    "SUM(CASE WHEN age_days > 7 AND age_days <= 7 + 28 THEN n END)",
    "SUM(n)",
    "COUNT(*)",
    "COUNT(CASE WHEN age_days < 15 THEN 1 END)",
    "COUNT(CASE WHEN age_days >= 15 AND n_use > 0 THEN 1 END)",
    "CAST(SUM(CASE WHEN age_days <= 200 THEN value END) AS DOUBLE) / NULLIF(COUNT(*), 0)",
    "SUM(CASE WHEN age_days <= 28 AND n_use > 1 THEN n * (29 - age_days) END)",
    "SUM(CASE WHEN n_use > 1 THEN 29 - age_days END)",
    "SUM(n * (2 * age_days - 3) + value)",
    "MIN(age_days)",
    "MAX(CASE WHEN value < 0 THEN age_days END)",
    "MIN(CASE WHEN n > 1 AND age_days > 7 AND age_days <= 40 THEN age_days END)",
    "MAX(CASE WHEN age_days <= 14 THEN value END)",
    "MIN(CASE WHEN age_days <= 14 AND n > 1 THEN 0 - value END)",
    "BIT_COUNT(COALESCE(BIT_OR(CASE WHEN age_days <= 14 THEN mask END), 0) & ~COALESCE(BIT_OR(CASE WHEN age_days > 14 THEN mask END), 0))",
    "SUM(gap_days)",
    "COUNT(gap_days)",
    "MAX(CASE WHEN age_days <= 28 THEN gap_days END)",
    "COUNT(CASE WHEN gap_days >= 3 AND age_days <= 45 THEN 1 END)",
    "SUM(CASE WHEN n > 1 THEN gap_days * gap_days END)",
    "SUM(CASE WHEN (age_days <= 30 AND (n = 1 OR value > 2)) THEN ABS(value) END)",
    "COUNT(CASE WHEN gap_days >= 3 AND (n = 1 OR value > 2) THEN 1 END)",
    "SUM(CASE WHEN age_days <= 28 THEN n_use * (28 + 1 - age_days) END)",
    "SUM((0 - 3) * (value * age_days) * 2)",
    "SUM(2 * (value - 5 * age_days) - 7)",
    "SUM(CASE WHEN value > 0 THEN 2 * (age_days * 0 + 3) END)",
    "MIN(CASE WHEN n_use > 0 THEN age_days END)",
    "MAX(CASE WHEN (n_use > 0) AND age_days <= 40 THEN age_days END)",
    "MIN(CASE WHEN n_use > 1 THEN age_days END)",
    "MIN(CASE WHEN n_use > 0 AND value > 0 THEN age_days END)",
    "MAX(CASE WHEN value > 0 THEN age_days END)",
    "SUM(value) * SUM(value)",
    "COALESCE(SUM(CASE WHEN age_days <= 28 THEN value END), 0) * (SUM(n) + 1) * 1000000",
)

LEFT_ALONE = (
    "SUM(CASE WHEN age_days % 7 = 0 THEN n END)",
    "SUM(CASE WHEN age_days <= 28 OR n > 3 THEN n END)",
    "SUM(CASE WHEN age_days <= 28 THEN n ELSE 1 END)",
    "SUM(n * age_days * age_days)",
    "SUM(n * age_days * 0)",
    "SUM(n / 2)",
    "SUM(n * 0.5)",
    "SUM(CAST(n AS DOUBLE))",
    "COUNT(CASE WHEN gap_days IS NULL THEN 1 END)",
    "SUM(COALESCE(gap_days, 1))",
    "SUM(gap_days * age_days)",
    "MAX(n * age_days)",
    "COUNT(CASE WHEN gap_days > 3 OR n > 3 THEN 1 END)",
    "COUNT(CASE WHEN NOT (gap_days > 3 AND n > 3) THEN 1 END)",
    "SUM(CASE WHEN GREATEST(gap_days, n) > 3 THEN n END)",
    "COUNT(CASE WHEN n IN (gap_days, 1) THEN 1 END)",
)


def feature(expression: str) -> Feature:
    return Feature("asked", "What is asked", "units", "test", expression)


@pytest.mark.parametrize("expression", LEFT_ALONE)
def test_what_is_no_span_is_left_to_the_engine(expression: str) -> None:
    assert not taken_apart([feature(expression)]).features


def test_a_column_that_differs_from_snapshot_to_snapshot_is_left_to_the_engine() -> None:
    asked = [feature("SUM(CASE WHEN age_days <= 7 THEN on_holiday END)")]
    assert taken_apart(asked).features
    assert not taken_apart(asked, apart_from=["on_holiday"]).features


def test_features_that_look_at_the_same_days_share_a_span() -> None:
    of_28 = "SUM(CASE WHEN age_days <= 28 THEN n END)"
    apart = taken_apart([feature(of_28), feature(f"CAST({of_28} AS DOUBLE) / NULLIF({of_28}, 0)")])
    assert list(apart.names) == [Span("sum", "n", upto=28)]
    assert apart.columns == ["n"]


def test_windows_of_any_length_share_a_column() -> None:
    faded = [
        f"SUM(CASE WHEN age_days <= {n} THEN n_use * ({n} + 1 - age_days) END)" for n in (7, 28)
    ]
    recent = ["MIN(CASE WHEN n_use > 0 THEN age_days END)"]
    asked = [replace(feature(sql), name=sql) for sql in [*faded, *recent]]
    assert taken_apart(asked).columns == ["n_use"]


@pytest.mark.parametrize(("value", "first_day"), [(2 * 10**16, 0), (5 * 10**16, 5_000)])
def test_an_aged_sum_that_fits_is_right_however_long_the_log(value: int, first_day: int) -> None:
    days = Days(np.array([0, 1]), np.array([first_day]), np.array([True]))
    aged, at = Span("aged", "value"), np.array([first_day + 54])
    found = running.of_spans(days, {"value": np.array([value])}, [aged], at, lookback_days=LOOKBACK)
    assert found.values[aged][0].tolist() == [54 * value]


def test_an_aged_sum_that_does_not_fit_is_refused() -> None:
    """On the first day of the log, too."""
    days = Days(np.array([0, 1]), np.array([0]), np.array([True]))
    aged, columns = Span("aged", "value"), {"value": np.array([2 * 10**17])}
    with pytest.raises(running.TooLargeError):
        running.of_spans(days, columns, [aged], np.array([54]), lookback_days=LOOKBACK)


rows = st.lists(
    st.tuples(
        st.sampled_from(("ann", "bob", "zoe")),
        st.integers(0, 95),
        st.integers(0, 3),  # n_use
        st.integers(1, 3),
        st.integers(-4, 4),
        st.integers(0, 15),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[:2],
)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_running_totals_are_what_sql_says(found: list[tuple[str, int, int, int, int, int]]) -> None:
    """Every expression over every pair of customer and snapshot, the gap being null for the first
    day of use in the lookback."""
    ordered = sorted(found)
    apart = taken_apart([replace(feature(sql), name=f"f_{k}") for k, sql in enumerate(APART)])
    assert len(apart.features) == len(APART)
    with duckdb.connect(config={"threads": 1}) as engine:
        engine.execute(
            "CREATE TABLE day (customer_id VARCHAR, day INT, n_use BIGINT, n BIGINT, value BIGINT, mask BIGINT)"
        )
        engine.executemany("INSERT INTO day VALUES (?, ?, ?, ?, ?, ?)", ordered)
        assert by_spans(engine, ordered, apart) == by_sql(engine)


def by_sql(engine: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    asked = ", ".join(f"CAST({sql} AS DOUBLE)" for sql in APART)
    snapshots = ", ".join(f"({day})" for day in SNAPSHOTS)
    return engine.execute(f"""
        SELECT customer_id, snapshot, {asked} FROM (
            SELECT d.*, snapshot, snapshot - day AS age_days, CASE WHEN n_use > 0 THEN day - MAX(
                CASE WHEN n_use > 0 THEN day END) OVER (PARTITION BY snapshot, customer_id ORDER BY day
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) END AS gap_days
            FROM day AS d JOIN (VALUES {snapshots}) AS s(snapshot)
            ON day < snapshot AND day >= snapshot - {LOOKBACK}
        ) AS seen GROUP BY ALL ORDER BY ALL
    """).fetchall()


def by_spans(engine: duckdb.DuckDBPyConnection, ordered: list, apart) -> list[tuple[object, ...]]:
    names = sorted({row[0] for row in ordered})
    sizes = [sum(row[0] == name for row in ordered) for name in names]
    days = Days(
        starts=np.cumsum([0, *sizes]),
        day=np.array([row[1] for row in ordered]),
        is_use=np.array([row[2] > 0 for row in ordered]),
    )
    gaps, is_null = running.gaps(days)
    engine.execute("CREATE TABLE gap (customer_id VARCHAR, day INT, gap_days BIGINT)")
    engine.executemany(
        "INSERT INTO gap VALUES (?, ?, ?)",
        [
            (row[0], row[1], None if null else int(gap))
            for row, gap, null in zip(ordered, gaps, is_null, strict=True)
        ],
    )
    read = engine.execute(
        f"SELECT {', '.join(apart.columns)} FROM day JOIN gap USING (customer_id, day) "
        "ORDER BY customer_id, day"
    ).fetchall()
    columns = {
        sql: np.array(v, dtype=np.int64)
        for sql, v in zip(apart.columns, zip(*read, strict=True), strict=True)
    }
    pairs = running.of_spans(
        days, columns, list(apart.names), np.array(SNAPSHOTS), lookback_days=LOOKBACK
    )
    values = [
        [None if null else int(value) for value, null in zip(*pairs.values[span], strict=True)]
        for span in apart.names
    ]
    listed = ", ".join(f"{name} BIGINT" for name in apart.names.values())
    engine.execute(f"CREATE TABLE spans (customer_id VARCHAR, snapshot INT, {listed})")
    keys = [
        (names[customer], SNAPSHOTS[at])
        for customer, at in zip(pairs.customer, pairs.snapshot, strict=True)
    ]
    engine.executemany(
        f"INSERT INTO spans VALUES ({', '.join('?' for _ in range(2 + len(values)))})",
        [(*key, *row) for key, row in zip(keys, zip(*values, strict=True), strict=True)] or [],
    ) if keys else None
    made = ", ".join(f"CAST({item.expression} AS DOUBLE)" for item in apart.features)
    return engine.execute(
        f"SELECT customer_id, snapshot, {made} FROM spans ORDER BY ALL"
    ).fetchall()


def test_a_total_beyond_64_bits_is_refused() -> None:
    days = Days(np.array([0, 2]), np.array([1, 2]), np.array([True, True]))
    span = Span("sum", "value")
    asked = {"value": np.array([2**61, 2**61])}
    with pytest.raises(running.TooLargeError, match="value"):
        running.of_spans(days, asked, [span], np.array([3]), lookback_days=9)


@pytest.mark.parametrize("value", range(10**17, 9 * 10**17, 10**17))
def test_a_value_times_its_age_beyond_64_bits_is_refused(value: int) -> None:
    days = Days(np.array([0, 1]), np.array([400]), np.array([True]))
    asked = {"value": np.array([value])}
    with pytest.raises(running.TooLargeError, match="value"):
        running.of_spans(days, asked, [Span("aged", "value")], np.array([480]), lookback_days=84)


def test_large_values_of_many_customers_are_no_total_of_one() -> None:
    """Running totals go on from customer to customer; only what lies between two rows counts."""
    n = 64
    days = Days(np.arange(n + 1), np.ones(n, dtype=np.int64), np.ones(n, dtype=bool))
    span = Span("sum", "value")
    asked = {"value": np.full(n, 2**60)}
    pairs = running.of_spans(days, asked, [span], np.array([3]), lookback_days=9)
    assert set(pairs.values[span][0].tolist()) == {2**60}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), max_size=30, unique=True),
    st.integers(1, 40),
)
def test_silences_lie_between_days_or_last_to_the_end(
    pairs: list[tuple[int, int]], longer_than: int
) -> None:
    pairs = sorted(pairs)
    whom, day = (np.array([pair[n] for pair in pairs], dtype=np.int64) for n in (0, 1))
    found = running.silences(whom, day, known=100, longer_than=longer_than)
    expected = []
    for customer, first in pairs:
        after = min([other for who, other in pairs if who == customer and other > first] + [100])
        if after - first > longer_than:
            expected.append((customer, first, after))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
