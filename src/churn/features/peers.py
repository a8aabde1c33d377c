"""Everybody at a snapshot as the measure of one: the mean of a feature over the population.

A definition reads it as `peers_<feature>`. It is made of what was known at the snapshot, as the
feature itself is, and is summed in integers, so that no order of rows changes it.
"""

from collections.abc import Sequence

from churn.features.definitions import Feature
from churn.features.vocabulary import PEERS

SCALE = 10_000
"""Means are of values rounded to 1/10000."""


def read(features: Sequence[Feature]) -> list[Feature]:
    """The features whose mean over the population others read, in order."""
    names = {name for item in features for name in item.columns()}
    return [item for item in features if PEERS + item.name in names]


def means(features: Sequence[Feature], sums: str = "") -> str:
    """SQL for the means of `features`, one row per snapshot, from rows of `sums` (by default: SQL)."""
    columns = ", ".join(
        f"CAST(SUM(total_{place}) AS DOUBLE) / NULLIF(SUM(count_{place}), 0) / {SCALE} "
        f'AS "{PEERS}{item.name}"'
        for place, item in enumerate(features)
    )
    rows = sums or f"({totals(features)})"
    return f"SELECT snapshot, {columns} FROM {rows} AS t GROUP BY snapshot"


def totals(features: Sequence[Feature]) -> str:
    """SQL for what the means of `features` are made of, one row per snapshot, to be added up.

    Reads `population` and `usage`. Who has no row of usage counts with the feature's own value for
    nothing found, and not at all where it has none.
    """
    columns = ", ".join(
        f"CAST(SUM(CAST(ROUND({_value(item)} * {SCALE}) AS BIGINT)) AS BIGINT) AS total_{place}, "
        f"COUNT({_value(item)}) AS count_{place}"
        for place, item in enumerate(features)
    )
    return f"""
        SELECT p.snapshot, {columns} FROM population AS p
        LEFT JOIN usage AS u ON u.snapshot = p.snapshot AND u.customer_id = p.customer_id
        GROUP BY p.snapshot
    """


def _value(item: Feature) -> str:
    plain = f'u."{item.name}"'
    return plain if item.empty is None else f"COALESCE({plain}, {item.empty})"
