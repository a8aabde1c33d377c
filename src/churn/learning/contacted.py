"""Rows of a panel whose outcome a contact may have changed."""

from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]


def treated_days(
    rows: pd.DataFrame,
    contacts: pd.DataFrame,
    *,
    effect_days: int,
    gap_days: int,
    horizon_days: int,
) -> Array:
    """How many days of each row's label window lie within `effect_days` after a contact, 0 to
    `horizon_days`.

    `rows`: `snapshot` and `customer_id`; `contacts`: `customer_id` and `contacted_at`, the day. The
    days of contacts that follow each other within `effect_days` count once.
    """
    spans = _spans(contacts, effect_days=effect_days)
    first = _days(rows["snapshot"]) + gap_days
    asked = pd.DataFrame(
        {"customer_id": rows["customer_id"].to_numpy(), "first": first, "row": np.arange(len(rows))}
    ).merge(spans, on="customer_id")
    overlap = np.minimum(asked["before"], asked["first"] + horizon_days) - np.maximum(
        asked["begin"], asked["first"]
    )
    days = np.zeros(len(rows))
    np.add.at(days, asked["row"].to_numpy(), overlap.clip(lower=0).to_numpy(dtype=float))
    return days


def _spans(contacts: pd.DataFrame, *, effect_days: int) -> pd.DataFrame:
    """Days [begin, before) under the effect of contacts, one row per customer and unbroken span."""
    known = pd.DataFrame(
        {
            "customer_id": contacts["customer_id"].to_numpy(),
            "begin": _days(contacts["contacted_at"]),
        }
    ).sort_values(["customer_id", "begin"])
    before = known["begin"] + effect_days
    is_next = (known["customer_id"] == known["customer_id"].shift()) & (
        known["begin"] <= before.shift()
    )
    span = (~is_next).cumsum()
    return (
        known.assign(before=before)
        .groupby(span)
        .agg(customer_id=("customer_id", "first"), begin=("begin", "min"), before=("before", "max"))
        .reset_index(drop=True)
    )


def _days(moments: pd.Series) -> Array:
    return pd.to_datetime(moments).to_numpy().astype("datetime64[D]").astype(np.int64)
