"""Feature definitions as data: parsed, checked, and documented by themselves.

A definition is YAML: a name, a sentence, a unit, a family and an SQL expression in a portable
subset. The snapshot exists in it only as `age_days` >= 1, so the future cannot be expressed.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from churn.contracts import MASKS, SUMS
from churn.errors import ConfigurationError, nearest
from churn.features import tastes, topics

DAY_COLUMNS = (*SUMS, *MASKS, "age_days", "gap_days", "weekday", "n_use", "n_qualifying")
"""What an aggregate may read, one row per day with a known event: `age_days` 1 is the day before
the snapshot, `n_use` the events of people where the log names them (else all events), `gap_days`
the distance to the day of use before, `weekday` 0 a Monday; money in 1/10000."""

CUSTOMER_COLUMNS = (
    "its_since_first_event_days",
    "its_since_signed_up_days",
    "its_since_start_days",
    "its_to_term_end_days",
    "its_term_days",
    "its_plan",
    "its_seats",
    "its_price_month",
    "its_n_contacts_56d",
    "its_since_contact_days",
    "its_last_type_1",
    "its_last_type_2",
    "its_last_type_3",
    "its_day_of_year",
)
"""What a definition without an aggregate may read beside other features, one row per customer (`its_`: facts
of the customer as known at the snapshot, and the snapshot's own day of the year)."""

PEERS = "peers_"
"""Before the name of an aggregate of days that is a number: its mean over everybody at the snapshot
(`features.peers`), which a definition without an aggregate may read."""

ITEM_COLUMNS = ("n", "n_days", "age_days", "first_age_days")
"""What an aggregate `from: items` may read, one row per item that the customer's events of the
lookback were about: `n` events on `n_days` days, the last `age_days` ago, the first `first_age_days`."""

DATE_COLUMNS = ("age_days",)
"""What an aggregate `from: dates` may read beside the series (`on_…`, in 1/10000): one row per date
that was known at the snapshot; a day to come, as it was announced, has an `age_days` of 0 or less."""

TEXT_COLUMNS = ("n", "age_days")
"""What an aggregate `from: texts` may read beside the topics, one row per day and message: `n` times
it was written."""

NEEDS = (
    "people",
    "value",
    "negative",
    "subscriptions",
    "terms",
    "contacts",
    "signed_up",
    "topics",
    "event_types",
    "items",
)
"""What a log may lack; definitions that need it are left out then. Roles can be needed too."""

_NODES = (
    exp.Sum, exp.Count, exp.Min, exp.Max, exp.BitwiseOrAgg, exp.Star,
    exp.Coalesce, exp.Nullif, exp.Cast, exp.DataType, exp.Case, exp.If, exp.Abs, exp.Ln, exp.Sqrt,
    exp.Least, exp.Greatest, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Paren,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseNot, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE,
    exp.And, exp.Or, exp.Not, exp.Is, exp.Null, exp.Between, exp.In, exp.Literal, exp.Column,
    exp.Identifier, exp.Boolean,
)  # fmt: skip
_FUNCTIONS = ("BIT_COUNT",)


@dataclass(frozen=True)
class Feature:
    """One column of the panel.

    `expression` is SQL over one customer's days or, without an aggregate, over columns and other
    features of the customer. `sentence` documents it, `unit` is what it counts in, `family` the
    group in which correlated features speak once, `kind` is number or category. `empty` is its
    value where the expression finds nothing (None: missing). `rows` is what an aggregate looks at:
    days, texts, items or dates.
    """

    name: str
    sentence: str
    unit: str
    family: str
    expression: str
    kind: str = "number"
    empty: float | None = None
    rows: str = "days"

    @property
    def is_aggregate(self) -> bool:
        return _reads(self.expression)[1]

    @property
    def sql_type(self) -> str:
        return "VARCHAR" if self.kind == "category" else "DOUBLE"

    @property
    def has_peers(self) -> bool:
        """Whether others may read its mean over everybody at the snapshot."""
        return self.is_aggregate and self.rows == "days" and self.kind == "number"

    def columns(self) -> set[str]:
        """The names that the expression reads."""
        return set(_reads(self.expression)[0])


@dataclass(frozen=True)
class Vocabulary:
    """What is known about a training period, chosen there and kept with the model.

    `event_types` are the chosen ones, `roles` the event types of each role, `available` what the
    log has of `NEEDS`, `static` the attributes with their kind, `topics` what its messages speak of
    (`features.topics`), `dates` the names of the table of dates,
    `tastes` the factors of items (`features.tastes`). Nothing here depends on where the
    roll-up keeps an event type, so an event type first seen later, or never again, breaks nothing.
    """

    windows: Sequence[int]
    event_types: Sequence[str] = ()
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    available: Sequence[str] = ()
    static: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Any] = field(default_factory=dict)
    dates: Sequence[str] = ()
    tastes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def use(self) -> str:
        """SQL for what counts as use on a day: what people did, where the log names people, since
        automated events are no use; else all events."""
        return "n_person" if "people" in self.available else "n"

    @property
    def text_columns(self) -> list[str]:
        known = topics.from_spec(self.topics)
        return [*TEXT_COLUMNS, *(topics.column(place) for place in range(known.n if known else 0))]

    @property
    def item_columns(self) -> list[str]:
        known = tastes.from_spec(self.tastes)
        return [*ITEM_COLUMNS, *(tastes.column(place) for place in range(known.n if known else 0))]

    @property
    def day_columns(self) -> list[str]:
        return [*DAY_COLUMNS, *self.sums, *self.series]

    @property
    def series(self) -> dict[str, str]:
        """Column → name in the table of dates; a day column too: the value on that day."""
        return {f"on_{event_name(name)}": name for name in self.dates}

    @property
    def sums(self) -> dict[str, Sequence[str]]:
        """Day column → the event types it counts, for chosen event types and for roles."""
        chosen = {f"n_type_{event_name(event)}": [event] for event in self.event_types}
        return chosen | {f"n_{role}": events for role, events in self.roles.items()}

    @property
    def customer_columns(self) -> list[str]:
        return [*CUSTOMER_COLUMNS, *(attribute_column(name) for name in self.static)]


def expand(
    documents: Mapping[str, str], vocabulary: Vocabulary, *, without: Iterable[str] = ()
) -> list[Feature]:
    """The features of YAML `documents` (file name → text), in order, without the families in `without`.

    Raises `ConfigurationError` naming file and line for a definition that lacks a part, reads an
    unknown column, uses a function that is not allowed, or doubles a name.
    """
    features: list[Feature] = []
    for file, text in documents.items():
        for family, line, entry in _entries(file, text):
            if family not in set(without) and _is_available(entry, vocabulary, file, line):
                features += _instances(file, line, family, entry, vocabulary)
    _check_columns(features, vocabulary)
    return features


def levels(features: Sequence[Feature]) -> list[list[Feature]]:
    """Features that aggregate days first, then the others so that each reads only earlier ones."""
    done = {feature.name for feature in features if feature.is_aggregate}
    result = [[feature for feature in features if feature.is_aggregate]]
    left = [feature for feature in features if not feature.is_aggregate]
    names = {feature.name for feature in features}
    while left:
        ready = [feature for feature in left if not (feature.columns() & names) - done]
        if not ready:
            raise ConfigurationError(
                "feature definitions read each other in a circle",
                got=", ".join(feature.name for feature in left),
                expected="definitions that can be computed one after the other",
                next_step="let one of them read columns instead of a feature",
            )
        result.append(ready)
        done |= {feature.name for feature in ready}
        left = [feature for feature in left if feature.name not in done]
    return result


def event_name(event: str) -> str:
    """`event` as part of a feature name; two event types never share one.

    >>> event_name("export"), event_name("Core Action!")
    ('export', 'core_action_75f1')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", event.lower()).strip("_")[:40]
    return plain if plain == event else f"{plain}_{hashlib.sha256(event.encode()).hexdigest()[:4]}"


def attribute_column(name: str) -> str:
    """The column of the panel statement that holds customer attribute `name`."""
    return f"a_{event_name(name)}"


def catalogue(features: Sequence[Feature], *, off: Sequence[str] = ()) -> str:
    """The feature catalogue as a Markdown page, one table per family; those in `off` say so."""
    lines = [
        "# Feature catalogue",
        "",
        "Generated by `make catalogue` from `conf/features/families/`; do not edit.",
        "",
    ]
    for family, members in itertools.groupby(features, key=lambda feature: feature.family):
        lines += [
            f"## {family}{' (off by default)' if family in off else ''}",
            "",
            "| feature | what it says | unit |",
            "|---|---|---|",
        ]
        lines += [f"| `{item.name}` | {item.sentence} | {item.unit} |" for item in members]
        lines.append("")
    return "\n".join(lines)


def _entries(file: str, text: str) -> Iterable[tuple[str, int, dict[str, Any]]]:
    """(family, line, entry) for every definition in a YAML document."""
    try:
        node, document = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _refusal(
            file, 1, f"not YAML: {str(error).splitlines()[0]}", "a YAML document"
        ) from error
    if not isinstance(document, dict) or set(document) != {"family", "features"}:
        raise _refusal(file, 1, "other keys", "the keys family and features")
    lines = next(value for key, value in node.value if key.value == "features").value
    for position, entry in zip(lines, document["features"], strict=True):
        yield document["family"], position.start_mark.line + 1, entry


_PARTS = ["name", "sentence", "unit", "expression", "kind", "empty", "for", "needs", "from"]
_ROWS = ["days", "texts", "items", "dates"]


def _is_available(entry: dict[str, Any], vocabulary: Vocabulary, file: str, line: int) -> bool:
    for part in entry:
        if part not in _PARTS:
            raise _refusal(file, line, f"the key {part}", nearest(part, _PARTS))
    missing = [part for part in _PARTS[:4] if not str(entry.get(part, "")).strip()]
    if missing:
        raise _refusal(
            file,
            line,
            f"no {' and no '.join(missing)}",
            "a name, a sentence, a unit and an expression",
        )
    needed = entry.get("needs", [])
    needs = [needed] if isinstance(needed, str) else needed
    return all(need in vocabulary.available or need in vocabulary.roles for need in needs)


def _instances(
    file: str, line: int, family: str, entry: dict[str, Any], vocabulary: Vocabulary
) -> list[Feature]:
    """One feature per combination of what the definition is `for`."""
    choices = [
        _choices(file, line, key, what, vocabulary) for key, what in entry.get("for", {}).items()
    ]
    instances = []
    for combination in itertools.product(*choices):
        words = {key: value for choice in combination for key, value in choice.items()}
        try:
            texts = {part: str(entry[part]).format(**words) for part in _PARTS[:4]}
        except (KeyError, IndexError, ValueError) as error:
            raise _refusal(
                file,
                line,
                f"{{{error}}} in {entry['name']}",
                f"one of: {', '.join(words) or 'no placeholder'}",
            ) from error
        check_expression(file, line, texts["expression"])
        rows = str(entry.get("from", "days"))
        if rows not in _ROWS:
            raise _refusal(file, line, f"from: {rows}", nearest(rows, _ROWS))
        kind = str(entry.get("kind", words.get("kind", "number")))
        instances.append(
            Feature(**texts, family=family, kind=kind, empty=entry.get("empty"), rows=rows)
        )
    return instances


def _choices(
    file: str, line: int, key: str, what: Any, vocabulary: Vocabulary
) -> list[dict[str, Any]]:
    if isinstance(what, list):
        return [{key: value} for value in what]
    if what == "windows":
        return [{key: days} for days in vocabulary.windows]
    if what == "event_types":
        return [
            {key: event_name(event), "type": event, "count": f"n_type_{event_name(event)}"}
            for event in vocabulary.event_types
        ]
    if what == "dates":
        return [
            {key: event_name(name), "name": name, "column": column}
            for column, name in vocabulary.series.items()
        ]
    if what == "static":
        return [
            {key: name, "attribute": attribute_column(name), "kind": kind}
            for name, kind in vocabulary.static.items()
        ]
    if what == "tastes":
        factors = tastes.from_spec(vocabulary.tastes)
        return [
            {key: place, "taste": tastes.column(place), "items": tastes.shown(factors, place)}
            for place in range(factors.n if factors else 0)
            if factors
        ]
    if what == "topics":
        known = topics.from_spec(vocabulary.topics)
        return (
            []
            if known is None
            else [
                {key: place, "topic": topics.column(place), "terms": topics.shown(known, place)}
                for place in range(known.n)
            ]
        )
    raise _refusal(
        file,
        line,
        f"for {key}: {what}",
        "windows, event_types, static, topics, tastes, dates or a list",
    )


def check_expression(file: str, line: int, expression: str) -> None:
    """Refuse an expression outside the portable subset, naming file and line."""
    try:
        tree = _parsed(expression)
    except SqlglotError as error:
        raise _refusal(
            file, line, expression, f"an SQL expression ({str(error).splitlines()[0]})"
        ) from error
    for node in tree.walk():
        if isinstance(node, exp.Anonymous) and node.name.upper() in _FUNCTIONS:
            continue
        if not isinstance(node, _NODES):
            allowed = [kind.__name__.lower() for kind in _NODES if issubclass(kind, exp.Func)]
            raise _refusal(file, line, node.sql(), f"only: {', '.join([*allowed, *_FUNCTIONS])}")


def _check_columns(features: Sequence[Feature], vocabulary: Vocabulary) -> None:
    names = [feature.name for feature in features]
    shared = [f"{PEERS}{item.name}" for item in features if item.has_peers]
    for feature in features:
        if names.count(feature.name) > 1:
            raise _unusable(feature, "a name that stands twice", "a name of its own")
        read = {
            "days": vocabulary.day_columns,
            "texts": vocabulary.text_columns,
            "items": vocabulary.item_columns,
            "dates": [*DATE_COLUMNS, *vocabulary.series],
        }
        known = (
            read[feature.rows]
            if feature.is_aggregate
            else [*vocabulary.customer_columns, *names, *shared]
        )
        for column in sorted(feature.columns()):
            if column not in known:
                raise _unusable(feature, column, nearest(column, list(known)))


def _unusable(feature: Feature, got: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"feature {feature.name} of family {feature.family} cannot be computed",
        got=got,
        expected=expected,
        next_step="mend its definition in conf/features/families (or the file in features.more)",
    )


def _refusal(file: str, line: int, got: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file}, line {line}: this feature definition cannot be used",
        got=got,
        expected=expected,
        next_step="mend the definition; docs/features.md lists the ones that work",
    )


@cache
def _reads(expression: str) -> tuple[frozenset[str], bool]:
    """The names that an expression reads, and whether it aggregates; asked for again and again."""
    tree = _parsed(expression)
    names = frozenset(column.name for column in tree.find_all(exp.Column))
    return names, tree.find(exp.AggFunc) is not None


def _parsed(expression: str) -> exp.Expr:
    return parse_one(expression, dialect="duckdb")
