"""A product whose true churn hazards are known: the demo input, and a measuring stick for models.

A latent process moves in weeks, events fall on days. One `step` drives the world, shape (N,), and
the Monte-Carlo oracle, shape (B, N). Every constant is a knob of `World`; those of the published
equations stand in `conf/source/demo.yaml` too, and a test holds them still.

Every draw comes from a stream named by (purpose, week). That is what lets the oracle replay the
latent process up to a week without emitting one event, and lets a defect be switched on without
moving a single clean event.

Nothing here reads or writes a file, or knows what day it is today.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray[Any, Any]
T = TypeVar("T")


@dataclass
class Segments:
    """What differs between smb, mid and ent; every list in that order."""

    names: list[str] = field(default_factory=lambda: ["smb", "mid", "ent"])
    share: list[float] = field(default_factory=lambda: [0.62, 0.28, 0.10])
    log_seats_mean: list[float] = field(default_factory=lambda: [1.0, 2.4, 3.9])
    log_seats_sd: list[float] = field(default_factory=lambda: [0.7, 0.8, 1.0])
    annual_share: list[float] = field(default_factory=lambda: [0.20, 0.50, 0.82])
    api_share: list[float] = field(default_factory=lambda: [0.06, 0.18, 0.35])
    mood_mean: list[float] = field(default_factory=lambda: [0.05, 0.15, 0.25])
    persuadable_factor: list[float] = field(default_factory=lambda: [1.15, 1.0, 0.7])


@dataclass
class Traits:
    """Drawn once per customer and never changed."""

    mood_sd: float = 0.5
    usage_level_sd: float = 0.9
    frailty_sd: float = 0.5
    adoption_cap_alpha: float = 3.0
    adoption_cap_beta: float = 2.0
    log_error_sensitivity_sd: float = 0.6
    persuadable_alpha: float = 1.6
    persuadable_beta: float = 2.2
    dog_share: float = 0.12
    dog_factor_low_usage: float = 2.4
    dog_factor_other: float = 0.45
    dog_low_usage_below: float = -0.4


@dataclass
class Contract:
    """Sign-up, plan and price; the second half is where the equations are silent."""

    before_start_share: float = 0.48
    age_weeks_mean: float = 55.0
    plans: list[str] = field(default_factory=lambda: ["basic", "pro", "enterprise"])
    price_seat_month: list[float] = field(default_factory=lambda: [15.0, 29.0, 49.0])
    log_discount_mean: float = -0.1
    log_discount_sd: float = 0.2
    currency: str = "EUR"
    plan_unlike_segment_share: float = 0.12
    seat_change_week: float = 0.008
    plan_change_week: float = 0.0015
    seat_change_share: float = 0.2
    annual_price_rise: float = 0.03
    customers_per_owner: int = 1300


@dataclass
class Dynamics:
    """The weekly latent process."""

    incident_week: float = 0.10
    burst_per_sensitivity: float = 0.012
    burst_in_incident: float = 0.30
    burst_shape: float = 2.0
    burst_scale: float = 0.30
    ticket_base: float = 0.02
    ticket_per_root_seat: float = 0.006
    ticket_in_burst: float = 0.35
    ticket_unhappy: float = 0.035
    ticket_bad_share: float = 0.35
    mood_memory: float = 0.93
    mood_bad_ticket: float = -0.40
    mood_good_ticket: float = 0.08
    mood_champion_left: float = -1.3
    mood_noise: float = 0.22  # a standard deviation, as is noise_sd of usage
    noise_degrees: float = 4.0
    champion_leaves_week: float = 0.003
    grievance_memory: float = 0.82
    grievance_bad_ticket: float = 0.40
    adoption_speed: float = 0.05
    adoption_mood_slope: float = 1.5
    adoption_loss: float = 0.012
    adoption_loss_mood_below: float = -1.0
    outside_on_week: float = 0.004
    outside_off_week: float = 0.10
    payment_failure: float = 0.025
    payment_failure_annual_factor: float = 0.3
    payment_failure_weeks: int = 2
    # Silent in the equations: where a customer starts, and when a new champion is found.
    mood_start_sd: float = 0.25
    adoption_start_share: float = 0.35
    champion_found_week: float = 0.06
    burn_in_weeks: int = 60
    start_rounds: int = 12


@dataclass
class Hazard:
    """Terms of the weekly log-odds of leaving."""

    intercept: list[float] = field(default_factory=lambda: [-5.65, -6.15, -6.7])
    satisfaction: float = -1.6
    adoption: float = -1.2
    adoption_centre: float = 0.4
    newcomer: float = 0.9
    newcomer_weeks: float = 6.0
    outside: float = 2.8
    monthly_billing_week: float = 0.9
    monthly_other: float = -0.45
    annual_renewal_weeks: float = 2.9
    annual_other: float = -1.3
    payment_failed: float = 1.4
    season: float = 0.12
    season_weeks: float = 52.0


@dataclass
class Effect:
    """What a contact changes in the log-odds, and the past campaigns that show it."""

    weeks: int = 8
    persuasion: float = -1.7
    floor: float = 0.2
    grievance_share: float = 0.8
    grievance_slope: float = 2.5
    grievance_centre: float = 0.45
    outside_damping: float = 0.9
    dog: float = 0.9
    campaign_share: float = 0.06
    campaign_weeks: list[int] = field(default_factory=lambda: [6, 14, 22, 30, 38, 46])


@dataclass
class Usage:
    """Events per day; below the first block the equations are silent."""

    seats_exponent: float = 0.75
    satisfaction: float = 0.30
    adoption: float = 0.7
    noise_memory: float = 0.5
    noise_sd: float = 0.45  # of the AR(1) process, not of its innovation
    noise_degrees: float = 4.0
    quiet: float = -2.4
    quiet_week: float = 0.012
    quiet_weeks_max: int = 3
    champion_left: float = -0.9
    newcomer_factor: float = 1.6
    newcomer_weeks: int = 2
    day_shape: float = 0.9
    advanced_exponent: float = 1.5
    holiday_weeks: list[int] = field(default_factory=lambda: [0, 30, 31, 32, 51])

    holiday_factor: list[float] = field(default_factory=lambda: [0.55, 0.8, 0.75, 0.8, 0.45])
    log_rate: list[float] = field(default_factory=lambda: [-2.2, -2.2, -2.2])
    log_rate_max: float = 5.5
    season_sd: float = 0.2
    weekday_factor: list[float] = field(
        default_factory=lambda: [1.05, 1.1, 1.1, 1.05, 0.9, 0.25, 0.2]
    )
    log_api_rate_mean: float = 0.7
    log_api_rate_sd: float = 0.7
    advanced_weight: float = 0.35
    error_share: float = 0.012
    error_share_in_burst: float = 0.25
    log_person_sd: float = 1.0
    person_leaves_week: float = 0.005
    person_leaves_mood_slope: float = -0.5
    person_joins_week: float = 0.02
    arrival_minutes_mean_log: float = 2.5
    arrival_minutes_sd_log: float = 1.0


@dataclass
class Defects:
    """What goes wrong in real logs; all off. `broken_line_share` is applied by who writes lines."""

    duplicate_share: float = 0.0
    late_share: float = 0.0
    late_days_max: int = 14
    outage_day: int = -1
    outage_event: str = "core_action"
    skewed_customer_share: float = 0.0
    skew_hours: float = 3.0
    n_bots: int = 0
    bot_events_day: int = 200
    n_testers: int = 0
    tester_events_day: int = 20
    broken_line_share: float = 0.0
    formula_name_share: float = 0.0


@dataclass
class World:
    """Every constant of the simulated product. `start` must be a Monday."""

    n_customers: int = 20_000
    n_weeks: int = 64
    start: str = "2025-01-06"
    segments: Segments = field(default_factory=Segments)
    traits: Traits = field(default_factory=Traits)
    contract: Contract = field(default_factory=Contract)
    dynamics: Dynamics = field(default_factory=Dynamics)
    hazard: Hazard = field(default_factory=Hazard)
    effect: Effect = field(default_factory=Effect)
    usage: Usage = field(default_factory=Usage)
    defects: Defects = field(default_factory=Defects)


EVENTS = (
    "login", "core_action", "report_view", "dashboard_share", "data_export", "comment",
    "mobile_view", "integration_sync", "billing_view", "advanced_feature", "error", "api_call",
    "support_ticket", "invoice", "payment_failed", "plan_change", "seat_change",
)  # fmt: skip
_CODE = {name: code for code, name in enumerate(EVENTS)}
# Share of each of the first nine events in what a person does; advanced and errors come on top.
_MIX = np.array([0.22, 0.40, 0.11, 0.05, 0.05, 0.06, 0.06, 0.04, 0.01])

_ERRORS = ("HTTP 500", "HTTP 502", "HTTP 503", "HTTP 504 timeout", "E1021 sync failed")
_COMPLAINTS = (
    "Import failed again and nobody answered my last ticket.",
    "The report shows wrong totals since the update.",
    "Third outage this month, this is blocking our team.",
    "Export times out, we lost half a day.",
    "Still waiting for a fix of the sync problem.",
)
_QUESTIONS = (
    "How do I add a colleague to our workspace?",
    "Can the weekly report be sent as PDF?",
    "Where can I change the billing address?",
    "Please explain the new permissions.",
    "Is there an endpoint for bulk updates?",
)
_PAYMENT = ("card declined",)
TEXTS = (*_ERRORS, *_COMPLAINTS, *_QUESTIONS, *_PAYMENT)
_AT_COMPLAINTS = len(_ERRORS)
_AT_QUESTIONS = _AT_COMPLAINTS + len(_COMPLAINTS)
_AT_PAYMENT = _AT_QUESTIONS + len(_QUESTIONS)

_COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "SE", "PL", "US", "CA")
_INDUSTRIES = ("retail", "software", "manufacturing", "health", "finance", "logistics", "media")
_STEMS = (
    "Alder", "Amber", "Birken", "Blue", "Bright", "Cedar", "Clear", "Copper", "Dal", "East",
    "Elm", "Ever", "Fal", "Fern", "Glen", "Gold", "Grey", "Hafen", "Hazel", "Iron", "Juni",
    "Kestrel", "Lark", "Linden", "Mar", "Mill", "North", "Oak", "Pine", "Quill", "Raven", "Red",
    "River", "Sand", "Silver", "Stern", "Stone", "Sund", "Thorn", "West",
)  # fmt: skip
_TAILS = ("berg", "bridge", "brook", "feld", "field", "ford", "gate", "holm", "mark", "mere",
          "point", "ridge", "strand", "vale", "wick", "wood")  # fmt: skip
_TRADES = ("Analytics", "Apparel", "Bikes", "Books", "Clinics", "Coffee", "Energy", "Films",
           "Foods", "Freight", "Labs", "Logistics", "Media", "Optics", "Outdoor", "Pharma",
           "Robotics", "Systems", "Tools", "Travel")  # fmt: skip
_FORMS = ("GmbH", "Ltd", "AB", "BV", "Inc", "SA", "& Co", "Group")
_FIRST = ("Ada", "Bela", "Carla", "Dario", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas",
          "Kaja", "Luca", "Mira", "Nils", "Olga", "Pavel", "Rosa", "Selma", "Timo", "Vera")  # fmt: skip
_LAST = ("Abel", "Brandt", "Costa", "Dahl", "Ebers", "Falk", "Grau", "Holt", "Iversen", "Juhl",
         "Kern", "Lund", "Moreau", "Novak", "Okafor", "Petit", "Ruiz", "Sato", "Torres")  # fmt: skip

_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
# Share of a day's human events by UTC hour: an office day, and a thin tail at night.
_HOURS = np.array(
    [1, 1, 1, 1, 1, 2, 5, 12, 24, 30, 32, 28, 20, 26, 30, 28, 24, 16, 9, 6, 5, 4, 3, 2]
)


class _Draw(IntEnum):
    """The purposes that own a random stream; a place, once given, never changes."""

    STATIC = 0
    START = 1
    LATENT = 2
    CHURN = 3
    CAMPAIGN = 4
    COMMERCE = 5
    USAGE = 6
    PEOPLE = 7
    ARRIVAL = 8
    NAMES = 9
    DEFECTS = 10
    ORACLE = 11
    CONTACTS = 12


def _rng(seed: int, purpose: _Draw, place: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), place)))


def _take(arrays: T, index: Array) -> T:
    """The same dataclass of arrays for the customers at `index` (the last axis)."""
    kept = {f.name: getattr(arrays, f.name)[..., index] for f in fields(arrays)}  # type: ignore[arg-type]
    return replace(arrays, **kept)  # type: ignore[type-var]


def _where(is_new: Array, new: T, old: T) -> T:
    """Customers of `new` where the mask holds, of `old` elsewhere."""
    pairs = ((f.name, getattr(new, f.name), getattr(old, f.name)) for f in fields(new))  # type: ignore[arg-type]
    return replace(new, **{name: np.where(is_new, a, b) for name, a, b in pairs})  # type: ignore[type-var]


def _put_at(arrays: T, index: Array, new: T) -> T:
    """The same dataclass of arrays with the customers at `index` replaced."""
    columns = {}
    for f in fields(arrays):  # type: ignore[arg-type]
        columns[f.name] = getattr(arrays, f.name).copy()
        columns[f.name][index] = getattr(new, f.name)
    return replace(arrays, **columns)  # type: ignore[type-var]


def _sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def _t_noise(rng: np.random.Generator, degrees: float, shape: Any) -> Array:
    """Student-t noise of unit variance, so that a knob called `sd` is one."""
    return rng.standard_t(degrees, shape) * np.sqrt((degrees - 2.0) / degrees)


# --- who the customers are -------------------------------------------------------------------


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


def _static(world: World, rng: np.random.Generator) -> Static:
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
    dates = _dates(world, signup)
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
        **_inner(world, seg, is_annual, rng),
    )


def _inner(
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


def _dates(world: World, day: Array) -> Array:
    return np.datetime64(world.start, "D") + day


def _next_term(world: World, day: Array, who: Static) -> Array:
    """The day on which the term that starts on `day` ends and the next one starts."""
    month = _dates(world, day).astype("M8[M]") + np.where(who.is_annual, 12, 1)
    end = month.astype("M8[D]") + (who.anchor_day - 1)
    return (end - np.datetime64(world.start, "D")).astype(np.int64)


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
    dates = _dates(world, 7 * week + np.arange(7))
    return (dates - dates.astype("M8[M]").astype("M8[D]")).astype(np.int64) + 1


def _anniversary(world: World, who: Static, week: int) -> Array:
    """Day of the week of the sign-up's anniversary, -1 when it falls elsewhere."""
    months = _dates(world, 7 * week + np.arange(7)).astype("M8[M]").astype(np.int64) % 12 + 1
    place = np.full(13 * 32, -1)
    place[months * 32 + _month_days(world, week)] = np.arange(7)
    return place[who.anchor_date]


# --- the latent process: one step for the world and for the oracle ---------------------------


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
        + d.mood_noise * _t_noise(rng, d.noise_degrees, shape)
    )
    pull = _sigmoid(d.adoption_mood_slope * state.satisfaction)
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
    reach = e.floor + e.grievance_share * _sigmoid(
        e.grievance_slope * (state.grievance - e.grievance_centre)
    )
    damping = 1.0 - e.outside_damping * state.is_outside
    return damping * e.persuasion * who.persuadable * reach + e.dog * who.is_dog


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


def population(world: World, *, seed: int) -> tuple[Static, State]:
    """Who the customers are, and their state on Monday of week 0.

    Who is a customer on day 0 has stayed until then. Without that condition the world starts
    with the unhappy and the frail still in it, and churn takes 30 weeks to fall from 8 % to its
    level. So the burn-in draws churn, and the inner traits of who would have left are drawn
    again; segment, size, contract and age stay as given.
    """
    who = _static(world, _rng(seed, _Draw.STATIC))
    rng = _rng(seed, _Draw.START)
    state = _first_state(world, who, rng)
    open_ = np.flatnonzero(who.signup_day < 0)
    for _ in range(world.dynamics.start_rounds):
        some = _take(who, open_)
        some = replace(some, **_inner(world, some.segment, some.is_annual, rng))
        now, stayed = _burn_in(some, _first_state(world, some, rng), world, rng)
        who, state = _put_at(who, open_, some), _put_at(state, open_, now)
        open_ = open_[~stayed]
    return who, state


def _burn_in(
    who: Static, state: State, world: World, rng: np.random.Generator
) -> tuple[State, Array]:
    """State on Monday of week 0, and who has not left in the weeks before."""
    stayed = np.ones(who.seats.size, dtype=bool)
    for week in range(-world.dynamics.burn_in_weeks, 0):
        when = calendar(world, who, week)
        moved, _ = step(state, who, world, when, rng)
        state = _where(who.signup_day < 7 * (week + 1), moved, state)
        leaves = rng.random(stayed.size) < _sigmoid(log_odds(state, who, world, when))
        stayed &= ~(leaves & (who.signup_day < 7 * week))
    return state, stayed


def _latent_week(
    state: State, who: Static, world: World, seed: int, week: int
) -> tuple[State, Shocks, Calendar]:
    """One week of the world. It moves everybody, gone or not, so that no draw depends on who
    left; before the week of sign-up the state is held."""
    when = calendar(world, who, week)
    rng = _rng(seed, _Draw.LATENT, week)
    moved, shocks = step(state, who, world, when, rng)
    return _where(who.signup_day < 7 * (week + 1), moved, state), shocks, when


# --- the world: who leaves, who is contacted, what is sold ------------------------------------


@dataclass(frozen=True)
class Book:
    """The current contract of each customer, shape (N,); days count from `World.start`."""

    plan: Array
    seats: Array
    price_month: Array
    term_start: Array
    term_end: Array


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
    is_contacted: Array
    hazard: Array
    leave_day: Array  # 0 Monday .. 6 Sunday; 7 stays
    before: Book
    book: Book
    is_change: Array
    change_day: Array


def _moments(world: World, who: Static, state: State, *, seed: int) -> Iterator[Moment]:
    """The weeks of the world one after the other, without end."""
    has_left = np.zeros(world.n_customers, dtype=bool)
    treated_weeks = np.zeros(world.n_customers, dtype=np.int64)
    book, week = _first_book(world, who), 0
    while True:
        moment = _moment(world, seed, week, who, state, book, has_left, treated_weeks)
        yield moment
        state, book, week = moment.sunday, moment.book, week + 1
        has_left = has_left | (moment.leave_day < 7)
        fresh = np.where(moment.is_contacted, world.effect.weeks, treated_weeks)
        treated_weeks = np.maximum(fresh - 1, 0)


def _moment(
    world: World, seed: int, week: int, who: Static, state: State, book: Book,
    has_left: Array, treated_weeks: Array,
) -> Moment:  # fmt: skip
    n = world.n_customers
    sunday, shocks, when = _latent_week(state, who, world, seed, week)
    exposed = (who.signup_day < 7 * week) & ~has_left
    contacted = np.zeros(n, dtype=bool)
    if week in world.effect.campaign_weeks:
        drawn = _rng(seed, _Draw.CAMPAIGN, week).random(n) < world.effect.campaign_share
        contacted = exposed & drawn
    treated = contacted | (treated_weeks > 0)
    logit = log_odds(sunday, who, world, when)
    logit = logit + np.where(treated, contact_effect(sunday, who, world), 0.0)
    hazard = np.where(exposed, _sigmoid(logit), 0.0)
    rng = _rng(seed, _Draw.CHURN, week)
    leave_day = np.where(rng.random(n) < hazard, rng.integers(0, 7, n), 7)
    present = (who.signup_day < 7 * (week + 1)) & ~has_left
    stays = present & (leave_day == 7)
    sold, change, change_day = _trade(world, seed, who, book, sunday, when, stays)
    renewed = (when.billing_day >= 0) & present & (leave_day > when.billing_day)
    return Moment(
        when=when, monday=state, sunday=sunday, shocks=shocks, treated_weeks=treated_weeks,
        is_treated=treated, is_present=present, is_exposed=exposed,
        is_contacted=contacted, hazard=hazard, leave_day=leave_day, before=book,
        book=_renew(world, who, sold, when, renewed), is_change=change, change_day=change_day,
    )  # fmt: skip


def _price(world: World, plan: Array, seats: Array, discount: Array) -> Array:
    per_seat = np.take(world.contract.price_seat_month, plan)
    return np.round(per_seat * seats * discount, 2)


def _first_book(world: World, who: Static) -> Book:
    """The term that runs the day before day 0, or the first term of a later sign-up."""
    last = np.datetime64(world.start, "D") - 1
    month = np.where(who.is_annual, 12, 1)
    signed = _dates(world, who.signup_day).astype("M8[M]")
    passed = (last.astype("M8[M]") - signed).astype(np.int64)
    start = _anchor(world, who, signed + passed // month * month)
    start = np.where(start > -1, _anchor(world, who, signed + (passed // month - 1) * month), start)
    start = np.maximum(start, who.signup_day)
    return Book(
        plan=who.plan,
        seats=who.seats,
        price_month=_price(world, who.plan, who.seats, who.discount),
        term_start=start,
        term_end=_next_term(world, start, who),
    )


def _anchor(world: World, who: Static, month: Array) -> Array:
    """The billing day of a month."""
    day = month.astype("M8[D]") + (who.anchor_day - 1)
    return (day - np.datetime64(world.start, "D")).astype(np.int64)


def _trade(
    world: World, seed: int, who: Static, book: Book, state: State, when: Calendar, stays: Array
) -> tuple[Book, Array, Array]:
    """Seat and plan changes: more seats in a good mood, fewer in a bad one.

    Only in weeks without a new term and after the week of sign-up, so that no customer has two
    versions with one `valid_from`.
    """
    c, rng, n = world.contract, _rng(seed, _Draw.COMMERCE, when.week), world.n_customers
    u, up, size, day = rng.random(n), rng.random(n), rng.exponential(1.0, n), rng.integers(0, 7, n)
    open_ = stays & (when.billing_day < 0) & (when.tenure_weeks > 0)
    grows = up < _sigmoid(0.4 + 0.8 * state.satisfaction)
    moves_plan = open_ & (u < c.plan_change_week)
    plan = np.where(moves_plan, (book.plan + np.where(grows, 1, -1)).clip(0, 2), book.plan)
    change = np.rint(book.seats * c.seat_change_share * size).clip(1) * np.where(grows, 1, -1)
    moves_seats = open_ & (u >= c.plan_change_week) & (u < c.plan_change_week + c.seat_change_week)
    seats = np.where(moves_seats, (book.seats + change).clip(1), book.seats).astype(np.int64)
    changed = (plan != book.plan) | (seats != book.seats)
    rise = book.price_month / _price(world, book.plan, book.seats, who.discount).clip(0.01)
    price = np.round(_price(world, plan, seats, who.discount) * rise, 2)
    sold = replace(
        book, plan=plan, seats=seats, price_month=np.where(changed, price, book.price_month)
    )
    return sold, changed, day


def _renew(world: World, who: Static, book: Book, when: Calendar, renewed: Array) -> Book:
    """Start the next term where the last one ends; annual prices rise."""
    start = np.where(renewed, 7 * when.week + when.billing_day, book.term_start)
    rise = np.where(renewed & who.is_annual, 1 + world.contract.annual_price_rise, 1.0)
    return replace(
        book,
        price_month=np.round(book.price_month * rise, 2),
        term_start=start,
        term_end=np.where(renewed, _next_term(world, start, who), book.term_end),
    )


# --- the oracle -------------------------------------------------------------------------------

_CELLS_AT_ONCE = 500_000


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
    moments = _moments(world, everybody, start, seed=seed)
    moment = next(m for m in moments if m.when.week == week)
    active = np.flatnonzero(moment.is_exposed)
    who = _take(everybody, active)
    whens = [calendar(world, who, week + ahead) for ahead in range(8)]
    state, treated = _take(moment.monday, active), moment.treated_weeks[active]
    columns: dict[str, Any] = {"customer_id": customer_ids(world, active).to_pandas()}
    for half, name in enumerate(("", "_b")):
        rng = np.random.default_rng(
            np.random.SeedSequence([seed, rng_seed], spawn_key=(int(_Draw.ORACLE), week, half))
        )
        means = _arms(state, who, world, whens, treated, max(1, paths // 2), rng)
        for column, mean in zip(_ARMS, means, strict=True):
            columns[column.format(name)] = mean
    columns["mrr"] = moment.before.price_month[active]
    return pd.DataFrame(columns)


_ARMS = ("p_true{}", "p_true_contacted{}", "p_true_56{}", "p_true_56_contacted{}")


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
        stays *= 1 - _sigmoid(logit + np.where(treated_weeks > ahead, delta, 0.0))
        is_under = ahead < world.effect.weeks
        stays_contacted *= 1 - _sigmoid(logit + (delta if is_under else 0.0))
        if ahead in (3, 7):
            sums += [(1 - stays).sum(axis=0), (1 - stays_contacted).sum(axis=0)]
    return np.stack(sums)


# --- events -----------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Rows:
    """Events as parallel arrays; `text` is a place in TEXTS or -1, `person` -1 for nobody."""

    customer: Array
    ts_us: Array
    event: Array
    value: Array
    text: Array
    person: Array


def _rows(customer: Array, ts_us: Array, event: Any, **more: Any) -> Rows:
    n = customer.size
    empty = {"value": np.nan, "text": -1, "person": -1} | more
    return Rows(customer, ts_us, np.broadcast_to(event, n),
                *(np.broadcast_to(empty[k], n) for k in ("value", "text", "person")))  # fmt: skip


def _stack(parts: list[Rows]) -> Rows:
    names = [f.name for f in fields(Rows)]
    return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _crowd(world: World, who: Static, rng: np.random.Generator) -> Crowd:
    """Two to `seats` people per account, one where there is one seat; the first is the champion."""
    size = np.where(who.seats > 1, rng.integers(2, np.maximum(who.seats, 2) + 1), 1)
    start = np.concatenate([[0], np.cumsum(size)])
    account = np.repeat(np.arange(size.size), size)
    return Crowd(account, start, np.exp(rng.normal(0, world.usage.log_person_sd, account.size)))


def _first_habits(crowd: Crowd, world: World, who: Static, rng: np.random.Generator) -> Habits:
    n, people = who.seats.size, crowd.account.size
    return Habits(
        noise=world.usage.noise_sd * _t_noise(rng, world.usage.noise_degrees, n),
        quiet_weeks=np.zeros(n, dtype=np.int64),
        is_here=rng.random(people) < 0.8,
        generation=np.zeros(people, dtype=np.int64),
    )


def _next_habits(
    habits: Habits, crowd: Crowd, world: World, moment: Moment, rng: np.random.Generator
) -> Habits:
    u, n = world.usage, habits.noise.size
    fresh = u.noise_sd * np.sqrt(1 - u.noise_memory**2) * _t_noise(rng, u.noise_degrees, n)
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


def _usage_rate(world: World, who: Static, moment: Moment, habits: Habits) -> Array:
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


def _open_days(who: Static, moment: Moment) -> tuple[Array, Array]:
    """First day of the week with a subscription, and the first one without, shape (N,)."""
    first = (who.signup_day - 7 * moment.when.week).clip(0, 7)
    return np.where(moment.is_present, first, 7), np.where(moment.is_present, moment.leave_day, 7)


def _is_open(first: Array, last: Array) -> Array:
    days = np.arange(7)
    return (days >= first[:, None]) & (days < last[:, None])


def _at(week: int, day: Array, rng: np.random.Generator, hours: Array | None = None) -> Array:
    """Random times on days of a week, µs from `World.start`, whole milliseconds."""
    u = rng.random(day.size)
    if hours is not None:
        share = np.concatenate([[0.0], np.cumsum(hours) / hours.sum()])
        u = np.interp(u, share, np.linspace(0, 1, share.size))
    milliseconds = np.minimum((u * 86_400_000).astype(np.int64), 86_399_999)
    return (7 * week + day) * _DAY_US + milliseconds * 1000


def _human_rows(
    world: World, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """What people do: daily Gamma-Poisson counts, each event with a kind, a time and a person."""
    u, week = world.usage, moment.when.week
    here = np.flatnonzero(moment.is_present)
    first, last = _open_days(who, moment)
    rate = _usage_rate(world, who, moment, habits)[here, None] * np.array(u.weekday_factor)
    rate = rate * rng.gamma(u.day_shape, 1 / u.day_shape, rate.shape)
    counts = rng.poisson(rate * _is_open(first[here], last[here]))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    customer, day = here[cell // 7], cell % 7
    event = _kinds(world, who, moment, customer, rng)
    text = np.where(event == _CODE["error"], rng.integers(0, len(_ERRORS), event.size), -1)
    person = _people(crowd, habits, customer, rng)
    return _rows(customer, _at(week, day, rng, _HOURS), event, text=text, person=person)


def _kinds(
    world: World, who: Static, moment: Moment, customer: Array, rng: np.random.Generator
) -> Array:
    """Event codes: errors and the advanced feature take their share, the fixed mix the rest."""
    u = world.usage
    error = u.error_share * who.error_sensitivity + u.error_share_in_burst * moment.shocks.burst
    error = error.clip(max=0.5)
    weight = u.advanced_weight * moment.sunday.adoption**u.advanced_exponent
    advanced = (1 - error) * weight / (1 + weight)
    draw = rng.random(customer.size)
    top = (error + advanced)[customer]
    rest = (draw - top) / (1 - top)
    plain = np.searchsorted(np.cumsum(_MIX)[:-1], rest, side="right")
    special = np.where(draw < error[customer], _CODE["error"], _CODE["advanced_feature"])
    return np.where(draw < top, special, plain)


def _people(crowd: Crowd, habits: Habits, customer: Array, rng: np.random.Generator) -> Array:
    """Who of the account does it: a person's number, new for everybody who takes the place over."""
    reach = np.concatenate([[0.0], np.cumsum(crowd.weight * habits.is_here)])
    low, high = reach[crowd.start[customer]], reach[crowd.start[customer + 1]]
    at = np.searchsorted(reach, low + (high - low) * rng.random(customer.size), side="right") - 1
    # An account that everybody left keeps its first place, as the rate is not zero either.
    at = at.clip(crowd.start[customer], crowd.start[customer + 1] - 1)
    at = np.where(high > low, at, crowd.start[customer])
    size = np.diff(crowd.start)[customer]
    return at - crowd.start[customer] + size * habits.generation[at] + 1


def _api_rows(world: World, who: Static, moment: Moment, rng: np.random.Generator) -> Rows:
    """Automated calls: every day alike, whatever the mood; they carry no person."""
    here = np.flatnonzero(moment.is_present & who.has_api)
    first, last = _open_days(who, moment)
    rate = np.exp(who.log_api_rate[here, None].clip(max=world.usage.log_rate_max))
    counts = rng.poisson(rate * _is_open(first[here], last[here]))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    return _rows(here[cell // 7], _at(moment.when.week, cell % 7, rng), _CODE["api_call"])


def _ticket_rows(
    who: Static, moment: Moment, habits: Habits, crowd: Crowd, rng: np.random.Generator
) -> Rows:
    """Support tickets of the latent process, with a short text that tells bad ones apart."""
    first, last = _open_days(who, moment)
    n_tickets = np.where(last > first, moment.shocks.n_tickets, 0)
    customer = np.repeat(np.arange(n_tickets.size), n_tickets)
    place = np.arange(customer.size) - np.repeat(np.cumsum(n_tickets) - n_tickets, n_tickets)
    is_bad = place < moment.shocks.n_bad[customer]
    day = rng.integers(first[customer], last[customer])
    text = rng.integers(0, 5, customer.size) + np.where(is_bad, _AT_COMPLAINTS, _AT_QUESTIONS)
    at = _at(moment.when.week, day, rng, _HOURS)
    person = _people(crowd, habits, customer, rng)
    return _rows(customer, at, _CODE["support_ticket"], text=text, person=person)


def _account_rows(world: World, who: Static, moment: Moment, rng: np.random.Generator) -> Rows:
    """Invoices with their value, failed payments, plan and seat changes."""
    week, (first, last) = moment.when.week, _open_days(who, moment)
    signup = who.signup_day - 7 * week
    day = np.where((signup >= 0) & (signup < 7), signup, moment.when.billing_day)
    billed = np.flatnonzero((day >= first) & (day < last))
    months = np.where(who.is_annual[billed], 12, 1)
    at = _at(week, day[billed], rng)
    value = np.round(moment.book.price_month[billed] * months, 2)
    failed = moment.shocks.has_failed_payment[billed]
    midnight = (7 * week + day[billed][failed] + 1) * _DAY_US - 1000
    failed_at = np.minimum(at[failed] + 20 * _MINUTE_US, midnight)
    changed = np.flatnonzero(moment.is_change)
    is_plan = moment.book.plan[changed] != moment.before.plan[changed]
    kind = np.where(is_plan, _CODE["plan_change"], _CODE["seat_change"])
    return _stack([
        _rows(billed, at, _CODE["invoice"], value=value),
        _rows(billed[failed], failed_at, _CODE["payment_failed"], text=_AT_PAYMENT),
        _rows(changed, _at(week, moment.change_day[changed], rng, _HOURS), kind),
    ])  # fmt: skip


def customer_ids(world: World, index: Array) -> pa.Array:
    """Customer ids as text: C and at least six digits."""
    width = max(6, len(str(world.n_customers - 1)))
    digits = pc.utf8_lpad(pc.cast(pa.array(index), pa.string()), width, "0")
    return pc.binary_join_element_wise("C", digits, "")


def _delay_us(world: World, size: int, rng: np.random.Generator) -> Array:
    """How long an event takes to arrive: minutes, always under six hours; whole seconds."""
    u = world.usage
    draw = rng.lognormal(u.arrival_minutes_mean_log, u.arrival_minutes_sd_log, size)
    return ((2 + draw).clip(max=355) * 60).astype(np.int64) * 1_000_000


def _times(world: World, us: Array) -> pa.Array:
    return pa.array(np.datetime64(world.start, "us") + us)


def _event_table(
    world: World, rows: Rows, loaded_us: Array, names: dict[str, pa.Array]
) -> pa.Table:
    """Arrow columns of the contract, in the order of `rows`."""
    customer_id = names["customer_id"].take(pa.array(rows.customer))
    number = pc.cast(pa.array(rows.person, mask=rows.person < 0), pa.string())
    text = pa.array(rows.text, mask=rows.text < 0)
    return pa.table({
        "customer_id": customer_id,
        "ts": _times(world, rows.ts_us),
        "event": pa.array(EVENTS).take(pa.array(rows.event)),
        "value": pa.array(rows.value, mask=np.isnan(rows.value)),
        "event_id": names["event_id"],
        "loaded_at": _times(world, loaded_us),
        "user_id": pc.binary_join_element_wise(customer_id, number, "-U"),
        "text": pa.array(TEXTS).take(text),
    })  # fmt: skip


def _event_ids(prefix: str, week: int, size: int) -> pa.Array:
    number = pc.cast(pa.array(week * 10**8 + np.arange(size)), pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(number, 11, "0"), "")


def _events(
    world: World, seed: int, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    ids: pa.Array,
) -> pa.Table:  # fmt: skip
    """The week's events in order of `ts`, then `event_id`, with the defects that are on."""
    week = moment.when.week
    rng = _rng(seed, _Draw.USAGE, week + 1)
    rows = _stack([
        _human_rows(world, who, moment, habits, crowd, rng),
        _api_rows(world, who, moment, rng),
        _ticket_rows(who, moment, habits, crowd, rng),
        _account_rows(world, who, moment, rng),
    ])  # fmt: skip
    rows = _take(rows, np.argsort(rows.ts_us, kind="stable"))
    delay = _delay_us(world, rows.ts_us.size, _rng(seed, _Draw.ARRIVAL, week))
    names = {"customer_id": ids, "event_id": _event_ids("E", week, rows.ts_us.size)}
    clean = _event_table(world, rows, rows.ts_us + delay, names)
    return _damage(world, seed, moment, clean, names)


# --- defects ----------------------------------------------------------------------------------


def _damage(
    world: World, seed: int, moment: Moment, events: pa.Table, names: dict[str, pa.Array]
) -> pa.Table:
    """Break a week as the switches say; without one the same table comes back."""
    d, week = world.defects, moment.when.week
    if d == replace(Defects(), broken_line_share=d.broken_line_share,
                    formula_name_share=d.formula_name_share):  # fmt: skip
        return events
    rng = _rng(seed, _Draw.DEFECTS, week + 1)
    is_late = rng.random(events.num_rows) < d.late_share
    days_late = rng.uniform(0.5, d.late_days_max, events.num_rows) * is_late
    later = pa.array((days_late * 86_400).astype("timedelta64[s]").astype("timedelta64[us]"))
    events = _put(events, "loaded_at", pc.add(events["loaded_at"], later))
    events = _put(events, "ts", _skewed(world, seed, events))
    events = _without_outage(world, events)
    robots = [
        _robots(world, seed, moment, names, "bot", d.n_bots, d.bot_events_day),
        _robots(world, seed, moment, names, "tester", d.n_testers, d.tester_events_day),
    ]
    copies = np.flatnonzero(rng.random(events.num_rows) < d.duplicate_share)
    events = pa.concat_tables([events, events.take(pa.array(copies)), *robots])
    return events.sort_by([("ts", "ascending"), ("event_id", "ascending")])


def _put(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _skewed(world: World, seed: int, events: pa.Table) -> Any:
    """Event times of customers whose clock is fast: their `ts` lies after `loaded_at`."""
    d = world.defects
    is_fast = _rng(seed, _Draw.DEFECTS).random(world.n_customers) < d.skewed_customer_share
    fast = pc.is_in(events["customer_id"], customer_ids(world, np.flatnonzero(is_fast)))
    shift = pa.scalar(np.timedelta64(int(d.skew_hours * 3600), "s").astype("m8[us]").item())
    return pc.if_else(fast, pc.add(events["ts"], pc.cast(shift, pa.duration("us"))), events["ts"])


def _without_outage(world: World, events: pa.Table) -> pa.Table:
    """Drop one event type for one day, as when a source does not deliver."""
    d = world.defects
    day = _dates(world, np.array(d.outage_day))
    same_day = pc.equal(pc.cast(pc.floor_temporal(events["ts"], unit="day"), pa.date32()),
                        pa.scalar(day.item(), pa.date32()))  # fmt: skip
    lost = pc.and_(same_day, pc.equal(events["event"], d.outage_event))
    return events.filter(pc.invert(lost)) if d.outage_day >= 0 else events


def _robots(
    world: World, seed: int, moment: Moment, names: dict[str, pa.Array], kind: str, n: int,
    per_day: int,
) -> pa.Table:  # fmt: skip
    """Bots, or test users of our own, that click in customers' accounts around the clock.

    Each keeps to one account at a time; `user_id` starts with `bot-` or `tester-`.
    """
    week = moment.when.week
    rng = _rng(seed, _Draw.DEFECTS, 2_000_000 + 2 * week + (kind == "bot"))
    homes = np.flatnonzero(moment.is_exposed & (moment.leave_day == 7))
    n = n if homes.size else 0
    robot = np.repeat(np.arange(n), 7 * per_day)
    day = np.tile(np.repeat(np.arange(7), per_day), n)
    customer = rng.choice(homes, n)[robot] if n else robot
    event = rng.integers(0, 2, robot.size)
    rows = _rows(customer, _at(week, day, rng), event)
    delay = _delay_us(world, robot.size, rng)
    ids = {**names, "event_id": _event_ids(kind[0].upper(), week, robot.size)}
    table = _event_table(world, rows, rows.ts_us + delay, ids)
    number = pc.cast(pa.array(robot), pa.string())
    return _put(table, "user_id", pc.binary_join_element_wise(kind, number, "-"))


# --- side tables ------------------------------------------------------------------------------


def owners(world: World) -> list[str]:
    """Invented names of those who look after customers, one per about 1,300 customers."""
    n = max(1, round(world.n_customers / world.contract.customers_per_owner))
    most = len(_FIRST) * len(_LAST)
    # 20 first and 19 last names share no divisor: the pairs repeat after all 380 of them.
    return [f"{_FIRST[i % len(_FIRST)]} {_LAST[i % len(_LAST)]}" for i in range(min(n, most))]


def customers(world: World, *, seed: int) -> pa.Table:
    """The customer table: one row per customer who ever signs up, by `customer_id`."""
    who = _static(world, _rng(seed, _Draw.STATIC))
    n, rng = world.n_customers, _rng(seed, _Draw.NAMES)
    parts = [pa.array(words).take(pa.array(rng.integers(0, len(words), n)))
             for words in (_STEMS, _TAILS, _TRADES, _FORMS)]  # fmt: skip
    stem = pc.binary_join_element_wise(parts[0], parts[1], "")
    name = pc.binary_join_element_wise(stem, parts[2], parts[3], " ")
    signed_us = who.signup_day * _DAY_US
    columns = {
        "owner": owners(world),
        "country": _COUNTRIES,
        "industry": _INDUSTRIES,
    }
    picked = {k: pa.array(v).take(pa.array(rng.integers(0, len(v), n))) for k, v in columns.items()}
    loaded = signed_us + rng.integers(1, 90, n) * _MINUTE_US
    is_formula = rng.random(n) < world.defects.formula_name_share
    name = pc.if_else(pa.array(is_formula), pc.binary_join_element_wise("=", name, ""), name)
    return pa.table({
        "customer_id": customer_ids(world, np.arange(n)),
        "customer_name": name,
        "owner": picked["owner"],
        "segment": pa.array(world.segments.names).take(pa.array(who.segment)),
        "signed_up_at": _times(world, signed_us),
        "country": picked["country"],
        "industry": picked["industry"],
        "loaded_at": _times(world, loaded),
    })  # fmt: skip


def _versions(world: World, seed: int, who: Static, moment: Moment, ids: pa.Array) -> pa.Table:
    """New versions of contracts in a week, by `valid_from` and customer.

    A customer of before day 0 enters in week 0 with the term that runs then. Consecutive terms
    touch, and who leaves gets a last version with `end_date`.
    """
    week, book, leave = moment.when.week, moment.book, moment.leave_day
    signs = (who.signup_day < 0) if week == 0 else np.zeros(leave.size, dtype=bool)
    signs = signs | ((who.signup_day >= 7 * week) & (who.signup_day < 7 * week + 7))
    renews = book.term_start != moment.before.term_start
    groups = [
        (signs, moment.before, moment.before.term_start, False),
        (renews, book, book.term_start, False),
        (moment.is_change, book, 7 * week + moment.change_day, False),
        (leave < 7, book, 7 * week + leave, True),
    ]
    parts = [_version_rows(who, *group) for group in groups]
    frame = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((frame["customer"], frame["valid_from"]))
    frame = {name: column[order] for name, column in frame.items()}
    minutes = _rng(seed, _Draw.ARRIVAL, 1_000_000 + week).integers(1, 90, order.size)
    return _version_table(world, frame, minutes, ids)


def _version_rows(
    who: Static, mask: Array, book: Book, valid_from: Array, is_end: bool
) -> dict[str, Array]:
    at = np.flatnonzero(mask)
    return {
        "customer": at,
        "start_date": who.signup_day[at],
        "end_date": np.where(is_end, valid_from[at], _NEVER),
        "term_start": book.term_start[at],
        "term_end": book.term_end[at],
        "plan": book.plan[at],
        "seats": book.seats[at],
        "price_month": book.price_month[at],
        "is_annual": who.is_annual[at],
        "valid_from": valid_from[at],
    }


_NEVER = np.iinfo(np.int64).max


def _version_table(
    world: World, frame: dict[str, Array], minutes: Array, ids: pa.Array
) -> pa.Table:
    def dates(name: str) -> pa.Array:
        is_null = frame[name] == _NEVER
        return pa.array(_dates(world, np.where(is_null, 0, frame[name])), mask=is_null)

    return pa.table({
        "customer_id": ids.take(pa.array(frame["customer"])),
        "start_date": dates("start_date"),
        "end_date": dates("end_date"),
        "term_start": dates("term_start"),
        "term_end": dates("term_end"),
        "plan": pa.array(world.contract.plans).take(pa.array(frame["plan"])),
        "seats": pa.array(frame["seats"]),
        "price_month": pa.array(frame["price_month"]),
        "currency": pa.array([world.contract.currency]).take(
            pa.array(np.zeros(minutes.size, dtype=np.int64))
        ),
        "contract": pa.array(["monthly", "annual"]).take(pa.array(frame["is_annual"] * 1)),
        "valid_from": dates("valid_from"),
        "loaded_at": _times(world, frame["valid_from"] * _DAY_US + minutes * _MINUTE_US),
    })  # fmt: skip


_CHANNELS = ("call", "email", "meeting")
_RESULTS = ("reached", "no answer", "left message")


def _contacts(world: World, seed: int, moment: Moment, ids: pa.Array) -> pa.Table:
    """Contacts of the week's campaign; who left before office hours was not called any more."""
    week, rng = moment.when.week, _rng(seed, _Draw.CONTACTS, moment.when.week)
    at = np.flatnonzero(moment.is_contacted & (moment.leave_day > 0))
    begins = 7 * week * _DAY_US + rng.integers(9 * 60, 17 * 60, at.size) * _MINUTE_US
    recorded = begins + rng.integers(10, 30 * 60, at.size) * _MINUTE_US
    campaign = f"{str(_dates(world, np.array(7 * week)))[:7]} check-in"
    channel = rng.choice(len(_CHANNELS), at.size, p=[0.6, 0.3, 0.1])
    result = rng.choice(len(_RESULTS), at.size, p=[0.6, 0.25, 0.15])
    return pa.table({
        "customer_id": ids.take(pa.array(at)),
        "contacted_at": _times(world, begins),
        "recorded_at": _times(world, recorded),
        "channel": pa.array(_CHANNELS).take(pa.array(channel)),
        "result": pa.array(_RESULTS).take(pa.array(result)),
        "campaign": pa.array([campaign] * at.size, pa.string()),
        "propensity": pa.array(np.full(at.size, world.effect.campaign_share)),
    })  # fmt: skip


def _truth(moment: Moment, ids: pa.Array) -> pa.Table:
    """What no stage may read: latent state and hazard of everybody present in the week."""
    at = np.flatnonzero(moment.is_present)
    state = _take(moment.sunday, at)
    return pa.table({
        "customer_id": ids.take(pa.array(at)),
        "week": pa.array(np.full(at.size, moment.when.week)),
        "is_subscribed": moment.is_exposed[at],
        "is_leaving": moment.leave_day[at] < 7,
        "is_treated": moment.is_treated[at],
        "hazard": moment.hazard[at],
        **{f.name: getattr(state, f.name) for f in fields(State)},
    })  # fmt: skip


@dataclass(frozen=True)
class Week:
    """What a week brings: its events, new contract versions and contacts, and its truth.

    `events` is ordered by `ts`, `event_id`; `truth` (one row per customer present) is for a
    folder that no stage reads: `is_subscribed` on Monday, `hazard` of the week, the state that
    the hazard came from.
    """

    week: int
    monday: np.datetime64
    events: pa.Table
    subscriptions: pa.Table
    contacts: pa.Table
    truth: pa.Table


def simulate(world: World, *, seed: int) -> Iterator[Week]:
    """Stream the world a week at a time; memory holds one week of events.

    The side tables are the concatenation of all weeks' `subscriptions` and `contacts`, and
    `customers(world, seed=seed)`.

    >>> small = World(n_customers=200, n_weeks=2)
    >>> [week.monday.item().isoformat() for week in simulate(small, seed=1)]
    ['2025-01-06', '2025-01-13']
    """
    who, state = population(world, seed=seed)
    ids = customer_ids(world, np.arange(world.n_customers))
    crowd = _crowd(world, who, _rng(seed, _Draw.PEOPLE))
    habits = _first_habits(crowd, world, who, _rng(seed, _Draw.USAGE))
    moments = _moments(world, who, state, seed=seed)
    for week, moment in zip(range(world.n_weeks), moments, strict=False):
        habits = _next_habits(habits, crowd, world, moment, _rng(seed, _Draw.PEOPLE, week + 1))
        yield Week(
            week=week,
            monday=np.datetime64(world.start, "D") + 7 * week,
            events=_events(world, seed, who, moment, habits, crowd, ids),
            subscriptions=_versions(world, seed, who, moment, ids),
            contacts=_contacts(world, seed, moment, ids),
            truth=_truth(moment, ids),
        )
