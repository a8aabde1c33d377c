"""The oracle: how likely each customer really was to leave, contacted or not."""

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from churn.simulate.draws import Array, Draw, sigmoid, take
from churn.simulate.moments import moments_of
from churn.simulate.process import State, contact_effect, log_odds, population, step
from churn.simulate.static import Static, customer_ids
from churn.simulate.terms import Calendar, calendar
from churn.simulate.world import World

_CELLS_AT_ONCE = 500_000
_ARMS = ("p_true{}", "p_true_contacted{}", "p_true_56{}", "p_true_56_contacted{}")


def oracle(
    world: World, *, seed: int, week: int, paths: int = 120, rng_seed: int = 0
) -> pd.DataFrame:
    """True churn probabilities of every customer subscribed at the Monday that begins `week`.

    One row per customer, in order of `customer_id`: `p_true` (28 days, no contact from now on),
    `p_true_contacted` (contact that Monday, on the same random numbers), `p_true_56` and
    `p_true_56_contacted` (8 weeks), each also with `_b` from a second, independent half of the
    `paths`, and `mrr` (price per month). No churn is drawn: the mean of 1 - Π(1 - h) has far
    less variance. A campaign of that same Monday is still unknown and left out of `p_true`.
    """
    everybody, start = population(world, seed=seed)
    moments = moments_of(world, everybody, start, seed=seed)
    moment = next(m for m in moments if m.when.week == week)
    active = np.flatnonzero(moment.is_exposed)
    who = take(everybody, active)
    whens = [calendar(world, who, week + ahead) for ahead in range(8)]
    state, treated = take(moment.monday, active), moment.treated_weeks[active]
    columns: dict[str, Any] = {"customer_id": customer_ids(world, active).to_pandas()}
    for half, name in enumerate(("", "_b")):
        rng = np.random.default_rng(
            np.random.SeedSequence([seed, rng_seed], spawn_key=(int(Draw.ORACLE), week, half))
        )
        means = _arms(state, who, world, whens, treated, max(1, paths // 2), rng)
        for column, mean in zip(_ARMS, means, strict=True):
            columns[column.format(name)] = mean
    columns["mrr"] = moment.before.price_month[active]
    return pd.DataFrame(columns)


def _arms(
    state: State, who: Static, world: World, whens: list[Calendar], treated_weeks: Array,
    paths: int, rng: np.random.Generator,
) -> Array:  # fmt: skip
    """Mean of 1 - Π(1 - h) over `paths`, shape (4, N), a batch of paths at a time."""
    n = treated_weeks.size
    total, done = np.zeros((4, n)), 0
    while done < paths:
        batch = min(paths - done, max(1, _CELLS_AT_ONCE // max(n, 1)))
        total += _arms_batch(state, who, world, whens, treated_weeks, batch, rng)
        done += batch
    return total / paths


def _arms_batch(
    state: State, who: Static, world: World, whens: list[Calendar], treated_weeks: Array,
    batch: int, rng: np.random.Generator,
) -> Array:  # fmt: skip
    n = treated_weeks.size
    now = State(
        **{f.name: np.broadcast_to(getattr(state, f.name), (batch, n)) for f in fields(state)}
    )
    stays, stays_contacted, sums = np.ones((batch, n)), np.ones((batch, n)), []
    for ahead, when in enumerate(whens):
        now, _ = step(now, who, world, when, rng)
        logit, delta = log_odds(now, who, world, when), contact_effect(now, who, world)
        stays *= 1 - sigmoid(logit + np.where(treated_weeks > ahead, delta, 0.0))
        is_under = ahead < world.effect.weeks
        stays_contacted *= 1 - sigmoid(logit + (delta if is_under else 0.0))
        if ahead in (3, 7):
            sums += [(1 - stays).sum(axis=0), (1 - stays_contacted).sum(axis=0)]
    return np.stack(sums)
