"""Days of usage → one row per snapshot and customer with a day in the look back, all aggregates."""

from collections.abc import Sequence

from churn.features.definitions import Feature
from churn.features.plan import Plan
from churn.usage.daily import as_known, slow_pairs

EPOCH_MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday: (days since then + 3) % 7 is 0 on Mondays, on every engine."""


def usage(plan: Plan) -> dict[str, str]:
    """The statement's tables up to `usage`: snapshot, customer_id, the features of days and
    `n_qualifying_active`, the qualifying events in the `active_days` before; in one pass.

    Reads `daily`, `late` and `snapshot` (snapshot, first_day).
    """
    features = plan.aggregated_from("days")
    days = as_known(
        plan.day_columns(),
        first=plan.first_day,
        before=max(plan.snapshots),
        use=plan.vocabulary.use,
        with_gaps=any("gap_days" in item.columns() for item in features),
        slow="slow" if plan.has_late else None,
    )
    weekday = f"(DATE_DIFF('day', DATE '1970-01-01', day) + {EPOCH_MONDAY_SHIFT}) % 7 AS weekday"
    active = f"SUM(CASE WHEN age_days <= {plan.definition.active_days} THEN n_qualifying END)"
    counted = f"""
        SELECT snapshot, customer_id, {aggregates(features) + "," if features else ""}
               COALESCE({active}, 0) AS n_qualifying_active
        FROM (SELECT *, {weekday} FROM ({days}) AS days) AS d GROUP BY snapshot, customer_id
    """
    late = {"slow": slow_pairs(first=plan.first_day)} if plan.has_late else {}
    return late | {"usage": counted}


def aggregates(features: Sequence[Feature]) -> str:
    """The features as SQL over the rows that they aggregate."""
    return ", ".join(
        f'CAST({item.expression} AS {item.sql_type}) AS "{item.name}"' for item in features
    )
