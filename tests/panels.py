"""A small panel whose truth is known, for the tests of learning."""

from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import world as worlds
from reference import World

from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.features.vocabulary import Vocabulary
from churn.io import tables
from churn.settings import Settings

AS_OF = date(2026, 1, 5)
HORIZON_DAYS = 28
RECIPE: dict[str, Any] = {"lightgbm": {"n_rounds": 30, "num_leaves": 7, "min_data_in_leaf": 30}}


def _count(after: int, to: int) -> str:
    """Events that are more than `after` and at most `to` days old, as an expression."""
    return f"SUM(CASE WHEN age_days > {after} AND age_days <= {to} THEN n END)"


FEATURES = [
    Feature("recency_days", "days since the last event", "days", "recency", "MIN(age_days)"),
    Feature("n_events_28d", "events in 28 days", "events", "volume", _count(0, 28)),
    Feature(
        "n_events_trend_28d",
        "28 days against the 56 before",
        "times",
        "trend",
        f"2 * CAST({_count(0, 28)} AS DOUBLE) / NULLIF({_count(28, 84)}, 0)",
    ),
    Feature("tenure_days", "days since sign-up", "days", "tenure", "its_since_first_event_days"),
    Feature("plan", "the plan", "name", "contract", "its_plan", kind="category"),
]


def panel(*, n_customers: int = 400, n_snapshots: int = 6, seed: int = 1) -> pd.DataFrame:
    """One row per (snapshot, customer); silence and a falling trend raise the risk, plan `c` too.

    The snapshot of `AS_OF` comes last and is not mature.
    """
    random = np.random.default_rng(seed)
    last = AS_OF - timedelta(days=HORIZON_DAYS)
    snapshots = [last - timedelta(days=14 * k) for k in reversed(range(n_snapshots))] + [AS_OF]
    parts = []
    for snapshot in snapshots:
        recency = random.exponential(8, n_customers).round() + 1
        trend = random.lognormal(0, 0.5, n_customers)
        trend[random.random(n_customers) < 0.1] = np.nan
        plan = random.choice(["a", "b", "c"], n_customers, p=[0.5, 0.4, 0.1]).astype(object)
        plan[random.random(n_customers) < 0.05] = None
        risk = -2.5 + 0.9 * np.log1p(recency) - 1.0 * np.nan_to_num(np.log(trend)) + (plan == "c")
        label = (random.random(n_customers) < 1 / (1 + np.exp(-risk))).astype(float)
        parts.append(
            pd.DataFrame(
                {
                    "snapshot": snapshot,
                    "customer_id": [f"{k:05d}" for k in range(n_customers)],
                    "recency_days": recency.astype("int64"),
                    "n_events_28d": random.poisson(20 / recency).astype("int64"),
                    "n_events_trend_28d": trend,
                    "tenure_days": random.integers(1, 900, n_customers),
                    "plan": plan,
                    "label": label if snapshot < AS_OF else np.nan,
                    "label_mature": snapshot < AS_OF,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def churn(**changes: Any) -> dict[str, Any]:
    return {
        "name": "inactivity",
        "active_days": 28,
        "horizon_days": HORIZON_DAYS,
        "gap_days": 0,
        "qualifying_events": [],
        **changes,
    }


def facts() -> dict[str, Any]:
    return {
        "features": [asdict(f) for f in FEATURES],
        "as_of": AS_OF.isoformat(),
        "churn": churn(),
        "lookback_days": 182,
        "features_version": "0" * 12,
        "vocabulary": asdict(Vocabulary([28], ["login"], available=[], dates=[])),
        "asked": Settings(churn=Definition(**churn())).panel_question(),
    }


def rolled_up(folder: Path) -> Path:
    """A workspace with the roll-up of a real log, from which the features can be built."""
    random = np.random.default_rng(5)
    days = [AS_OF - timedelta(days=int(k)) for k in random.integers(1, 200, 600)]
    events = [
        {
            "customer_id": f"{k % 40:05d}",
            "ts": datetime.combine(day, time(10)),
            "event": "login",
            "loaded_at": datetime.combine(day, time(11)),
        }
        for k, day in enumerate(days)
    ]
    return worlds.rolled_up(World(events=events), folder)


def write(workspace: Path, rows: pd.DataFrame) -> None:
    """`rows` as the panel table of `workspace`."""
    parts = {str(snapshot): part for snapshot, part in rows.groupby("snapshot")}
    tables.write(workspace / "panel", parts, facts=facts())
