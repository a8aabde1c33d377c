"""The oracle: how likely each customer really was to leave, contacted or not."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from churn.simulate.contacting import Contacting
from churn.simulate.draws import Array, Draw, sigmoid, take
from churn.simulate.moments import moments_of
from churn.simulate.process import State, contact_effect, log_odds, population, step
from churn.simulate.static import Static, customer_ids
from churn.simulate.terms import Calendar, calendar
from churn.simulate.world import World

_CELLS_AT_ONCE = 500_000
_ARMS = ("p_true{}", "p_true_contacted{}", "p_true_56{}", "p_true_56_contacted{}")
_ARMS_AFTER = (4, 8)


def oracle(
    world: World,
    *,
    seed: int,
    week: int,
    paths: int = 120,
    rng_seed: int = 0,
    contacting: Contacting | None = None,
) -> pd.DataFrame:
    """True churn probabilities of every customer subscribed at the Monday that begins `week`.

    One row per customer, in order of `customer_id`: `p_true` (28 days, no contact from now on),
    `p_true_contacted` (contact that Monday, on the same random numbers), `p_true_56` and
    `p_true_56_contacted` (8 weeks), each also with `_b` from a second, independent half of the
    `paths`, and `mrr` (price per month). No churn is drawn: the mean of 1 - Π(1 - h) has far
    less variance. A campaign of that same Monday is still unknown and left out of `p_true`.
    `contacting` is what the world was simulated with; contacts before `week` still have their effect.
    """
    start = _start(world, seed=seed, week=week, contacting=contacting)
    columns: dict[str, Any] = {"customer_id": start.customer_ids}
    for half, name in enumerate(("", "_b")):
        rng = _random(seed, rng_seed, week, half)
        means = _arms(start, _ARMS_AFTER, max(1, paths // 2), rng)
        for column, mean in zip(_ARMS, means, strict=True):
            columns[column.format(name)] = mean
    columns["mrr"] = start.price_month
    return pd.DataFrame(columns)


def oracle_by_week(
    world: World, *, seed: int, week: int, after: Sequence[int], paths: int = 120, rng_seed: int = 0
) -> pd.DataFrame:
    """True churn probabilities within each of `after` weeks (ascending), no contact from now on.

    One row per customer as in `oracle`, column `p_true_<weeks>w` each, from a third independent
    draw of `paths` futures, so that figures made with `oracle` stay what they are.
    """
    start = _start(world, seed=seed, week=week)
    means = _arms(start, after, paths, _random(seed, rng_seed, week, 2))
    named = {f"p_true_{n}w": means[2 * place] for place, n in enumerate(after)}
    return pd.DataFrame({"customer_id": start.customer_ids, **named})


@dataclass(frozen=True)
class _Start:
    """Everybody subscribed at the Monday that begins `week`, and the state they are in."""

    world: World
    week: int
    who: Static
    state: State
    treated_weeks: Array
    price_month: Array
    customer_ids: pd.Series


def _start(world: World, *, seed: int, week: int, contacting: Contacting | None = None) -> _Start:
    everybody, start = population(world, seed=seed)
    moments = moments_of(world, everybody, start, seed=seed, contacting=contacting)
    moment = next(m for m in moments if m.when.week == week)
    active = np.flatnonzero(moment.is_exposed)
    return _Start(
        world, week, take(everybody, active), take(moment.monday, active),
        moment.treated_weeks[active], moment.before.price_month[active],
        customer_ids(world, active).to_pandas(),
    )  # fmt: skip


def _random(seed: int, rng_seed: int, week: int, half: int) -> np.random.Generator:
    key = (int(Draw.ORACLE), week, half)
    return np.random.default_rng(np.random.SeedSequence([seed, rng_seed], spawn_key=key))


def _arms(start: _Start, after: Sequence[int], paths: int, rng: np.random.Generator) -> Array:
    """Mean of 1 - Π(1 - h) over `paths`, a batch of paths at a time: (2 · len(after), N).

    For each of `after` weeks the arm without contact, then the one with.
    """
    n = start.treated_weeks.size
    whens = [calendar(start.world, start.who, start.week + ahead) for ahead in range(max(after))]
    total, done = np.zeros((2 * len(after), n)), 0
    while done < paths:
        batch = min(paths - done, max(1, _CELLS_AT_ONCE // max(n, 1)))
        total += _arms_batch(start, whens, after, batch, rng)
        done += batch
    return total / paths


def _arms_batch(
    start: _Start, whens: list[Calendar], after: Sequence[int], batch: int, rng: np.random.Generator
) -> Array:
    world, who, treated_weeks = start.world, start.who, start.treated_weeks
    state, n = start.state, treated_weeks.size
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
        if ahead + 1 in after:
            sums += [(1 - stays).sum(axis=0), (1 - stays_contacted).sum(axis=0)]
    return np.stack(sums)
