"""`churn check`: what is in the log, whether it is plausible, and what would be refused."""

import logging
import tempfile
from pathlib import Path

from churn.io import accounts, sources
from churn.io.engine import Engine, opened, resources
from churn.io.sources import Intake
from churn.settings import Settings
from churn.usage import quality

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Report schema, rows, span, gaps, lateness and bad rows; the workspace stays as it is.

    Raises `InputError` for what `churn rollup` would refuse, after the report where there is one.
    """
    with tempfile.TemporaryDirectory(prefix="churn-check-") as folder:
        scratch = Path(folder)
        own = scratch if settings.source.name == "complete_journey" else settings.place
        intake = sources.take_in(
            settings.source,
            workspace=own,
            arrival=settings.arrival(settings.as_of_date()),
            resources=resources(settings.engine),
            max_rejected_share=1.0,
            cache=scratch / "deliveries",
        )
        sides = sources.side_tables(settings.source, workspace=own, cache=scratch / "deliveries")
        with opened(resources(settings.engine)) as engine:
            intake.bind(engine, None)
            counts = {name: table.num_rows for name, table in sides.items()}
            report(findings(intake, engine, sides=counts))
    share = settings.rollup.max_rejected_share
    accounts.refuse_too_many(intake.accounts, intake.rejects, share=share)


def report(found: quality.Findings) -> None:
    """Log what was found, line by line."""
    for line in quality.report(found):
        log.info("%s", line)


def findings(intake: Intake, engine: Engine, *, sides: dict[str, int]) -> quality.Findings:
    """Everything that is reported, from `clean_events` of all months."""
    return quality.Findings(
        accounts=intake.accounts,
        rejects=intake.rejects,
        overview=engine.table(quality.overview()).to_pylist()[0],
        by_event=engine.table(quality.by_event()).to_pandas(),
        by_week=engine.table(quality.by_week()).to_pandas(),
        days=engine.table(quality.active_days())["day"].to_pylist(),
        lateness=engine.table(quality.lateness()).to_pandas() if intake.has_loaded_at else None,
        sides=sides,
    )
