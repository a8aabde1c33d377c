"""Everything scoring needs in one folder, hashed: trees as text, the rest as JSON, no pickle.

`WORKSPACE/models/<version>/` holds `booster.txt`, `spec.json` (what decides predictions; its hash
is the version) and a `record.<hash>.json` for each training that ended in this model (snapshots,
base rate, figures). Files are never changed. `WORKSPACE/<alias>.json` (champion, challenger,
previous) names a version and the sha256 of its files. Hashes are compared before a file is opened:
LightGBM aborts the process on a text that was cut short, and loads most texts in which one
character is wrong.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.errors import HeldBackError, InputError
from churn.features.definitions import Feature
from churn.io import tables

if TYPE_CHECKING:
    from churn.learning.models import Model

BOOSTER = "booster.txt"
SPEC = "spec.json"
NEXT_STEP = (
    "run `churn train` and `churn promote` again, or `churn promote promote.back=true` to return to "
    "the previous champion"
)


@dataclass(frozen=True)
class Described:
    """What was written beside a model (`spec`, with the record of its training in it) and its
    pointer (`entry`)."""

    spec: dict[str, Any]
    entry: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.spec["version"])

    @property
    def features(self) -> list[Feature]:
        return [Feature(**entry) for entry in self.spec["features"]]


@dataclass(frozen=True)
class Bundle(Described):
    """The same with the model itself, ready to predict."""

    model: "Model"


def save(
    place: Path,
    model: "Model",
    *,
    features: Sequence[Feature],
    decisive: Mapping[str, Any],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `model` under `place`/models and return its pointer: version and sha256 of each file.

    `decisive` is what scoring needs beside the model (`churn`, the definition; `panel`, the facts
    from which the features are rebuilt): it is part of the version. `record` (training snapshots,
    figures) is kept beside it and decides nothing.
    """
    from churn.learning import models

    text, core = models.to_spec(model)
    spec = {"model": core, "features": [vars(f) for f in features], **decisive}
    version = hashlib.sha256((text + canonical(spec)).encode()).hexdigest()[:12]
    content = {
        BOOSTER: text.encode(),
        SPEC: (canonical({**spec, "version": version}) + "\n").encode(),
    }
    notes = (canonical(record) + "\n").encode()
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    folder = place / "models" / version
    if not all((folder / n).exists() and tables.sha256(folder / n) == h for n, h in hashes.items()):
        _write_folder(folder, content)
    digest = hashlib.sha256(notes).hexdigest()
    name = f"record.{digest[:12]}.json"
    tables.write_bytes(folder / name, notes)
    return {"version": version, "sha256": {**hashes, name: digest}}


def load(place: Path, alias: str = "champion") -> Bundle:
    """The model that `alias` points to, after its files were found to be the ones written.

    Raises `HeldBackError` when there is no such model yet, `InputError` when a file is gone or
    is another one.
    """
    return opened(place, _required(place, alias))


def described(place: Path, alias: str = "champion") -> Described:
    """What `load` checks and reads, without opening the trees: that takes LightGBM and a second."""
    return _described(place, _required(place, alias))


def opened(place: Path, entry: Mapping[str, Any]) -> Bundle:
    """The model of a pointer, checked as in `load`."""
    from churn.learning import models

    found = _described(place, entry)
    path = place / "models" / found.version / BOOSTER
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    tables.require_hash(path, digest, entry["sha256"].get(BOOSTER), next_step=NEXT_STEP)
    model = models.from_spec(content.decode(), found.spec["model"])
    return Bundle(found.spec, found.entry, model)


def is_whole(place: Path, alias: str) -> bool:
    """Whether the files that `alias` points to are there and are the ones written."""
    try:
        described(place, alias)
    except InputError:
        return False
    return True


def _required(place: Path, alias: str) -> dict[str, Any]:
    entry = pointer(place, alias)
    if entry is None:
        raise HeldBackError(
            f"there is no {alias} model yet",
            got=f"no {place / f'{alias}.json'}",
            expected="a trained model" if alias == "challenger" else "a promoted model",
            next_step="run `churn train`" + ("" if alias == "challenger" else ", `churn promote`"),
        )
    return entry


def _described(place: Path, entry: Mapping[str, Any]) -> Described:
    folder = place / "models" / str(entry["version"])
    for name in {BOOSTER, SPEC, *entry["sha256"]}:
        tables.verify(folder / name, entry["sha256"].get(name), next_step=NEXT_STEP)
    spec = tables.read_json(folder / SPEC)
    for name in entry["sha256"]:
        if name.startswith("record."):
            spec |= tables.read_json(folder / name)
    return Described(spec, dict(entry))


def pointer(place: Path, alias: str) -> dict[str, Any] | None:
    """What `alias` points to (`version`, `sha256`, perhaps MLflow's ids), or None."""
    path = place / f"{alias}.json"
    return tables.read_json(path) if path.exists() else None


def point(place: Path, alias: str, entry: Mapping[str, Any]) -> None:
    """Make `alias` point to the model of `entry`, in one rename."""
    tables.write_sealed(place / f"{alias}.json", entry)


def canonical(content: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, full precision, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write the files of `folder` and give it its name in one rename; an equal one is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tables.staging(folder.parent) as staged:
        new = staged / "new"
        new.mkdir()
        for name, data in content.items():
            (new / name).write_bytes(data)
            tables.sync(new / name)
        if folder.exists():
            os.replace(folder, staged / "old")
        os.replace(new, folder)
        tables.sync(folder.parent)
