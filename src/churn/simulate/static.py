"""Who the customers are: what is drawn once and never changes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.simulate.clock import dates_of
from churn.simulate.draws import Array
from churn.simulate.world import World


@dataclass(frozen=True)
class Static:
    """One value per customer, shape (N,). Days count from `World.start`, before it negative."""

    segment: Array
    plan: Array
    seats: Array
    discount: Array
    is_annual: Array
    signup_day: Array
    anchor_day: Array  # day of the month on which terms start
    anchor_date: Array  # month * 32 + day on which annual terms start
    has_api: Array
    log_api_rate: Array
    season_size: Array
    season_phase: Array
    usage_level: Array
    mood_mean: Array
    frailty: Array
    adoption_cap: Array
    error_sensitivity: Array
    persuadable: Array
    is_dog: Array


def draw_static(world: World, rng: np.random.Generator) -> Static:
    """Draw what never changes about each customer, without asking whether they would stay."""
    n, s, c = world.n_customers, world.segments, world.contract
    seg = rng.choice(len(s.names), n, p=s.share)
    log_seats = rng.normal(np.take(s.log_seats_mean, seg), np.take(s.log_seats_sd, seg))
    moves = rng.random(n) < c.plan_unlike_segment_share
    plan = np.where(moves, np.where(seg == 1, rng.choice([0, 2], n), 1), seg)
    age_days = np.ceil(rng.exponential(c.age_weeks_mean * 7, n)).clip(1)
    in_period = rng.integers(0, world.n_weeks * 7, n)
    signup = np.where(rng.random(n) < c.before_start_share, -age_days, in_period).astype(np.int64)
    is_annual = rng.random(n) < np.take(s.annual_share, seg)
    dates = dates_of(world, signup)
    month = dates.astype("M8[M]")
    # Billing on the 29th to 31st moves to the 28th, so that every month has the day.
    anchor = ((dates - month.astype("M8[D]")).astype(np.int64) + 1).clip(max=28)
    return Static(
        segment=seg,
        plan=plan,
        seats=np.maximum(1, np.rint(np.exp(log_seats))).astype(np.int64),
        discount=np.exp(rng.normal(c.log_discount_mean, c.log_discount_sd, n)),
        is_annual=is_annual,
        signup_day=signup,
        anchor_day=anchor,
        anchor_date=(month.astype(np.int64) % 12 + 1) * 32 + anchor,
        has_api=rng.random(n) < np.take(s.api_share, seg),
        log_api_rate=rng.normal(world.usage.log_api_rate_mean, world.usage.log_api_rate_sd, n),
        season_size=np.abs(rng.normal(0, world.usage.season_sd, n)),
        season_phase=rng.random(n),
        **draw_inner(world, seg, is_annual, rng),
    )


def draw_inner(
    world: World, segment: Array, is_annual: Array, rng: np.random.Generator
) -> dict[str, Array]:
    """The traits that decide who stays."""
    n, s, t = segment.size, world.segments, world.traits
    level = rng.normal(0, t.usage_level_sd, n)
    low = level < t.dog_low_usage_below
    dog_share = t.dog_share * np.where(low, t.dog_factor_low_usage, t.dog_factor_other)
    is_dog = (rng.random(n) < dog_share) & ~is_annual
    persuadable = rng.beta(t.persuadable_alpha, t.persuadable_beta, n)
    return {
        "usage_level": level,
        "mood_mean": rng.normal(np.take(s.mood_mean, segment), t.mood_sd),
        "frailty": rng.normal(0, t.frailty_sd, n),
        "adoption_cap": rng.beta(t.adoption_cap_alpha, t.adoption_cap_beta, n),
        "error_sensitivity": np.exp(rng.normal(0, t.log_error_sensitivity_sd, n)),
        "persuadable": np.where(is_dog, 0.0, persuadable * np.take(s.persuadable_factor, segment)),
        "is_dog": is_dog,
    }


def customer_ids(world: World, index: Array) -> pa.Array:
    """Customer ids as text: C and at least six digits."""
    width = max(6, len(str(world.n_customers - 1)))
    digits = pc.utf8_lpad(pc.cast(pa.array(index), pa.string()), width, "0")
    return pc.binary_join_element_wise("C", digits, "")
