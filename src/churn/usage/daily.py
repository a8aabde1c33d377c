"""Clean events → additive daily roll-up, and the days of a customer as they were known at a date.

`daily` holds totals over all rows of a customer-day. For the few customer-days that received a row
late, `late` holds all their rows by the first snapshot that knows them, so that any past snapshot
can be rebuilt as it was known and everybody else takes the fast path.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from sqlglot import exp, parse_one

from churn.contracts import DAILY, LATE, MASKS, N_PLACES, Table, kept
from churn.usage.columns import literal
from churn.usage.counts import Counts

_NEXT_DAY = "day + 1"


def first_appearances(*, with_arrival: bool, but: Collection[str] = ()) -> exp.Expr:
    """`clean_events` → one row per event type `but` some with when it was first known, oldest first.

    `ts` is the first time among the rows known first: a row that arrives later moves nobody. Without
    arrival, rows are known in the order in which they happened.
    """
    others = f"WHERE NOT event IN ({', '.join(map(literal, but))})" if but else ""
    if not with_arrival:
        return _sql(f"""
            SELECT event, {_NEXT_DAY} AS known_on, ts FROM (
                SELECT event, CAST(MIN(ts) AS DATE) AS day, MIN(ts) AS ts FROM clean_events
                {others} GROUP BY event
            ) AS appearances ORDER BY known_on, ts, event
        """)
    return _sql(f"""
        SELECT event, known_on, ts FROM (
            SELECT event, known_on, MIN(ts) AS ts,
                   ROW_NUMBER() OVER (PARTITION BY event ORDER BY known_on) AS place
            FROM clean_events {others} GROUP BY event, known_on
        ) AS appearances WHERE place = 1 ORDER BY known_on, ts, event
    """)


def first_people() -> exp.Expr:
    """`clean_events` → one row per customer and person of the account with when they were known."""
    return _sql("""
        SELECT customer_id, user_id, MIN(known_on) AS known_on FROM clean_events
        WHERE user_id IS NOT NULL GROUP BY customer_id, user_id
    """)


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


def daily(counts: Counts, *, with_people: bool, with_arrival: bool) -> exp.Expr:
    """`clean_events` (and `people`) of some whole days → the rows of `daily` for these days.

    Without arrival, every row was known the day after it happened.
    """
    first, last = ("MIN(known_on)", "MAX(known_on)") if with_arrival else (_NEXT_DAY, _NEXT_DAY)
    return _ordered(
        f"""
        SELECT customer_id, day, {_counted(counts, with_people)},
               {first} AS first_known_on, {last} AS last_known_on
        FROM ({_placed(counts, with_people)}) AS placed GROUP BY customer_id, day
        """,
        DAILY,
        counts,
    )


def busiest_day() -> exp.Expr:
    """The largest `n` of `daily_part`, null where it has no row."""
    return _sql("SELECT MAX(n) AS n FROM daily_part")


def late(counts: Counts, *, with_people: bool, with_arrival: bool) -> exp.Expr:
    """The same → the rows of `late`; reads `daily_part`, the rows of `daily` for these days."""
    if not with_arrival:
        names = ["first_known_on AS known_on" if name == "known_on" else name
                 for name in kept(LATE, n_event_types=len(counts.event_types))]  # fmt: skip
        return _sql(f"SELECT {', '.join(names)} FROM daily_part WHERE FALSE")
    return _ordered(
        f"""
        SELECT customer_id, day, known_on, {_counted(counts, with_people)},
               MAX(last_known_on) AS last_known_on
        FROM ({_placed(counts, with_people, of_late_days=True)}) AS placed
        GROUP BY customer_id, day, known_on
        """,
        LATE,
        counts,
    )


def stepped(raw: Iterable[str], *, first: date, before: date, use: str, with_gaps: bool) -> str:
    """SQL for the days of `daily` in [first, before) with the columns `raw` and `day_before`, the
    day of use before (null without `with_gaps`, which costs a sort of everything)."""
    step = _last_use(use, "customer_id") if with_gaps else "CAST(NULL AS DATE)"
    return f"""
        SELECT customer_id, day, {", ".join(raw)}, {step} AS day_before
        FROM daily WHERE day >= DATE '{first}' AND day < DATE '{before}'
    """


def slow_pairs(*, first: date) -> str:
    """SQL for the pairs (snapshot, customer_id) whose lookback holds a row not known at the snapshot.

    Reads `daily` and `snapshot` (snapshot, known_on, first_day); `first` is the first day of any lookback.
    """
    return f"""
        SELECT DISTINCT s.snapshot, d.customer_id FROM (
            SELECT customer_id, day, last_known_on FROM daily
            WHERE DATE_DIFF('day', day, last_known_on) > 1 AND day >= DATE '{first}'
        ) AS d JOIN snapshot AS s
        ON d.day < s.snapshot AND d.day >= s.first_day AND d.last_known_on > s.known_on
    """


def raw_columns(columns: Mapping[str, str], *, use: str) -> list[str]:
    """The columns of the roll-up that `columns` and `use` are computed from."""
    read = (use, *columns.values())
    return sorted(
        {column.name for sql in read for column in _sql(f"SELECT {sql}").find_all(exp.Column)}
    )


def as_known(
    columns: Mapping[str, str],
    *,
    first: date,
    before: date,
    use: str = "n",
    with_gaps: bool = True,
    slow: str | None = "slow",
) -> str:
    """SQL for the days of every customer in the lookback of every snapshot, as known then.

    Reads `daily`, `late`, `snapshot` (snapshot, known_on, first_day) and `slow_pairs`; gives snapshot,
    customer_id, day, `age_days` (1 = the day before the snapshot), `n_use` (what counts as use,
    expression `use`), `gap_days` (since the day of use before, null where that lies before the
    lookback) and `columns`: name → expression over sums, or the name of a mask. One row per
    snapshot, customer and day with a known event. The lookbacks lie in [first, before).

    A pair of `slow` is rebuilt from `late`; all other pairs read totals, whose gap to the day before
    is computed once before the join. Without `slow` nothing ever arrived late.
    """
    raw = raw_columns(columns, use=use)
    days = stepped(raw, first=first, before=before, use=use, with_gaps=with_gaps)
    parts = {"fast_days": _fast_days(days, raw, slow=slow)}
    if slow:
        parts["slow_days"] = _slow_days(raw, slow=slow, use=use, with_gaps=with_gaps)
    every = " UNION ALL ".join(
        f"SELECT snapshot, first_day, customer_id, day, day_before, {', '.join(raw)} FROM {name}"
        for name in parts
    )
    kept = [f"{sql} AS {name}" for name, sql in columns.items()]
    listed = ", ".join(f"{name} AS ({sql})" for name, sql in parts.items())
    return f"""
        WITH {listed}
        SELECT snapshot, customer_id, day, DATE_DIFF('day', day, snapshot) AS age_days,
               CASE WHEN {use} > 0 AND day_before >= first_day THEN DATE_DIFF('day', day_before, day)
                   END AS gap_days,
               {", ".join([f"{use} AS n_use", *kept])}
        FROM ({every}) AS known_days
    """


def days_once(raw: Iterable[str], *, first: date, before: date) -> str:
    """SQL for the days of `daily` in [first, before), once each: customer_id, day and `raw`."""
    return f"""
        SELECT customer_id, day, {", ".join(raw)} FROM daily
        WHERE day >= DATE '{first}' AND day < DATE '{before}'
    """


def rebuilt(raw: Iterable[str], *, slow: str) -> str:
    """SQL for the days of the pairs of `slow` of which only a part was known at their snapshot, as it
    was known: snapshot, first_day, and as `days_once`. Reads `late` and `snapshot`."""
    totals = ", ".join(
        f"BIT_OR(l.{name}) AS {name}"
        if name in MASKS
        else f"CAST(SUM(l.{name}) AS BIGINT) AS {name}"
        for name in raw
    )
    return f"""
        SELECT s.snapshot, s.first_day, l.customer_id, l.day, {totals}
        FROM late AS l JOIN {slow} AS p ON p.customer_id = l.customer_id
        JOIN snapshot AS s ON s.snapshot = p.snapshot
        WHERE l.day < s.snapshot AND l.day >= s.first_day
            AND l.known_on <= s.known_on AND l.last_known_on > s.known_on
        GROUP BY s.snapshot, s.first_day, l.customer_id, l.day
    """


def of_a_day(columns: Mapping[str, str], *, use: str) -> str:
    """SQL for `n_use` and `columns` of a row of `days_once`."""
    return ", ".join([f"{use} AS n_use", *(f"{sql} AS {name}" for name, sql in columns.items())])


def _fast_days(stepped: str, raw: Sequence[str], *, slow: str | None) -> str:
    """The days of all pairs for which the totals hold."""
    taken = ", ".join(f"d.{name}" for name in raw)
    apart = (
        f"LEFT JOIN {slow} ON {slow}.snapshot = s.snapshot AND {slow}.customer_id = d.customer_id "
        f"WHERE {slow}.customer_id IS NULL"
        if slow
        else ""
    )
    return f"""
        SELECT s.snapshot, s.first_day, d.customer_id, d.day, d.day_before, {taken}
        FROM ({stepped}) AS d JOIN snapshot AS s ON d.day < s.snapshot AND d.day >= s.first_day
        {apart}
    """


def _slow_days(raw: Sequence[str], *, slow: str, use: str, with_gaps: bool) -> str:
    """The days of the pairs of `slow`, those that are not wholly known rebuilt from `late`."""
    taken = ", ".join(f"d.{name}" for name in raw)
    step = _last_use(use, "snapshot, customer_id") if with_gaps else "CAST(NULL AS DATE)"
    return f"""
        SELECT *, {step} AS day_before FROM (
            SELECT s.snapshot, s.first_day, d.customer_id, d.day, {taken}
            FROM daily AS d JOIN {slow} AS p ON p.customer_id = d.customer_id
            JOIN snapshot AS s ON s.snapshot = p.snapshot
            WHERE d.day < s.snapshot AND d.day >= s.first_day AND d.last_known_on <= s.known_on
            UNION ALL {rebuilt(raw, slow=slow)}
        ) AS known
    """


def _last_use(use: str, partition: str) -> str:
    """SQL for the last day of use before each day."""
    return (
        f"MAX(CASE WHEN {use} > 0 THEN day END) OVER (PARTITION BY {partition} ORDER BY day "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )


def _counted(counts: Counts, with_people: bool) -> str:
    """The additive columns of the rows of `placed`, those of `counts` still packed; money is already in
    1/10000, so that no sum depends on threads."""
    person = "COUNT(person_bit)" if with_people else "CAST(0 AS BIGINT)"
    people = "COALESCE(BIT_OR(person_bit), 0)" if with_people else "CAST(0 AS BIGINT)"
    columns = {
        "n": "COUNT(*)",
        "n_person": person,
        "value_sum": "CAST(COALESCE(SUM(value_units), 0) AS BIGINT)",
        "n_value": "COUNT(value_units)",
        "negative_sum": "CAST(COALESCE(SUM(CASE WHEN value_units < 0 THEN value_units END), 0) AS BIGINT)",
        "people_mask": people,
        "hour_mask": "CAST(BIT_OR(1 << local_hour) AS BIGINT)",
        **counts.summed(),
    }
    return ", ".join(f"{sql} AS {name}" for name, sql in columns.items())


def _placed(counts: Counts, with_people: bool, *, of_late_days: bool = False) -> str:
    """`clean_events` with what each adds to the sums of `counts`, and the bit of the person; all, or
    those of customer-days of which `daily_part` has a row that came late, with its `last_known_on`."""
    person = "p.bit" if with_people else "CAST(NULL AS BIGINT)"
    people = (
        "LEFT JOIN people AS p ON p.customer_id = e.customer_id AND p.user_id = e.user_id"
        if with_people
        else ""
    )
    received = """
        JOIN (
            SELECT customer_id, day, last_known_on FROM daily_part
            WHERE DATE_DIFF('day', day, last_known_on) > 1
        ) AS received ON received.customer_id = e.customer_id AND received.day = e.day
    """
    last = ", received.last_known_on"
    return f"""
        SELECT e.customer_id, e.day, e.known_on, e.value_units, e.local_hour,
               {", ".join(f"{sql} AS {pack}" for pack, sql in counts.added().items())},
               {person} AS person_bit {last if of_late_days else ""}
        FROM clean_events AS e {received if of_late_days else ""}
        LEFT JOIN {counts.of_an_event()} ON t.event = e.event
        {people}
    """


def _ordered(sql: str, table: Table, counts: Counts) -> exp.Expr:
    """The rows of `sql` as the roll-up keeps them, sorted while they are still narrow."""
    made = counts.unpacked()
    columns = ", ".join(
        f"{made[name]} AS {name}" if name in made else name
        for name in kept(table, n_event_types=len(counts.event_types))
    )
    return _sql(f"SELECT {columns} FROM ({sql} ORDER BY {', '.join(table.order)}) AS r")


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
