"""Feature definitions and daily roll-up → one statement → one row per snapshot and customer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlglot import exp, parse_one

from churn.contracts import PLACES
from churn.errors import ConfigurationError, nearest
from churn.features import labels
from churn.features.definitions import Feature, Vocabulary, attribute_column, levels
from churn.timeline import Arrival, is_mature, label_window, midnight
from churn.usage.daily import as_known

EPOCH_MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday: (days since then + 3) % 7 is 0 on Mondays, on every engine."""


@dataclass(frozen=True)
class Plan:
    """Everything a panel is built from beside the tables.

    `snapshots` oldest first; labels as known at `labels_known_on`; `all_places` is every event type
    of the roll-up with its column.
    """

    snapshots: Sequence[date]
    labels_known_on: date
    lookback_days: int
    definition: labels.Definition
    vocabulary: Vocabulary
    features: Sequence[Feature]
    all_places: Mapping[str, str]
    arrival: Arrival
    has_customer_versions: bool = False


def places(event_types: Sequence[str]) -> dict[str, str]:
    """Event type → its column of the roll-up; types beyond the last place have none."""
    return dict(zip(event_types, PLACES, strict=False))


def roles(patterns: Mapping[str, str], event_types: Sequence[str]) -> dict[str, list[str]]:
    """Role → the event types whose name matches its pattern; empty roles are left out.

    >>> roles({"error": "error|exception"}, ["login", "api_error"])
    {'error': ['api_error']}
    """
    found = {
        role: [event for event in event_types if re.search(pattern, event, re.IGNORECASE)]
        for role, pattern in patterns.items()
    }
    return {role: events for role, events in found.items() if events}


def inventory(
    places: Iterable[str], *, known_on: date, first: date, known_before: datetime
) -> exp.Expr:
    """What a log had in the days from `first` before `known_on`, as known then: one row.

    How many customer-days have each of `places`, a value, a refund, a person, and how many
    rows of the side tables there were. Chosen from this, a model never depends on what came later.
    """
    counted = (*places, "n_value", "n_negative", "people_mask")
    counts = ", ".join(f"COUNT(CASE WHEN {name} <> 0 THEN 1 END) AS {name}" for name in counted)
    columns, known, cut = (
        ", ".join(counted),
        _date(known_on),
        f"CAST('{known_before}' AS TIMESTAMP)",
    )
    in_force = f"(valid_from IS NULL OR valid_from < CAST({known} AS TIMESTAMP))"
    arrived = f"{in_force} AND (loaded_at IS NULL OR loaded_at < {cut})"
    started = f"start_date < {known} AND {arrived}"
    return _sql(f"""
        SELECT {counts},
            (SELECT COUNT(*) FROM subscriptions WHERE {started}) AS n_subscriptions,
            (SELECT COUNT(term_end) FROM subscriptions WHERE {started}) AS n_terms,
            (SELECT COUNT(*) FROM contacts WHERE contacted_at < CAST({known} AS TIMESTAMP)
                AND COALESCE(recorded_at, contacted_at) < {cut}) AS n_contacts,
            (SELECT COUNT(signed_up_at) FROM customers WHERE {arrived}) AS n_signed_up
        FROM (
            SELECT {columns} FROM daily WHERE last_known_on <= {known} AND day >= {_date(first)}
            UNION ALL
            SELECT {columns} FROM late WHERE known_on <= {known}
                AND last_known_on > {known} AND day >= {_date(first)}
        ) AS known_rows
    """)


def first_known_day(*, known_on: date) -> exp.Expr:
    """The first day of the log as known at a date (`day`); history that arrives later moves it."""
    return _sql(f"SELECT MIN(day) AS day FROM daily WHERE first_known_on <= {_date(known_on)}")


def vocabulary(
    found: Mapping[str, int],
    all_places: Mapping[str, str],
    *,
    windows: Sequence[int],
    n_event_types: int,
    patterns: Mapping[str, str],
    static: Mapping[str, str],
) -> Vocabulary:
    """What the definitions may speak of, from an `inventory` row: the commonest event types, roles."""
    present = [event for event, place in all_places.items() if found[place] > 0]
    needs = {
        "people": "people_mask", "value": "n_value", "negative": "n_negative",
        "subscriptions": "n_subscriptions", "terms": "n_terms", "contacts": "n_contacts",
        "signed_up": "n_signed_up",
    }  # fmt: skip
    return Vocabulary(
        windows=list(windows),
        event_types=sorted(present, key=lambda event: (-found[all_places[event]], event))[
            :n_event_types
        ],
        roles=roles(patterns, sorted(present)),
        available=[need for need, column in needs.items() if found[column] > 0],
        static=dict(static),
    )


def seen_lately(as_of: date, *, n_days: int) -> exp.Expr:
    """Customers with an event in the `n_days` before `as_of` that was known then (`customer_id`)."""
    first = _date(as_of - timedelta(days=n_days))
    return _sql(f"""
        SELECT DISTINCT customer_id FROM daily
        WHERE day >= {first} AND day < {_date(as_of)} AND first_known_on <= {_date(as_of)}
        ORDER BY customer_id
    """)


def only_probed(table: str) -> exp.Expr:
    """The rows of a table whose customer is in `probed`, every column."""
    return _sql(
        f"SELECT t.* FROM {table} AS t WHERE customer_id IN (SELECT customer_id FROM probed)"
    )


def messages(*, known_on: date) -> exp.Expr:
    """What customers had written by a date, once per customer and text: customer_id, text."""
    known = _date(known_on)
    return _sql(f"""
        SELECT DISTINCT customer_id, text FROM texts WHERE known_on <= {known} AND day < {known}
        ORDER BY customer_id, text
    """)


def distinct_texts() -> exp.Expr:
    """Every text once (`text`)."""
    return _sql("SELECT DISTINCT text FROM texts ORDER BY text")


def usable_snapshots(
    snapshots: Sequence[date], *, first_day: date, min_history_days: int
) -> list[date]:
    """The snapshots that have at least `min_history_days` of log before them."""
    return [day for day in snapshots if (day - first_day).days >= min_history_days]


def statement(plan: Plan) -> exp.Expr:
    """The panel: snapshot, customer_id, the features in order, label, label_mature.

    Reads `daily`, `late`, `customers`, `subscriptions`, `contacts`. Population first, usage
    left-joined; ordered by snapshot and customer.
    """
    ctes = {
        "snapshot": _snapshots(plan),
        "moment": "SELECT snapshot, known_before FROM snapshot",
        "days": as_known(
            _day_columns(plan),
            first=min(plan.snapshots) - timedelta(days=plan.lookback_days),
            use=use(plan.vocabulary),
            with_gaps=any("gap_days" in item.columns() for item in _from(plan, "days")),
        ),
        "usage": _usage(plan),
        **(
            {"messages": _messages(plan), "written": _written(plan)} if _from(plan, "texts") else {}
        ),
        "versions": labels.subscription_versions(
            known="m.known_before", seen="m.snapshot", columns="m.snapshot"
        ),
        "subscribed": labels.subscribed(),
        "settled": _settled(plan),
        "label_days": _label_days(plan),
        "churned": labels.churned(plan.definition),
        "population": labels.population(plan.definition),
        "first_events": _FIRST_EVENTS,
        "attributes": _attributes(plan),
        "contacted": _CONTACTED,
        "joined": _joined(plan),
    }
    previous = "joined"
    for depth, level in enumerate(levels(plan.features)[1:]):
        ctes[f"level_{depth}"] = _next_level(previous, level)
        previous = f"level_{depth}"
    listed = ", ".join(
        f'CAST("{item.name}" AS {_type(item)}) AS "{item.name}"' for item in plan.features
    )
    body = ", ".join(f"{name} AS ({sql})" for name, sql in ctes.items())
    return _sql(f"""
        WITH {body}
        SELECT snapshot, customer_id, {listed}{"," if listed else ""} label, label_mature
        FROM {previous} ORDER BY snapshot, customer_id
    """)


def churn_rates(plan: Plan) -> exp.Expr:
    """How many could churn and did at each mature snapshot: snapshot, n_active, n_churned."""
    rows = statement(replace(plan, features=[])).sql(dialect="duckdb")
    return _sql(f"""
        SELECT snapshot, COUNT(*) AS n_active, CAST(SUM(label) AS BIGINT) AS n_churned
        FROM ({rows}) AS rows WHERE label_mature GROUP BY snapshot ORDER BY snapshot
    """)


def departures(plan: Plan) -> exp.Expr:
    """When those who churned left: snapshot, customer_id, churned_on, one row each.

    `cancellation`: the day the subscription ended. `inactivity`: the day on which the customer
    no longer counted as active, `active_days` after the last qualifying event before the label
    window. As known when labels are known; who did not churn may have a row too.
    """
    reach = plan.definition.active_days
    ctes = {
        "snapshot": _snapshots(plan),
        "moment": "SELECT snapshot, known_before FROM snapshot",
        "versions": labels.subscription_versions(
            known="m.known_before", seen="m.snapshot", columns="m.snapshot"
        ),
        "subscribed": labels.subscribed(),
        "settled": _settled(plan),
        "label_days": _label_days(
            replace(plan, snapshots=[min(plan.snapshots) - timedelta(reach)])
        ),
    }
    if plan.definition.name == "cancellation":
        body = """
            SELECT held.snapshot, held.customer_id, MAX(settled.end_date) AS churned_on
            FROM subscribed AS held JOIN settled ON settled.customer_id = held.customer_id
                AND settled.start_date = held.start_date
            WHERE settled.end_date IS NOT NULL GROUP BY held.snapshot, held.customer_id
        """
    else:
        body = f"""
            SELECT s.snapshot, d.customer_id, MAX(d.day) + {reach} AS churned_on
            FROM label_days AS d JOIN snapshot AS s ON d.day < s.label_first
            WHERE d.n_qualifying > 0 GROUP BY s.snapshot, d.customer_id
        """
    named = ", ".join(f"{name} AS ({sql})" for name, sql in ctes.items())
    return _sql(f"WITH {named} {body} ORDER BY snapshot, customer_id")


def _snapshots(plan: Plan) -> str:
    rows = []
    for snapshot in plan.snapshots:
        window = label_window(
            snapshot, gap_days=plan.definition.gap_days, horizon_days=plan.definition.horizon_days
        )
        mature = is_mature(
            snapshot,
            as_of=plan.labels_known_on,
            gap_days=plan.definition.gap_days,
            horizon_days=plan.definition.horizon_days,
        )
        first = snapshot - timedelta(days=plan.lookback_days)
        cut = plan.arrival.cut(snapshot).isoformat(sep=" ")
        rows.append(
            f"({_date(snapshot)}, {_date(first)}, CAST('{cut}' AS TIMESTAMP), "
            f"{_date(window.first)}, {_date(window.before)}, {int(mature)})"
        )
    columns = "snapshot, first_day, known_before, label_first, label_before, is_mature"
    return f"SELECT {columns} FROM (VALUES {', '.join(rows)}) AS s({columns})"


def use(vocabulary: Vocabulary) -> str:
    """What counts as use: what people did, where the log names people; automated events are not."""
    return "n_person" if "people" in vocabulary.available else "n"


def _day_columns(plan: Plan) -> dict[str, str]:
    """The columns of `days` that the features read, by name; roles and qualifying are sums."""
    wanted = {column for item in _from(plan, "days") for column in item.columns()}
    sums = {
        name: " + ".join(plan.all_places[event] for event in events if event in plan.all_places)
        or "n * 0"
        for name, events in plan.vocabulary.sums.items()
    }
    sums["n_qualifying"] = qualifying(plan.definition, plan.all_places)
    computed = {"age_days", "gap_days", "weekday", "n_use"}
    plain = {name: name for name in sorted(wanted - set(sums) - computed)}
    return plain | {
        name: sql for name, sql in sums.items() if name in wanted or name == "n_qualifying"
    }


def qualifying(definition: labels.Definition, all_places: Mapping[str, str]) -> str:
    """SQL for the qualifying events of a day; any event where the definition names none."""
    for event in definition.qualifying_events:
        if event not in all_places:
            raise ConfigurationError(
                "churn.qualifying_events names an event that is not in the log",
                got=event,
                expected=nearest(event, list(all_places)),
                next_step="look at the event types with `churn check`",
            )
    return " + ".join(all_places[event] for event in definition.qualifying_events) or "n"


def _usage(plan: Plan) -> str:
    """One row per snapshot and customer with a day in the lookback; all aggregates in one pass."""
    weekday = f"(DATE_DIFF('day', DATE '1970-01-01', day) + {EPOCH_MONDAY_SHIFT}) % 7 AS weekday"
    aggregates = _aggregates(_from(plan, "days"))
    active = f"SUM(CASE WHEN age_days <= {plan.definition.active_days} THEN n_qualifying END)"
    return f"""
        SELECT snapshot, customer_id, {aggregates + "," if aggregates else ""}
               COALESCE({active}, 0) AS n_qualifying_active
        FROM (SELECT *, {weekday} FROM days) AS d GROUP BY snapshot, customer_id
    """


def _from(plan: Plan, rows: str) -> list[Feature]:
    """The features that aggregate these rows."""
    return [item for item in plan.features if item.is_aggregate and item.rows == rows]


def _aggregates(features: Sequence[Feature]) -> str:
    return ", ".join(
        f'CAST({item.expression} AS {_type(item)}) AS "{item.name}"' for item in features
    )


def _messages(plan: Plan) -> str:
    """One row per snapshot and message of the lookback that was known then, with its topics.

    Reads `texts` and `text_weights` (text, topic_0 …, see `features.topics`).
    """
    counted = ", ".join(
        f"m.n * w.{name} AS {name}" for name in plan.vocabulary.text_columns if "topic" in name
    )
    return f"""
        SELECT m.snapshot, m.customer_id, m.age_days, m.n, {counted}
        FROM (
            SELECT s.snapshot, t.customer_id, DATE_DIFF('day', t.day, s.snapshot) AS age_days,
                   t.text, CAST(SUM(t.n) AS BIGINT) AS n
            FROM texts AS t JOIN snapshot AS s
            ON t.day < s.snapshot AND t.day >= s.first_day AND t.known_on <= s.snapshot
            GROUP BY s.snapshot, t.customer_id, t.day, t.text
        ) AS m JOIN text_weights AS w ON w.text = m.text
    """


def _written(plan: Plan) -> str:
    aggregates = _aggregates(_from(plan, "texts"))
    return (
        f"SELECT snapshot, customer_id, {aggregates} FROM messages GROUP BY snapshot, customer_id"
    )


def _settled(plan: Plan) -> str:
    """The versions of every subscription as known when labels are known."""
    known = plan.labels_known_on
    cut = plan.arrival.cut(known).isoformat(sep=" ")
    moment = f"SELECT {_date(known)} AS snapshot, CAST('{cut}' AS TIMESTAMP) AS known_before"
    versions = labels.subscription_versions(
        known="m.known_before", seen="m.snapshot", columns="m.snapshot"
    )
    return versions.replace("CROSS JOIN moment AS m", f"CROSS JOIN ({moment}) AS m")


def _label_days(plan: Plan) -> str:
    """The days with qualifying events in the label windows, as known when labels are known."""
    known = _date(plan.labels_known_on)
    sql = qualifying(plan.definition, plan.all_places)
    first = _date(min(plan.snapshots) + timedelta(days=plan.definition.gap_days))
    return f"""
        SELECT customer_id, day, {sql} AS n_qualifying FROM daily
        WHERE last_known_on <= {known} AND day >= {first} AND day < {known}
        UNION ALL
        SELECT customer_id, day, {sql} AS n_qualifying FROM late
        WHERE known_on <= {known} AND last_known_on > {known} AND day >= {first} AND day < {known}
    """


_FIRST_EVENTS = """
    SELECT s.snapshot, o.customer_id, MIN(o.day) AS day FROM (
        SELECT customer_id, MIN(day) AS day, MIN(first_known_on) AS first_known_on FROM daily
        WHERE DATE_DIFF('day', day, first_known_on) <= 1 GROUP BY customer_id
        UNION ALL
        SELECT customer_id, day, first_known_on FROM daily
        WHERE DATE_DIFF('day', day, first_known_on) > 1
    ) AS o JOIN snapshot AS s ON o.day < s.snapshot AND o.first_known_on <= s.snapshot
    GROUP BY s.snapshot, o.customer_id
"""

_CONTACTED = """
    SELECT s.snapshot, t.customer_id,
           COUNT(CASE WHEN DATE_DIFF('day', CAST(t.contacted_at AS DATE), s.snapshot) <= 56 THEN 1 END)
               AS n_contacts_56d,
           MIN(DATE_DIFF('day', CAST(t.contacted_at AS DATE), s.snapshot)) AS since_contact_days
    FROM contacts AS t JOIN snapshot AS s
    ON t.contacted_at < CAST(s.snapshot AS TIMESTAMP)
        AND COALESCE(t.recorded_at, t.contacted_at) < s.known_before
    GROUP BY s.snapshot, t.customer_id
"""


def _attributes(plan: Plan) -> str:
    """The attributes of each customer; with `valid_from` the version in force and known then."""
    names = ["signed_up_at", *plan.vocabulary.static]
    taken = ", ".join(f'v."{name}"' for name in names)
    if not plan.has_customer_versions:
        return f"""
            SELECT s.snapshot, v.customer_id, {taken} FROM customers AS v CROSS JOIN snapshot AS s
            WHERE v.loaded_at IS NULL OR v.loaded_at < s.known_before
        """
    kept = ", ".join(f'"{name}"' for name in names)
    order = ", ".join(f'v."{name}"' for name in names)
    return f"""
        SELECT snapshot, customer_id, {kept} FROM (
            SELECT s.snapshot, v.customer_id, {taken}, ROW_NUMBER() OVER (
                PARTITION BY s.snapshot, v.customer_id
                ORDER BY v.valid_from DESC NULLS LAST, v.loaded_at DESC NULLS LAST, {order}
            ) AS place
            FROM customers AS v CROSS JOIN snapshot AS s
            WHERE (v.valid_from IS NULL OR v.valid_from < CAST(s.snapshot AS TIMESTAMP))
                AND (v.loaded_at IS NULL OR v.loaded_at < s.known_before)
        ) AS ranked WHERE place = 1
    """


def _joined(plan: Plan) -> str:
    """The population with its usage, contract, attributes, contacts and label."""
    aliases = {"days": "u", "texts": "w"}
    aggregates = "".join(
        f', {_filled(item, _quoted(aliases[item.rows], item))} AS "{item.name}"'
        for item in levels(plan.features)[0]
    )
    written = (
        "LEFT JOIN written AS w ON w.snapshot = p.snapshot AND w.customer_id = p.customer_id"
        if _from(plan, "texts")
        else ""
    )
    attributes = "".join(
        f', CAST(a."{name}" AS {"VARCHAR" if kind == "category" else "DOUBLE"}) AS {attribute_column(name)}'
        for name, kind in plan.vocabulary.static.items()
    )
    return f"""
        SELECT s.snapshot, p.customer_id {aggregates} {attributes},
            DATE_DIFF('day', f.day, s.snapshot) AS its_since_first_event_days,
            CASE WHEN a.signed_up_at < CAST(s.snapshot AS TIMESTAMP)
                THEN DATE_DIFF('day', CAST(a.signed_up_at AS DATE), s.snapshot) END
                AS its_since_signed_up_days,
            DATE_DIFF('day', b.start_date, s.snapshot) AS its_since_start_days,
            DATE_DIFF('day', s.snapshot, b.term_end) AS its_to_term_end_days,
            DATE_DIFF('day', b.term_start, b.term_end) AS its_term_days,
            b.plan AS its_plan, b.seats AS its_seats, b.price_month AS its_price_month,
            COALESCE(t.n_contacts_56d, 0) AS its_n_contacts_56d,
            t.since_contact_days AS its_since_contact_days,
            {labels.label(plan.definition)} AS label, s.is_mature = 1 AS label_mature
        FROM population AS p JOIN snapshot AS s ON s.snapshot = p.snapshot
        LEFT JOIN usage AS u ON u.snapshot = p.snapshot AND u.customer_id = p.customer_id
        {written}
        LEFT JOIN first_events AS f ON f.snapshot = p.snapshot AND f.customer_id = p.customer_id
        LEFT JOIN subscribed AS b ON b.snapshot = p.snapshot AND b.customer_id = p.customer_id
        LEFT JOIN attributes AS a ON a.snapshot = p.snapshot AND a.customer_id = p.customer_id
        LEFT JOIN contacted AS t ON t.snapshot = p.snapshot AND t.customer_id = p.customer_id
        LEFT JOIN churned AS c ON c.snapshot = p.snapshot AND c.customer_id = p.customer_id
    """


def _next_level(previous: str, level: Sequence[Feature]) -> str:
    """The columns so far and features that read them, as they stand in the panel."""
    added = ", ".join(f'{_filled(item, item.expression)} AS "{item.name}"' for item in level)
    return f"SELECT *, {added} FROM {previous}"


def _filled(item: Feature, sql: str) -> str:
    """`sql`, with the feature's own value where nothing was found.

    Filled before another feature reads it: of people who are all gone, the share that stopped is 1.
    """
    return sql if item.empty is None else f"COALESCE({sql}, {item.empty})"


def _quoted(table: str, item: Feature) -> str:
    return f'{table}."{item.name}"'


def _type(item: Feature) -> str:
    return "VARCHAR" if item.kind == "category" else "DOUBLE"


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
