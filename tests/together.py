"""Many small worlds as one: Spark takes seconds for a world of three customers, or of three hundred.

Worlds can share a log if every id says which world it is from, for customers do not meet in a panel:
except in features that compare them with everybody else, which are asked of a world by itself.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import world as worlds
from reference import Row, World
from world import Question

from churn.errors import ChurnError
from churn.features.definitions import Feature
from churn.features.panel import OUTCOMES
from churn.features.vocabulary import PEERS
from churn.io.engine import Resources, resources
from churn.settings import EngineSettings

SPARK = EngineSettings(name="spark", memory_limit="1GB", shuffle_partitions=2)
MISSING = [
    name
    for name, is_there in {
        "pyspark": find_spec("pyspark") is not None,
        "java": bool(os.environ.get("JAVA_HOME") or shutil.which("java")),
    }.items()
    if not is_there
]
NEEDED = pytest.mark.skipif(bool(MISSING), reason=f"Spark needs {' and '.join(MISSING)}")
ON_SPARK = (NEEDED, pytest.mark.xdist_group("spark"))
"""What a test on Spark is marked with: one session, so one process of several."""

# A JVM that lives two minutes is faster with the simple compiler, and takes its memory as it needs it.
os.environ.setdefault(
    "JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m"
)


def spark() -> Resources:
    return resources(SPARK)


def merged(several: Sequence[World]) -> World:
    """One world with the rows of all; ids begin with the number of their world. What belongs to no
    customer, dates, is the first one's."""

    def named(number: int, rows: Iterable[Row]) -> list[Row]:
        return [
            row | {name: f"{number:04d}:{row[name]}" for name in ("customer_id", "event_id")
                   if row.get(name) is not None}
            for row in rows
        ]  # fmt: skip

    kinds = ("events", "customers", "subscriptions", "contacts")
    return World(
        **{
            kind: [row for n, one in enumerate(several) for row in named(n, getattr(one, kind))]
            for kind in kinds
        },
        dates=several[0].dates,
    )


def parted(found: Mapping[tuple[date, str], Row], n: int) -> list[dict[tuple[date, str], Row]]:
    """The rows of each of `n` merged worlds, under the ids they had there."""
    parts: list[dict[tuple[date, str], Row]] = [{} for _ in range(n)]
    for (snapshot, customer), row in found.items():
        number, _, name = customer.partition(":")
        parts[int(number)][snapshot, name] = row
    return parts


@dataclass
class Batch:
    """Worlds that will be asked something: rolled up together and asked together, on first demand.

    A roll-up is shared by worlds with one arrival rule that are alike in having versions of
    customers, a panel by those of them with one question.
    """

    place: Path
    cases: list[tuple[World, Question]] = field(default_factory=list)
    rolled_up: dict[str, Path] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def record(self, world: World, question: Question) -> dict[tuple[date, str], Row]:
        """Take note, and answer by the reference."""
        question = _shareable(question)
        if not any(_key(*case) == _key(world, question) for case in self.cases):
            self.cases.append((world, question))
        return worlds.by_reference(world, question)

    def answer(self, world: World, question: Question) -> dict[tuple[date, str], Row]:
        """What Spark says of `world`; raises what Spark raised."""
        question = _shareable(question)
        group = _question(world, question)
        if group not in self.answers:
            self.answers[group] = self._asked(group)
        found = self.answers[group]
        if isinstance(found, ChurnError):
            raise found
        rows = found[_key(world, question)]
        names = {item.name for item in question.features} | set(OUTCOMES)
        return {who: {n: x for n, x in row.items() if n in names} for who, row in rows.items()}

    def _asked(self, group: str) -> Any:
        asked = [case for case in self.cases if _question(*case) == group]
        shared = [w for w, q in self.cases if _rollup(w, q) == _rollup(*asked[0])]
        place = self._rolled_up(_rollup(*asked[0]), shared, asked[0][1])
        features = {item.name: item for _, q in asked for item in q.features}
        question = replace(
            asked[0][1],
            features=tuple(f for f in worlds.FEATURES if f.name in features)
            or asked[0][1].features,
        )
        try:
            found = worlds.by_engine(place, question, spark())
        except ChurnError as error:
            return error
        parts = parted(found, len(shared))
        numbers = {id(world): number for number, world in enumerate(shared)}
        return {_key(w, q): parts[numbers[id(w)]] for w, q in asked}

    def _rolled_up(self, name: str, shared: Sequence[World], question: Question) -> Path:
        if name not in self.rolled_up:
            folder = self.place / str(len(self.rolled_up))
            self.rolled_up[name] = worlds.rolled_up(
                merged(shared), folder, arrival=question.arrival, engine=SPARK
            )
        return self.rolled_up[name]


def unmet(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features that look at one customer alone."""
    return tuple(f for f in features if not any(c.startswith(PEERS) for c in f.columns()))


def _shareable(question: Question) -> Question:
    """Who asks for everything gets what worlds that share a log can say."""
    is_everything = question.features == tuple(worlds.FEATURES)
    return replace(question, features=unmet(question.features)) if is_everything else question


def _rollup(world: World, question: Question) -> str:
    has_versions = any(row.get("valid_from") for row in world.customers)
    alone = (
        ""
        if not world.dates and unmet(question.features) == question.features
        else _key(world, question)
    )
    return f"{question.arrival} {has_versions} {alone}"


def _question(world: World, question: Question) -> str:
    return f"{_rollup(world, question)} {replace(question, features=())!r}"


def _key(world: World, question: Question) -> str:
    return f"{world!r} {question!r}"
