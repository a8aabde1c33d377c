"""A synthetic usage log of any size as weekly Parquet files: deterministic, written in small memory.

A week has the same volume in every year, and a week's rows depend on nothing but the seed and its
date, so that a log of three years ends with exactly the files of the log of one year. People come
in sessions: `events_per_day` events (mean of a geometric distribution) per customer and active day.
How often a customer comes is log-normal, event types follow Zipf's law.
"""

import os
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

END = date(2025, 12, 29)
"""The Monday after the last week: `as_of` of everything that is measured."""

WEEKS_PER_YEAR = 52
ROW_GROUP = 500_000
SECONDS_PER_DAY = 86_400

EVENT_TYPES = (
    "page_view", "login", "search", "report_open", "report_edit", "export", "share", "comment",
    "purchase", "invite", "api_call", "api_error", "settings", "support_ticket", "refund",
    "payment_failed",
)  # fmt: skip
VALUED = {"purchase": 1.0, "invite": 0.1, "refund": -1.0}


@dataclass(frozen=True)
class Shape:
    """`events` per year by `events` / 100 customers; `late_share` None: no column `loaded_at`."""

    events: int
    years: int = 1
    events_per_day: float = 3.0
    late_share: float | None = None
    seed: int = 7

    @property
    def n_customers(self) -> int:
        return self.events // 100

    @property
    def pool(self) -> str:
        """The folder of the weekly files, shared by logs of one, two and three years."""
        late = "" if self.late_share is None else f"-late{self.late_share:g}"
        return f"{self.events}-{self.events_per_day:g}{late}-{self.seed}"


def log(folder: Path, shape: Shape, *, more_weeks: int = 0) -> list[Path]:
    """The weekly files of the log, oldest first, and `more_weeks` after `END`; written if absent."""
    first = -WEEKS_PER_YEAR * shape.years
    return [week_file(folder, shape, week) for week in range(first, more_weeks)]


def week_file(folder: Path, shape: Shape, week: int) -> Path:
    """The file of the week that starts `week` weeks after `END`."""
    monday = END + timedelta(weeks=week)
    path = folder / shape.pool / f"events-{monday}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        pq.write_table(_week(shape, week), unfinished, row_group_size=ROW_GROUP)
        os.replace(unfinished, path)
    return path


def linked(files: list[Path], folder: Path) -> str:
    """`files` as hard links in a folder of their own; the glob that matches them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        if not (folder / path.name).exists():
            os.link(path, folder / path.name)
    return f"{folder}/*.parquet"


def _week(shape: Shape, week: int) -> pa.Table:
    """The events of one week in the order of time."""
    random = np.random.default_rng([shape.seed, WEEKS_PER_YEAR * 10 + week])
    n = shape.events // WEEKS_PER_YEAR
    lengths = random.geometric(1 / shape.events_per_day, int(n / shape.events_per_day * 1.1) + 100)
    session = np.repeat(np.arange(len(lengths)), lengths)[:n]
    ts = _times(random, session, n_sessions=len(lengths), week=week)
    order = np.argsort(ts, kind="stable")
    customers = _customers(random, shape, n_sessions=len(lengths))
    types = random.choice(len(EVENT_TYPES), n, p=_zipf(len(EVENT_TYPES))).astype(np.int8)
    columns = {
        "customer_id": _names(shape.n_customers).take(pa.array(customers[session[order]])),
        "ts": pa.array(ts[order] * 1_000_000).cast(pa.timestamp("us")),
        "event": pa.array(EVENT_TYPES).take(pa.array(types)),
        "value": _values(random, types),
    }
    if shape.late_share is not None:
        columns["loaded_at"] = _loaded(random, ts[order], shape.late_share)
    return pa.table(columns)


def _times(
    random: np.random.Generator, session: np.ndarray, *, n_sessions: int, week: int
) -> np.ndarray:
    """Seconds since 1970: sessions by day, mostly in working hours, their events within an hour."""
    monday = (END + timedelta(weeks=week) - date(1970, 1, 1)).days
    days = random.choice(7, n_sessions, p=np.array([18, 18, 18, 17, 15, 7, 7]) / 100)
    hours = np.clip(random.normal(14, 4.5, n_sessions), 0, 22.9)
    start = (monday + days) * SECONDS_PER_DAY + (hours * 3600).astype(np.int64)
    return start[session] + random.integers(0, 3600, len(session))


def _customers(random: np.random.Generator, shape: Shape, *, n_sessions: int) -> np.ndarray:
    """Who comes: customers are as unlike as in real logs (log-normal rates)."""
    return np.searchsorted(_ladder(shape.n_customers, shape.seed), random.random(n_sessions))


@cache
def _ladder(n_customers: int, seed: int) -> np.ndarray:
    """Cumulated shares of all sessions, one step per customer."""
    rates = np.random.default_rng([seed, 1]).lognormal(0, 1, n_customers)
    ladder = np.cumsum(rates) / rates.sum()
    ladder[-1] = 1.0
    return ladder


@cache
def _names(n_customers: int) -> pa.Array:
    return pa.array([f"C{number:06d}" for number in range(n_customers)])


def _zipf(n: int) -> np.ndarray:
    weights = 1 / np.arange(1, n + 1)
    return weights / weights.sum()


def _values(random: np.random.Generator, types: np.ndarray) -> pa.Array:
    """Money with two decimals for the event types that have any, else null."""
    factors = np.array([VALUED.get(event, 0.0) for event in EVENT_TYPES])[types]
    amounts = np.round(random.gamma(2, 20, len(types)) * factors, 2)
    return pa.array(amounts, mask=factors == 0)


def _loaded(random: np.random.Generator, ts: np.ndarray, late_share: float) -> pa.Array:
    """Loaded within half an hour, or 1 to 14 days late for a share of the rows."""
    late = np.where(random.random(len(ts)) < late_share, random.integers(1, 15, len(ts)), 0)
    seconds = ts + random.integers(60, 1800, len(ts)) + late * SECONDS_PER_DAY
    return pa.array(seconds * 1_000_000).cast(pa.timestamp("us"))
