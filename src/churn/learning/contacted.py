"""Rows of a panel whose outcome a contact changed, weighted to what would have been without it.

The risk that a list is made from is that of a customer who is left alone. Where lists were worked,
those whom the model found at risk were called, and fewer of them left.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]

PRIOR_ROWS = 200.0
"""How many rows of held-out customers count as much as what was assumed before."""

MOST_SAVED, MOST_HARMED = 0.6, -0.5
"""Bounds of the estimate: beyond them a few rows would carry the model."""


@dataclass(frozen=True)
class Treated:
    """What contacts did to the rows of a panel, one value per row.

    `share` of the label window under the effect of a contact (0 to 1), `arm` of the customer while
    assigned to one around that window ("contact", "holdout" or None).
    """

    share: Array
    arm: Array


def treated(
    rows: pd.DataFrame,
    contacts: pd.DataFrame,
    assignments: pd.DataFrame,
    *,
    effect_days: int,
    gap_days: int,
    horizon_days: int,
) -> Treated:
    """Which of `rows` (`snapshot`, `customer_id`) contacts touched, and whose rows show what would
    have been.

    `contacts`: `customer_id`, `contacted_at`; `assignments`: `customer_id`, `as_of`, `arm`, one row per
    customer and block. A row belongs to an arm if its label window meets the `effect_days` from the
    day on which the customer was assigned; of two the later counts.
    """
    days = {"gap_days": gap_days, "horizon_days": horizon_days}
    known = _spans(contacts["customer_id"], contacts["contacted_at"], effect_days=effect_days)
    met = _met(rows, known, **days)
    under = np.bincount(met["row"], weights=met["days"], minlength=len(rows))
    began = pd.DataFrame(
        {
            "customer_id": assignments["customer_id"].to_numpy(),
            "begin": _days(assignments["as_of"]),
            "before": _days(assignments["as_of"]) + effect_days,
            "arm": assignments["arm"].to_numpy(),
        }
    ).sort_values("begin", kind="stable")
    assigned = _met(rows, began, **days)
    arm = np.full(len(rows), None, dtype=object)
    arm[assigned["row"].to_numpy()] = assigned["arm"].to_numpy()
    return Treated(under / horizon_days, arm)


def saved_share(label: Array, found: Treated, *, assumed: float) -> float:
    """The share of leavers whom a contact over the whole label window keeps, from both arms.

    Such that the rows of the contact arm, weighted as `weights` does, leave as often as those of the
    held-out; the latter are helped by `PRIOR_ROWS` that leave as `assumed` (the policy's save_rate)
    would have it, so that with few of them the assumption stands.
    """
    listed, held = found.arm == "contact", found.arm == "holdout"
    if not listed.any():
        return assumed
    would = float(_corrected(label[listed], found.share[listed], assumed).mean())
    alone = (label[held].sum() + PRIOR_ROWS * would) / (held.sum() + PRIOR_ROWS)
    grid = np.linspace(MOST_HARMED, MOST_SAVED, 221)
    rates = [_corrected(label[listed], found.share[listed], saved).mean() for saved in grid]
    # where no touched row left, every share fits alike: then the one that was assumed
    misfit = np.abs(np.array(rates) - alone) + 1e-9 * np.abs(grid - assumed)
    return float(grid[int(np.argmin(misfit))])


def weights(label: Array, found: Treated, *, saved: float) -> Array:
    """How much each row counts so that touched rows leave as often as they would have without contact.

    Who left although contacted stands for 1 / (1 - saved × share) leavers (Y(0) = Y(1) / (1 - saved ×
    share) on average); those who stayed count less by as much in all, so that no row is lost and the
    number of rows stays. Rows that no contact touched count 1.
    """
    touched = found.share > 0
    weight = np.ones(len(label))
    left = touched & (label == 1)
    stayed = touched & (label == 0)
    weight[left] = 1 / (1 - saved * found.share[left])
    more = (weight[left] - 1).sum()
    if stayed.any():
        weight[stayed] = max(1 - more / stayed.sum(), 0.1)
    return weight


def _corrected(label: Array, share: Array, saved: float) -> Array:
    corrected: Array = label / (1 - saved * share)
    return corrected


def _met(
    rows: pd.DataFrame, spans: pd.DataFrame, *, gap_days: int, horizon_days: int
) -> pd.DataFrame:
    """Pairs of a row and a span of days [begin, before) that its label window meets: `row` (its
    place), `days` in common, and what else the span says."""
    asked = pd.DataFrame(
        {
            "customer_id": rows["customer_id"].to_numpy(),
            "first": _days(rows["snapshot"]) + gap_days,
            "row": np.arange(len(rows)),
        }
    )
    pairs = spans.merge(asked, on="customer_id")
    days = np.minimum(pairs["before"], pairs["first"] + horizon_days) - np.maximum(
        pairs["begin"], pairs["first"]
    )
    return pairs.assign(days=days)[days > 0]


def _spans(customers: pd.Series, moments: pd.Series, *, effect_days: int) -> pd.DataFrame:
    """Days [begin, before) under the effect of contacts, one row per customer and unbroken span."""
    known = pd.DataFrame({"customer_id": customers.to_numpy(), "begin": _days(moments)})
    known = known.sort_values(["customer_id", "begin"], ignore_index=True)
    before = known["begin"] + effect_days
    goes_on = known["customer_id"].eq(known["customer_id"].shift()) & known["begin"].le(
        before.shift()
    )
    spans = known.assign(before=before).groupby((~goes_on).cumsum(), sort=False)
    return spans.agg({"customer_id": "first", "begin": "min", "before": "max"})


def _days(moments: pd.Series) -> Array:
    return pd.to_datetime(moments).to_numpy().astype("datetime64[D]").astype(np.int64)
