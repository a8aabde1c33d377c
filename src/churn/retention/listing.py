"""Ranking, reasons and earlier lists → the rows of the retention list."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date

import pandas as pd

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS

MONTH_DAYS = 365.25 / 12
MIN_HISTORY_DAYS = 28
SURE_DAYS, UNSURE_DAYS = 182, 56
"""Confidence is about how long a customer has been seen: sure from 26 weeks on, unsure below 8."""


def value_month(features: pd.DataFrame, *, lookback_days: int) -> pd.Series:
    """What a customer is worth in currency a month: the price, else the mean value of the lookback.

    A customer who is newer than the lookback is judged over the days since the first event, at
    least four weeks. Null where neither price nor value is known.
    """
    price = features.get("price_month", pd.Series(float("nan"), index=features.index))
    value = features.get(f"value_{lookback_days}d")
    if value is None:
        return price
    seen = features["first_event_days"].clip(MIN_HISTORY_DAYS, lookback_days)
    return price.fillna(value / (seen / MONTH_DAYS))


def rows(
    listed: pd.DataFrame,
    reasons: pd.DataFrame,
    *,
    as_of: date,
    episodes: pd.DataFrame,
    previous_risk: Mapping[str, float],
    last_contact: Mapping[str, date],
    plays: Mapping[str, str],
    nothing: str,
) -> pd.DataFrame:
    """The list of one `as_of`, one row per listed customer, columns as in the contract.

    `listed`: the listed rows of `ranking.ranked` with `customer_name`, `currency`, `tenure_days`,
    `act_before` and `model_version`; `reasons`: rows of `reasons/`; `episodes` from `episodes`.
    """
    frame = listed.join(episodes, on="customer_id")
    frame["risk_change"] = frame["risk"] - frame["customer_id"].map(previous_risk).astype(float)
    frame["last_contact"] = frame["customer_id"].map(last_contact)
    frame["confidence"] = pd.cut(
        frame["tenure_days"].fillna(0),
        [-1, UNSURE_DAYS, SURE_DAYS, float("inf")],
        labels=["low", "medium", "high"],
    ).astype("str")
    frame = frame.join(_spoken(reasons, nothing, plays), on="customer_id")
    frame["reason_1"] = frame["reason_1"].fillna(nothing)
    frame["as_of"] = as_of
    frame["list_id"] = _list_id(frame, as_of)
    for column in FEEDBACK_COLUMNS:
        frame[column] = None
    return frame.sort_values("rank", ignore_index=True)[list(LIST_COLUMNS)]


def episodes(
    customers: Sequence[str],
    before: pd.DataFrame | None,
    *,
    weeks_since: int,
    ever: Collection[str],
) -> pd.DataFrame:
    """`status` (new, still, back) and `weeks_on_list` by customer.

    `before` is the last list (`customer_id`, `weeks_on_list`), `weeks_since` how many weeks ago it
    was, `ever` who stood on any list before.
    """
    on = (
        {}
        if before is None
        else dict(zip(before["customer_id"], before["weeks_on_list"], strict=True))
    )
    told = [
        ("still", int(on[one]) + weeks_since)
        if one in on
        else ("back" if one in ever else "new", 1)
        for one in customers
    ]
    return pd.DataFrame(told, columns=["status", "weeks_on_list"], index=pd.Index(customers))


def _spoken(reasons: pd.DataFrame, nothing: str, plays: Mapping[str, str]) -> pd.DataFrame:
    """reason_1..3, protects and suggested_play by customer."""
    raising = reasons[reasons["direction"] == "raises"].sort_values("rank")
    place = raising.groupby("customer_id").cumcount()
    wide = pd.DataFrame(index=pd.Index(reasons["customer_id"].unique(), name="customer_id"))
    for number in range(3):
        wide[f"reason_{number + 1}"] = raising[place == number].set_index("customer_id")["sentence"]
    lowering = reasons[reasons["direction"] == "lowers"].sort_values("rank")
    wide["protects"] = lowering.groupby("customer_id")["sentence"].first()
    wide["suggested_play"] = raising.groupby("customer_id")["family"].first().map(dict(plays))
    return wide


def _list_id(frame: pd.DataFrame, as_of: date) -> str:
    members = "\n".join(
        [as_of.isoformat(), *frame["model_version"].unique(), *frame["customer_id"]]
    )
    return hashlib.sha256(members.encode()).hexdigest()[:12]
