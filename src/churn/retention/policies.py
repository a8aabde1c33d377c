"""What lists by different policies would have been worth, on days whose outcome is known."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from churn.learning import metrics
from churn.retention import ranking
from churn.retention.policy import Policy

COMPARED = ("risk", "value", "risk_value")
"""By effect nothing can be compared here: what a contact would have changed is in no log."""


def compared(
    rows: pd.DataFrame, *, policy: Policy, list_share: float, horizon_days: int
) -> list[dict[str, Any]]:
    """One entry per policy and list: of the top `list_share` at each snapshot, how many left, what
    they were worth, and what contacting them would have saved at `policy.save_rate`.

    `rows`: snapshot, risk (in the horizon), label, value_month (currency a month). `customers_saved`
    and `value_saved` (currency a year, less the cost of the contacts) are means per list. Empty where
    no value is known.
    """
    asked = rows.assign(owner=None, risk_8w=1 - (1 - rows["risk"]) ** (56 / horizon_days))
    if not ranking.value_is_known(asked):
        return []
    found = []
    for name in COMPARED:
        order = ranking.valued(asked, policy=replace(policy, policy=name))["order"]
        score = order.fillna(-np.inf).to_numpy()
        chosen = rows[metrics.on_list(score, snapshot=rows["snapshot"], list_share=list_share)]
        found.append({"policy": name, **_worth(chosen, policy)})
    return found


def _worth(chosen: pd.DataFrame, policy: Policy) -> Mapping[str, float]:
    n_lists = chosen["snapshot"].nunique()
    left = chosen[chosen["label"] == 1]
    value = float(left["value_month"].fillna(0).sum()) * 12
    return {
        "n_listed": len(chosen) / n_lists,
        "n_left": len(left) / n_lists,
        "value_left": value / n_lists,
        "customers_saved": policy.save_rate * len(left) / n_lists,
        "value_saved": (policy.save_rate * value - policy.contact_cost * len(chosen)) / n_lists,
    }
