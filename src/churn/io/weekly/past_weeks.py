"""What the gates remember of a week: `WORKSPACE/quality/<as_of>.json`, published or held back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from churn.io import tables
from churn.retention.drift import Shape
from churn.usage.quality import Verdict

N_MOVED = 15


@dataclass(frozen=True)
class Week:
    """The `verdicts` on one week and its `figures` by name; once it was scored, by which model, how its
    features were spread, and the population stability index of the `N_MOVED` that moved most."""

    as_of: date
    verdicts: list[Verdict]
    figures: dict[str, float]
    model_version: str = ""
    shapes: dict[str, Shape] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)


def folder(place: Path) -> Path:
    return place / "quality"


def keep(place: Path, week: Week) -> None:
    """Write what is remembered of `week`, in place of what was."""
    content = asdict(week) | {"as_of": week.as_of.isoformat()}
    tables.write_sealed(folder(place) / f"{week.as_of}.json", content)


def before(place: Path, as_of: date, *, n: int) -> list[Week]:
    """The last `n` remembered weeks before `as_of`, the newest first; one that another version wrote
    in another form is as if it had never been. Raises `InputError` for one that is damaged."""
    found: list[Week] = []
    for path in sorted(folder(place).glob("????-??-??.json"), reverse=True):
        if path.stem < as_of.isoformat() and len(found) < n:
            try:
                found.append(_read(tables.read_json(path)))
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _read(content: Mapping[str, Any]) -> Week:
    return Week(
        date.fromisoformat(content["as_of"]),
        [Verdict(**one) for one in content["verdicts"]],
        {name: float(value) for name, value in content["figures"].items()},
        str(content["model_version"]),
        {name: Shape(**one) for name, one in content["shapes"].items()},
        {name: float(value) for name, value in content["moved"].items()},
    )


def plausible(place: Path, as_of: date, *, n: int) -> list[Week]:
    """The last `n` weeks before `as_of` that no gate held back: only they say what is usual."""
    found = before(place, as_of, n=2 * n)
    return [week for week in found if not any(one.stops for one in week.verdicts)][:n]


def of_model(weeks: Sequence[Week], version: str) -> list[Week]:
    """Those of `weeks` that this model scored."""
    return [week for week in weeks if week.model_version == version]
