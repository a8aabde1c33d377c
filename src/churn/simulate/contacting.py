"""A team that contacts the top of a list every week, and holds some of it out at random."""

from dataclasses import dataclass

import numpy as np

from churn.simulate.draws import Array, Draw, generator, sigmoid
from churn.simulate.process import State, log_odds
from churn.simulate.static import Static
from churn.simulate.terms import Calendar
from churn.simulate.world import World


@dataclass(frozen=True)
class Contacting:
    """From `first_week` on, before `before_week`, who has the greatest true hazard × price qualifies:
    `capacity_share` of those who could leave, plus the held-out ones that would have stood there.

    Of each customer and block of `block_weeks` a draw decides: a share `holdout` is never contacted,
    of the others `contact_rate` is reached each week. After a contact a customer rests.
    """

    first_week: int
    before_week: int
    capacity_share: float = 0.02
    rest_weeks: int = 4
    holdout: float = 0.1
    block_weeks: int = 26
    contact_rate: float = 0.8


@dataclass(frozen=True)
class Listed:
    """Who qualifies for the list of a week, who of them is held out, who is contacted; shape (N,)."""

    is_listed: Array
    is_held_out: Array
    is_contacted: Array


def nobody(n: int) -> Listed:
    return Listed(*(np.zeros(n, dtype=bool) for _ in range(3)))


def listed(
    policy: Contacting, world: World, seed: int, when: Calendar, who: Static, monday: State,
    price_month: Array, is_exposed: Array, treated_weeks: Array,
) -> Listed:  # fmt: skip
    """The list of the week that `when` describes, from what is true on its Monday."""
    n = is_exposed.size
    if not policy.first_week <= when.week < policy.before_week:
        return nobody(n)
    rests = treated_weeks > world.effect.weeks - policy.rest_weeks
    priority = sigmoid(log_odds(monday, who, world, when)) * price_month
    priority = np.where(is_exposed & ~rests, priority, -1.0)
    room = np.ceil(policy.capacity_share * is_exposed.sum() / (1 - policy.holdout))
    place = np.empty(n, dtype=np.int64)
    place[np.argsort(-priority, kind="stable")] = np.arange(n)
    on_list = (place < room) & (priority > 0)
    block = generator(seed, Draw.LISTED, 1_000_000 + when.week // policy.block_weeks)
    held_out = on_list & (block.random(n) < policy.holdout)
    reached = generator(seed, Draw.LISTED, when.week).random(n) < policy.contact_rate
    return Listed(on_list, held_out, on_list & ~held_out & reached)
