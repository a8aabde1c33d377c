"""Where results go beside the workspace: each local table, once it is written, to a database.

The workspace comes first: what fails here has changed nothing there, and sending again replaces the
rows of the same dates.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.errors import ChurnError, DeliveryError
from churn.io import tables
from churn.io.sending import outbox
from churn.io.sending.outbox import Message
from churn.settings import SinkSettings

log = logging.getLogger("churn")

KIND = "table"

MADE_BY = {"panel": "features", "scores": "score", "retention": "retain"}
DATED = {"panel": "snapshot", "scores": "as_of", "retention": "as_of"}
"""Which column says what a row replaces; with `customer_id` it is the key of the table."""


@dataclass(frozen=True)
class Shipment:
    """Finished local files, and the dates whose rows they replace in the table of the database."""

    name: str
    paths: Sequence[Path]
    dates: Sequence[date]


def require(sink: SinkSettings) -> None:
    """Raise `ConfigurationError` before any work for a sink without a usable address."""
    if sink.name == "sql":
        from churn.io import sql

        sql.address(sink.url_variable)


def send(sink: SinkSettings, names: Sequence[str], *, place: Path, as_of: date) -> None:
    """Write the tables `names` (keys of `MADE_BY`) of workspace `place` for `as_of` to `sink`.

    All are tried. Raises `DeliveryError` for the first that could not be written.
    """
    failures = unsent(sink, names, place=place, as_of=as_of)
    if failures:
        raise failures[0]


def unsent(
    sink: SinkSettings, names: Sequence[str], *, place: Path, as_of: date
) -> list[DeliveryError]:
    """`send`, with the failures returned instead of raised."""
    failures = []
    for name in names:
        target = getattr(sink, name)
        if sink.name == "none" or not target:
            continue
        from churn.io.sending import sql_sink

        try:
            n_rows = sql_sink.replace(sink, target, _shipment(name, place=place, as_of=as_of))
            log.info("%s: %s rows written to table %s", name, f"{n_rows:,}", target)
        except ChurnError as error:
            failures.append(_undelivered(name, target, error))
    return failures


def spooled(
    sink: SinkSettings, names: Sequence[str], *, place: Path, as_of: date | None = None
) -> list[DeliveryError]:
    """`unsent` for `names` at `as_of` and for everything that waits from before; what fails waits in
    the outbox, for `churn deliver` or the next run."""
    due = {one.fingerprint: one for one in outbox.waiting(place) if one.kind == KIND}
    for name in names if as_of else []:
        if sink.name != "none" and getattr(sink, name):
            message = _message(name, place=place, as_of=str(as_of))
            due[message.fingerprint] = message
    failures = []
    for message in sorted(due.values(), key=lambda one: (one.revision, one.name)):
        if sink.name == "none" or not getattr(sink, message.name):
            continue
        day = date.fromisoformat(message.revision)
        failed = unsent(sink, [message.name], place=place, as_of=day)
        if failed:
            outbox.add(place, message)
        elif outbox.waits(place, message):
            outbox.delivered(place, message)
        failures += failed
    return failures


def _message(name: str, *, place: Path, as_of: str) -> Message:
    """That part `as_of` of table `name` has to be written, known by the hashes of its files."""
    files = tables.parts(place / name, made_by=MADE_BY[name])
    chosen = [path.name for part, path in files.items() if tables.part_of(part) == as_of]
    return Message(KIND, as_of, name, " ".join(chosen))


def forget(sink: SinkSettings, customer: str) -> int:
    """Delete the rows of a customer from every table that was written; how many."""
    if sink.name == "none":
        return 0
    from churn.io.sending import sql_sink

    names = [name for key in MADE_BY if (name := getattr(sink, key))]
    return sum(sql_sink.without(sink, name, customer) for name in names)


def _shipment(name: str, *, place: Path, as_of: date) -> Shipment:
    """The panel comes whole, with every snapshot in it; of the others the part of `as_of`."""
    files = tables.parts(place / name, made_by=MADE_BY[name])
    if name != "panel":
        part = as_of.isoformat()
        chosen = [path for found, path in files.items() if tables.part_of(found) == part]
        return Shipment(name, chosen, [as_of])
    paths = list(files.values())
    snapshots = pa.concat_tables([pq.read_table(path, columns=["snapshot"]) for path in paths])
    return Shipment(name, paths, compute.unique(snapshots["snapshot"]).to_pylist())


def _undelivered(name: str, target: str, error: ChurnError) -> DeliveryError:
    return DeliveryError(
        f"{name} was not written to table {target}: {error.what}",
        got=error.got,
        expected=error.expected,
        next_step=f"{error.next_step}; the workspace is complete, `churn {MADE_BY[name]}` sends again",
    )
