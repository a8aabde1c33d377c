"""The tables beside the events: customers, contract versions, contacts, and the truth."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.simulate.clock import DAY_US, MINUTE_US, dates_of, times_of
from churn.simulate.draws import Array, Draw, generator, take
from churn.simulate.market import Book
from churn.simulate.moments import Moment
from churn.simulate.process import State
from churn.simulate.static import Static, customer_ids, draw_static
from churn.simulate.world import World

_COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "SE", "PL", "US", "CA")
_INDUSTRIES = ("retail", "software", "manufacturing", "health", "finance", "logistics", "media")
_STEMS = (
    "Alder", "Amber", "Birken", "Blue", "Bright", "Cedar", "Clear", "Copper", "Dal", "East",
    "Elm", "Ever", "Fal", "Fern", "Glen", "Gold", "Grey", "Hafen", "Hazel", "Iron", "Juni",
    "Kestrel", "Lark", "Linden", "Mar", "Mill", "North", "Oak", "Pine", "Quill", "Raven", "Red",
    "River", "Sand", "Silver", "Stern", "Stone", "Sund", "Thorn", "West",
)  # fmt: skip
_TAILS = (
    "berg", "bridge", "brook", "feld", "field", "ford", "gate", "holm", "mark", "mere",
    "point", "ridge", "strand", "vale", "wick", "wood",
)  # fmt: skip
_TRADES = (
    "Analytics", "Apparel", "Bikes", "Books", "Clinics", "Coffee", "Energy", "Films", "Foods",
    "Freight", "Labs", "Logistics", "Media", "Optics", "Outdoor", "Pharma", "Robotics",
    "Systems", "Tools", "Travel",
)  # fmt: skip
_FORMS = ("GmbH", "Ltd", "AB", "BV", "Inc", "SA", "& Co", "Group")
_FIRST = (
    "Ada", "Bela", "Carla", "Dario", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja",
    "Luca", "Mira", "Nils", "Olga", "Pavel", "Rosa", "Selma", "Timo", "Vera",
)  # fmt: skip
_LAST = (
    "Abel", "Brandt", "Costa", "Dahl", "Ebers", "Falk", "Grau", "Holt", "Iversen", "Juhl",
    "Kern", "Lund", "Moreau", "Novak", "Okafor", "Petit", "Ruiz", "Sato", "Torres",
)  # fmt: skip
_CHANNELS = ("call", "email", "meeting")
_RESULTS = ("reached", "no answer", "left message")
_NEVER = np.iinfo(np.int64).max


def owners(world: World) -> list[str]:
    """Invented names of those who look after customers, one per about 1,300 customers."""
    n = max(1, round(world.n_customers / world.contract.customers_per_owner))
    most = len(_FIRST) * len(_LAST)
    # 20 first and 19 last names share no divisor: the pairs repeat after all 380 of them.
    return [f"{_FIRST[i % len(_FIRST)]} {_LAST[i % len(_LAST)]}" for i in range(min(n, most))]


def customers(world: World, *, seed: int) -> pa.Table:
    """The customer table: one row per customer who ever signs up, by `customer_id`."""
    who = draw_static(world, generator(seed, Draw.STATIC))
    n, rng = world.n_customers, generator(seed, Draw.NAMES)
    parts = [pa.array(words).take(pa.array(rng.integers(0, len(words), n)))
             for words in (_STEMS, _TAILS, _TRADES, _FORMS)]  # fmt: skip
    stem = pc.binary_join_element_wise(parts[0], parts[1], "")
    name = pc.binary_join_element_wise(stem, parts[2], parts[3], " ")
    signed_us = who.signup_day * DAY_US
    columns = {"owner": owners(world), "country": _COUNTRIES, "industry": _INDUSTRIES}
    picked = {k: pa.array(v).take(pa.array(rng.integers(0, len(v), n))) for k, v in columns.items()}
    loaded = signed_us + rng.integers(1, 90, n) * MINUTE_US
    is_formula = rng.random(n) < world.defects.formula_name_share
    name = pc.if_else(pa.array(is_formula), pc.binary_join_element_wise("=", name, ""), name)
    return pa.table({
        "customer_id": customer_ids(world, np.arange(n)),
        "customer_name": name,
        "owner": picked["owner"],
        "segment": pa.array(world.segments.names).take(pa.array(who.segment)),
        "signed_up_at": times_of(world, signed_us),
        "country": picked["country"],
        "industry": picked["industry"],
        "loaded_at": times_of(world, loaded),
    })  # fmt: skip


def versions(world: World, seed: int, who: Static, moment: Moment, ids: pa.Array) -> pa.Table:
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
    minutes = generator(seed, Draw.ARRIVAL, 1_000_000 + week).integers(1, 90, order.size)
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


def _version_table(
    world: World, frame: dict[str, Array], minutes: Array, ids: pa.Array
) -> pa.Table:
    def dates(name: str) -> pa.Array:
        is_null = frame[name] == _NEVER
        return pa.array(dates_of(world, np.where(is_null, 0, frame[name])), mask=is_null)

    return pa.table({
        "customer_id": ids.take(pa.array(frame["customer"])),
        "start_date": dates("start_date"),
        "end_date": dates("end_date"),
        "term_start": dates("term_start"),
        "term_end": dates("term_end"),
        "plan": pa.array(world.contract.plans).take(pa.array(frame["plan"])),
        "seats": pa.array(frame["seats"]),
        "price_month": pa.array(frame["price_month"]),
        "currency": pa.repeat(world.contract.currency, minutes.size),
        "contract": pa.array(["monthly", "annual"]).take(pa.array(frame["is_annual"] * 1)),
        "valid_from": dates("valid_from"),
        "loaded_at": times_of(world, frame["valid_from"] * DAY_US + minutes * MINUTE_US),
    })  # fmt: skip


def contacts(world: World, seed: int, moment: Moment, ids: pa.Array) -> pa.Table:
    """Contacts of the week's campaign; who left before office hours was not called any more."""
    week, rng = moment.when.week, generator(seed, Draw.CONTACTS, moment.when.week)
    by_campaign = moment.is_contacted & ~moment.listed.is_contacted
    at = np.flatnonzero(by_campaign & (moment.leave_day > 0))
    begins = 7 * week * DAY_US + rng.integers(9 * 60, 17 * 60, at.size) * MINUTE_US
    recorded = begins + rng.integers(10, 30 * 60, at.size) * MINUTE_US
    campaign = f"{str(dates_of(world, np.array(7 * week)))[:7]} check-in"
    channel = rng.choice(len(_CHANNELS), at.size, p=[0.6, 0.3, 0.1])
    result = rng.choice(len(_RESULTS), at.size, p=[0.6, 0.25, 0.15])
    return pa.table({
        "customer_id": ids.take(pa.array(at)),
        "contacted_at": times_of(world, begins),
        "recorded_at": times_of(world, recorded),
        "channel": pa.array(_CHANNELS).take(pa.array(channel)),
        "result": pa.array(_RESULTS).take(pa.array(result)),
        "campaign": pa.array([campaign] * at.size, pa.string()),
        "propensity": pa.array(np.full(at.size, world.effect.campaign_share)),
    })  # fmt: skip


def on_list(moment: Moment, ids: pa.Array) -> pa.Table:
    """Who qualified for the list of the week, on its Monday: in which arm, whether contacted, and
    the price a month."""
    at = np.flatnonzero(moment.listed.is_listed)
    held_out = moment.listed.is_held_out[at]
    return pa.table({
        "customer_id": ids.take(pa.array(at)),
        "week": pa.array(np.full(at.size, moment.when.week)),
        "arm": pa.array(["contact", "holdout"]).take(pa.array(held_out * 1)),
        "is_contacted": moment.listed.is_contacted[at],
        "price_month": moment.before.price_month[at],
    })  # fmt: skip


def truth(moment: Moment, ids: pa.Array) -> pa.Table:
    """What no stage may read: latent state and hazard of everybody present in the week."""
    at = np.flatnonzero(moment.is_present)
    state = take(moment.sunday, at)
    return pa.table({
        "customer_id": ids.take(pa.array(at)),
        "week": pa.array(np.full(at.size, moment.when.week)),
        "is_subscribed": moment.is_exposed[at],
        "is_leaving": moment.leave_day[at] < 7,
        "is_treated": moment.is_treated[at],
        "hazard": moment.hazard[at],
        **{f.name: getattr(state, f.name) for f in fields(State)},
    })  # fmt: skip
