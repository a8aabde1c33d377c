"""The people inside accounts, and how much they use the product in a week."""

from dataclasses import dataclass

import numpy as np

from churn.simulate.draws import Array, t_noise
from churn.simulate.moments import Moment
from churn.simulate.static import Static
from churn.simulate.world import World


@dataclass(frozen=True)
class Crowd:
    """People inside accounts, one row per seat in use, by account; `start` has N + 1 places."""

    account: Array
    start: Array
    weight: Array


@dataclass(frozen=True)
class Habits:
    """Usage state that churn does not depend on: kept apart from `State` for that reason."""

    noise: Array  # (N,)
    quiet_weeks: Array  # (N,)
    is_here: Array  # one per person
    generation: Array  # one per person: how often the place has gone to somebody new


def draw_crowd(world: World, who: Static, rng: np.random.Generator) -> Crowd:
    """Two to `seats` people per account, one where there is one seat; the first is the champion."""
    size = np.where(who.seats > 1, rng.integers(2, np.maximum(who.seats, 2) + 1), 1)
    start = np.concatenate([[0], np.cumsum(size)])
    account = np.repeat(np.arange(size.size), size)
    return Crowd(account, start, np.exp(rng.normal(0, world.usage.log_person_sd, account.size)))


def first_habits(crowd: Crowd, world: World, who: Static, rng: np.random.Generator) -> Habits:
    n, people = who.seats.size, crowd.account.size
    return Habits(
        noise=world.usage.noise_sd * t_noise(rng, world.usage.noise_degrees, n),
        quiet_weeks=np.zeros(n, dtype=np.int64),
        is_here=rng.random(people) < 0.8,
        generation=np.zeros(people, dtype=np.int64),
    )


def next_habits(
    habits: Habits, crowd: Crowd, world: World, moment: Moment, rng: np.random.Generator
) -> Habits:
    u, n = world.usage, habits.noise.size
    fresh = u.noise_sd * np.sqrt(1 - u.noise_memory**2) * t_noise(rng, u.noise_degrees, n)
    begins = rng.random(n) < u.quiet_week
    length = rng.integers(1, u.quiet_weeks_max + 1, n)
    quiet = np.maximum(habits.quiet_weeks - 1, 0)
    is_champion = np.zeros(crowd.account.size, dtype=bool)
    is_champion[crowd.start[:-1]] = True
    mood = moment.sunday.satisfaction.clip(-3.0, 3.0)
    leaves = u.person_leaves_week * np.exp(u.person_leaves_mood_slope * mood)
    draw = rng.random(crowd.account.size)
    stays = habits.is_here & (draw >= leaves[crowd.account])
    joins = ~habits.is_here & (draw < u.person_joins_week)
    here = np.where(is_champion, ~moment.sunday.is_champion_gone[crowd.account], stays | joins)
    return Habits(
        noise=u.noise_memory * habits.noise + fresh,
        quiet_weeks=np.where((quiet == 0) & begins, length, quiet),
        is_here=here,
        generation=habits.generation + (here & ~habits.is_here),
    )


def pick_people(crowd: Crowd, habits: Habits, customer: Array, rng: np.random.Generator) -> Array:
    """Who of the account does it: a person's number, new for everybody who takes the place over."""
    reach = np.concatenate([[0.0], np.cumsum(crowd.weight * habits.is_here)])
    low, high = reach[crowd.start[customer]], reach[crowd.start[customer + 1]]
    at = np.searchsorted(reach, low + (high - low) * rng.random(customer.size), side="right") - 1
    # An account that everybody left keeps its first place, as the rate is not zero either.
    at = at.clip(crowd.start[customer], crowd.start[customer + 1] - 1)
    at = np.where(high > low, at, crowd.start[customer])
    size = np.diff(crowd.start)[customer]
    return at - crowd.start[customer] + size * habits.generation[at] + 1


def usage_rate(world: World, who: Static, moment: Moment, habits: Habits) -> Array:
    """Expected events of people on a plain day, shape (N,)."""
    u, week, state = world.usage, moment.when.week, moment.sunday
    log_rate = (
        np.take(u.log_rate, who.segment)
        + u.seats_exponent * np.log(moment.before.seats)
        + who.usage_level
        + u.satisfaction * state.satisfaction
        + u.adoption * state.adoption
        + habits.noise
        + who.season_size * np.sin(2 * np.pi * (week / 52 + who.season_phase))
        + u.quiet * (habits.quiet_weeks > 0)
        + u.champion_left * state.is_champion_gone
    )
    holidays = dict(zip(u.holiday_weeks, u.holiday_factor, strict=True))
    early = np.where(moment.when.tenure_weeks < u.newcomer_weeks, u.newcomer_factor, 1.0)
    return np.exp(log_rate.clip(max=u.log_rate_max)) * early * holidays.get(week % 52, 1.0)
