"""The latent process: one step, and one hazard, for the world and for the oracle."""

from dataclasses import dataclass, replace

import numpy as np

from churn.simulate.draws import Array, Draw, generator, put_at, sigmoid, t_noise, take, where
from churn.simulate.static import Static, draw_inner, draw_static
from churn.simulate.terms import Calendar, calendar
from churn.simulate.world import World


@dataclass(frozen=True)
class State:
    """Latent state at a Monday, shape (..., N)."""

    satisfaction: Array
    grievance: Array
    adoption: Array
    is_outside: Array  # an outside reason to leave: budget, competitor
    payment_weeks: Array  # weeks for which a failed payment still counts
    is_champion_gone: Array


@dataclass(frozen=True)
class Shocks:
    """What happened in a week, shape (..., N): the part of the latent process that logs show."""

    burst: Array
    n_tickets: Array
    n_bad: Array
    has_failed_payment: Array


def step(
    state: State, who: Static, world: World, when: Calendar, rng: np.random.Generator
) -> tuple[State, Shocks]:
    """Move the latent state by one week; broadcasts over any leading shape of `state`.

    The incident is product-wide: one draw for each leading index, shared by all customers.
    """
    d, shape = world.dynamics, state.satisfaction.shape
    shocks = _shocks(state, who, world, when, rng)
    leaves = (rng.random(shape) < d.champion_leaves_week) & ~state.is_champion_gone
    found = rng.random(shape) < d.champion_found_week
    mood = (
        who.mood_mean
        + d.mood_memory * (state.satisfaction - who.mood_mean)
        - shocks.burst
        + d.mood_bad_ticket * shocks.n_bad
        + d.mood_good_ticket * (shocks.n_tickets - shocks.n_bad)
        + d.mood_champion_left * leaves
        + d.mood_noise * t_noise(rng, d.noise_degrees, shape)
    )
    pull = sigmoid(d.adoption_mood_slope * state.satisfaction)
    adoption = state.adoption + d.adoption_speed * (who.adoption_cap - state.adoption) * pull
    adoption -= d.adoption_loss * (state.satisfaction < d.adoption_loss_mood_below)
    flips = np.where(state.is_outside, d.outside_off_week, d.outside_on_week)
    return (
        State(
            satisfaction=mood,
            grievance=d.grievance_memory * state.grievance
            + shocks.burst
            + d.grievance_bad_ticket * shocks.n_bad,
            adoption=adoption.clip(0.0, 1.0),
            is_outside=state.is_outside ^ (rng.random(shape) < flips),
            payment_weeks=np.where(
                shocks.has_failed_payment,
                d.payment_failure_weeks,
                np.maximum(state.payment_weeks - 1, 0),
            ),
            is_champion_gone=leaves | (state.is_champion_gone & ~found),
        ),
        shocks,
    )


def _shocks(
    state: State, who: Static, world: World, when: Calendar, rng: np.random.Generator
) -> Shocks:
    d, shape = world.dynamics, state.satisfaction.shape
    incident = rng.random((*shape[:-1], 1)) < d.incident_week
    chance = d.burst_per_sensitivity * who.error_sensitivity + d.burst_in_incident * incident
    is_burst = rng.random(shape) < chance
    burst = np.zeros(shape)
    burst[is_burst] = rng.gamma(d.burst_shape, d.burst_scale, int(is_burst.sum()))
    rate = (
        d.ticket_base
        + d.ticket_per_root_seat * np.sqrt(who.seats)
        + d.ticket_in_burst * is_burst
        + d.ticket_unhappy * np.exp(-state.satisfaction.clip(-4.0))
    )
    tickets = rng.poisson(rate)
    bad = np.zeros(shape, dtype=np.int64)
    some = tickets > 0
    bad[some] = rng.binomial(tickets[some], d.ticket_bad_share)
    failure = d.payment_failure * np.where(who.is_annual, d.payment_failure_annual_factor, 1.0)
    failed = (rng.random(shape) < failure) & (when.billing_day >= 0)
    return Shocks(burst=burst, n_tickets=tickets, n_bad=bad, has_failed_payment=failed)


def log_odds(state: State, who: Static, world: World, when: Calendar) -> Array:
    """Weekly log-odds of leaving without a contact, shape of `state`; `state` as `step` left it."""
    h = world.hazard
    monthly = np.where(when.billing_day >= 0, h.monthly_billing_week, h.monthly_other)
    annual = np.where(when.is_renewal, h.annual_renewal_weeks, h.annual_other)
    known = (
        np.take(h.intercept, who.segment)
        + h.newcomer * np.exp(-when.tenure_weeks / h.newcomer_weeks)
        + who.frailty
        + np.where(who.is_annual, annual, monthly)
        + h.season * np.sin(2 * np.pi * when.week / h.season_weeks)
    )
    return (
        known
        + h.satisfaction * state.satisfaction
        + h.adoption * (state.adoption - h.adoption_centre)
        + h.outside * state.is_outside
        + h.payment_failed * (state.payment_weeks > 0)
    )


def contact_effect(state: State, who: Static, world: World) -> Array:
    """What a contact adds to the log-odds while it lasts, shape of `state`."""
    e = world.effect
    reach = e.floor + e.grievance_share * sigmoid(
        e.grievance_slope * (state.grievance - e.grievance_centre)
    )
    damping = 1.0 - e.outside_damping * state.is_outside
    return damping * e.persuasion * who.persuadable * reach + e.dog * who.is_dog


def population(world: World, *, seed: int) -> tuple[Static, State]:
    """Who the customers are, and their state on Monday of week 0.

    Who is a customer on day 0 has stayed until then. Without that condition the world starts
    with the unhappy and the frail still in it, and churn takes 30 weeks to fall from 8 % to its
    level. So the burn-in draws churn, and the inner traits of who would have left are drawn
    again; segment, size, contract and age stay as given.
    """
    who = draw_static(world, generator(seed, Draw.STATIC))
    rng = generator(seed, Draw.START)
    state = _first_state(world, who, rng)
    open_ = np.flatnonzero(who.signup_day < 0)
    for _ in range(world.dynamics.start_rounds):
        some = take(who, open_)
        some = replace(some, **draw_inner(world, some.segment, some.is_annual, rng))
        now, stayed = _burn_in(some, _first_state(world, some, rng), world, rng)
        who, state = put_at(who, open_, some), put_at(state, open_, now)
        open_ = open_[~stayed]
    return who, state


def _first_state(world: World, who: Static, rng: np.random.Generator) -> State:
    """Where a customer starts; who was there before the burn-in starts with adoption grown."""
    d, n = world.dynamics, who.seats.size
    weeks_before = (-who.signup_day / 7 - d.burn_in_weeks).clip(0)
    missing = (1 - d.adoption_start_share) * np.exp(-d.adoption_speed * 0.5 * weeks_before)
    return State(
        satisfaction=who.mood_mean + rng.normal(0, d.mood_start_sd, n),
        grievance=np.zeros(n),
        adoption=who.adoption_cap * (1 - missing),
        is_outside=np.zeros(n, dtype=bool),
        payment_weeks=np.zeros(n, dtype=np.int64),
        is_champion_gone=np.zeros(n, dtype=bool),
    )


def _burn_in(
    who: Static, state: State, world: World, rng: np.random.Generator
) -> tuple[State, Array]:
    """State on Monday of week 0, and who has not left in the weeks before."""
    stayed = np.ones(who.seats.size, dtype=bool)
    for week in range(-world.dynamics.burn_in_weeks, 0):
        when = calendar(world, who, week)
        moved, _ = step(state, who, world, when, rng)
        state = where(who.signup_day < 7 * (week + 1), moved, state)
        leaves = rng.random(stayed.size) < sigmoid(log_odds(state, who, world, when))
        stayed &= ~(leaves & (who.signup_day < 7 * week))
    return state, stayed
