"""Days of usage → one row per snapshot and customer with a day in the look back, all aggregates."""

from churn.features import beside, sequence
from churn.features.plan import Plan
from churn.usage.daily import as_known, slow_pairs

EPOCH_MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday: (days since then + 3) % 7 is 0 on Mondays, on every engine."""


def usage(plan: Plan) -> dict[str, str]:
    """The statement's tables up to `usage`: snapshot, customer_id, the features of days and
    `n_qualifying_active`, the qualifying events in the `active_days` before; in one pass.

    Reads `daily`, `late`, `snapshot` (snapshot, first_day), and `outside` where a feature asks.
    """
    slow = {"slow": slow_pairs(first=plan.first_day)} if plan.has_late else {}
    return slow | {"days": _days(plan), "usage": _counted(plan)}


def _days(plan: Plan) -> str:
    """The days of every snapshot's look back, as known then, with what the features read."""
    return as_known(
        _day_columns(plan),
        first=plan.first_day,
        before=max(plan.snapshots),
        use=plan.vocabulary.use,
        with_gaps=any("gap_days" in item.columns() for item in plan.features),
        slow="slow" if plan.has_late else None,
    )


def _day_columns(plan: Plan) -> dict[str, str]:
    """The columns of `days` that the features read, name → SQL; roles and qualifying are sums."""
    counted = beside.aggregating(plan.features, "days")
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
    return plain | {
        name: sql for name, sql in sums.items() if name in wanted or name == "n_qualifying"
    }


def _counted(plan: Plan) -> str:
    """One row per snapshot and customer with a day in the look back; all aggregates in one pass."""
    weekday = f"(DATE_DIFF('day', DATE '1970-01-01', day) + {EPOCH_MONDAY_SHIFT}) % 7 AS weekday"
    counted = beside.aggregating(plan.features, "days")
    marks = sequence.marks(beside.sequenced(plan.features, plan.vocabulary))
    listed = [f"{sql} AS {name}" for name, sql in marks.items()]
    aggregates = ", ".join([beside.sql(counted), *listed]).removeprefix(", ")
    read = sorted(beside.series(counted, plan.vocabulary))
    outer = "".join(f", o.{name}" for name in read)
    join = (
        "LEFT JOIN outside AS o ON o.snapshot = days.snapshot AND o.age_days = days.age_days"
        if read
        else ""
    )
    active = f"SUM(CASE WHEN age_days <= {plan.definition.active_days} THEN n_qualifying END)"
    return f"""
        SELECT snapshot, customer_id, {aggregates + "," if aggregates else ""}
               COALESCE({active}, 0) AS n_qualifying_active
        FROM (SELECT days.*, {weekday} {outer} FROM days {join}) AS d GROUP BY snapshot, customer_id
    """
