"""`churn define`: which silence means gone? Candidate definitions beside each other."""

import logging
from datetime import date, timedelta

import pandas as pd

from churn.errors import HeldBackError
from churn.features import candidates, inventory, plan
from churn.features.candidates import Candidates
from churn.io import tables
from churn.io.engine import Engine, opened, resources
from churn.io.lab import choice
from churn.io.workspace import Workspace
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `define/` (definition.md, definition.png) and print the table; changes nothing else.

    Looks at the roll-up as known at `as_of`; `churn.qualifying_events` and `churn.gap_days` count.
    Raises `HeldBackError` when the log is too short for any candidate.
    """
    workspace = Workspace(settings.place)
    usage = workspace.usage_facts()
    as_of = settings.as_of_or_last(usage)
    asked = settings.candidates()
    qualifying = plan.qualifying(settings.churn, plan.places(usage["event_types"]))
    with opened(resources(settings.engine), workspace.usage()) as engine:
        known = engine.table(inventory.first_known_day(known_on=as_of)).to_pylist()[0]["day"]
        first_day = known or as_of
        snapshots = _snapshots(asked, first_day, as_of, step_days=settings.define.step_days)
        steps = candidates.steps(qualifying=qualifying, known_on=as_of)
        silences = engine.table(steps).to_pandas()
        counts = _counts(engine, snapshots, qualifying, as_of, asked)
    by_snapshot = candidates.rates(counts, asked, first_day=first_day, known_on=as_of)
    found = candidates.table(by_snapshot, asked)
    longest = max(*asked.active_days, *asked.horizon_days)
    curve = candidates.returning(
        silences, days=range(1, longest + 1), return_days=asked.return_days
    )
    best = candidates.chosen(found, curve[curve["silent_days"].isin(asked.active_days)], asked)
    written = choice.text(found, best, asked)
    folder = settings.place / "define"
    tables.write_bytes(folder / "definition.md", written.encode())
    tables.write_bytes(folder / "definition.png", choice.picture(curve, by_snapshot, best, asked))
    for line in written.splitlines():
        log.info("%s", line)
    log.info("picture: %s", folder / "definition.png")


def _counts(
    engine: Engine, snapshots: list[date], qualifying: str, as_of: date, asked: Candidates
) -> pd.DataFrame:
    statement = candidates.around(snapshots, qualifying=qualifying, known_on=as_of, asked=asked)
    return engine.table(statement).to_pandas()


def _snapshots(asked: Candidates, first_day: date, as_of: date, *, step_days: int) -> list[date]:
    """Every `step_days` back from the last one that the shortest horizon has a label for."""
    first = first_day + timedelta(days=min(asked.active_days))
    last = as_of - timedelta(days=asked.gap_days + min(asked.horizon_days))
    if last < first:
        raise HeldBackError(
            f"the log is too short to choose a definition at {as_of}",
            got=f"a log from {first_day} on",
            expected=f"at least {min(asked.active_days)} days of history and a horizon of "
            f"{min(asked.horizon_days)} days before as_of",
            next_step="take in a longer log, or set define.active_days and define.horizon_days",
        )
    n = (last - first).days // step_days
    return [last - timedelta(days=step_days * k) for k in reversed(range(n + 1))]
