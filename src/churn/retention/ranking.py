"""Whom to contact, in which order: expected value within what the team has time for."""

import numpy as np
import pandas as pd

from churn.errors import HeldBackError
from churn.retention.policy import Policy

LOOKBACK_DAYS = 182
"""The value of a customer without a price is the mean of the last 26 weeks."""

EVERYBODY = "all"
"""The owner of customers who have none."""


def ranked(customers: pd.DataFrame, *, policy: Policy) -> pd.DataFrame:
    """Every scored customer in the order of the list, `is_listed` where there is room.

    `customers`: one row per customer with `customer_id`, `risk` (probability in the horizon),
    `risk_8w`, `owner` (or null) and `value_month` (currency a month, or null). Adds `at_stake` =
    risk_8w × value_month × 12, `priority` = at_stake × save_rate - contact_cost (in the currency of
    the value; null without a value), `times_average` and `rank` (1 = first, over the whole list).
    Where no value is known at all the order is by risk. Ties by `customer_id`.
    """
    rows = customers.assign(owner=customers["owner"].astype(object).fillna(EVERYBODY))
    rows["at_stake"] = rows["risk_8w"] * rows["value_month"] * 12
    rows["priority"] = rows["at_stake"] * policy.save_rate - policy.contact_cost
    average = rows["risk"].mean()
    rows["times_average"] = rows["risk"] / average if average > 0 else np.nan
    by = ["risk"] if not value_is_known(rows) else ["priority", "risk"]
    rows = rows.sort_values(
        [*by, "customer_id"], ascending=[*[False] * len(by), True], na_position="last"
    ).reset_index(drop=True)
    rows["is_listed"] = _has_room(rows, policy)
    rows["rank"] = np.where(rows["is_listed"], rows["is_listed"].cumsum(), 0)
    return rows


def listed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ranked` that are on the list; raises `HeldBackError` when nobody is."""
    if not rows["is_listed"].any():
        raise HeldBackError(
            "nobody is worth contacting",
            got=f"{len(rows):,} customers scored, none with a positive priority within capacity",
            expected="at least one",
            next_step="look at retain.contact_cost, retain.save_rate, the capacity and the values",
        )
    return rows[rows["is_listed"]]


def value_is_known(rows: pd.DataFrame) -> bool:
    """Whether any customer has a value to rank by."""
    return bool(rows["value_month"].notna().any() and (rows["value_month"].fillna(0) != 0).any())


def _has_room(rows: pd.DataFrame, policy: Policy) -> pd.Series:
    """Who fits into the time of the team; with a value, only contacts that are worth their cost."""
    place = rows.groupby("owner").cumcount()
    if (rows["owner"] == EVERYBODY).all():
        room = max(policy.capacity_min, round(policy.capacity_share * len(rows)))
    else:
        room = policy.capacity_per_owner
    is_worth_it = (
        rows["priority"].gt(0) if value_is_known(rows) else pd.Series(True, index=rows.index)
    )
    return place.lt(room) & is_worth_it
