"""Days of usage → one row per snapshot and customer with a day in the look back, all aggregates.

Two ways give the same rows. One statement joins days to snapshots and aggregates them: it runs on
any engine. Where the days of some customers fit into memory, `day_rows` are enough: running totals
over them (`features.running`) make the `spans`, whatever the number of snapshots and windows.
"""

from collections.abc import Sequence

from churn.features import beside, sequence, spans
from churn.features.definitions import Feature
from churn.features.plan import Plan
from churn.features.spans import Apart
from churn.usage import daily

EPOCH_MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday: (days since then + 3) % 7 is 0 on Mondays, on every engine."""

WEEKDAY = f"(DATE_DIFF('day', DATE '1970-01-01', day) + {EPOCH_MONDAY_SHIFT}) % 7 AS weekday"


def usage(plan: Plan, apart: Apart | None = None) -> dict[str, str]:
    """The statement's tables up to `usage`: snapshot, customer_id, the features of days and
    `n_qualifying_active`, the qualifying events in the `active_days` before.

    Reads `daily`, `late`, `snapshot` (snapshot, first_day), and `outside` where a feature asks; with
    `apart`, for the features in it, `spans` instead: snapshot, customer_id and a column per span.
    """
    counted = _aggregates(plan)
    marks = sequence.marks(beside.sequenced(plan.features, plan.vocabulary))
    if apart is None:
        return _over_days(plan, counted, marks, "usage")
    made = f"SELECT snapshot, customer_id, {beside.sql(apart.features)} FROM spans"
    names = {item.name for item in apart.features}
    left = [item for item in counted if item.name not in names]
    if not left and not marks:
        return {"usage": made}
    also = "".join(f', c."{name}"' for name in [*(item.name for item in left), *marks])
    return _over_days(plan, left, marks, "counted") | {
        "spanned": made,
        "usage": f"""
            SELECT m.* {also} FROM spanned AS m
            JOIN counted AS c ON c.snapshot = m.snapshot AND c.customer_id = m.customer_id
        """,
    }


def taken_apart(plan: Plan) -> Apart:
    """What of `usage` running totals can give."""
    return spans.taken_apart(_aggregates(plan), apart_from=list(plan.vocabulary.series))


def day_rows(plan: Plan) -> str:
    """SQL for the days from `plan.first_day` on, as the roll-up has them.

    Once each: customer_id, day and what spans are computed from; totals over all rows whenever they
    arrived. Where rows came late also `known_after`, the days until the last of them was known. Where
    labels are a matter of silence also `n_labelled`, the qualifying events of a day of which all is
    known when labels are. Reads `daily`.
    """
    raw = daily.raw_columns(_day_columns(plan, _aggregates(plan)), use=plan.vocabulary.use)
    if plan.has_late:
        raw = [*raw, "DATE_DIFF('day', day, last_known_on) AS known_after"]
    if plan.has_silences:
        known = f"last_known_on <= DATE '{plan.labels_as_of}'"
        raw = [*raw, f"CASE WHEN {known} THEN {plan.qualifying} ELSE 0 END AS n_labelled"]
    return daily.days_once(raw, first=plan.first_day, before=plan.read_before)


def late_pairs(plan: Plan) -> str:
    """SQL for the pairs (snapshot, customer_id) whose `day_rows` hold what was not known then."""
    return f"{daily.slow_pairs(first=plan.first_day)} ORDER BY snapshot, customer_id"


def late_day_rows(plan: Plan) -> str:
    """SQL for the days of `slow` pairs (snapshot, customer_id) of which only a part was known at their
    snapshot: snapshot, and as `day_rows`. Reads `late`, `snapshot` and `slow`."""
    raw = daily.raw_columns(_day_columns(plan, _aggregates(plan)), use=plan.vocabulary.use)
    return daily.rebuilt(raw, slow="slow")


def as_they_are(plan: Plan, columns: Sequence[str]) -> dict[str, str]:
    """Those of `columns` of spans that are columns of `day_rows`: SQL → name."""
    days = {**_day_columns(plan, _aggregates(plan)), "n_use": plan.vocabulary.use}
    raw = set(daily.raw_columns(days, use=plan.vocabulary.use))
    return {sql: days[sql] for sql in columns if days.get(sql) in raw}


def span_columns(plan: Plan, columns: Sequence[str]) -> str:
    """SQL for `columns` of spans as x_0 …, beside the `day` of each of the rows of `day_rows`.

    Reads `rows_in_order`, those rows by customer and day with their `gap_days`; their order stays.
    """
    of_a_day = daily.of_a_day(_day_columns(plan, _aggregates(plan)), use=plan.vocabulary.use)
    listed = [f"CAST({sql} AS BIGINT) AS x_{place}" for place, sql in enumerate(columns)]
    rows = f"SELECT day, gap_days, {WEEKDAY}, {of_a_day} FROM rows_in_order"
    return f"SELECT {', '.join(['day', *listed])} FROM ({rows}) AS d"


def _aggregates(plan: Plan) -> list[Feature]:
    """The aggregates of days, and who was active."""
    reach = plan.definition.active_days
    active = Feature(
        name="n_qualifying_active",
        sentence="Qualifying events in the days that make a customer active",
        unit="events",
        family="",
        expression=f"COALESCE(SUM(CASE WHEN age_days <= {reach} THEN n_qualifying END), 0)",
    )
    return [*beside.aggregating(plan.features, "days"), active]


def _over_days(
    plan: Plan, counted: Sequence[Feature], marks: dict[str, str], name: str
) -> dict[str, str]:
    slow = {"slow": daily.slow_pairs(first=plan.first_day)} if plan.has_late else {}
    return slow | {"days": _days(plan, counted), name: _counted(plan, counted, marks)}


def _days(plan: Plan, counted: Sequence[Feature]) -> str:
    """The days of every snapshot's look back, as known then, with what `counted` read."""
    return daily.as_known(
        _day_columns(plan, counted),
        first=plan.first_day,
        before=max(plan.snapshots),
        use=plan.vocabulary.use,
        with_gaps=any("gap_days" in item.columns() for item in plan.features),
        slow="slow" if plan.has_late else None,
    )


def _day_columns(plan: Plan, counted: Sequence[Feature]) -> dict[str, str]:
    """The columns of days that `counted` read, name → SQL; roles and qualifying are sums."""
    wanted = {column for item in counted for column in item.columns()}
    wanted |= set(beside.sequenced(plan.features, plan.vocabulary).values())
    sums = {
        name: " + ".join(plan.all_places[event] for event in events if event in plan.all_places)
        or "n * 0"
        for name, events in plan.vocabulary.sums.items()
    }
    sums["n_qualifying"] = plan.qualifying
    computed = {"age_days", "gap_days", "weekday", "n_use", *plan.vocabulary.series}
    plain = {name: name for name in sorted(wanted - set(sums) - computed)}
    return plain | {name: sql for name, sql in sums.items() if name in wanted}


def _counted(plan: Plan, counted: Sequence[Feature], marks: dict[str, str]) -> str:
    """One row per snapshot and customer with a day in the look back; all aggregates in one pass."""
    listed = [f"{sql} AS {name}" for name, sql in marks.items()]
    aggregates = ", ".join([beside.sql(counted), *listed]).removeprefix(", ")
    read = sorted(beside.series(counted, plan.vocabulary))
    outer = "".join(f", o.{name}" for name in read)
    join = (
        "LEFT JOIN outside AS o ON o.snapshot = days.snapshot AND o.age_days = days.age_days"
        if read
        else ""
    )
    return f"""
        SELECT snapshot, customer_id, {aggregates}
        FROM (SELECT days.*, {WEEKDAY} {outer} FROM days {join}) AS d GROUP BY snapshot, customer_id
    """
