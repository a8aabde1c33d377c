"""The days and weeks of a log as they were known when each of them ended.

A week is the seven days before a date, with what was known at that date: so a log whose rows arrive
late is compared with what it looked like at the end of every other week, not with what it is now.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlglot import exp

from churn.usage.columns import parsed_query


def days_as_known(as_of: date, *, weeks: int) -> exp.Expr:
    """Rows per day of the `weeks` before `as_of` and the week of `as_of`, as known then: day, n."""
    first = as_of - timedelta(days=7 * (weeks + 1))
    return parsed_query(f"""
        SELECT day, CAST(SUM(n) AS BIGINT) AS n FROM ({_known(["n"])}) AS rows_known
        JOIN (SELECT DATE '{as_of}' AS before) AS w
            ON day < w.before AND day >= DATE '{first}' AND {_KNOWN}
        GROUP BY day HAVING SUM(n) > 0 ORDER BY day
    """)


def weeks_as_known(as_of: date, *, weeks: int, columns: Sequence[str], n_days: int = 7) -> exp.Expr:
    """The last `n_days` of the week of `as_of` (back = 0) and of the `weeks` before it, each as known
    at its own end: back, n_customers, and the sums of `columns` of the roll-up."""
    ends = [as_of - timedelta(days=7 * back) for back in range(weeks + 1)]
    rows = ", ".join(
        f"({back}, DATE '{end}', DATE '{end - timedelta(days=n_days)}')"
        for back, end in enumerate(ends)
    )
    sums = ", ".join(f"CAST(SUM({name}) AS BIGINT) AS {name}" for name in columns)
    return parsed_query(f"""
        SELECT back, COUNT(DISTINCT customer_id) AS n_customers, {sums}
        FROM ({_known(columns)}) AS rows_known
        JOIN (SELECT * FROM (VALUES {rows}) AS v(back, before, first)) AS w
            ON day >= w.first AND day < w.before AND {_KNOWN}
        GROUP BY back ORDER BY back
    """)


_KNOWN = "known_on <= w.before AND (superseded_on IS NULL OR superseded_on > w.before)"


def _known(columns: Sequence[str]) -> str:
    """SQL for the days of `daily`, whole, and what was known of them before in `late`."""
    listed = ", ".join(columns)
    return f"""
        SELECT customer_id, day, {listed}, last_known_on AS known_on, NULL AS superseded_on FROM daily
        UNION ALL
        SELECT customer_id, day, {listed}, known_on, last_known_on AS superseded_on FROM late
    """


def customers_seen(as_of: date, *, n_days: int) -> exp.Expr:
    """Who had a row in the `n_days` before `as_of`, as known then: customer_id."""
    first = as_of - timedelta(days=n_days)
    return parsed_query(f"""
        SELECT DISTINCT customer_id FROM ({_known(["n"])}) AS rows_known
        JOIN (SELECT DATE '{as_of}' AS before) AS w
            ON day < w.before AND day >= DATE '{first}' AND {_KNOWN}
    """)
