"""Which event types a customer used last: the roll-up knows days, so the order is by day."""

from collections.abc import Mapping

from sqlglot import exp

N_LAST = 3
_STEP = 64
"""More than there are event types: age and place of a type make one number, age × 64 + place."""

COLUMNS = tuple(f"its_last_type_{k + 1}" for k in range(N_LAST))


def marks(counts: Mapping[str, str]) -> dict[str, str]:
    """Aggregates for `usage`, name → SQL: each type's last day and its place in one number.

    `counts` maps a chosen event type to its column of the days. The smallest number belongs to the
    type used last; of one day's types to the first of `counts`.
    """
    return {
        f"last_{place}": f"MIN(CASE WHEN {column} > 0 THEN age_days * {_STEP} + {place} END)"
        for place, column in enumerate(counts.values())
    }


def last_types(counts: Mapping[str, str]) -> str:
    """SQL for the event types used last, `COLUMNS`; one row per row of `usage`, null where the
    customer used fewer types in the lookback."""
    names = list(marks(counts))
    inner = (
        f"SELECT snapshot, customer_id, {', '.join(names)}, {_least(names)} AS rank_0 FROM usage"
    )
    for k in range(1, N_LAST):
        later = [f"CASE WHEN {name} > rank_{k - 1} THEN {name} END" for name in names]
        inner = f"SELECT *, {_least(later)} AS rank_{k} FROM ({inner}) AS ranked_{k}"
    listed = ", ".join(
        f"{_name(f'rank_{k}', list(counts))} AS {column}" for k, column in enumerate(COLUMNS)
    )
    return f"SELECT snapshot, customer_id, {listed} FROM ({inner}) AS ranked"


def _least(values: list[str]) -> str:
    """The smallest that is there; SQL's LEAST wants two of them at least."""
    return f"LEAST({', '.join([values[0], *values])})"


def _name(rank: str, events: list[str]) -> str:
    whens = " ".join(
        f"WHEN {rank} % {_STEP} = {place} THEN {exp.Literal.string(event).sql(dialect='duckdb')}"
        for place, event in enumerate(events)
    )
    return f"CASE {whens} END"
