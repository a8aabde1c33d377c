"""What everybody is told of the list that is current: a page for people, a status for monitors.

Both stand outside the revisions, which never change. A run that publishes nothing leaves the
revisions as they are and says here why the list is old.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from churn.errors import ChurnError, DeliveryError, LockedError, MachineError
from churn.io import journal, revisions, tables, wording
from churn.io.documents import page

log = logging.getLogger("churn")

STATUS, INDEX = "status.json", "index.html"


AWAITED_DAYS = 28
"""A week so far beyond the log's last day was a slip of the keyboard: nobody waits for it."""


def fresh(published: Path, *, as_of: date, last_day: date) -> None:
    """Say which revision is current, after one of `as_of`; its age is counted to the log's last day.

    While a later week is still held back, that stays said: an older one is no news of it.
    """
    before, now = status_of(published), revisions.names(published)[-1]
    current = date.fromisoformat(now.split("/")[0])
    status = {
        "current": now,
        "as_of": current.isoformat(),
        "age_days": max(0, (last_day - current).days),
        "is_stale": False,
        "exit_code": 0,
        "refused": None,
        "awaited": None,
        "deliveries": [],
    }
    banner, why = None, []
    if before["is_stale"] and _is_awaited(before["awaited"], as_of, last_day):
        status |= {name: before[name] for name in ("is_stale", "exit_code", "refused", "awaited")}
        banner, why = _banner(published), _why(before["refused"])
    _write(published, status, banner=banner, why=why)


def _is_awaited(awaited: str | None, as_of: date, last_day: date) -> bool:
    """Whether a list that was refused is later than that of `as_of`, which came out."""
    if awaited is None:
        return False
    return as_of < date.fromisoformat(awaited) <= last_day + timedelta(days=AWAITED_DAYS)


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


def stale(published: Path, error: ChurnError, *, as_of: str | None = None) -> None:
    """Say that the run which should have brought a new list (of `as_of`, where it came so far)
    published nothing, and why."""
    before = status_of(published)
    refused = {name: getattr(error, name) for name in ("what", "got", "expected", "next_step")}
    still = before["awaited"] if before["is_stale"] else None
    status = before | {
        "is_stale": True,
        "exit_code": error.exit_code,
        "refused": refused,
        "awaited": max(filter(None, (still, as_of)), default=None),
    }
    _write(published, status, banner=_banner(published), why=_why(refused))


def status_of(published: Path) -> dict[str, Any]:
    """What the status for monitors says now; of nothing where there is none that can be read."""
    nothing: dict[str, Any] = dict.fromkeys(("current", "as_of", "age_days", "refused", "awaited"))
    nothing |= {"is_stale": False, "exit_code": 0, "deliveries": []}
    try:
        found = tables.read_json(published / STATUS)
    except (OSError, ChurnError):
        return nothing
    return nothing | found if isinstance(found, dict) else nothing


def _if_possible(published: Path, error: ChurnError) -> None:
    """On a full disk the first failure matters more than that it cannot be told here."""
    with suppress(OSError, ChurnError):
        stale(published, error, as_of=journal.now.as_of)


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


def _why(refused: Mapping[str, str]) -> list[str]:
    """The parts of an error in lines."""
    found = f"Found: {refused['got']}. Expected: {refused['expected']}."
    return [refused["what"], found, f"What to do: {refused['next_step']}"]


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
