"""What is sold: the current contract of each customer, its changes and renewals."""

from dataclasses import dataclass, replace

import numpy as np

from churn.simulate.clock import dates_of
from churn.simulate.draws import Array, Draw, generator, sigmoid
from churn.simulate.process import State
from churn.simulate.static import Static
from churn.simulate.terms import Calendar, anchor_in, next_term
from churn.simulate.world import World


@dataclass(frozen=True)
class Book:
    """The current contract of each customer, shape (N,); days count from `World.start`."""

    plan: Array
    seats: Array
    price_month: Array
    term_start: Array
    term_end: Array


def _price(world: World, plan: Array, seats: Array, discount: Array) -> Array:
    per_seat = np.take(world.contract.price_seat_month, plan)
    return np.round(per_seat * seats * discount, 2)


def first_book(world: World, who: Static) -> Book:
    """The term that runs the day before day 0, or the first term of a later sign-up."""
    last = np.datetime64(world.start, "D") - 1
    month = np.where(who.is_annual, 12, 1)
    signed = dates_of(world, who.signup_day).astype("M8[M]")
    passed = (last.astype("M8[M]") - signed).astype(np.int64)
    start = anchor_in(world, who, signed + passed // month * month)
    earlier = anchor_in(world, who, signed + (passed // month - 1) * month)
    start = np.where(start > -1, earlier, start)
    start = np.maximum(start, who.signup_day)
    return Book(
        plan=who.plan,
        seats=who.seats,
        price_month=_price(world, who.plan, who.seats, who.discount),
        term_start=start,
        term_end=next_term(world, start, who),
    )


def trade(
    world: World, seed: int, who: Static, book: Book, state: State, when: Calendar, stays: Array
) -> tuple[Book, Array, Array]:
    """Seat and plan changes: more seats in a good mood, fewer in a bad one.

    Only in weeks without a new term and after the week of sign-up, so that no customer has two
    versions with one `valid_from`.
    """
    c, rng, n = world.contract, generator(seed, Draw.COMMERCE, when.week), world.n_customers
    u, up, size, day = rng.random(n), rng.random(n), rng.exponential(1.0, n), rng.integers(0, 7, n)
    open_ = stays & (when.billing_day < 0) & (when.tenure_weeks > 0)
    grows = up < sigmoid(0.4 + 0.8 * state.satisfaction)
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


def renew(world: World, who: Static, book: Book, when: Calendar, renewed: Array) -> Book:
    """Start the next term where the last one ends; annual prices rise."""
    start = np.where(renewed, 7 * when.week + when.billing_day, book.term_start)
    rise = np.where(renewed & who.is_annual, 1 + world.contract.annual_price_rise, 1.0)
    return replace(
        book,
        price_month=np.round(book.price_month * rise, 2),
        term_start=start,
        term_end=np.where(renewed, next_term(world, start, who), book.term_end),
    )
