"""The weeks of the world without their events: who leaves, who is contacted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from churn.simulate.contacting import Contacting, Listed, listed, nobody
from churn.simulate.draws import Array, Draw, generator, sigmoid, where
from churn.simulate.market import Book, first_book, renew, trade
from churn.simulate.process import Shocks, State, contact_effect, log_odds, step
from churn.simulate.static import Static
from churn.simulate.terms import Calendar, calendar
from churn.simulate.world import World


@dataclass(frozen=True)
class Moment:
    """One week of the world without its events, shape (N,)."""

    when: Calendar
    monday: State
    sunday: State
    shocks: Shocks
    treated_weeks: Array  # weeks left of past contacts on Monday, before this week's campaign
    is_treated: Array
    is_present: Array
    is_exposed: Array  # signed up before Monday: can leave this week
    is_contacted: Array  # by a campaign or from a list
    listed: Listed
    hazard: Array
    leave_day: Array  # 0 Monday .. 6 Sunday; 7 stays
    before: Book
    book: Book
    is_change: Array
    change_day: Array


def moments_of(
    world: World, who: Static, state: State, *, seed: int, contacting: Contacting | None = None
) -> Iterator[Moment]:
    """The weeks of the world one after the other, without end; with `contacting` a team contacts
    the top of a list every week."""
    has_left = np.zeros(world.n_customers, dtype=bool)
    treated_weeks = np.zeros(world.n_customers, dtype=np.int64)
    book, week = first_book(world, who), 0
    while True:
        moment = _moment(world, seed, week, who, state, book, has_left, treated_weeks, contacting)
        yield moment
        state, book, week = moment.sunday, moment.book, week + 1
        has_left = has_left | (moment.leave_day < 7)
        fresh = np.where(moment.is_contacted, world.effect.weeks, treated_weeks)
        treated_weeks = np.maximum(fresh - 1, 0)


def _moment(
    world: World, seed: int, week: int, who: Static, state: State, book: Book,
    has_left: Array, treated_weeks: Array, contacting: Contacting | None,
) -> Moment:  # fmt: skip
    n = world.n_customers
    sunday, shocks, when = _latent_week(state, who, world, seed, week)
    exposed = (who.signup_day < 7 * week) & ~has_left
    contacted = np.zeros(n, dtype=bool)
    if week in world.effect.campaign_weeks:
        drawn = generator(seed, Draw.CAMPAIGN, week).random(n) < world.effect.campaign_share
        contacted = exposed & drawn
    on_list = nobody(n)
    if contacting is not None:
        on_list = listed(
            contacting, world, seed, when, who, state, book.price_month, exposed, treated_weeks
        )
        contacted = contacted | on_list.is_contacted
    treated = contacted | (treated_weeks > 0)
    logit = log_odds(sunday, who, world, when)
    logit = logit + np.where(treated, contact_effect(sunday, who, world), 0.0)
    hazard = np.where(exposed, sigmoid(logit), 0.0)
    rng = generator(seed, Draw.CHURN, week)
    leave_day = np.where(rng.random(n) < hazard, rng.integers(0, 7, n), 7)
    present = (who.signup_day < 7 * (week + 1)) & ~has_left
    stays = present & (leave_day == 7)
    sold, change, change_day = trade(world, seed, who, book, sunday, when, stays)
    renewed = (when.billing_day >= 0) & present & (leave_day > when.billing_day)
    return Moment(
        when=when, monday=state, sunday=sunday, shocks=shocks, treated_weeks=treated_weeks,
        is_treated=treated, is_present=present, is_exposed=exposed,
        is_contacted=contacted, listed=on_list, hazard=hazard, leave_day=leave_day, before=book,
        book=renew(world, who, sold, when, renewed), is_change=change, change_day=change_day,
    )  # fmt: skip


def _latent_week(
    state: State, who: Static, world: World, seed: int, week: int
) -> tuple[State, Shocks, Calendar]:
    """One week of the world. It moves everybody, gone or not, so that no draw depends on who
    left; before the week of sign-up the state is held."""
    when = calendar(world, who, week)
    rng = generator(seed, Draw.LATENT, week)
    moved, shocks = step(state, who, world, when, rng)
    return where(who.signup_day < 7 * (week + 1), moved, state), shocks, when
