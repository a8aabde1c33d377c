"""Models in folders: hashed, whole, and never opened when they are not what was written."""

import json
from pathlib import Path

import numpy as np
import panels
import pytest

from churn.errors import HeldBackError, InputError
from churn.io import bundle
from churn.learning import backtest, models
from churn.learning.models import Model, Recipe

ROWS = backtest.mature(panels.panel())
MODEL = models.fit(ROWS, features=panels.FEATURES, recipe=Recipe(**panels.RECIPE))
DECISIVE = {"churn": panels.churn(), "panel": {"lookback_days": 182, "roles": {}}}


def save(place: Path, *, model: Model = MODEL, decisive=DECISIVE, **record) -> dict:
    return bundle.save(place, model, features=panels.FEATURES, decisive=decisive, record=record)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    bundle.point(tmp_path, "champion", save(tmp_path, base_rate=0.1))
    return tmp_path


def test_what_was_saved_is_loaded_bit_by_bit(place: Path) -> None:
    found = bundle.load(place)
    assert (models.predict(found.model, ROWS) == models.predict(MODEL, ROWS)).all()
    assert found.features == panels.FEATURES
    assert found.spec["panel"] == DECISIVE["panel"]
    assert found.spec["base_rate"] == 0.1
    assert found.version == found.entry["version"]


def test_there_is_no_pickle(place: Path) -> None:
    files = sorted(p.name for p in (place / "models" / bundle.load(place).version).iterdir())
    assert files[0] == "booster.txt"
    assert files[1].startswith("record.")
    assert files[1].endswith(".json")
    assert files[2:] == ["spec.json"]


def test_the_version_hangs_on_what_decides_predictions_alone(tmp_path: Path) -> None:
    version = save(tmp_path, log_loss=0.1)["version"]
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert save(tmp_path, log_loss=0.2)["version"] == version
    other = {**DECISIVE, "panel": {"lookback_days": 364, "roles": {}}}
    assert save(tmp_path, decisive=other)["version"] != version
    assert (
        save(tmp_path, decisive={**DECISIVE, "churn": panels.churn(gap_days=7)})["version"]
        != version
    )


def test_training_the_same_model_again_does_not_touch_the_champion(place: Path) -> None:
    before = bundle.load(place)
    bundle.point(place, "challenger", save(place, base_rate=0.2))
    assert bundle.load(place).spec == before.spec
    assert bundle.load(place, "challenger").spec["base_rate"] == 0.2


@pytest.mark.parametrize("name", ["booster.txt", "spec.json", "record"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_file_is_refused_before_it_is_opened(place: Path, name: str, damage: str) -> None:
    folder = place / "models" / bundle.pointer(place, "champion")["version"]
    (path,) = folder.glob(f"{name}*")
    content = path.read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(flipped if damage == "flip" else content[: len(content) // 2])
    with pytest.raises(InputError, match="is not the file that was written"):
        bundle.load(place)


def test_a_pointer_without_hashes_is_refused(place: Path) -> None:
    bundle.point(place, "champion", {**bundle.pointer(place, "champion"), "sha256": {}})
    with pytest.raises(InputError):
        bundle.load(place)


def test_a_damaged_folder_is_mended_by_training_again(place: Path) -> None:
    entry = bundle.pointer(place, "champion")
    (place / "models" / entry["version"] / "booster.txt").write_text("tree")
    assert save(place, base_rate=0.1) == entry
    assert bundle.load(place).version == entry["version"]


def test_without_a_model_a_person_must_look(tmp_path: Path) -> None:
    with pytest.raises(HeldBackError, match="no champion model yet"):
        bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["lightgbm", "logistic"])
def test_either_member_alone_can_be_kept(tmp_path: Path, name: str) -> None:
    model = models.fit(ROWS, features=panels.FEATURES, recipe=Recipe(model=name, **panels.RECIPE))
    bundle.point(tmp_path, "champion", save(tmp_path, model=model))
    loaded = bundle.load(tmp_path).model
    assert (models.predict(loaded, ROWS) == models.predict(model, ROWS)).all()


def test_json_has_one_spelling() -> None:
    assert bundle.canonical({"b": 1, "a": [0.1]}) == '{"a":[0.1],"b":1}'
    assert json.loads(bundle.canonical(0.1 + 0.2)) == 0.1 + 0.2
    with pytest.raises(ValueError, match="not JSON compliant"):
        bundle.canonical(np.nan)
