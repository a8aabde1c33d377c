"""Gauges for Prometheus, as a file for node_exporter's textfile collector, after each weekly run.

They say how the run ended, how old the list is, what went into it and what each gate measured.
Nobody's id, name or address is in them. Times are the machine's: the list has none.
"""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from churn.errors import ChurnError
from churn.io import journal, revisions, tables
from churn.io.sending import outbox, standing
from churn.io.weekly import past_weeks
from churn.settings import Settings

log = logging.getLogger("churn")

FILE = "metrics.prom"

MODE = 0o644
"""Where `weekly.metrics` puts it, another user's collector has to read it."""

Samples = Mapping[tuple[tuple[str, str], ...], float | None]

SUCCESS, WAITING = "churn_last_success_timestamp_seconds", "churn_deliveries_waiting"

HELP = {
    "churn_last_run_timestamp_seconds": "When the last weekly run ended.",
    SUCCESS: "When a weekly run last published, or found nothing to change.",
    "churn_last_run_exit_code": "How the last weekly run ended; see docs/runbook.",
    "churn_last_run_stage_seconds": "Wall seconds of each stage of the last weekly run.",
    "churn_list_as_of_timestamp_seconds": "The date of the list that is published now.",
    "churn_list_age_days": "How many days of the log lie after that date.",
    "churn_list_is_stale": "1 while a run that should have brought a new list was held back or failed.",
    "churn_list_info": "Revision and model of the list that is published now.",
    "churn_rows": "Rows of the log behind that list, by what became of them.",
    "churn_customers": "Customers behind that list, by what became of them.",
    "churn_gate_figure": "What each gate measured for the last week that was looked at.",
    "churn_gate_low": "The least that the gate lets pass.",
    "churn_gate_high": "The most that the gate lets pass.",
    "churn_gate_stops": "1 for a gate that holds the list back.",
    WAITING: "Mails, notices and copies that could not be delivered yet.",
}


@contextmanager
def told(settings: Settings) -> Iterator[None]:
    """Write the gauges when the body has ended, however it did."""
    code = 0
    try:
        yield
    except ChurnError as error:
        code = error.exit_code
        raise
    except BaseException:
        code = 1
        raise
    finally:
        _if_possible(settings, code)


def path_of(settings: Settings) -> Path:
    """Where the gauges stand."""
    given = settings.weekly.metrics
    return Path(given).absolute() if given else settings.place / "published" / FILE


def delivered(settings: Settings) -> None:
    """Say how much still waits; what the last weekly run said of itself stays."""
    path = path_of(settings)
    if path.exists():
        waiting = f"{WAITING} {len(outbox.waiting(settings.place))}"
        _write(settings, re.sub(rf"^{WAITING} .*$", waiting, path.read_text(), flags=re.MULTILINE))


def _if_possible(settings: Settings, code: int) -> None:
    """No figure for a monitor is worth a list, or hides why there is none."""
    try:
        _write(settings, text(_found(settings, code)))
    except (OSError, ValueError, KeyError, TypeError, ChurnError) as error:
        log.warning("no metrics were written: %s", error)


def _write(settings: Settings, content: str) -> None:
    path = path_of(settings)
    tables.write_bytes(path, content.encode())
    if settings.weekly.metrics:
        os.chmod(path, MODE)


def text(found: Mapping[str, Samples]) -> str:
    """`found` in the exposition format: every gauge of `HELP` that has a sample."""
    lines = []
    for name, samples in found.items():
        known = {labels: value for labels, value in samples.items() if value is not None}
        if known:
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels(labels)} {value:.16g}" for labels, value in known.items()]
    return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _found(settings: Settings, code: int) -> dict[str, Samples]:
    published, end = settings.place / "published", time.time()
    status = standing.status_of(published)
    has_published = code in (0, 6)
    return {
        "churn_last_run_timestamp_seconds": {(): end},
        SUCCESS: {(): end if has_published else _before(path_of(settings))},
        "churn_last_run_exit_code": {(): code},
        "churn_last_run_stage_seconds": _by("stage", journal.now.seconds),
        "churn_list_age_days": {(): status["age_days"]},
        "churn_list_is_stale": {(): float(bool(status.get("is_stale")))},
        WAITING: {(): len(outbox.waiting(settings.place))},
        **_of_list(published),
        **_of_gates(settings.place),
    }


def _of_list(published: Path) -> dict[str, Samples]:
    revision = revisions.current(published)
    if revision is None:
        return {}
    manifest = tables.read_json(revision / "manifest.json")
    as_of = datetime.fromisoformat(manifest["as_of"]).replace(tzinfo=UTC).timestamp()
    name = revision.relative_to(published).as_posix()
    info = (("revision", name), ("model_version", str(manifest["model_version"])))
    counts: dict[str, Any] = manifest["counts"]
    return {
        "churn_list_as_of_timestamp_seconds": {(): as_of},
        "churn_list_info": {info: 1},
        "churn_rows": _by("kind", counts["rows"]),
        "churn_customers": _by("kind", {k: v for k, v in counts.items() if k != "rows"}),
    }


def _of_gates(place: Path) -> dict[str, Samples]:
    """The verdicts on the newest week that was looked at, published or not."""
    looked_at = past_weeks.before(place, date.max, n=1)
    if not looked_at:
        return {}
    week = looked_at[0]
    return {
        "churn_gate_figure": _by("gate", {one.gate: one.figure for one in week.verdicts}),
        "churn_gate_low": _by("gate", {one.gate: one.low for one in week.verdicts}),
        "churn_gate_high": _by("gate", {one.gate: one.high for one in week.verdicts}),
        "churn_gate_stops": _by("gate", {one.gate: float(one.stops) for one in week.verdicts}),
    }


def _by(label: str, values: Mapping[str, Any]) -> Samples:
    """One sample for each number of `values`."""
    return {
        ((label, name),): float(value)
        for name, value in sorted(values.items())
        if isinstance(value, int | float)
    }


def _before(path: Path) -> float | None:
    """When a run last succeeded, as the gauges of then said."""
    if not path.exists():
        return None
    line = re.search(rf"^{SUCCESS} (\S+)$", path.read_text(), flags=re.MULTILINE)
    return float(line[1]) if line else None
