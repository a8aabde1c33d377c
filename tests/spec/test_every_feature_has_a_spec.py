"""A feature of the default configuration without a spec row fails here."""

from importlib import import_module
from pathlib import Path

import pytest
import world as worlds

HERE = Path(__file__)
MODULES = [
    import_module(path.stem) for path in sorted(HERE.parent.glob("test_*.py")) if path != HERE
]
ROWS = {
    feature: (expected, module.__name__)
    for module in MODULES
    for feature, expected in getattr(module, "ROWS", {}).items()
}


@pytest.mark.parametrize("feature", [item.name for item in worlds.FEATURES])
def test_a_default_feature_has_a_row_with_a_value(feature):
    assert feature in ROWS, "add a row to the spec of its family"
    expected, _ = ROWS[feature]
    assert any(value not in (None, 0) for value in expected.values())


def test_a_feature_stands_in_the_spec_of_its_family():
    family = {item.name: f"test_{item.family}" for item in worlds.FEATURES}
    assert {feature: where for feature, (_, where) in ROWS.items()} == family
