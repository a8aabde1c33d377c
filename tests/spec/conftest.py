"""`spec`: a feature's row of a small world, by every engine and by the reference.

Each test of this folder runs once per engine. Spark answers all worlds together (see `together`):
its tests are called once before, with the reference in the engine's place, to see what they ask.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import together
import world as worlds
from reference import Row

from churn.features.labels import Definition

S = date(2026, 6, 1)
"""The snapshot of every spec, a Monday: age 1 is Sunday 31 May, age 28 is Monday 4 May."""

SILENT_TOO = Definition("inactivity", active_days=182)

ENGINES = ["duckdb", pytest.param("spark", marks=together.ON_SPARK)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks an engine anything, on every engine."""
    if metafunc.module.__name__ != "test_every_feature_has_a_spec":
        metafunc.parametrize("engine", ENGINES, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On Spark the specs of features share two panels; each other question costs one of its own."""
    for item in items:
        if _engine_of(item) == "spark" and "spec" not in item.fixturenames:
            item.add_marker(pytest.mark.slow)


def _engine_of(item: pytest.Item) -> str | None:
    return item.callspec.params.get("engine") if hasattr(item, "callspec") else None


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = getattr(request, "param", "none")
    if name == "spark":
        batch = request.getfixturevalue("batch")
        monkeypatch.setattr(worlds, "answerer", batch.answer)
    return name


@pytest.fixture(scope="session")
def batch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the selected tests will ask Spark."""
    batch = together.Batch(Path(tmp_path_factory.mktemp("spark")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "answerer", batch.record)
        for item in request.session.items:
            if _engine_of(item) == "spark":
                _rehearse(item)
    panel.cache_clear()
    return batch


def _rehearse(item: pytest.Item) -> None:
    given = {name: x for name, x in item.callspec.params.items() if name != "engine"}
    if "spec" in item.fixturenames:
        given["spec"] = checker("rehearsal")
    with suppress(AssertionError, KeyError, pytest.fail.Exception):
        item.obj(**given)


@pytest.fixture
def spec(engine: str) -> Callable[..., None]:
    return checker(engine)


def checker(engine: str) -> Callable[..., None]:
    def check(
        tables: Mapping[str, str],
        feature: str,
        expected: Mapping[str, Any],
        definition: Definition = SILENT_TOO,
    ) -> None:
        asked = tuple(sorted(tables.items())), definition.name, definition.active_days
        rows = panel(engine, *asked)
        found = {customer: rows[customer][feature] for customer in expected}
        wrong = {who: x for who, x in found.items() if not worlds.same(x, expected[who])}
        assert not wrong, f"{feature}: expected {expected}"

    return check


@cache
def panel(
    engine: str, tables: tuple[tuple[str, str], ...], name: str, active_days: int
) -> dict[Any, Row]:
    """Every feature of every customer in these tables, computed once for all rows of a spec."""
    return worlds.answer(dict(tables), snapshot=S, definition=Definition(name, active_days))
