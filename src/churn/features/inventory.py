"""What a log had by a date, and so what the definitions may speak of."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlglot import exp, parse_one

from churn.contracts import PLACES
from churn.features.vocabulary import Vocabulary
from churn.timeline import midnight


def roles(patterns: Mapping[str, str], event_types: Sequence[str]) -> dict[str, list[str]]:
    """Role → the event types whose name matches its pattern; empty roles are left out.

    >>> roles({"error": "error|exception"}, ["login", "api_error"])
    {'error': ['api_error']}
    """
    found = {
        role: [event for event in event_types if re.search(pattern, event, re.IGNORECASE)]
        for role, pattern in patterns.items()
    }
    return {role: events for role, events in found.items() if events}


def inventory(
    places: Iterable[str], *, known_on: date, first: date, known_before: datetime
) -> exp.Expr:
    """What a log had in the days from `first` before `known_on`, as known then: one row.

    How many customer-days have each of `places`, a value, a refund, a person, and how many
    rows of the side tables there were. Chosen from this, a model never depends on what came later.
    """
    others = ("n_value", "n_negative", "people_mask")
    # few days differ in all of these: counted together first, at a fifth of the cost
    asked = {name: f"(event_mask >> {PLACES.index(name)}) & 1" for name in places}
    asked |= {name: f"has_{name}" for name in others}
    counts = ", ".join(
        f"CAST(COALESCE(SUM(n * ({has})), 0) AS BIGINT) AS {name}" for name, has in asked.items()
    )
    flags = ", ".join(f"CASE WHEN {name} <> 0 THEN 1 ELSE 0 END AS has_{name}" for name in others)
    known, cut = _date(known_on), f"CAST('{known_before}' AS TIMESTAMP)"
    in_force = f"(valid_from IS NULL OR valid_from < CAST({known} AS TIMESTAMP))"
    arrived = f"{in_force} AND (loaded_at IS NULL OR loaded_at < {cut})"
    started = f"start_date < {known} AND {arrived}"
    return _sql(f"""
        SELECT {counts},
            (SELECT COUNT(*) FROM subscriptions WHERE {started}) AS n_subscriptions,
            (SELECT COUNT(term_end) FROM subscriptions WHERE {started}) AS n_terms,
            (SELECT COUNT(*) FROM contacts WHERE contacted_at < CAST({known} AS TIMESTAMP)
                AND COALESCE(recorded_at, contacted_at) < {cut}) AS n_contacts,
            (SELECT COUNT(*) FROM items WHERE known_on <= {known} AND day >= {_date(first)}
                AND day < {known}) AS n_items,
            (SELECT COUNT(signed_up_at) FROM customers WHERE {arrived}) AS n_signed_up
        FROM (
            SELECT event_mask, {", ".join(f"has_{name}" for name in others)}, COUNT(*) AS n FROM (
                SELECT event_mask, {flags} FROM daily
                WHERE last_known_on <= {known} AND day >= {_date(first)}
                UNION ALL
                SELECT event_mask, {flags} FROM late
                WHERE known_on <= {known} AND last_known_on > {known} AND day >= {_date(first)}
            ) AS known_rows GROUP BY 1, 2, 3, 4
        ) AS kinds
    """)


def first_known_day(*, known_on: date) -> exp.Expr:
    """The first day of the log as known at a date (`day`); history that arrives later moves it."""
    return _sql(f"SELECT MIN(day) AS day FROM first_days WHERE first_known_on <= {_date(known_on)}")


def vocabulary(
    found: Mapping[str, int],
    all_places: Mapping[str, str],
    *,
    windows: Sequence[int],
    n_event_types: int,
    patterns: Mapping[str, str],
    static: Mapping[str, str],
) -> Vocabulary:
    """What the definitions may speak of, from an `inventory` row: the commonest event types, roles."""
    present = [event for event, place in all_places.items() if found[place] > 0]
    needs = {
        "people": "people_mask", "value": "n_value", "negative": "n_negative",
        "subscriptions": "n_subscriptions", "terms": "n_terms", "contacts": "n_contacts",
        "signed_up": "n_signed_up", "items": "n_items",
    }  # fmt: skip
    commonest = sorted(present, key=lambda event: (-found[all_places[event]], event))
    chosen = commonest[:n_event_types]
    available = [need for need, column in needs.items() if found[column] > 0]
    return Vocabulary(
        windows=list(windows),
        event_types=chosen,
        roles=roles(patterns, sorted(present)),
        available=[*available, "event_types"] if chosen else available,
        static=dict(static),
    )


def seen_lately(as_of: date, *, n_days: int) -> exp.Expr:
    """Customers with an event in the `n_days` before `as_of` that was known then (`customer_id`)."""
    first = _date(as_of - timedelta(days=n_days))
    return _sql(f"""
        SELECT DISTINCT customer_id FROM daily
        WHERE day >= {first} AND day < {_date(as_of)} AND first_known_on <= {_date(as_of)}
        ORDER BY customer_id
    """)


def usable_snapshots(
    snapshots: Sequence[date], *, first_day: date, min_history_days: int
) -> list[date]:
    """The snapshots that have at least `min_history_days` of log before them."""
    return [day for day in snapshots if (day - first_day).days >= min_history_days]


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
