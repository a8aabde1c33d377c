"""Clean events → additive daily roll-up, and the days of a customer as they were known at a date.

`daily` holds totals over all rows of a customer-day. For the few customer-days that received a row
late, `late` holds all their rows by the first snapshot that knows them, so that any past snapshot
can be rebuilt as it was known and everybody else takes the fast path.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlglot import exp, parse_one

from churn.contracts import DAILY, LATE, MASKS, N_PLACES, SUMS, kept, kept_places


def first_appearances() -> exp.Expr:
    """`clean_events` → one row per event type with when it was first known, oldest first.

    `ts` is the first time among the rows known first: a row that arrives later moves nobody.
    """
    return _sql("""
        SELECT event, known_on, ts FROM (
            SELECT event, known_on, MIN(ts) AS ts,
                   ROW_NUMBER() OVER (PARTITION BY event ORDER BY known_on) AS place
            FROM clean_events GROUP BY event, known_on
        ) AS appearances WHERE place = 1 ORDER BY known_on, ts, event
    """)


def first_people() -> exp.Expr:
    """`clean_events` → one row per customer and person of the account with when they were known."""
    return _sql("""
        SELECT customer_id, user_id, MIN(known_on) AS known_on FROM clean_events
        WHERE user_id IS NOT NULL GROUP BY customer_id, user_id
    """)


def extended_dictionary(known: Sequence[str], appeared: Sequence[str]) -> list[str]:
    """The event types in order of first appearance: `known` never change places, new ones follow.

    >>> extended_dictionary(["login"], ["export", "login"])
    ['login', 'export']
    """
    return [*known, *(event for event in appeared if event not in set(known))]


def merged_people() -> exp.Expr:
    """`appeared_rows`, first appearances found month by month → one row per customer and person."""
    return _sql("""
        SELECT customer_id, user_id, MIN(known_on) AS known_on FROM appeared_rows
        GROUP BY customer_id, user_id
    """)


def numbered_people() -> exp.Expr:
    """Tables `people_before` (customer_id, user_id, place) and `appeared` → `people`, with the new.

    Places count up within an account by the day they were first known, then by name (a time could
    come from a row that arrives later); from 62 on they share bits.
    """
    return _sql(f"""
        WITH new_people AS (
            SELECT a.customer_id, a.user_id, a.known_on FROM appeared AS a
            LEFT JOIN people_before AS p ON p.customer_id = a.customer_id AND p.user_id = a.user_id
            WHERE p.user_id IS NULL
        ), taken AS (
            SELECT customer_id, MAX(place) + 1 AS n FROM people_before GROUP BY customer_id
        ), numbered AS (
            SELECT w.customer_id, w.user_id, CAST(COALESCE(t.n, 0) - 1 + ROW_NUMBER() OVER (
                PARTITION BY w.customer_id ORDER BY w.known_on, w.user_id) AS BIGINT) AS place
            FROM new_people AS w LEFT JOIN taken AS t ON t.customer_id = w.customer_id
        ), everybody AS (
            SELECT customer_id, user_id, place FROM people_before
            UNION ALL SELECT customer_id, user_id, place FROM numbered
        )
        SELECT customer_id, user_id, place,
               CAST(1 AS BIGINT) << CAST(place % {N_PLACES} AS BIGINT) AS bit
        FROM everybody ORDER BY customer_id, place
    """)


def daily(*, event_types: Sequence[str], with_people: bool) -> exp.Expr:
    """`clean_events` (and `people`) of some whole days → the rows of `daily` for these days."""
    return _ordered(
        f"""
        SELECT customer_id, day, {_totals(len(event_types))},
               MIN(known_on) AS first_known_on, MAX(known_on) AS last_known_on
        FROM ({_placed(event_types, with_people)}) AS placed GROUP BY customer_id, day
        """,
        kept(DAILY, n_event_types=len(event_types)),
        DAILY.order,
    )


def late(*, event_types: Sequence[str], with_people: bool) -> exp.Expr:
    """The same → the rows of `late`; reads `daily_part`, the rows of `daily` for these days."""
    return _ordered(
        f"""
        SELECT placed.customer_id, placed.day, placed.known_on, {_totals(len(event_types))},
               MAX(received.last_known_on) AS last_known_on
        FROM ({_placed(event_types, with_people)}) AS placed
        JOIN (
            SELECT customer_id, day, last_known_on FROM daily_part
            WHERE DATE_DIFF('day', day, last_known_on) > 1
        ) AS received ON received.customer_id = placed.customer_id AND received.day = placed.day
        GROUP BY placed.customer_id, placed.day, placed.known_on
        """,
        kept(LATE, n_event_types=len(event_types)),
        LATE.order,
    )


def as_known(
    columns: Mapping[str, str], *, first: date, use: str = "n", with_gaps: bool = True
) -> str:
    """SQL for the days of every customer in the lookback of every snapshot, as known then.

    Reads `daily`, `late` and `snapshot` (snapshot, first_day); gives snapshot, customer_id, day,
    `age_days` (1 = the day before the snapshot), `n_use` (what counts as use, expression `use`),
    `gap_days` (since the day of use before, null where that lies before the lookback) and
    `columns`: name → expression over sums, or the name of a mask. One row per snapshot, customer
    and day with a known event. `first` is the first day of any lookback; without `with_gaps` there is
    no `gap_days`, which costs a sort of everything.

    A pair of snapshot and customer whose lookback holds a row not yet known is rebuilt from `late`;
    all others read totals, whose gap to the day before is computed once before the join.
    """
    kept = [f"{sql} AS {name}" for name, sql in columns.items()]
    read = (use, *columns.values())
    raw = sorted(
        {column.name for sql in read for column in _sql(f"SELECT {sql}").find_all(exp.Column)}
    )
    rebuilt = ", ".join(
        f"BIT_OR(l.{name}) AS {name}"
        if name in MASKS
        else f"CAST(SUM(l.{name}) AS BIGINT) AS {name}"
        for name in raw
    )
    taken = ", ".join(f"d.{name}" for name in raw)
    before = (
        (_last_use(use, "customer_id"), _last_use(use, "snapshot, customer_id"))
        if with_gaps
        else ("CAST(NULL AS DATE)", "CAST(NULL AS DATE)")
    )
    return f"""
        WITH stepped AS (
            SELECT customer_id, day, last_known_on, {", ".join(raw)},
                   {before[0]} AS day_before
            FROM daily WHERE day >= DATE '{first.isoformat()}'
        ), slow AS (
            SELECT DISTINCT s.snapshot, d.customer_id FROM (
                SELECT customer_id, day, last_known_on FROM daily
                WHERE DATE_DIFF('day', day, last_known_on) > 1 AND day >= DATE '{first.isoformat()}'
            ) AS d JOIN snapshot AS s
            ON d.day < s.snapshot AND d.day >= s.first_day AND d.last_known_on > s.snapshot
        ), fast_days AS (
            SELECT s.snapshot, s.first_day, d.customer_id, d.day, d.day_before, {taken}
            FROM stepped AS d JOIN snapshot AS s ON d.day < s.snapshot AND d.day >= s.first_day
            LEFT JOIN slow ON slow.snapshot = s.snapshot AND slow.customer_id = d.customer_id
            WHERE slow.customer_id IS NULL
        ), slow_days AS (
            SELECT s.snapshot, s.first_day, d.customer_id, d.day, {taken}
            FROM daily AS d JOIN slow ON slow.customer_id = d.customer_id
            JOIN snapshot AS s ON s.snapshot = slow.snapshot
            WHERE d.day < s.snapshot AND d.day >= s.first_day AND d.last_known_on <= s.snapshot
            UNION ALL
            SELECT s.snapshot, s.first_day, l.customer_id, l.day, {rebuilt}
            FROM late AS l JOIN slow ON slow.customer_id = l.customer_id
            JOIN snapshot AS s ON s.snapshot = slow.snapshot
            WHERE l.day < s.snapshot AND l.day >= s.first_day
                AND l.known_on <= s.snapshot AND l.last_known_on > s.snapshot
            GROUP BY s.snapshot, s.first_day, l.customer_id, l.day
        ), known_days AS (
            SELECT snapshot, first_day, customer_id, day, day_before, {", ".join(raw)} FROM fast_days
            UNION ALL
            SELECT snapshot, first_day, customer_id, day,
                   {before[1]} AS day_before,
                   {", ".join(raw)}
            FROM slow_days
        )
        SELECT snapshot, customer_id, day, DATE_DIFF('day', day, snapshot) AS age_days,
               CASE WHEN {use} > 0 AND day_before >= first_day THEN DATE_DIFF('day', day_before, day)
                   END AS gap_days,
               {", ".join([f"{use} AS n_use", *kept])}
        FROM known_days
    """


def _last_use(use: str, partition: str) -> str:
    """SQL for the last day of use before each day."""
    return (
        f"MAX(CASE WHEN {use} > 0 THEN day END) OVER (PARTITION BY {partition} ORDER BY day "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )


def _totals(n_event_types: int) -> str:
    """The additive columns; money is already in 1/10000, so that no sum depends on threads."""
    counts = [
        f"COUNT(CASE WHEN place = {place} THEN 1 END)"
        if place < n_event_types
        else "CAST(0 AS BIGINT)"
        for place in range(len(kept_places(n_event_types)))
    ]
    sums = {
        "n": "COUNT(*)",
        "n_person": "COUNT(person_bit)",
        "value_sum": "CAST(COALESCE(SUM(value_units), 0) AS BIGINT)",
        "n_value": "COUNT(value_units)",
        "negative_sum": "CAST(COALESCE(SUM(CASE WHEN value_units < 0 THEN value_units END), 0) AS BIGINT)",
        "n_negative": "COUNT(CASE WHEN value_units < 0 THEN 1 END)",
        "n_night": "COUNT(CASE WHEN local_hour < 6 THEN 1 END)",
        "n_other": "COUNT(CASE WHEN place IS NULL THEN 1 END)",
        **dict(zip(kept_places(n_event_types), counts, strict=True)),
    }
    masks = {
        "event_mask": "COALESCE(BIT_OR(event_bit), 0)",
        "people_mask": "COALESCE(BIT_OR(person_bit), 0)",
        "hour_mask": "BIT_OR(CAST(1 AS BIGINT) << CAST(local_hour AS BIGINT))",
    }
    assert tuple(sums) == SUMS[: len(sums)]
    assert tuple(masks) == MASKS
    return ", ".join(f"{sql} AS {name}" for name, sql in (sums | masks).items())


def _placed(event_types: Sequence[str], with_people: bool) -> str:
    """`clean_events` with the place of the event type and the bits of event type and person."""
    placed = list(event_types)[:N_PLACES] or [""]
    rows = ", ".join(
        f"({_text(event)}, {place}, CAST({1 << place} AS BIGINT))"
        for place, event in enumerate(placed)
    )
    person = "p.bit" if with_people else "CAST(NULL AS BIGINT)"
    people = (
        "LEFT JOIN people AS p ON p.customer_id = e.customer_id AND p.user_id = e.user_id"
        if with_people
        else ""
    )
    return f"""
        SELECT e.customer_id, e.day, e.known_on, e.value_units, e.local_hour,
               t.place, t.event_bit, {person} AS person_bit
        FROM clean_events AS e
        LEFT JOIN (VALUES {rows}) AS t(event, place, event_bit) ON t.event = e.event
        {people}
    """


def _ordered(sql: str, columns: Sequence[str], order: Sequence[str]) -> exp.Expr:
    return _sql(f"SELECT {', '.join(columns)} FROM ({sql}) AS r ORDER BY {', '.join(order)}")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql(dialect="duckdb")


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
