"""`spec`: a feature's row of a small world, by the engine and by the reference."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from typing import Any

import pytest
import world as worlds
from reference import Row

from churn.features.labels import Definition

S = date(2026, 6, 1)
"""The snapshot of every spec, a Monday: age 1 is Sunday 31 May, age 28 is Monday 4 May."""

SILENT_TOO = Definition("inactivity", active_days=182)


@pytest.fixture
def spec() -> Callable[..., None]:
    def check(
        tables: Mapping[str, str],
        feature: str,
        expected: Mapping[str, Any],
        definition: Definition = SILENT_TOO,
    ) -> None:
        rows = panel(tuple(sorted(tables.items())), definition.name, definition.active_days)
        found = {customer: rows[customer][feature] for customer in expected}
        wrong = {who: x for who, x in found.items() if not worlds.same(x, expected[who])}
        assert not wrong, f"{feature}: expected {expected}"

    return check


@cache
def panel(tables: tuple[tuple[str, str], ...], name: str, active_days: int) -> dict[Any, Row]:
    """Every feature of every customer in these tables, computed once for all rows of a spec."""
    return worlds.answer(dict(tables), snapshot=S, definition=Definition(name, active_days))
