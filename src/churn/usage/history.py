"""The last 26 weeks of a few customers, day by day, as known at a date."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
from sqlglot import exp, parse_one

from churn.usage.daily import as_known, slow_pairs

N_WEEKS = 26
N_DAYS = 7 * N_WEEKS


def days(as_of: date, *, use: str) -> exp.Expr:
    """Tables `daily`, `late` and `listed` (customer_id) → customer_id, age_days, n (events of `use`,
    a column of the roll-up); as known at `as_of`."""
    first = as_of - timedelta(days=N_DAYS)
    return parse_one(
        f"""
        WITH snapshot AS (SELECT DATE '{as_of}' AS snapshot, DATE '{as_of}' AS known_on,
            DATE '{first}' AS first_day),
        slow AS ({slow_pairs(first=first)}),
        days AS ({as_known({}, first=first, before=as_of, use=use, with_gaps=False)})
        SELECT customer_id, age_days, n_use AS n FROM days
        WHERE n_use > 0 AND customer_id IN (SELECT customer_id FROM listed) ORDER BY customer_id, age_days
        """,
        dialect="duckdb",
    )


def matrix(history: pd.DataFrame, customers: Sequence[str]) -> np.ndarray:
    """Events per day: (customers in the given order, 182), the day before the date first."""
    place = {customer: row for row, customer in enumerate(customers)}
    events = np.zeros((len(customers), N_DAYS), dtype=np.int64)
    rows = history["customer_id"].map(place).to_numpy()
    events[rows, history["age_days"].to_numpy() - 1] = history["n"].to_numpy()
    return events


def by_week(events: np.ndarray) -> np.ndarray:
    """(customers, days) → (customers, weeks) sums, oldest week first."""
    return events.reshape(len(events), N_WEEKS, 7).sum(axis=2)[:, ::-1]


def week_starts(as_of: date) -> list[str]:
    """The first days of the 26 weeks before `as_of`, oldest first, as ISO dates."""
    return [(as_of - timedelta(days=7 * week)).isoformat() for week in range(N_WEEKS, 0, -1)]
