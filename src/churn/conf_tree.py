"""The configuration tree on disk: where it is and what can be chosen in it."""

from pathlib import Path

CONF = next(
    place
    for place in (Path(__file__).parent / "conf", Path(__file__).parents[2] / "conf")
    if place.is_dir()
)
"""Inside the wheel, or at the root of the checkout."""


def groups() -> dict[str, list[str]]:
    """The choices of every configuration group, as in `churn=inactivity`.

    >>> groups()["churn"]
    ['cancellation', 'inactivity']
    """
    folders = sorted(place for place in CONF.iterdir() if place.is_dir())
    found = {place.name: sorted(path.stem for path in place.glob("*.yaml")) for place in folders}
    return {name: choices for name, choices in found.items() if choices}


def presets() -> dict[str, str]:
    """The presets (`experiment=NAME`) with the first sentence of each file's comment."""
    return {
        name: _first_comment(CONF / "experiment" / f"{name}.yaml")
        for name in groups()["experiment"]
    }


def _first_comment(path: Path) -> str:
    lines = path.read_text().splitlines()
    comments = [
        line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line
    ]
    return comments[0] if comments else ""
