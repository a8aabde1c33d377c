"""`churn simulate`: the demo product's usage logs, and its truth where no stage reads it."""

import logging
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn import simulate
from churn.io import progress
from churn.settings import Settings
from churn.timeline import parse_date

log = logging.getLogger("churn")

TRUTH_MARK = ".truth"
"""A folder with this file is refused as a source."""


def run(settings: Settings) -> None:
    """Write `demo/` (events by week, side tables) and `truth/`; an old demo is replaced."""
    world = settings.source.world
    parse_date(world.start, key="source.world.start")
    demo, truth = settings.place / "demo", settings.place / "truth"
    staging = settings.place / ".staging-demo"
    shutil.rmtree(staging, ignore_errors=True)
    (staging / "demo" / "events").mkdir(parents=True)
    (staging / "truth").mkdir()
    (staging / "truth" / TRUTH_MARK).touch()
    n_events = _write(staging, world, seed=settings.seed)
    for target in (demo, truth):
        shutil.rmtree(target, ignore_errors=True)
        (staging / target.name).rename(target)
    staging.rmdir()
    log.info(
        "simulated %s customers, %d weeks: %s events",
        f"{world.n_customers:,}",
        world.n_weeks,
        f"{n_events:,}",
    )


def _write(staging: Path, world: simulate.World, *, seed: int) -> int:
    """Stream the weeks into files; returns the number of events."""
    n_events = 0
    sides: dict[str, list[pa.Table]] = {"subscriptions": [], "contacts": [], "truth": []}
    weeks = simulate.simulate(world, seed=seed)
    for week in progress.watched(weeks, total=world.n_weeks, what="simulating weeks"):
        name = f"week_{week.week:03d}.parquet"
        pq.write_table(week.events, staging / "demo" / "events" / name, compression="zstd")
        n_events += week.events.num_rows
        for side, tables in sides.items():
            tables.append(getattr(week, side))
    for side in ("subscriptions", "contacts"):
        pq.write_table(pa.concat_tables(sides[side]), staging / "demo" / f"{side}.parquet")
    pq.write_table(simulate.customers(world, seed=seed), staging / "demo" / "customers.parquet")
    pq.write_table(pa.concat_tables(sides["truth"]), staging / "truth" / "weeks.parquet")
    return n_events
