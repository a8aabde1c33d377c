"""The slow, obvious answer: raw events and side tables → panel, one snapshot and customer at a time.

Nothing is rolled up and nothing is shared between snapshots. It decides disputes with the engine.
Rows are dictionaries; what a row lacks is None.
"""

import math
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlglot import exp, parse_one

from churn.features.definitions import Feature, levels
from churn.features.labels import Definition
from churn.features.vocabulary import PEERS, Vocabulary, event_name
from churn.settings import RollupSettings
from churn.timeline import Arrival, is_mature, label_window, midnight

Row = dict[str, Any]


LONG_AGO = datetime(1, 1, 1)


@dataclass
class World:
    """The raw rows that a source holds."""

    events: list[Row] = field(default_factory=list)
    customers: list[Row] = field(default_factory=list)
    subscriptions: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    dates: list[Row] = field(default_factory=list)


def panel(
    world: World,
    features: Sequence[Feature],
    *,
    snapshots: Sequence[date],
    as_of: date,
    definition: Definition,
    arrival: Arrival,
    vocabulary: Vocabulary,
    lookback_days: int = 182,
) -> dict[tuple[date, str], Row]:
    """(snapshot, customer) → every feature and outcome, as known at `as_of`."""
    result, in_levels = {}, levels(features)
    for s in snapshots:
        first, facts = {}, {}
        outside = dates_of(world, s, lookback_days, arrival, vocabulary)
        for customer in population(world, s, definition, arrival):
            days = days_of(world, customer, s, lookback_days, arrival, vocabulary)
            texts = texts_of(world, customer, s, lookback_days, arrival, vocabulary)
            items = items_of(world, customer, s, lookback_days, arrival, vocabulary.tastes)
            rows = {"days": days, "texts": texts, "items": items, "dates": outside}
            on = {row["age_days"]: row for row in outside}
            for day in days:
                day |= on.get(day["age_days"], dict.fromkeys(vocabulary.series))
            first[customer] = aggregated(in_levels[0], rows)
            facts[customer] = facts_of(world, customer, s, arrival, vocabulary.static)
            facts[customer] |= last_types(days, vocabulary.event_types)
        shared = means(in_levels[0], first.values())
        for customer in first:
            result[s, customer] = {
                **with_features(in_levels[1:], facts[customer] | shared, first[customer]),
                "label": label(world, customer, s, as_of, definition, arrival),
                "label_mature": mature(s, as_of, definition),
                "left_after_days": left_after(world, customer, s, as_of, definition, arrival),
                "known_days": max(0, (as_of - s).days - definition.gap_days),
                "is_involuntary": involuntary(
                    world, customer, s, as_of, definition, arrival, vocabulary
                ),
            }
    return result


# --- what was known -----------------------------------------------------------------------------


def known_events(world: World, customer: str, s: date, arrival: Arrival) -> list[Row]:
    """The customer's events before `s` that had arrived at `s`, each event_id once."""
    known, ids = [], set()
    for event in world.events:
        arrived = event.get("loaded_at") or event["ts"]
        is_known = event["ts"] < midnight(s) and arrived < arrival.cut(s)
        if event["customer_id"] == customer and is_known and event.get("event_id") not in ids:
            known.append(event)
            ids |= {event.get("event_id")} - {None}
    return known


def in_force(rows: Iterable[Row], customer: str, s: date, arrival: Arrival) -> Row | None:
    """The customer's latest version that held before `s` and had arrived at `s`.

    Without `valid_from` a row holds from the start of its term, or always.
    """

    def since(row: Row) -> datetime:
        return row.get("valid_from") or midnight(row.get("term_start") or LONG_AGO)

    versions = [
        row
        for row in rows
        if row["customer_id"] == customer
        and (since(row) < midnight(s) or (not row.get("valid_from") and since(row) == midnight(s)))
        and (row.get("loaded_at") or LONG_AGO) < arrival.cut(s)
    ]
    return max(
        versions, key=lambda row: (since(row), row.get("loaded_at") or LONG_AGO), default=None
    )


def subscriptions_at(world: World, customer: str, s: date, arrival: Arrival) -> dict[date, Row]:
    """start_date → the latest known version of each subscription that has started before `s`."""
    mine = [row for row in world.subscriptions if row["start_date"] and row["start_date"] < s]
    starts = {row["start_date"] for row in mine}
    found = {
        start: in_force([row for row in mine if row["start_date"] == start], customer, s, arrival)
        for start in sorted(starts)
    }
    return {start: row for start, row in found.items() if row}


def held(world: World, customer: str, s: date, arrival: Arrival) -> Row | None:
    """The newest subscription that runs at `s`, or None."""
    running = [
        row
        for row in subscriptions_at(world, customer, s, arrival).values()
        if (row.get("term_start") or s) <= s
        and (row.get("end_date") or s) >= s
        and (row.get("term_end") or s) >= s
    ]
    return running[-1] if running else None


# --- who could churn, and who did ----------------------------------------------------------------


def qualifies(event: Row, definition: Definition) -> bool:
    return not definition.qualifying_events or event["event"] in definition.qualifying_events


def population(world: World, s: date, definition: Definition, arrival: Arrival) -> list[str]:
    """Subscribed at `s`, or with a qualifying event in the `active_days` before."""
    tables = (world.subscriptions, world.events)
    everybody = sorted({row["customer_id"] for rows in tables for row in rows})
    if definition.name == "cancellation":
        return [customer for customer in everybody if held(world, customer, s, arrival)]
    first = midnight(s - timedelta(days=definition.active_days))
    return [
        customer
        for customer in everybody
        if any(
            event["ts"] >= first and qualifies(event, definition)
            for event in known_events(world, customer, s, arrival)
        )
    ]


def mature(s: date, as_of: date, definition: Definition) -> bool:
    window = {"gap_days": definition.gap_days, "horizon_days": definition.horizon_days}
    return is_mature(s, as_of=as_of, **window)


def label(
    world: World, customer: str, s: date, as_of: date, definition: Definition, arrival: Arrival
) -> int | None:
    """1 left in the label window, 0 stayed, as known at `as_of`; None while it is not over."""
    if not mature(s, as_of, definition):
        return None
    window = label_window(s, gap_days=definition.gap_days, horizon_days=definition.horizon_days)
    if definition.name == "cancellation":
        start = held(world, customer, s, arrival)["start_date"]
        settled = subscriptions_at(world, customer, as_of, arrival)[start].get("end_date")
        return int(settled is not None and window.first <= settled < window.before)
    return int(
        not any(
            window.first <= event["ts"].date() < window.before and qualifies(event, definition)
            for event in known_events(world, customer, as_of, arrival)
        )
    )


def left_after(
    world: World, customer: str, s: date, as_of: date, definition: Definition, arrival: Arrival
) -> int | None:
    """How many days into the label window the customer left, as known at `as_of`.

    Cancelled on that day; or silent for `horizon_days` in a row, all from the window's first day
    on, and on that day for as long as `horizon_days`, those before the window counted too.
    """
    first, horizon = s + timedelta(days=definition.gap_days), timedelta(definition.horizon_days)
    if definition.name == "cancellation":
        start = held(world, customer, s, arrival)["start_date"]
        end = subscriptions_at(world, customer, as_of, arrival)[start].get("end_date")
        return (end - first).days if end and first <= end < as_of else None
    mine = [e for e in known_events(world, customer, as_of, arrival) if qualifies(e, definition)]
    loud = {event["ts"].date() for event in mine}
    days = [first + timedelta(n) for n in range((as_of - first - horizon).days + 1)]
    for begin in days:
        if not any(begin <= day < begin + horizon for day in loud):
            since = max(day for day in loud if day < begin) + horizon
            return max(0, (since - first).days)
    return None


def involuntary(
    world: World,
    customer: str,
    s: date,
    as_of: date,
    definition: Definition,
    arrival: Arrival,
    vocabulary: Vocabulary,
) -> int | None:
    """Whether the subscription that ended did so within 28 days of a failed payment."""
    left = left_after(world, customer, s, as_of, definition, arrival)
    failed = vocabulary.roles.get("payment_failed", [])
    if definition.name != "cancellation" or left is None or not failed:
        return None
    end = s + timedelta(days=definition.gap_days + left)
    days = [
        event["ts"].date()
        for event in known_events(world, customer, as_of, arrival)
        if event["event"] in failed
    ]
    return int(any(end - timedelta(days=28) <= day <= end for day in days))


# --- what a feature may read ---------------------------------------------------------------------


def days_of(
    world: World,
    customer: str,
    s: date,
    lookback_days: int,
    arrival: Arrival,
    vocabulary: Vocabulary,
) -> list[Row]:
    """One row per day of the lookback with an event, oldest first; sets are bits of a number.

    Use is what people did, where the log names people, else every event.
    """

    def is_use(event: Row) -> bool:
        return "people" not in vocabulary.available or event.get("user_id") is not None

    by_day = defaultdict(list)
    for event in known_events(world, customer, s, arrival):
        if event["ts"].date() >= s - timedelta(days=lookback_days):
            by_day[event["ts"].date()].append(event)
    days_of_use = sorted(day for day, events in by_day.items() if any(map(is_use, events)))
    gaps = {day: (day - before).days for before, day in pairwise(days_of_use)}
    types = sorted({event["event"] for event in world.events})
    people = sorted({event["user_id"] for event in world.events if event.get("user_id")})
    days = []
    for day, events in sorted(by_day.items()):
        units = [
            round(event["value"] * 10_000) for event in events if event.get("value") is not None
        ]
        negative = [unit for unit in units if unit < 0]
        row = {
            "age_days": (s - day).days,
            "gap_days": gaps.get(day),
            "weekday": day.weekday(),
            "n": len(events),
            "n_use": sum(map(is_use, events)),
            "n_person": sum(event.get("user_id") is not None for event in events),
            "value_sum": sum(units),
            "n_value": len(units),
            "negative_sum": sum(negative),
            "n_negative": len(negative),
            "n_night": sum(event["ts"].hour < 6 for event in events),
            "event_mask": bits(types.index(event["event"]) for event in events),
            "people_mask": bits(people.index(e["user_id"]) for e in events if e.get("user_id")),
            "hour_mask": bits(event["ts"].hour for event in events),
        }
        for name, some in vocabulary.sums.items():
            row[name] = sum(event["event"] in some for event in events)
        days.append(row)
    return days


def texts_of(
    world: World,
    customer: str,
    s: date,
    lookback_days: int,
    arrival: Arrival,
    vocabulary: Vocabulary,
) -> list[Row]:
    """One row per day and message of the lookback, with its weight in every topic in 1/1000."""
    if not vocabulary.topics:
        return []
    written = Counter(
        (event["ts"].date(), event["text"])
        for event in known_events(world, customer, s, arrival)
        if event.get("text") is not None
        and re.search(RollupSettings().texts, event["event"])
        and event["ts"].date() >= s - timedelta(days=lookback_days)
    )
    return [
        {
            "age_days": (s - day).days,
            "n": n,
            **{f"topic_{k}": n * x for k, x in enumerate(topics_of(text, vocabulary.topics))},
        }
        for (day, text), n in written.items()
    ]


def dates_of(
    world: World, s: date, lookback_days: int, arrival: Arrival, vocabulary: Vocabulary
) -> list[Row]:
    """One row per date of the world outside that was known at `s`, with every series in 1/10000."""
    known = defaultdict(list)
    for row in world.dates:
        loaded = row.get("loaded_at")
        is_known = loaded < arrival.cut(s) if loaded else row["date"] < s
        if is_known and row["date"] >= s - timedelta(days=lookback_days):
            known[row["date"], row["name"]].append(row)
    latest = {
        key: max(rows, key=lambda row: (row.get("loaded_at") or LONG_AGO, row["value"]))
        for key, rows in known.items()
    }
    return [
        {"age_days": (s - day).days}
        | {
            column: round(latest[day, name]["value"] * 10_000) if (day, name) in latest else None
            for column, name in vocabulary.series.items()
        }
        for day in sorted({day for day, _ in latest})
    ]


def items_of(
    world: World, customer: str, s: date, lookback_days: int, arrival: Arrival, tastes: Row
) -> list[Row]:
    """One row per item that events of the lookback were about, with its weight in every taste."""
    ages: dict[str, list[int]] = defaultdict(list)
    for event in known_events(world, customer, s, arrival):
        if event.get("item") and event["ts"].date() >= s - timedelta(days=lookback_days):
            ages[event["item"]].append((s - event["ts"].date()).days)
    return [
        {"n": len(a), "n_days": len(set(a)), "age_days": min(a), "first_age_days": max(a)}
        | {
            f"taste_{k}": dict(zip(tastes["items"], row, strict=True)).get(item)
            for k, row in enumerate(tastes.get("weights", []))
        }
        for item, a in ages.items()
    ]


def topics_of(text: str, known: Row) -> list[int]:
    """TF-IDF of unit length, projected on each topic."""
    words = re.findall(r"\w\w+", text.lower())
    weights = [words.count(w) * f for w, f in zip(known["terms"], known["idf"], strict=True)]
    length = math.hypot(*weights) or 1
    return [
        round(1000 * sum(w / length * c for w, c in zip(weights, row, strict=True)))
        for row in known["components"]
    ]


def bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in set(numbers))


def facts_of(world: World, customer: str, s: date, arrival: Arrival, static: Iterable[str]) -> Row:
    """What is known of the customer at `s` beside the days."""

    def since(moment: date | datetime | None) -> int | None:
        day = moment.date() if isinstance(moment, datetime) else moment
        return None if day is None or day >= s else (s - day).days

    person = in_force(world.customers, customer, s, arrival) or {}
    contract = held(world, customer, s, arrival) or {}
    term_start, term_end = contract.get("term_start"), contract.get("term_end")
    firsts = [event["ts"] for event in known_events(world, customer, s, arrival)]
    contacts = [
        since(row["contacted_at"])
        for row in world.contacts
        if row["customer_id"] == customer
        and row["contacted_at"] < midnight(s)
        and (row.get("recorded_at") or row["contacted_at"]) < arrival.cut(s)
    ]
    return {
        "its_since_first_event_days": since(min(firsts, default=None)),
        "its_since_signed_up_days": since(person.get("signed_up_at")),
        "its_since_start_days": since(contract.get("start_date")),
        "its_to_term_end_days": (term_end - s).days if term_end else None,
        "its_term_days": (term_end - term_start).days if term_end and term_start else None,
        "its_plan": contract.get("plan"),
        "its_seats": contract.get("seats"),
        "its_price_month": contract.get("price_month"),
        "its_n_contacts_56d": sum(age <= 56 for age in contacts),
        "its_day_of_year": s.timetuple().tm_yday,
        "its_since_contact_days": min(contacts, default=None),
        **{f"a_{name}": person.get(name) for name in static},
    }


# --- SQL, read aloud -----------------------------------------------------------------------------


def aggregated(level: Sequence[Feature], rows: Mapping[str, Sequence[Row]]) -> Row:
    """The features of one customer that aggregate rows.

    Without a row in the lookback an aggregate finds nothing, whatever it would make of zeros.
    """
    found = {
        item.name: value(parse(item.expression), {}, rows[item.rows]) if rows[item.rows] else None
        for item in level
    }
    return filled(level, found)


def with_features(in_levels: Sequence[Sequence[Feature]], row: Row, first: Row) -> Row:
    """The features of one customer; each reads earlier ones as the panel shows them."""
    done = dict(first)
    for level in in_levels:
        found = {item.name: value(parse(item.expression), row | done, ()) for item in level}
        done |= filled(level, found)
    return done


def filled(level: Sequence[Feature], found: Row) -> Row:
    return {
        item.name: item.empty if found[item.name] is None else found[item.name] for item in level
    }


def means(level: Sequence[Feature], rows: Iterable[Row]) -> Row:
    """The mean of every number over everybody, of those that have it, rounded to 1/10000 each."""
    result: Row = {}
    for item in level:
        if item.has_peers:
            found = present([row[item.name] for row in rows])
            units = sum(math.floor(abs(x) * 10_000 + 0.5) * (1 if x >= 0 else -1) for x in found)
            result[PEERS + item.name] = units / len(found) / 10_000 if found else None
    return result


def last_types(days: Sequence[Row], event_types: Sequence[str]) -> Row:
    """The chosen event types in the order in which they were last used, the latest first."""
    ages = {
        event: min((d["age_days"] for d in days if d[f"n_type_{event_name(event)}"]), default=None)
        for event in event_types
    }
    used = sorted((event for event in event_types if ages[event]), key=lambda e: ages[e])
    return {f"its_last_type_{k + 1}": used[k] if k < len(used) else None for k in range(3)}


def parse(expression: str) -> exp.Expression:
    return PARSED.setdefault(expression, parse_one(expression, dialect="duckdb"))


PARSED: dict[str, exp.Expression] = {}


def value(node: exp.Expression, row: Row, days: Sequence[Row]) -> Any:
    """What `node` is for a customer with facts `row` and `days`; an aggregate looks at the days."""
    if isinstance(node, exp.AggFunc):
        found = [value(node.this, day, ()) for day in days]
        return AGGREGATES[type(node)]([x for x in found if x is not None])
    if isinstance(node, exp.Case):
        for branch in node.args["ifs"]:
            if value(branch.this, row, days):
                return value(branch.args["true"], row, days)
        return value(node.args["default"], row, days) if node.args.get("default") else None
    if isinstance(node, exp.And | exp.Or | exp.Coalesce | exp.Least | exp.Greatest):
        parts = [
            node.this,
            *([node.expression] if node.args.get("expression") else node.expressions),
        ]
        return CHOICES[type(node)]([value(part, row, days) for part in parts])
    if isinstance(node, exp.Column):
        return row[node.name]
    if isinstance(node, exp.Literal):
        return (
            node.this
            if node.is_string
            else float(node.this)
            if "." in node.this
            else int(node.this)
        )
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Is):  # NULL: the subset has nothing else that something can be
        return value(node.this, row, days) is None
    if isinstance(node, exp.Star | exp.Boolean):
        return 1 if isinstance(node, exp.Star) else node.this
    if isinstance(node, exp.Anonymous):
        parts = node.expressions
    else:
        parts = [node.this, *([node.expression] if node.args.get("expression") else [])]
    name = node.name.upper() if isinstance(node, exp.Anonymous) else type(node)
    read = [value(part, row, days) for part in parts]
    if isinstance(node, exp.Nullif):
        return None if read[0] == read[1] else read[0]
    return None if None in read else PLAIN[name](*read)


AGGREGATES: dict[type, Callable[[list[Any]], Any]] = {
    exp.Count: len,
    exp.Sum: lambda found: sum(found) if found else None,
    exp.Min: lambda found: min(found, default=None),
    exp.Max: lambda found: max(found, default=None),
    exp.BitwiseOrAgg: lambda found: (
        bits(n for x in found for n in range(x.bit_length()) if x >> n & 1) if found else None
    ),
}


def present(found: list[Any]) -> list[Any]:
    return [x for x in found if x is not None]


CHOICES: dict[type, Callable[[list[Any]], Any]] = {
    exp.And: lambda found: False if False in found else None if None in found else True,
    exp.Or: lambda found: True if True in found else None if None in found else False,
    exp.Coalesce: lambda found: next(iter(present(found)), None),
    exp.Least: lambda found: min(present(found), default=None),
    exp.Greatest: lambda found: max(present(found), default=None),
}

PLAIN: dict[type | str, Callable[..., Any]] = {
    exp.Add: operator.add, exp.Sub: operator.sub, exp.Mul: operator.mul, exp.Div: operator.truediv, exp.Mod: operator.mod,
    exp.Neg: operator.neg, exp.Paren: lambda x: x, exp.Not: operator.not_, exp.Abs: abs,
    exp.Sqrt: math.sqrt, exp.Ln: math.log, exp.Cast: lambda x, *_: float(x),
    exp.BitwiseAnd: operator.and_, exp.BitwiseOr: operator.or_, exp.BitwiseNot: operator.invert,
    exp.EQ: operator.eq, exp.NEQ: operator.ne, exp.LT: operator.lt, exp.LTE: operator.le,
    exp.GT: operator.gt, exp.GTE: operator.ge, "BIT_COUNT": int.bit_count,
}  # fmt: skip
