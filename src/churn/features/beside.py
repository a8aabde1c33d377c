"""What features look at beside days: messages, items, dates of the world outside, and everybody else.

Each gives tables for the panel's statement, joined to the population; a panel that reads none of
them pays for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlglot import exp, parse_one

from churn.features import outside, peers, sequence
from churn.features.definitions import Feature
from churn.features.vocabulary import PEERS, Vocabulary, event_name
from churn.timeline import midnight

ALIASES = {"days": "u", "texts": "w", "items": "i", "dates": "r"}
"""By what rows a feature aggregates: the alias of their table where all is joined."""


@dataclass
class Beside:
    """`before` and `after` the days are summed up: CTE → SQL; `columns` and `joins` for the panel."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)


def wanted(features: Sequence[Feature], vocabulary: Vocabulary) -> Beside:
    """The tables that `features` read beside the days."""
    found = Beside()
    if series(features, vocabulary):
        found.before["outside"] = outside.by_day(vocabulary.series)
    if dated := aggregating(features, "dates"):
        found.before["around"] = f"SELECT snapshot, {sql(dated)} FROM outside GROUP BY snapshot"
        found.joins.append("LEFT JOIN around AS r ON r.snapshot = p.snapshot")
    if written := aggregating(features, "texts"):
        found.after["messages"] = _messages(vocabulary)
        found.after["written"] = _per_customer(sql(written), "messages")
        found.joins.append(join("written", ALIASES["texts"]))
    if handled := aggregating(features, "items"):
        found.after["things"] = _THINGS
        found.after["handled"] = _per_customer(sql(handled), _weighed(vocabulary))
        found.joins.append(join("handled", ALIASES["items"]))
    if shared := peers.read(features):
        found.after["peers"] = peers.means(shared)
        found.columns += [f'e."{PEERS}{item.name}"' for item in shared]
        found.joins.append("LEFT JOIN peers AS e ON e.snapshot = p.snapshot")
    if counts := sequenced(features, vocabulary):
        found.after["last_types"] = sequence.last_types(counts)
        found.columns += [f"q.{name}" for name in sequence.COLUMNS]
        found.joins.append(join("last_types", "q"))
    return found


def aggregating(features: Sequence[Feature], rows: str) -> list[Feature]:
    """The features that aggregate these rows."""
    return [item for item in features if item.is_aggregate and item.rows == rows]


def sql(features: Sequence[Feature]) -> str:
    """The aggregates of `features`, each as its column."""
    return ", ".join(
        f'CAST({item.expression} AS {item.sql_type}) AS "{item.name}"' for item in features
    )


def series(features: Sequence[Feature], vocabulary: Vocabulary) -> set[str]:
    """The series of the table of dates that `features` read."""
    return {name for item in features for name in item.columns()} & set(vocabulary.series)


def sequenced(features: Sequence[Feature], vocabulary: Vocabulary) -> dict[str, str]:
    """The chosen event types with their column of the days, where a feature asks which came last."""
    if not any(item.columns() & set(sequence.COLUMNS) for item in features):
        return {}
    return {event: f"n_type_{event_name(event)}" for event in vocabulary.event_types}


def messages(*, known_on: date) -> exp.Expr:
    """What customers had written by a date, once per customer and text: customer_id, text."""
    known = _date(known_on)
    return _parsed(f"""
        SELECT DISTINCT customer_id, text FROM texts WHERE known_on <= {known} AND day < {known}
        ORDER BY customer_id, text
    """)


def distinct_texts() -> exp.Expr:
    """Every text once (`text`)."""
    return _parsed("SELECT DISTINCT text FROM texts ORDER BY text")


def handled_items(*, known_on: date, lookback_days: int) -> exp.Expr:
    """The items that each customer's events of the lookback were about, each pair once."""
    known, first = _date(known_on), _date(known_on - timedelta(days=lookback_days))
    return _parsed(f"""
        SELECT DISTINCT customer_id, item FROM items
        WHERE known_on <= {known} AND day < {known} AND day >= {first} ORDER BY customer_id, item
    """)


def _messages(vocabulary: Vocabulary) -> str:
    """One row per snapshot and message of the lookback that was known then, with its topics.

    Reads `texts` and `text_weights` (text, topic_0 …, see `features.topics`).
    """
    counted = ", ".join(
        f"m.n * w.{name} AS {name}" for name in vocabulary.text_columns if "topic" in name
    )
    return f"""
        SELECT m.snapshot, m.customer_id, m.age_days, m.n, {counted}
        FROM (
            SELECT s.snapshot, t.customer_id, DATE_DIFF('day', t.day, s.snapshot) AS age_days,
                   t.text, CAST(SUM(t.n) AS BIGINT) AS n
            FROM texts AS t JOIN snapshot AS s
            ON t.day < s.snapshot AND t.day >= s.first_day AND t.known_on <= s.known_on
            GROUP BY s.snapshot, t.customer_id, t.day, t.text
        ) AS m JOIN text_weights AS w ON w.text = m.text
    """


_THINGS = """
    SELECT s.snapshot, t.customer_id, t.item, CAST(SUM(t.n) AS BIGINT) AS n,
           COUNT(DISTINCT t.day) AS n_days,
           MIN(DATE_DIFF('day', t.day, s.snapshot)) AS age_days,
           MAX(DATE_DIFF('day', t.day, s.snapshot)) AS first_age_days
    FROM items AS t JOIN snapshot AS s
    ON t.day < s.snapshot AND t.day >= s.first_day AND t.known_on <= s.known_on
    GROUP BY s.snapshot, t.customer_id, t.item
"""


def _weighed(vocabulary: Vocabulary) -> str:
    """`things`, with `item_weights` (item, taste_0 …, see `features.tastes`) where there are tastes."""
    if not vocabulary.tastes:
        return "things"
    return "things AS t LEFT JOIN item_weights AS w ON w.item = t.item"


def _per_customer(aggregates: str, rows: str) -> str:
    return f"SELECT snapshot, customer_id, {aggregates} FROM {rows} GROUP BY snapshot, customer_id"


def join(table: str, alias: str) -> str:
    return (
        f"LEFT JOIN {table} AS {alias} "
        f"ON {alias}.snapshot = p.snapshot AND {alias}.customer_id = p.customer_id"
    )


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _parsed(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
