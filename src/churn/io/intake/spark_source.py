"""Tables that Spark reads → Parquet files in the workspace, events by month.

Each run reads them whole, by the workers. A month whose rows are what they were is the same file
to the byte, so only months that changed are rolled up again.
"""

import logging
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from churn.contracts import SOURCES
from churn.errors import ConfigurationError, InputError
from churn.io import tables
from churn.io.engine import Resources
from churn.io.intake import declared, forgotten, landing
from churn.io.lock import held
from churn.settings import SourceSettings

log = logging.getLogger("churn")

DATED = (pa.types.is_timestamp, pa.types.is_date)


def fetch(source: SourceSettings, *, workspace: Path, resources: Resources) -> None:
    """Bring what Spark reads on `engine.master` into the workspace, where `listing` finds it.

    Raises `ConfigurationError` without events or the extra, `InputError` for a table or column that
    is missing or cannot be used, or a month that is gone, `MachineError` for a cluster that fails;
    then no event has landed.
    """
    given = {name: getattr(source, name) for name in SOURCES if getattr(source, name)}
    if "events" not in given:
        raise ConfigurationError(
            "source.events is not set",
            got="no table to read",
            expected="the table, files or SELECT that hold the usage log",
            next_step="set source.events=CATALOGUE.SCHEMA.TABLE or source.events='parquet.`FOLDER`'",
        )
    from churn.io.engine.catalogue import Catalogue

    place, gone = landing.folder(source, workspace=workspace), forgotten.read(workspace)
    catalogue = Catalogue(replace(resources, name="spark"))
    with held(place, doing="rollup"):
        schemas = {
            name: catalogue.schema(text, key=f"source.{name}") for name, text in given.items()
        }
        columns = {name: _columns(name, schemas[name], source=source) for name in given}
        tables.write_json(place / "asked.json", given)
        for name, text in given.items():
            target = place / "events" if name == "events" else place
            target.mkdir(parents=True, exist_ok=True)
            by = _month_column(schemas[name], source=source) if name == "events" else None
            with tables.staging(target) as staged:
                files = catalogue.land(text, columns[name], staged / "rows", by_month_of=by)
                for path in files.values():
                    landing.strip(path, source=source, gone=gone)
                if name == "events":
                    _land_events(files, target, text=text)
                else:
                    _land(next(iter(files.values())), target / f"{name}.parquet")


def _columns(name: str, schema: pa.Schema, *, source: SourceSettings) -> list[str]:
    """The columns to read: of events those that are mapped, of another table all."""
    label = f"the table of source.{name}"
    wanted = landing.wanted(name, label, schema.names, source=source)
    for ours, theirs in wanted.items():
        if name == "events" or ours == "customer_id":
            declared.checked_kind(label, ours, schema.field(theirs), source=source)
    return list(dict.fromkeys(wanted.values())) if name == "events" else list(schema.names)


def _month_column(schema: pa.Schema, *, source: SourceSettings) -> str | None:
    ts = source.columns.get("ts", "ts")
    return ts if any(is_one(schema.field(ts).type) for is_one in DATED) else None


def _land_events(files: dict[str, Path], target: Path, *, text: str) -> None:
    """One file per month; a month without rows where there were some is refused, not forgotten."""
    if not files:
        raise InputError(
            "the table of source.events is empty",
            got=f"no rows in {text}",
            expected="at least one event",
            next_step="check that this is the right table",
        )
    there = {path.stem for path in landing.landed(target)}
    if gone := sorted(there - set(files)):
        raise InputError(
            "the table of source.events has lost what was taken in from it",
            got=f"no rows of {', '.join(gone)}",
            expected="the table that was read before, with rows added",
            next_step="check the table; if old months were removed on purpose, name it anew "
            "(a view of another name), which starts a log of its own",
        )
    n_landed = sum(_land(path, target / f"{month}.parquet") for month, path in files.items())
    log.info("%s: %d of %d months are new or changed", text, n_landed, len(files))


def _land(finished: Path, target: Path) -> bool:
    """Put the file in its place unless it is there already."""
    if target.exists() and tables.sha256(target) == tables.sha256(finished):
        return False
    landing.put(finished, target)
    return True
