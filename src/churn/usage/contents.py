"""What is in a log: what `check` counts and how it is told."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

import pandas as pd
from sqlglot import exp

from churn.timeline import Window
from churn.usage.advice import shown
from churn.usage.columns import parsed_query

LATENESS_HOURS = (1, 6, 24, 168)
"""Where the distribution of lateness is cut."""

ENOUGH_SHARE = 0.99
"""The suggested `arrival_hours` is the smallest that knows this share of rows on time."""

MIN_ARRIVAL_HOURS, MAX_ARRIVAL_HOURS = 6, 24 * 60


class Counted(Protocol):
    """What became of the rows of one delivery."""

    @property
    def path(self) -> str: ...
    @property
    def read(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def duplicate(self) -> int: ...
    @property
    def excluded(self) -> int: ...
    @property
    def refused(self) -> int: ...


@dataclass(frozen=True)
class Findings:
    """What `check` found; frames have the columns of the queries of the same name."""

    accounts: Sequence[Counted]
    rejects: pd.DataFrame
    overview: Mapping[str, Any]
    by_event: pd.DataFrame
    by_week: pd.DataFrame
    days: Sequence[date]
    lateness: pd.DataFrame | None
    sides: Mapping[str, int]


def overview() -> exp.Expr:
    """One row over `clean_events`: counts of rows, customers, people, values, and the span."""
    return parsed_query("""
        SELECT COUNT(*) AS n_rows, COUNT(DISTINCT customer_id) AS n_customers,
            COUNT(DISTINCT user_id) AS n_people, COUNT(value_units) AS n_values,
            COUNT(CASE WHEN value_units < 0 THEN 1 END) AS n_negative,
            COUNT(loaded_at) AS n_loaded, MIN(ts) AS first_ts, MAX(ts) AS last_ts
        FROM clean_events
    """)


def by_event() -> exp.Expr:
    """Event types by number of rows: event, n, n_customers."""
    return parsed_query("""
        SELECT event, COUNT(*) AS n, COUNT(DISTINCT customer_id) AS n_customers
        FROM clean_events GROUP BY event ORDER BY n DESC, event
    """)


def by_month(table: str = "clean_events", *, n: str = "COUNT(*)") -> exp.Expr:
    """The rows of `table` by the month of their day: month (YYYY-MM), n, first_day, last_day."""
    return parsed_query(f"""
        SELECT SUBSTRING(CAST(day AS TEXT), 1, 7) AS month, CAST(SUM(n) AS BIGINT) AS n,
            MIN(day) AS first_day, MAX(day) AS last_day
        FROM (SELECT day, {n} AS n FROM {table} GROUP BY day) AS days GROUP BY 1 ORDER BY 1
    """)


def by_week() -> exp.Expr:
    """Rows per week, which begins on Monday: week (DATE), n, n_customers."""
    return parsed_query("""
        SELECT CAST(DATE_TRUNC('WEEK', day) AS DATE) AS week, COUNT(*) AS n,
            COUNT(DISTINCT customer_id) AS n_customers
        FROM clean_events GROUP BY 1 ORDER BY 1
    """)


def active_days() -> exp.Expr:
    """Days with at least one event: day."""
    return parsed_query("SELECT DISTINCT day FROM clean_events ORDER BY day")


def lateness() -> exp.Expr:
    """Rows by how late they came: hours_late (whole hours from `ts` to `loaded_at`), hours_needed
    (the smallest `arrival_hours` that knows the row at the first snapshot after its day), n."""
    return parsed_query(f"""
        SELECT
            LEAST(GREATEST({_hours("ts")}, 0), {MAX_ARRIVAL_HOURS}) AS hours_late,
            LEAST(GREATEST({_hours("day + INTERVAL '1' DAY")} + 1, 0), {MAX_ARRIVAL_HOURS})
                AS hours_needed,
            COUNT(*) AS n
        FROM clean_events WHERE NOT loaded_at IS NULL
        GROUP BY 1, 2 ORDER BY 1, 2
    """)


def _hours(since: str) -> str:
    """SQL for the whole hours from `since` to `loaded_at`."""
    return f"CAST(FLOOR((EPOCH(loaded_at) - EPOCH(CAST({since} AS TIMESTAMP))) / 3600) AS BIGINT)"


def gaps(days: Sequence[date]) -> list[Window]:
    """Runs of days without any event, between the first and the last of `days` (ascending).

    >>> gaps([date(2026, 1, 1), date(2026, 1, 4)])[0].n_days
    2
    """
    pairs = itertools.pairwise(days)
    one = timedelta(days=1)
    return [Window(before + one, after) for before, after in pairs if after - before > one]


def suggested_arrival_hours(lateness: pd.DataFrame | None) -> int | None:
    """The smallest whole hours, at least 6, that know 99 % of rows at the first snapshot after
    their day; None when the log does not say when rows arrived."""
    if lateness is None or lateness.empty:
        return None
    by_hours = lateness.groupby("hours_needed", as_index=False)["n"].sum()
    share = by_hours["n"].cumsum() / by_hours["n"].sum()
    enough = by_hours.loc[share >= ENOUGH_SHARE, "hours_needed"]
    return max(MIN_ARRIVAL_HOURS, int(enough.min()))


def report(found: Findings) -> list[str]:
    """What a person should read, line by line: rows, span, events, gaps, lateness, values."""
    return [
        *_about_rows(found),
        *_about_span(found),
        *_about_events(found),
        *_about_weeks(found),
        *_about_lateness(found.lateness),
        *_about_values(found.overview),
    ]


def _about_rows(found: Findings) -> list[str]:
    total = {
        name: sum(getattr(account, name) for account in found.accounts)
        for name in ("read", "used", "duplicate", "excluded", "refused")
    }
    lines = [
        f"files      {len(found.accounts):,}; "
        + (", ".join(f"{name} {n:,} rows" for name, n in found.sides.items()) or "no side tables"),
        "rows       read {read:,} = used {used:,} + duplicate {duplicate:,} + excluded {excluded:,}"
        " + refused {refused:,}".format(**total),
    ]
    for (column, reason), of_kind in found.rejects.groupby(["column", "reason"], sort=True):
        first = of_kind.iloc[0]
        where = f"{first['file']} line {first['line']}: {shown(first['value'])}"
        lines.append(f"  refused  {len(of_kind):,} × {column}: {reason}; first {where}")
    return lines


def _about_span(found: Findings) -> list[str]:
    first, last = found.overview["first_ts"], found.overview["last_ts"]
    people = found.overview["n_people"]
    return [
        f"span       {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, "
        f"{(last.date() - first.date()).days + 1:,} days",
        f"customers  {found.overview['n_customers']:,}; "
        + (f"{people:,} people (user_id)" if people else "no people (user_id)"),
    ]


def _about_events(found: Findings) -> list[str]:
    n_rows = found.overview["n_rows"]
    top = found.by_event.head(20).to_dict("records")
    lines = [f"events     {len(found.by_event):,} types"]
    lines += [
        f"  {row['n']:>12,}  {row['n'] / n_rows:6.1%}  {row['n_customers']:>9,} customers  "
        f"{row['event']}"
        for row in top
    ]
    return lines + (
        [f"  and {len(found.by_event) - 20:,} more"] if len(found.by_event) > 20 else []
    )


def _about_weeks(found: Findings) -> list[str]:
    weeks = found.by_week["n"]
    low = found.by_week.iloc[int(weeks.to_numpy().argmin())]
    missing = gaps(found.days)
    lines = [
        f"weeks      {len(weeks):,}; rows a week: median {weeks.median():,.0f}, "
        f"lowest {low['n']:,} (week of {low['week']:%Y-%m-%d}), highest {weeks.max():,}",
        f"gaps       {len(missing):,} runs of days without any event",
    ]
    longest = sorted(missing, key=lambda gap: (-gap.n_days, gap.first))[:10]
    return lines + [f"  {gap.n_days:,} days from {gap.first}" for gap in longest]


def _about_lateness(lateness: pd.DataFrame | None) -> list[str]:
    hours = suggested_arrival_hours(lateness)
    if lateness is None or hours is None:
        return ["lateness   n/a: no loaded_at, so every row counts as known from its own time on"]
    n = lateness["n"].sum()
    parts = [
        f"{lateness.loc[lateness['hours_late'] < limit, 'n'].sum() / n:.2%} within {limit} h"
        for limit in LATENESS_HOURS
    ]
    return [
        f"lateness   {', '.join(parts)}",
        f"  source.arrival_hours={hours} knows {ENOUGH_SHARE:.0%} of rows at the next snapshot",
    ]


def _about_values(overview: Mapping[str, Any]) -> list[str]:
    share = overview["n_values"] / overview["n_rows"]
    return [f"values     {share:.1%} of rows have one, {overview['n_negative']:,} are negative"]
