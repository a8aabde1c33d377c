"""What contacting has changed: assignments and what became of them → findings at every weekly look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from churn.proof import effects, sequences
from churn.proof.effects import Arms, Array, Effect

LOOK_DAYS = 7
PLANNED_DAYS = 182
"""The confidence sequences are tightest for a history of 26 weeks."""

VALUE_CAP = 0.99
"""For the effect on revenue a value above this quantile counts as that much."""

LONGEST_DAYS = 3653
"""How far ahead a date is looked for."""


@dataclass(frozen=True)
class Look:
    """What is known on one day: how many are settled, and the effect of being listed and of being
    contacted, per customer: on churn (a share of customers) and on revenue (currency a year).

    None where it is too early: nobody settled in one of the arms, or nobody contacted.
    """

    on: date
    n_listed: int
    n_held_out: int
    listing: Effect | None
    contact: Effect | None
    revenue_listing: Effect | None
    revenue_contact: Effect | None
    arms_e_value: float


@dataclass(frozen=True)
class Prospect:
    """The smallest effect of being listed that would be seen today with a chance of 80 %, and the
    first weekly look at which one of `target` would be (None: not within ten years at this pace); and
    the same if all who come from now on were drawn with one half (`retain.pilot`)."""

    smallest: float
    target: float
    visible_on: date | None
    with_pilot_on: date | None


def followed(
    assignments: pd.DataFrame, left: pd.DataFrame, outcomes: pd.DataFrame, *, effect_days: int
) -> pd.DataFrame:
    """One row per assignment that can be counted, with what became of it.

    `assignments` as in contracts.ASSIGNMENTS; `left`: customer_id, as_of, `left_after_days` from that
    date (null: not left as far as known); `outcomes`: customer_id, as_of, `contacted`, of lists and of
    whom somebody called without one. Adds `settled_on`, the first day on which the effect window
    [as_of, as_of + effect_days) is over, `left` (1 or 0, for all rows: only settled ones mean
    anything), `is_contacted` and `is_recorded` (somebody answered for a day of the window). Customers
    who are always listed have no chance to be held out, and are not counted.
    """
    rows = assignments[assignments["propensity"].between(0, 1, inclusive="neither")]
    rows = rows.merge(left, on=["customer_id", "as_of"], how="left", validate="one_to_one")
    before = rows["as_of"] + timedelta(days=effect_days)
    said = outcomes[outcomes["contacted"].notna()][["customer_id", "as_of", "contacted"]]
    pairs = rows[["customer_id", "as_of"]].assign(before=before, row=rows.index)
    pairs = pairs.merge(said.rename(columns={"as_of": "list_of"}), on="customer_id")
    inside = pairs[(pairs["list_of"] >= pairs["as_of"]) & (pairs["list_of"] < pairs["before"])]
    return rows.assign(
        settled_on=before,
        left=(rows["left_after_days"] < effect_days).astype(int),
        is_recorded=rows.index.isin(inside["row"]),
        is_contacted=rows.index.isin(inside.loc[inside["contacted"].eq(True), "row"]),
    ).drop(columns="left_after_days")


def look_days(rows: pd.DataFrame, *, as_of: date) -> list[date]:
    """The weekly looks from the first settled customer on, up to `as_of` itself; none before."""
    days = (as_of - rows["settled_on"].min()).days
    return [as_of - timedelta(days=LOOK_DAYS * k) for k in reversed(range(days // LOOK_DAYS + 1))]


def look(rows: pd.DataFrame, *, on: date) -> Look:
    """What `rows` of `followed` showed on a day, nothing later being used."""
    there = rows[rows["settled_on"] <= on]
    ones = np.ones(len(there))
    money = yearly(there, cap=value_cap(rows))
    planned = [_planned(rows, worth) for worth in (None, yearly(rows, cap=value_cap(rows)))]
    found = [
        _both(Arms.of(there, worth=worth), target)
        for worth, target in zip((ones, money), planned, strict=True)
    ]
    n_held_out = int(there["arm"].eq("holdout").sum())
    known = rows[rows["as_of"] <= on]
    return Look(
        on, len(there) - n_held_out, n_held_out, *found[0],
        *(found[1] if money.any() else (None, None)), arms_e_value(known),
    )  # fmt: skip


def _both(arms: Arms, planned: float) -> tuple[Effect | None, Effect | None]:
    if not arms.can_be_compared or not arms.worth.any():
        return None, None
    return effects.of_listing(arms, planned=planned), effects.of_contact(arms, planned=planned)


def arms_e_value(rows: pd.DataFrame) -> float:
    """The evidence against the planned shares of hold-outs among the assigned (see `sequences`)."""
    held_out = rows["arm"].eq("holdout").groupby(rows["propensity"])
    counts = held_out.agg(["sum", "size"])
    return sequences.arms_e_value(
        counts["sum"].tolist(), counts["size"].tolist(), [float(share) for share in counts.index]
    )


def value_cap(rows: pd.DataFrame) -> float:
    """What a value in currency a month counts at most. It comes from those who were assigned before
    anybody was settled, so that what is measured does not depend on what came out."""
    early = rows.loc[_is_early(rows), "value_month"].dropna()
    return float(early.quantile(VALUE_CAP)) if len(early) else 0.0


def yearly(rows: pd.DataFrame, *, cap: float = math.inf) -> Array:
    """What each customer is worth in currency a year; nothing where no value is known."""
    values: Array = 12 * rows["value_month"].fillna(0.0).clip(upper=cap).to_numpy(dtype=float)
    return values


def _is_early(rows: pd.DataFrame) -> pd.Series:
    return rows["as_of"] < rows["settled_on"].min()


def _planned(rows: pd.DataFrame, worth: Array | None) -> float:
    """The variance to plan for: as many customers as 26 weeks settle at the pace of the first weeks.

    Nothing in it depends on who left: a confidence sequence may be tuned by what was known before.
    """
    is_early = _is_early(rows).to_numpy()
    early = rows[is_early]
    window = (rows["settled_on"].min() - rows["as_of"].min()).days
    n_planned = len(early) / window * max(PLANNED_DAYS - window, LOOK_DAYS)
    worths = np.ones(len(early)) if worth is None else worth[is_early]
    return effects.planned_variance(early, worths, n_planned=max(n_planned, 1.0))


def prospect(rows: pd.DataFrame, found: Look, *, target: float) -> Prospect:
    """When an effect of `target` (a share of customers) will be seen with a chance of 80 %.

    The pace is that of the last eight weeks, or of all if there are fewer; customers who were assigned
    and are not settled yet count from the day on which they are. A pilot gives whoever comes from now
    on a chance of one half to be held out.
    """
    planned = _planned(rows, None)
    n_now = found.n_listed + found.n_held_out
    one = effects.planned_variance(rows, np.ones(len(rows)), n_planned=1.0)
    if found.listing is not None:
        one = found.listing.standard_error**2 * n_now
    share = rows["propensity"].to_numpy(dtype=float)
    in_pilot = one * 4 / float((1 / share + 1 / (1 - share)).mean())
    days = np.arange(0, LONGEST_DAYS, LOOK_DAYS)
    known, coming = _settled_by(rows, found.on, days)
    reached = []
    for later in (one, in_pilot):
        information = np.maximum(known / one + coming / later, 1e-9)
        reach = np.array([_seen(1 / bits, planned) for bits in information])
        enough = np.flatnonzero((reach <= target) & (known + coming >= 1))
        reached.append(found.on + timedelta(days=int(days[enough[0]])) if len(enough) else None)
        smallest = float(reach[0]) if n_now else 1.0
    return Prospect(smallest, target, *reached)


def _settled_by(rows: pd.DataFrame, on: date, days: Array) -> tuple[Array, Array]:
    """How many of those assigned are settled so many days after `on`, and how many of those who come
    at this pace."""
    window = (rows["settled_on"].iloc[0] - rows["as_of"].iloc[0]).days
    after = np.array([(day - on).days for day in rows["settled_on"]])
    recent = rows[rows["as_of"] >= on - timedelta(days=56)]
    pace = len(recent) / min(56, (on - rows["as_of"].min()).days + LOOK_DAYS)
    known = np.searchsorted(np.sort(after), days, side="right")
    return np.asarray(known), np.asarray(pace * np.maximum(0, days - window))


def _seen(variance: float, planned: float) -> float:
    """The effect whose interval excludes 0 with a chance of 80 % at that variance."""
    return (sequences.multiplier(planned / variance) + sequences.Z_POWER) * math.sqrt(variance)


def reconciled(rows: pd.DataFrame, *, on: date) -> pd.DataFrame:
    """What was expected at listing against what came, by `arm`, of those settled on a day: customers,
    `expected` and `left` leavers, and revenue `at_risk` and `lost` (currency a year, not capped)."""
    there = rows[rows["settled_on"] <= on]
    worth = yearly(there)
    counted = pd.DataFrame(
        {
            "arm": there["arm"],
            "customers": 1,
            "expected": there["risk_8w"].astype(float),
            "left": there["left"],
            "at_risk": there["risk_8w"].astype(float) * worth,
            "lost": there["left"] * worth,
        }
    )
    return counted.groupby("arm").sum().reindex(["contact", "holdout"], fill_value=0).reset_index()


def by_segment(rows: pd.DataFrame, *, on: date) -> list[tuple[str, Look]]:
    """The effect on churn by `segment`, for segments with customers in both arms; their intervals hold
    for all segments together (Bonferroni)."""
    there = rows[(rows["settled_on"] <= on) & rows["segment"].notna()]
    parts: Sequence[tuple[Any, pd.DataFrame]] = [
        (name, part) for name, part in there.groupby("segment") if part["arm"].nunique() == 2
    ]
    alpha = sequences.ALPHA / max(1, len(parts))
    found = []
    for name, part in parts:
        share = len(part) / len(there)
        arms, planned = Arms.of(part), _planned(rows, None) / share
        n_held_out = int(part["arm"].eq("holdout").sum())
        effect = effects.of_listing(arms, planned=planned, alpha=alpha)
        one = Look(on, len(part) - n_held_out, n_held_out, effect, None, None, None, 1.0)
        found.append((str(name), one))
    return found
