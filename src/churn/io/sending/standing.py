"""What everybody is told of the list that is current: a page for people, a status for monitors.

Both stand outside the revisions, which never change. A run that publishes nothing leaves the
revisions as they are and says here why the list is old.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

from churn.errors import ChurnError, DeliveryError, LockedError, MachineError
from churn.io import revisions, tables, wording
from churn.io.documents import page

log = logging.getLogger("churn")

STATUS, INDEX = "status.json", "index.html"


def fresh(published: Path, *, last_day: date) -> None:
    """Say which revision is current; its age is counted to the log's last day."""
    now = revisions.names(published)[-1]
    as_of = date.fromisoformat(now.split("/")[0])
    status = {
        "current": now,
        "as_of": as_of.isoformat(),
        "age_days": max(0, (last_day - as_of).days),
        "is_stale": False,
        "exit_code": 0,
        "refused": None,
        "deliveries": [],
    }
    _write(published, status, banner=None, why=[])


@contextmanager
def told(published: Path) -> Iterator[None]:
    """Whatever ends the body early is told to everybody who asks for the list, and raised.

    Not that another run is at work, which has its own say, and not a list that is out all the same.
    """
    try:
        yield
    except (LockedError, DeliveryError):
        raise
    except ChurnError as error:
        _if_possible(published, error)
        raise
    except Exception as error:
        _if_possible(published, _unforeseen(error))
        raise


def stale(published: Path, error: ChurnError) -> None:
    """Say that the run which should have brought a new list published nothing, and why."""
    status = status_of(published) | {
        "is_stale": True,
        "exit_code": error.exit_code,
        "refused": {
            "what": error.what,
            "got": error.got,
            "expected": error.expected,
            "next_step": error.next_step,
        },
    }
    _write(published, status, banner=_banner(published), why=_why(error))


def status_of(published: Path) -> dict[str, Any]:
    """What the status for monitors says now; of nothing where there is none that can be read."""
    nothing: dict[str, Any] = dict.fromkeys(("current", "as_of", "age_days", "refused"))
    nothing |= {"is_stale": False, "exit_code": 0, "deliveries": []}
    try:
        found = tables.read_json(published / STATUS)
    except (OSError, ChurnError):
        return nothing
    return nothing | found if isinstance(found, dict) else nothing


def _if_possible(published: Path, error: ChurnError) -> None:
    """On a full disk the first failure matters more than that it cannot be told here."""
    with suppress(OSError, ChurnError):
        stale(published, error)


def _unforeseen(error: Exception) -> MachineError:
    """What nobody wrote words for; only the system's own are known to hold no secret."""
    said = str(error) if isinstance(error, OSError) else type(error).__name__
    return MachineError(
        "the weekly run failed",
        got=said or "an error without words",
        expected="room on the disk, memory, and rights to write",
        next_step="read the log of the run, put it right, then run `churn weekly` again",
    )


def _banner(published: Path) -> str:
    there = revisions.names(published)
    data = f"data as of {wording.day(there[-1].split('/')[0])}" if there else "no list yet"
    return f"STALE, {data}: the weekly run published nothing new."


def _why(error: ChurnError) -> list[str]:
    """The parts of `error` in lines."""
    found = f"Found: {error.got}. Expected: {error.expected}."
    return [error.what, found, f"What to do: {error.next_step}"]


def _write(published: Path, status: dict[str, Any], *, banner: str | None, why: list[str]) -> None:
    listed = revisions.names(published)
    now = listed[-1] if listed else None
    html = page.index_html(
        current=now,
        as_of=date.fromisoformat(now.split("/")[0]) if now else None,
        banner=banner,
        why=why,
        revisions=list(reversed(listed)),
    )
    tables.write_json(published / STATUS, status)
    tables.write_bytes(published / INDEX, html.encode())
