"""What a run says, for machines: JSON lines that name the run, and the log that every week keeps.

A job that nobody watches needs its log even where no supervisor keeps one, and a line needs to say
which run, stage and week it belongs to. None of it stands in a revision: a log knows the clock.
"""

import json
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from churn.errors import ChurnError

log = logging.getLogger("churn")


@dataclass
class Now:
    """What this process is doing; `seconds` is what each stage has taken so far."""

    command: str | None = None
    stage: str | None = None
    as_of: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)


now = Now()


@cache
def run_id() -> str:
    """When this process began, in UTC, and four digits by chance: names of logs sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What is said meanwhile belongs to stage `name`, and its seconds are counted."""
    before, started = now.stage, time.perf_counter()
    now.stage = name
    try:
        yield
    finally:
        now.stage = before
        now.seconds[name] = now.seconds.get(name, 0.0) + time.perf_counter() - started


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, run, command, stage, as_of, message; of an error its four
    parts and the exit code. What would move a cursor, end a line or turn a text round is escaped;
    letters stand as they are, so that an id is found by searching for it."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": run_id(),
            "command": now.command,
            "stage": now.stage,
            "as_of": now.as_of,
            "message": record.getMessage(),
        }
        error = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(error, ChurnError):
            said |= {"message": error.what, "exit_code": error.exit_code}
            said |= {name: getattr(error, name) for name in ("got", "expected", "next_step")}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return "".join(map(_escaped, json.dumps(said, ensure_ascii=False)))


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1]


@contextmanager
def kept(folder: Path, *, keep: int) -> Iterator[None]:
    """Keep what is said meanwhile as `folder`/<run id>.jsonl, and the `keep` newest such logs; with 0
    none. How it ends is its last line. A log that cannot be written keeps nothing else back."""
    try:
        file = _opened(folder, keep=keep) if keep else None
    except OSError as error:
        log.warning("this run keeps no log: %s", error)
        file = None
    if file is None:
        yield
        return
    log.addHandler(file)
    try:
        yield
    except BaseException as error:
        file.handle(_last(logging.ERROR, error if str(error) else type(error).__name__))
        raise
    else:
        file.handle(_last(logging.INFO, "done"))
    finally:
        log.removeHandler(file)
        with suppress(OSError):
            file.close()


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        """On a full disk the lines still go to the error stream."""


def _opened(folder: Path, *, keep: int) -> _File:
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.jsonl"))[: -keep + 1 or None]:
        old.unlink()
    file = _File(folder / f"{run_id()}.jsonl", encoding="utf-8")
    file.setFormatter(JsonLines())
    return file


def _last(level: int, said: object) -> logging.LogRecord:
    made = log.makeRecord(log.name, level, "", 0, "%s", (said,), None)
    if isinstance(said, BaseException) and not isinstance(said, ChurnError | OSError | MemoryError):
        made.exc_info = (type(said), said, said.__traceback__)
    return made
