"""The rows of a week's events: people, automated calls, tickets, invoices."""

import numpy as np

from churn.simulate.clock import DAY_US, MINUTE_US
from churn.simulate.draws import Array, take
from churn.simulate.events import (
    AT_COMPLAINTS,
    AT_PAYMENT,
    AT_QUESTIONS,
    CODE,
    ERRORS,
    Rows,
    random_times,
    rows_of,
    stack,
)
from churn.simulate.habits import Crowd, Habits, pick_people, usage_rate
from churn.simulate.moments import Moment
from churn.simulate.static import Static
from churn.simulate.world import World

# Share of each of the first nine events in what a person does; advanced and errors come on top.
_MIX = np.array([0.22, 0.40, 0.11, 0.05, 0.05, 0.06, 0.06, 0.04, 0.01])
# Share of a day's human events by UTC hour: an office day, and a thin tail at night.
_HOURS = np.array(
    [1, 1, 1, 1, 1, 2, 5, 12, 24, 30, 32, 28, 20, 26, 30, 28, 24, 16, 9, 6, 5, 4, 3, 2]
)


def week_rows(
    world: World, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """All events of a week in order of time."""
    rows = stack([
        _human_rows(world, who, moment, habits, crowd, rng),
        _api_rows(world, who, moment, rng),
        _burst_rows(world, who, moment, habits, crowd, rng),
        _ticket_rows(who, moment, habits, crowd, rng),
        _account_rows(world, who, moment, rng),
    ])  # fmt: skip
    return take(rows, np.argsort(rows.ts_us, kind="stable"))


def _human_rows(
    world: World, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """What people do: daily Gamma-Poisson counts, each event with a kind, a time and a person."""
    u, week = world.usage, moment.when.week
    here = np.flatnonzero(moment.is_present)
    first, last = _open_days(who, moment)
    rate = usage_rate(world, who, moment, habits)[here, None] * np.array(u.weekday_factor)
    rate = rate * rng.gamma(u.day_shape, 1 / u.day_shape, rate.shape)
    counts = rng.poisson(rate * _is_open(first[here], last[here]))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    customer, day = here[cell // 7], cell % 7
    event = _kinds(world, who, moment, customer, rng)
    text = np.where(event == CODE["error"], rng.integers(0, len(ERRORS), event.size), -1)
    person = pick_people(crowd, habits, customer, rng)
    return rows_of(customer, random_times(week, day, rng, _HOURS), event, text=text, person=person)


def _kinds(
    world: World, who: Static, moment: Moment, customer: Array, rng: np.random.Generator
) -> Array:
    """Event codes: errors and the advanced feature take their share, the fixed mix the rest."""
    u = world.usage
    error = (u.error_share * who.error_sensitivity).clip(max=0.5)
    weight = u.advanced_weight * moment.sunday.adoption**u.advanced_exponent
    advanced = (1 - error) * weight / (1 + weight)
    draw = rng.random(customer.size)
    top = (error + advanced)[customer]
    rest = (draw - top) / (1 - top)
    plain = np.searchsorted(np.cumsum(_MIX)[:-1], rest, side="right")
    special = np.where(draw < error[customer], CODE["error"], CODE["advanced_feature"])
    return np.where(draw < top, special, plain)


def _api_rows(world: World, who: Static, moment: Moment, rng: np.random.Generator) -> Rows:
    """Automated calls: every day alike, whatever the mood; they carry no person."""
    here = np.flatnonzero(moment.is_present & who.has_api)
    first, last = _open_days(who, moment)
    rate = np.exp(who.log_api_rate[here, None].clip(max=world.usage.log_rate_max))
    counts = rng.poisson(rate * _is_open(first[here], last[here]))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    return rows_of(here[cell // 7], random_times(moment.when.week, cell % 7, rng), CODE["api_call"])


def _burst_rows(
    world: World, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """The errors of a burst, on one day of the week; its size decides how many."""
    first, last = _open_days(who, moment)
    size = np.where(last > first, moment.shocks.burst, 0.0)
    n_errors = rng.poisson(world.usage.errors_per_burst_size * size)
    day = rng.integers(first, np.maximum(last, first + 1))
    customer = np.repeat(np.arange(n_errors.size), n_errors)
    text = rng.integers(0, len(ERRORS), customer.size)
    at = random_times(moment.when.week, day[customer], rng, _HOURS)
    person = pick_people(crowd, habits, customer, rng)
    return rows_of(customer, at, CODE["error"], text=text, person=person)


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
    text = rng.integers(0, 5, customer.size) + np.where(is_bad, AT_COMPLAINTS, AT_QUESTIONS)
    at = random_times(moment.when.week, day, rng, _HOURS)
    person = pick_people(crowd, habits, customer, rng)
    return rows_of(customer, at, CODE["support_ticket"], text=text, person=person)


def _account_rows(world: World, who: Static, moment: Moment, rng: np.random.Generator) -> Rows:
    """Invoices with their value, failed payments, plan and seat changes."""
    week, (first, last) = moment.when.week, _open_days(who, moment)
    signup = who.signup_day - 7 * week
    day = np.where((signup >= 0) & (signup < 7), signup, moment.when.billing_day)
    billed = np.flatnonzero((day >= first) & (day < last))
    months = np.where(who.is_annual[billed], 12, 1)
    at = random_times(week, day[billed], rng)
    value = np.round(moment.book.price_month[billed] * months, 2)
    failed = moment.shocks.has_failed_payment[billed]
    midnight = (7 * week + day[billed][failed] + 1) * DAY_US - 1000
    failed_at = np.minimum(at[failed] + 20 * MINUTE_US, midnight)
    changed = np.flatnonzero(moment.is_change)
    is_plan = moment.book.plan[changed] != moment.before.plan[changed]
    kind = np.where(is_plan, CODE["plan_change"], CODE["seat_change"])
    return stack([
        rows_of(billed, at, CODE["invoice"], value=value),
        rows_of(billed[failed], failed_at, CODE["payment_failed"], text=AT_PAYMENT),
        rows_of(changed, random_times(week, moment.change_day[changed], rng, _HOURS), kind),
    ])  # fmt: skip


def _open_days(who: Static, moment: Moment) -> tuple[Array, Array]:
    """First day of the week with a subscription, and the first one without, shape (N,)."""
    first = (who.signup_day - 7 * moment.when.week).clip(0, 7)
    return np.where(moment.is_present, first, 7), np.where(moment.is_present, moment.leave_day, 7)


def _is_open(first: Array, last: Array) -> Array:
    days = np.arange(7)
    return (days >= first[:, None]) & (days < last[:, None])
