"""Everybody at a snapshot as the measure of one: the mean of a feature over the population.

A definition reads it as `peers_<feature>`. It is made of what was known at the snapshot, as the
feature itself is, and is summed in integers, so that no order of rows changes it.
"""

from collections.abc import Sequence

from churn.features.definitions import PEERS, Feature

SCALE = 10_000
"""Means are of values rounded to 1/10000."""


def read(features: Sequence[Feature]) -> list[Feature]:
    """The features whose mean over the population others read, in order."""
    names = {name for item in features for name in item.columns()}
    return [item for item in features if PEERS + item.name in names]


def means(features: Sequence[Feature]) -> str:
    """SQL for the means of `features`, one row per snapshot.

    Reads `population` and `usage`. Who has no row of usage counts with the feature's own value for
    nothing found, and not at all where it has none.
    """
    columns = ", ".join(f'{_mean(item)} AS "{PEERS}{item.name}"' for item in features)
    return f"""
        SELECT p.snapshot, {columns} FROM population AS p
        LEFT JOIN usage AS u ON u.snapshot = p.snapshot AND u.customer_id = p.customer_id
        GROUP BY p.snapshot
    """


def _mean(item: Feature) -> str:
    plain = f'u."{item.name}"'
    value = plain if item.empty is None else f"COALESCE({plain}, {item.empty})"
    units = f"SUM(CAST(ROUND({value} * {SCALE}) AS BIGINT))"
    return f"CAST({units} AS DOUBLE) / NULLIF(COUNT({value}), 0) / {SCALE}"
