"""Billing days, terms and renewals: what the dates of a week mean for each customer."""

from dataclasses import dataclass

import numpy as np

from churn.simulate.clock import dates_of
from churn.simulate.draws import Array
from churn.simulate.static import Static
from churn.simulate.world import World


def anchor_in(world: World, who: Static, month: Array) -> Array:
    """The billing day of a month."""
    day = month.astype("M8[D]") + (who.anchor_day - 1)
    return (day - np.datetime64(world.start, "D")).astype(np.int64)


def next_term(world: World, day: Array, who: Static) -> Array:
    """The day on which the term that starts on `day` ends and the next one starts."""
    month = dates_of(world, day).astype("M8[M]") + np.where(who.is_annual, 12, 1)
    return anchor_in(world, who, month)


@dataclass(frozen=True)
class Calendar:
    """What one week's dates mean for each customer, shape (N,)."""

    week: int
    billing_day: Array  # 0 Monday .. 6 Sunday; -1 no new term this week
    is_renewal: Array  # annual contracts: this week or next holds the anniversary
    tenure_weeks: Array


def calendar(world: World, who: Static, week: int) -> Calendar:
    """Read billing and renewal off the dates of a week."""
    this, coming = (_anniversary(world, who, w) for w in (week, week + 1))
    monthly = np.full(32, -1)
    monthly[_month_days(world, week)] = np.arange(7)
    billing = np.where(who.is_annual, this, monthly[who.anchor_day])
    after_signup = who.signup_day < 7 * week
    tenure = ((7 * week - who.signup_day) / 7).clip(0)
    return Calendar(
        week=week,
        billing_day=np.where(after_signup, billing, -1),
        is_renewal=who.is_annual & ((this >= 0) | (coming >= 0)) & (tenure > 4),
        tenure_weeks=tenure,
    )


def _month_days(world: World, week: int) -> Array:
    dates = dates_of(world, 7 * week + np.arange(7))
    return (dates - dates.astype("M8[M]").astype("M8[D]")).astype(np.int64) + 1


def _anniversary(world: World, who: Static, week: int) -> Array:
    """Day of the week of the sign-up's anniversary, -1 when it falls elsewhere."""
    months = dates_of(world, 7 * week + np.arange(7)).astype("M8[M]").astype(np.int64) % 12 + 1
    place = np.full(13 * 32, -1)
    place[months * 32 + _month_days(world, week)] = np.arange(7)
    return place[who.anchor_date]
