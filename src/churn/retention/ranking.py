"""Whom to contact, in which order: expected value within what the team has time for."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from churn.errors import HeldBackError
from churn.retention import holdout
from churn.retention.policy import Policy

LOOKBACK_DAYS = 182
"""The value of a customer without a price is the mean of the last 26 weeks."""

EVERYBODY = "all"
"""The owner of customers who have none."""

LEAVING, UNJUDGED, RESTING = "leaving", "unjudged", "resting"
"""Why a customer cannot be listed now: notice was given, too new, or contacted or asked not to be."""


def valued(customers: pd.DataFrame, *, policy: Policy) -> pd.DataFrame:
    """`customers` with what a contact is worth: one row each, order kept.

    Needs `risk`, `risk_8w` (probabilities), `owner` (or null), `value_month` (currency a month, or
    null), and where the order is smoothed `mean_risk` and `mean_risk_8w`. Adds `value_counted` (a
    value beyond `policy.value_cap` times the 99th percentile counts as that much), `at_stake` =
    risk_8w × value_counted × 12, `priority` = at_stake × save_rate - contact_cost, `times_average`,
    and `order`, what the list is cut by: the policy's figure from `_steady` risks.
    """
    rows = customers.assign(owner=customers["owner"].astype(object).fillna(EVERYBODY))
    rows["value_counted"] = _counted(rows["value_month"], policy)
    rows["at_stake"] = rows["risk_8w"] * rows["value_counted"] * 12
    rows["priority"] = rows["at_stake"] * policy.save_rate - policy.contact_cost
    average = rows["risk"].mean()
    rows["times_average"] = rows["risk"] / average if average > 0 else np.nan
    rows["order"] = _order(rows, policy)
    return rows


def value_is_known(rows: pd.DataFrame) -> bool:
    """Whether any customer has a value to rank by."""
    return bool(rows["value_month"].notna().any() and (rows["value_month"].fillna(0) != 0).any())


def ranked(
    customers: pd.DataFrame,
    *,
    policy: Policy,
    as_of: date,
    key: str | None = None,
    before: Collection[str] = (),
    assigned: Mapping[str, holdout.Assigned] | None = None,
    kept: Mapping[str, holdout.Assigned] | None = None,
) -> pd.DataFrame:
    """Every scored customer, the best first: who qualifies, in which arm, and who is listed.

    `customers` as in `valued`, with `state` ("" or why not now). Those qualify who come first by
    `order` within the room of their owner (by `customer_id` where equal), and those of `before` (who
    qualified last time) while their place is within `policy.leave_at` times as many: so a small move
    changes no list. `key` draws the hold-out (see `holdout.arms`); `assigned` as there: earlier in
    the block. `kept` are the arms that somebody has by other lists of the block, later ones or this
    one as it was: they hold, and decide nobody's place, so that a week made again is the same. `rank`
    goes by today's `priority` among the listed, so that the figures beside a name explain its place.
    """
    if key is None:
        policy = replace(policy, holdout=0.0, pilot=0.0)
    rows = valued(customers, policy=policy)
    if "state" not in rows:
        rows["state"] = ""
    rows = rows.sort_values(
        ["order", "risk", "customer_id"], ascending=[False, False, True], na_position="last"
    ).reset_index(drop=True)
    chosen = _qualifying(rows, policy, before, assigned or {})
    drawn = holdout.arms(
        chosen,
        policy=policy,
        block=holdout.block_of(as_of),
        key=key,
        assigned={**(kept or {}), **(assigned or {})},
    )
    rows["qualifies"] = rows.index.isin(chosen.index)
    rows = rows.join(drawn)
    rows["is_listed"] = rows["qualifies"] & (rows["arm"] != holdout.HOLDOUT)
    shown = rows["priority"] if _by_value(rows, policy) else rows["order"]
    place = shown.where(rows["is_listed"]).rank(method="first", ascending=False)
    rows["rank"] = place.fillna(0).astype(int)
    return rows.sort_values(
        ["is_listed", "rank"], ascending=[False, True], kind="stable", ignore_index=True
    )


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


def room_of(owners: pd.Series, policy: Policy) -> dict[str, int]:
    """How many contacts each owner has time for; `owners` has one entry per scored customer."""
    names = [str(name) for name in owners.unique()]
    if names == [EVERYBODY]:
        return {EVERYBODY: max(policy.capacity_min, round(policy.capacity_share * len(owners)))}
    return {name: policy.capacities.get(name, policy.capacity_per_owner) for name in names}


def _counted(value: pd.Series, policy: Policy) -> pd.Series:
    """Values with the impossible ones cut: one typo must not lead every list."""
    known = value.dropna()
    if known.empty:
        return value
    return value.clip(upper=policy.value_cap * float(known.quantile(0.99)))


def _by_value(rows: pd.DataFrame, policy: Policy) -> bool:
    return policy.policy == "risk_value" and value_is_known(rows)


def _order(rows: pd.DataFrame, policy: Policy) -> pd.Series:
    risk, risk_8w = _steady(rows, "risk"), _steady(rows, "risk_8w")
    if policy.policy == "risk" or not value_is_known(rows):
        return risk
    value = rows["value_counted"]
    if policy.policy == "value":
        return value
    if policy.policy == "risk_value":
        return risk_8w * value * 12 * policy.save_rate - policy.contact_cost
    if "effect" not in rows:
        raise HeldBackError(
            "retain.policy=risk_value_effect needs a model of what a contact changes",
            got="no such model that has shown its worth on the hold-out",
            expected="one that `churn impact` has accepted",
            next_step="choose retain.policy=risk_value",
        )
    return rows["effect"] * value * 12 - policy.contact_cost


def _steady(rows: pd.DataFrame, name: str) -> pd.Series:
    """Today's risk, or the mean of the weeks where that is higher: a dip takes nobody off the list, and
    a jump is not made to wait for two more weeks."""
    names = [one for one in (name, f"mean_{name}") if one in rows]
    return rows[names].max(axis=1)


def _qualifying(
    rows: pd.DataFrame,
    policy: Policy,
    before: Collection[str],
    assigned: Mapping[str, holdout.Assigned],
) -> pd.DataFrame:
    """The rows that qualify, owner by owner: customer_id, in_window. `rows` in order.

    Who qualifies fills the room with as many as are expected to be listed (see `holdout.seats`): with
    nobody assigned yet those are the first ceil(room / (1 - share)).
    """
    is_open = rows["state"].eq("")
    if value_is_known(rows) and policy.policy != "risk":
        is_open &= rows["order"] > 0
    found = rows.loc[is_open, ["customer_id", "owner"]]
    found = found.join(holdout.seats(found["customer_id"], policy=policy, assigned=assigned))
    room = _each(found["owner"], room_of(rows["owner"], policy))
    reach = policy.leave_at * room + _TINY
    stays = found["customer_id"].isin(set(before)) & (
        _ahead(found, "sure") + found["sure"] <= reach
    )
    turn = found.assign(goes=~stays, place=range(len(found)))
    turn = turn.sort_values(["owner", "goes", "place"])
    split = {name: holdout.rooms(n, policy) for name, n in room_of(rows["owner"], policy).items()}
    in_order = _each(turn["owner"], {name: sure for name, (sure, _) in split.items()})
    is_sure = _ahead(turn, "sure") < in_order - _TINY
    rest = turn[~is_sure]
    by_lot = _each(rest["owner"], {name: window / 2 for name, (_, window) in split.items()})
    window = rest[_ahead(rest, "by_lot") < by_lot - _TINY]
    chosen = pd.concat([turn[is_sure].assign(in_window=False), window.assign(in_window=True)])
    return chosen.sort_index()[["customer_id", "in_window"]]


_TINY = 1e-6
"""Sums of tenths are not exact."""


def _ahead(rows: pd.DataFrame, seats: str) -> pd.Series:
    """How many places of the same owner's list those before each row take."""
    return rows.groupby("owner")[seats].cumsum() - rows[seats]


def _each(owners: pd.Series, number: Mapping[str, float]) -> pd.Series:
    """The number of each row's owner; a number also where there are no rows."""
    return owners.map(number).astype(float)
