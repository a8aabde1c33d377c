"""`churn check`: what is in the log, whether it is plausible, and what would be refused."""

import logging
import tempfile
from pathlib import Path

import pyarrow as pa
from sqlglot import parse_one

from churn import contracts
from churn.features import inventory, panel
from churn.io.engine import Engine, opened, resources
from churn.io.intake import accounts, sources
from churn.io.intake.sources import Intake
from churn.io.modelling import plans
from churn.io.workspace import SIDES, empty
from churn.settings import Settings
from churn.usage import contents, daily, first_days
from churn.usage.counts import Counts

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Report schema, rows, span, gaps, lateness and bad rows; the workspace stays as it is.

    Raises `InputError` for what `churn rollup` would refuse, after the report where there is one.
    """
    with tempfile.TemporaryDirectory(prefix="churn-check-") as folder:
        scratch = Path(folder)
        own = (
            scratch
            if settings.source.name in ("complete_journey", "sql", "spark")
            else settings.place
        )
        sources.fetch(settings.source, workspace=own, resources=resources(settings.engine))
        intake = sources.take_in(
            settings.source,
            workspace=own,
            arrival=settings.arrival(settings.as_of_date()),
            resources=resources(settings.engine),
            max_rejected_share=1.0,
            cache=scratch / "deliveries",
        )
        sides = sources.side_tables(settings.source, workspace=own, cache=scratch / "deliveries")
        with opened(resources(settings.engine)) as engine, intake.explained(engine):
            intake.bind(engine, None)
            intake.refuse_others(engine.table(contents.by_month()).to_pylist())
            counts = {name: table.num_rows for name, table in sides.items()}
            report(findings(intake, engine, sides=counts))
            report_churn(settings, intake, engine, sides)
    share = settings.rollup.max_rejected_share
    accounts.refuse_too_many(intake.accounts, intake.rejects, share=share)


def report(found: contents.Findings) -> None:
    """Log what was found, line by line."""
    for line in contents.report(found):
        log.info("%s", line)


def report_churn(
    settings: Settings, intake: Intake, engine: Engine, sides: dict[str, pa.Table]
) -> None:
    """Log how many could churn and did at each snapshot that training would use."""
    appeared = daily.first_appearances(with_arrival=intake.has("loaded_at"))
    types = engine.table(appeared)["event"].to_pylist()
    counts, what = Counts(types), {"with_people": False, "with_arrival": intake.has("loaded_at")}
    engine.materialise("daily", daily.daily(counts, **what))
    engine.view("daily_part", parse_one("SELECT * FROM daily"))
    engine.materialise("late", daily.late(counts, **what))
    engine.bind("first_days_before", empty(contracts.FIRST_DAYS))
    engine.materialise("first_days", first_days.first_days())
    for name in SIDES:
        engine.bind(name, sides.get(name, empty(contracts.SOURCES[name])))
    as_of = settings.as_of_date() or intake.last_day
    snapshots = inventory.usable_snapshots(
        plans.wanted_snapshots(settings, as_of),
        first_day=intake.first_day,
        min_history_days=settings.min_history_days(),
    )
    if not snapshots:
        log.info("churn: the log is too short for any snapshot before %s", as_of)
        return
    plan = plans.without_features(settings, snapshots, as_of, types)
    log.info("churn by snapshot: a customer %s", settings.churn.in_words())
    for row in engine.table(panel.churn_rates(plan)).to_pylist():
        share = row["n_churned"] / row["n_active"]
        log.info(
            "  %s  %s active, %s churned, %.1f %%",
            row["snapshot"],
            f"{row['n_active']:,}",
            f"{row['n_churned']:,}",
            100 * share,
        )


def findings(intake: Intake, engine: Engine, *, sides: dict[str, int]) -> contents.Findings:
    """Everything that is reported, from `clean_events` of all months."""
    return contents.Findings(
        accounts=intake.accounts,
        rejects=intake.rejects,
        overview=engine.table(contents.overview()).to_pylist()[0],
        by_event=engine.table(contents.by_event()).to_pandas(),
        by_week=engine.table(contents.by_week()).to_pandas(),
        days=engine.table(contents.active_days())["day"].to_pylist(),
        lateness=engine.table(contents.lateness()).to_pandas() if intake.has("loaded_at") else None,
        sides=sides,
    )
