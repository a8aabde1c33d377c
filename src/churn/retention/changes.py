"""Why this week's list differs from the last one: who left it, and what moved a customer's risk."""

from collections.abc import Collection

import pandas as pd

CHURNED, FELL, OTHERS = "churned", "fell", "others"

FELL_BY = 0.8
"""A priority below this share of the last one has fallen; else others have come before."""


def gone(before: pd.DataFrame, ranked: pd.DataFrame, listed: Collection[str]) -> pd.DataFrame:
    """Who of the list `before` is not `listed` any more: its row of then, with a `cause` and `until`.

    `ranked`: everybody scored now with `state`, `cause`, `until` (see `states.states`) and
    `at_stake`. Causes are those of `states`, or churned (nobody scores who has left), fell (less is
    at stake), others (more is at stake elsewhere).
    """
    left = before[~before["customer_id"].isin(set(listed))]
    now = ranked[["customer_id", "cause", "until", "at_stake", "risk"]].set_index("customer_id")
    rows = left.merge(now.add_suffix("_now"), left_on="customer_id", right_index=True, how="left")
    stake, risk = rows["at_stake_now"], rows["risk_now"]
    has_fallen = (
        stake.lt(FELL_BY * rows["at_stake"].fillna(float("inf"))) & rows["at_stake"].notna()
    )
    has_fallen |= rows["at_stake"].isna() & risk.lt(FELL_BY * rows["risk"])
    cause = rows["cause_now"].fillna(CHURNED)
    cause = cause.mask(cause.eq(""), has_fallen.map({True: FELL, False: OTHERS}))
    return rows.assign(cause=cause, until=rows["until_now"])[
        ["customer_id", "customer_name", "owner", "risk", "cause", "until"]
    ].assign(risk_now=risk)


def split(
    risk: pd.Series, *, was: pd.Series, again: pd.Series, known_by_now: pd.Series
) -> pd.DataFrame:
    """What moved each risk since the last list, in shares of 1: `model`, `late`, `behaviour`.

    All by customer: `risk` today, `was` the one published then, `again` what today's model says of
    then, `known_by_now` the same with the data that has arrived since. The parts add up to risk - was;
    null for who was not scored then.
    """
    was, again, late = (found.reindex(risk.index) for found in (was, again, known_by_now))
    return pd.DataFrame({"model": again - was, "late": late - again, "behaviour": risk - late})
