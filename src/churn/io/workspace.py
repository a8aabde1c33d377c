"""The folders of a workspace, one per step, and how their tables are opened for queries."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from churn import contracts
from churn.errors import InputError
from churn.features import beside, tastes, topics
from churn.features.vocabulary import Vocabulary
from churn.io import tables
from churn.io.engine import Engine, Relation
from churn.timeline import Arrival

USAGE = ("daily", "late", "texts", "items", "first_days")
"""What `rollup` makes of a log; `SIDES` are the other tables that it takes in."""

BY_DAY = ("daily", "late", "texts", "items")
"""Of them, what is only asked for the days that a panel looks back to."""

SIDES = ("customers", "subscriptions", "contacts", "dates")

_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Workspace:
    """`place` is where everything is written; each table has a folder named after its step.

    `arrival` says what counts as known at a date.
    """

    place: Path
    arrival: Arrival = field(default_factory=Arrival)

    def folder(self, name: str) -> Path:
        return self.place / name

    def usage(self, since: date | None = None) -> dict[str, Relation]:
        """The tables that a panel is built from, by the name that statements use.

        Of what customers did, the months from `since` on, or all: a week must not cost more the
        longer a log is.
        """
        self._require_one_roll_up()
        relations: dict[str, Relation] = {}
        for name in (*USAGE, *SIDES):
            months = self._months(name, since) if since and name in BY_DAY else None
            files = tables.parts(self.folder(name), made_by="rollup", only=months)
            relations[name] = list(files.values())
        return relations

    def _require_one_roll_up(self) -> None:
        """Raise `InputError` where a roll-up died between its tables."""
        first, *others = (tables.facts(self.folder(name), made_by="rollup") for name in USAGE)
        if any(other["months"] != first["months"] for other in others):
            raise InputError(
                f"the roll-up in {self.place} is not whole",
                got="tables of two runs: one ended before it had written all of them",
                expected="the tables of one run",
                next_step="run `churn rollup`: it rolls up again what was begun",
            )

    def _months(self, name: str, since: date) -> list[str]:
        """The parts of table `name` from `since` on; the last one, where there is none."""
        there = sorted(tables.names(self.folder(name)))
        return [month for month in there if month >= since.strftime("%Y-%m")] or there[-1:]

    def usage_facts(self) -> dict[str, Any]:
        """What the roll-up recorded: event types in order, span, what the log has."""
        return tables.facts(self.folder("daily"), made_by="rollup")

    def people(self, as_of: date) -> pd.DataFrame:
        """What was known of each customer for display, by customer_id: the version in force."""
        rows = tables.read(self.folder("customers"), made_by="rollup")
        known = ~(rows["loaded_at"] >= self.arrival.cut(as_of))
        seen = rows[known & ~(rows["valid_from"] >= pd.Timestamp(as_of))]
        return _newest(seen, ["valid_from", "loaded_at"])

    def contract_terms(self, as_of: date) -> pd.DataFrame:
        """The newest subscription of each customer in force and known at `as_of`, by customer_id."""
        return _newest(self.contract_versions(as_of), _TERM_ORDER)

    def contract_versions(self, as_of: date) -> pd.DataFrame:
        """Every version of a subscription that was in force and known by `as_of`; `effective` is the
        moment from which it held."""
        rows = tables.read(self.folder("subscriptions"), made_by="rollup")
        day = pd.Timestamp(as_of)
        start, term = pd.to_datetime(rows["start_date"]), pd.to_datetime(rows["term_start"])
        effective = rows["valid_from"].fillna(term).fillna(start)
        in_force = (start < day) & ~(term > day) & ~(rows["valid_from"] >= day)
        known = ~(rows["loaded_at"] >= self.arrival.cut(as_of))
        seen = rows.assign(effective=effective)[in_force & known]
        return seen.sort_values(["customer_id", *_TERM_ORDER], na_position="first", kind="stable")

    def contacts(self, as_of: date) -> pd.DataFrame:
        """The contacts of the source before `as_of`, as known then."""
        rows = tables.read(self.folder("contacts"), made_by="rollup")
        recorded = rows["recorded_at"].fillna(rows["contacted_at"])
        known = (rows["contacted_at"] < pd.Timestamp(as_of)) & (recorded < self.arrival.cut(as_of))
        return rows[known]

    def dates(self, as_of: date) -> pd.DataFrame:
        """What the world outside had on days before `as_of`, as known then."""
        rows = tables.read(self.folder("dates"), made_by="rollup")
        known = ~(rows["loaded_at"] >= self.arrival.cut(as_of))
        return rows[known & (pd.to_datetime(rows["date"]) < pd.Timestamp(as_of))]


_TERM_ORDER = ["start_date", "effective", "loaded_at", "term_end", "plan", "price_month"]


def weigh(engine: Engine, vocabulary: Vocabulary) -> None:
    """Bind `text_weights` and `item_weights`: how much each text of `texts` speaks of the topics of
    `vocabulary`, and each item counts in its tastes."""
    factors = tastes.from_spec(vocabulary.tastes)
    if factors is not None:
        items = pa.Table.from_pandas(tastes.weights(factors), preserve_index=False)
        engine.bind("item_weights", items)
    known = topics.from_spec(vocabulary.topics)
    if known is None:
        return
    written = engine.table(beside.distinct_texts())["text"].to_pylist()
    weights = topics.weights(known, written)
    engine.bind("text_weights", pa.Table.from_pandas(weights, preserve_index=False))


def _newest(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The last row of each customer in a total order, whatever the order of the file."""
    ordered = rows.sort_values(["customer_id", *by], na_position="first", kind="stable")
    return ordered.drop_duplicates("customer_id", keep="last").set_index("customer_id")


def arrow_schema(table: contracts.Table) -> pa.Schema:
    """The Arrow schema of a contract."""
    return pa.schema([(name, _ARROW[kind]) for name, kind in table.columns.items()])


def empty(table: contracts.Table) -> pa.Table:
    """A table of the contract without rows, for what a source does not have."""
    return arrow_schema(table).empty_table()
