"""Small worlds for tests: text tables in, panel rows out, by the engine and by the reference."""

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import reference
import yaml
from reference import Row, World

from churn import contracts
from churn.features import definitions, panel
from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.features.vocabulary import NEEDS, Vocabulary
from churn.io import tables
from churn.io.engine import Resources, opened, resources
from churn.io.modelling import panels
from churn.io.workspace import SIDES, Workspace, arrow_schema, weigh
from churn.settings import CONF, Settings, SourceSettings, feature_documents
from churn.stages import rollup
from churn.timeline import Arrival

DEFAULTS = yaml.safe_load((CONF / "features" / "default.yaml").read_text())

VOCABULARY = Vocabulary(
    windows=DEFAULTS["windows"],
    event_types=["login", "export", "search"],
    roles={"error": ["api_error"], "support": ["ticket"], "payment_failed": ["card_declined"]},
    available=NEEDS,
    static={"country": "category", "size": "number"},
    dates=["holiday", "Rain mm"],
    tastes={"items": ["pen", "ink"], "weights": [[500, -250], [1, 2000]]},
    topics={
        "terms": ["broken", "thanks"],
        "idf": [1.0, 2.0],
        "components": [[1.0, 0.0], [0.6, 0.8]],
    },
)
"""Three chosen event types, one of each role, two topics, two series, two tastes, and everything else a log can have."""

FEATURES = definitions.expand(feature_documents(Settings()), VOCABULARY)
"""Every feature of the default configuration, in that vocabulary."""


@dataclass(frozen=True)
class Question:
    """Which panel of a world: `snapshots`, labels as known at `as_of`, under `definition`."""

    snapshots: tuple[date, ...]
    as_of: date
    definition: Definition = field(default_factory=lambda: Definition("inactivity"))
    arrival: Arrival = field(default_factory=Arrival)
    features: tuple[Feature, ...] = tuple(FEATURES)
    vocabulary: Vocabulary = VOCABULARY
    lookback_days: int = DEFAULTS["lookback_days"]


def rows_of(kind: str, text: str, *, snapshot: date | None = None) -> list[Row]:
    """The rows of a text table with a header, typed as the contract of `kind` says; empty is None.

    Columns `age` (days before `snapshot`) and `at` (a time of that day) together make `ts`; `times`
    says how often the row stands in the log.
    """
    lines = [line for line in text.strip().splitlines() if set(line.strip()) - set("-+| ")]
    names, *cells = ([cell.strip() for cell in line.split("|")] for line in lines)
    types = contracts.SOURCES[kind].columns
    rows = []
    for line in cells:
        given = dict(zip(names, line, strict=True))
        times = int(given.pop("times", 1))
        row = {name: typed(text, types.get(name, "ANY")) for name, text in given.items()}
        if "age" in row:
            day = snapshot - timedelta(days=int(row.pop("age")))
            row["ts"] = datetime.combine(day, time.fromisoformat(row.pop("at")))
        rows += [{name: row.get(name) for name in (*types, *row)}] * times
    return rows


def typed(text: str, kind: str) -> Any:
    if text == "":
        return None
    if kind == "ANY":
        return float(text) if text.replace(".", "").isdigit() and "." in text else text
    readers: dict[str, Callable[[str], Any]] = {
        "VARCHAR": str,
        "DOUBLE": float,
        "DATE": date.fromisoformat,
        "TIMESTAMP": datetime.fromisoformat,
    }
    return readers[kind](text)


def world_of(tables: Mapping[str, str], *, snapshot: date | None = None) -> World:
    return World(**{kind: rows_of(kind, text, snapshot=snapshot) for kind, text in tables.items()})


def write_table(kind: str, rows: Sequence[Row], path: Path) -> None:
    """Rows as a Parquet file; customers may have columns of their own."""
    schema = arrow_schema(contracts.SOURCES[kind])
    for name in dict.fromkeys(name for row in rows for name in row if name not in schema.names):
        values = pa.array([row.get(name) for row in rows])
        schema = schema.append(pa.field(name, values.type))
    filled = [{name: row.get(name) for name in schema.names} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(filled, schema=schema), path)


def write(world: World, folder: Path, *, files: Sequence[Sequence[Row]] | None = None) -> None:
    """`world` as the files of a source; the events as one file or as the given `files`."""
    for number, rows in enumerate(files if files is not None else [world.events]):
        write_table("events", rows, folder / "events" / f"part_{number}.parquet")
    for kind in SIDES:
        if getattr(world, kind):
            write_table(kind, getattr(world, kind), folder / f"{kind}.parquet")


def settings_of(
    folder: Path, place: Path, *, arrival: Arrival | None = None, **changes: Any
) -> Settings:
    """Settings that read the files that `write` left in `folder`."""
    sides = {
        kind: str(folder / f"{kind}.parquet")
        for kind in SIDES
        if (folder / f"{kind}.parquet").exists()
    }
    arrival = arrival or Arrival()
    source = SourceSettings(
        events=str(folder / "events" / "*.parquet"),
        arrival_hours=arrival.hours,
        unknown_customers="keep",
        **sides,
    )
    known_at = arrival.known_at.isoformat() if arrival.known_at else None
    as_of = arrival.as_of.isoformat() if arrival.as_of else None
    given = Settings(workspace=str(place), source=source, as_of=as_of, known_at=known_at)
    given.engine.threads = 1
    return dataclasses.replace(given, **changes)


def subscribed(place: Path, as_of: str) -> list[str]:
    """Who could cancel at `as_of` by the slow count of `reference`, from the tables of a workspace."""
    parts = tables.parts(place / "subscriptions", made_by="rollup").values()
    rows = [row for path in parts for row in pq.read_table(path).to_pylist()]
    whole = reference.population(
        World(subscriptions=rows), date.fromisoformat(as_of), Definition("cancellation"), Arrival()
    )
    return sorted(whole)


def by_engine(
    place: Path, question: Question, given: Resources | None = None
) -> dict[tuple[date, str], Row]:
    """The panel of a workspace that has been rolled up: (snapshot, customer) → row."""
    workspace = Workspace(place)
    usage = workspace.usage_facts()
    with opened(given or resources(Settings().engine), workspace.usage()) as engine:
        weigh(engine, question.vocabulary)
        asked = (question, tuple(usage["event_types"]), usage["has_customer_versions"])
        table = engine.table(statement_of(*asked, has_late=usage["has_loaded_at"]))
        if not engine.is_distributed:
            plan = plan_of(*asked, has_late=usage["has_loaded_at"])
            by_range = panels.rows(engine, plan)
            assert equal(by_range, table), "running totals and one statement say the same"
        rows = table.to_pylist()
    keys = [(row.pop("snapshot"), row.pop("customer_id")) for row in rows]
    in_order = sorted(set(keys), key=lambda key: (key[1], key[0]))
    assert keys == in_order, "ordered by customer, and nobody twice"
    return dict(zip(keys, rows, strict=True))


def statement_of(
    question: Question, event_types: tuple[str, ...], has_versions: bool, *, has_late: bool = True
) -> "Text":
    return Text(_statement(Hashable(question), event_types, has_versions, has_late))


@dataclass(frozen=True)
class Text:
    """A statement whose SQL is known: making it takes longer than running it on a small world."""

    text: str

    def sql(self, dialect: Any) -> str:
        assert dialect == "duckdb"
        return self.text


class Hashable:
    """A question as a key of a cache."""

    def __init__(self, question: Question) -> None:
        self.question, self.text = question, repr(question)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashable) and self.text == other.text


@cache
def _statement(
    key: Hashable, event_types: tuple[str, ...], has_versions: bool, has_late: bool
) -> str:
    plan = plan_of(key.question, event_types, has_versions, has_late=has_late)
    return panel.statement(plan).sql(dialect="duckdb")


def plan_of(
    asked: Question, event_types: tuple[str, ...], has_versions: bool, *, has_late: bool
) -> panel.Plan:
    return panel.Plan(
        snapshots=asked.snapshots,
        labels_known_on=asked.as_of,
        lookback_days=asked.lookback_days,
        definition=asked.definition,
        vocabulary=asked.vocabulary,
        features=asked.features,
        all_places=panel.places(event_types),
        arrival=asked.arrival,
        has_customer_versions=has_versions,
        has_late=has_late,
    )


def equal(one: pa.Table, other: pa.Table) -> bool:
    """Whether two panels are equal in every cell, NaN being equal to itself."""
    return one.to_pandas().equals(other.to_pandas())


def by_reference(world: World, question: Question) -> dict[tuple[date, str], Row]:
    return reference.panel(
        world,
        question.features,
        snapshots=question.snapshots,
        as_of=question.as_of,
        definition=question.definition,
        arrival=question.arrival,
        vocabulary=question.vocabulary,
        lookback_days=question.lookback_days,
    )


def rolled_up(world: World, folder: Path, **changes: Any) -> Path:
    """A workspace beside the world's files that holds its roll-up."""
    arrival = changes.pop("arrival", Arrival())
    write(world, folder, files=changes.pop("files", None))
    rollup.run(settings_of(folder, folder / "workspace", arrival=arrival, **changes))
    return folder / "workspace"


def alone(world: World, question: Question) -> dict[tuple[date, str], Row]:
    """The panel of `world` by DuckDB, in a workspace that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return by_engine(rolled_up(world, Path(folder), arrival=question.arrival), question)


answerer = alone
"""Who answers; tests of another engine put theirs in its place."""


def answer(
    tables: Mapping[str, str],
    *,
    snapshot: date,
    later: Sequence[date] = (),
    names: Sequence[str] | None = None,
    **asked: Any,
) -> dict[Any, Row]:
    """What engine and reference both say of text `tables`: customer → row.

    With further snapshots `later`, (snapshot, customer) → row. `names` are the features (all by
    default); `asked` goes into the `Question`.
    """
    world = world_of(tables, snapshot=snapshot)
    if not world.customers:  # the attributes of the vocabulary have to exist
        world.customers.append({"customer_id": "nobody", "country": "DE", "size": 1.0})
    chosen = [item for item in FEATURES if names is None or item.name in names]
    snapshots = (snapshot, *later)
    question = Question(
        snapshots, asked.pop("as_of", max(snapshots)), features=tuple(chosen), **asked
    )
    found = answerer(world, question)
    assert differences(found, by_reference(world, question)) == []
    return found if later else {customer: row for (_, customer), row in found.items()}


def differences(left: Mapping[Any, Row], right: Mapping[Any, Row]) -> list[str]:
    """What is not the same, in words; numbers to 9 digits."""
    said = [f"{key} only left" for key in left if key not in right]
    said += [f"{key} only right" for key in right if key not in left]
    for key in left:
        for name in left[key] if key in right else ():
            one, other = left[key][name], right[key][name]
            if not same(one, other):
                said.append(f"{key} {name}: {one} is not {other}")
    return said


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str) or None in (one, other):
        return one == other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
