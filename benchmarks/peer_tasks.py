"""The standard 40 of several snapshots, as users of pandas and polars would write them.

Run by `peers.py` in environments of their own, so nothing here imports `churn`:

    python benchmarks/peer_tasks.py NAME JSON

JSON: `events` (glob of Parquet files), `snapshots` (dates), `event_types` (the 12 commonest), `out`
(where to write one row per snapshot and customer with an event in 84 days). The definitions are
those of conf/features/standard_40/definitions.yaml. The last line of output is a JSON object.
"""

import glob
import json
import sys
import time
from datetime import timedelta
from typing import Any

WINDOWS = (7, 14, 28, 56, 84)
LOOKBACK = 84


def pandas_groupby(given: dict[str, Any]) -> dict[str, Any]:
    """pandas: one groupby per window and snapshot over the events; ids and types as categories."""
    import pandas as pd

    began = time.process_time()
    files = sorted(glob.glob(given["events"]))
    events = pd.concat((pd.read_parquet(path) for path in files), ignore_index=True)
    events = events.astype({"customer_id": "category", "event": "category"})
    events["day"] = events["ts"].dt.normalize()
    events["is_night"] = events["ts"].dt.hour < 6
    events["is_weekend"] = events["day"].dt.dayofweek >= 5
    first = events.groupby("customer_id", observed=True)["day"].min()
    parts = [
        _pandas_snapshot(events, pd.Timestamp(day), first, given["event_types"])
        for day in given["snapshots"]
    ]
    pd.concat(parts).reset_index().to_parquet(given["out"])
    return {"work_s": time.process_time() - began, "versions": f"pandas {pd.__version__}"}


def _pandas_snapshot(events: Any, snapshot: Any, first: Any, event_types: list[str]) -> Any:
    """One row per customer active in the 84 days before `snapshot`."""
    import pandas as pd

    start = snapshot - pd.Timedelta(days=LOOKBACK)
    past = events[(events["day"] < snapshot) & (events["day"] >= start)]
    age = (snapshot - past["day"]).dt.days
    panel = pd.concat([_pandas_window(past[age <= days], days) for days in WINDOWS], axis=1)
    recent = past[(age <= 28) & past["event"].isin(event_types)]
    counts = recent.groupby(["customer_id", "event"], observed=True).size().unstack(fill_value=0)
    for event in event_types:
        panel[f"n_events_{event}_28d"] = counts.get(event, 0)
    panel = panel.fillna(0)
    for days in (7, 28):
        before = past[(age > days) & (age <= days + 28)].groupby("customer_id", observed=True)
        usual = before.size().reindex(panel.index, fill_value=0) * days / 28
        panel[f"n_events_trend_{days}d"] = (panel[f"n_events_{days}d"] + 1) / (usual + 1)
    panel["tenure_days"] = (snapshot - first.reindex(panel.index)).dt.days
    panel = panel.join(_pandas_rhythm(past, snapshot))
    panel.insert(0, "snapshot", snapshot)
    return panel


def _pandas_rhythm(past: Any, snapshot: Any) -> Any:
    """Recency, gaps and shares over the whole lookback."""
    import pandas as pd

    by_customer = past.groupby("customer_id", observed=True)
    active = past.drop_duplicates(["customer_id", "day"]).sort_values(["customer_id", "day"])
    active_days = active.groupby("customer_id", observed=True)
    gaps = active_days["day"].diff().dt.days.groupby(active["customer_id"], observed=True)
    return pd.DataFrame(
        {
            "recency_days": (snapshot - by_customer["day"].max()).dt.days,
            "gap_mean_days": gaps.mean(),
            "gap_deviation_days": gaps.std(ddof=0),
            "weekend_share_84d": active_days["is_weekend"].mean(),
            "night_share_84d": by_customer["is_night"].mean(),
        }
    )


def _pandas_window(rows: Any, days: int) -> Any:
    """What is counted in every window."""
    named = {
        f"n_events_{days}d": ("ts", "size"),
        f"n_active_days_{days}d": ("day", "nunique"),
        f"value_{days}d": ("value", "sum"),
        f"n_event_types_{days}d": ("event", "nunique"),
    }
    return rows.groupby("customer_id", observed=True).agg(**named)


def polars_naive(given: dict[str, Any]) -> dict[str, Any]:
    """polars: for each snapshot one lazy query, conditional aggregates straight over the events."""
    import polars as pl

    began = time.process_time()
    events = pl.scan_parquet(given["events"]).with_columns(day=pl.col("ts").dt.date())
    first = events.group_by("customer_id").agg(first_day=pl.col("day").min())
    parts = []
    for text in given["snapshots"]:
        snapshot = _date(text)
        past = events.filter(
            pl.col("day") < snapshot, pl.col("day") >= snapshot - timedelta(days=LOOKBACK)
        ).with_columns(age=(pl.lit(snapshot) - pl.col("day")).dt.total_days())
        panel = past.group_by("customer_id").agg(_polars_over_events(given["event_types"]))
        panel = panel.join(_polars_rhythm(past), on="customer_id", how="left")
        panel = panel.join(first, on="customer_id", how="left")
        parts.append(_polars_finished(panel.with_columns(snapshot=pl.lit(snapshot))))
    pl.concat(pl.collect_all(parts)).write_parquet(given["out"])
    return {"work_s": time.process_time() - began, "versions": f"polars {pl.__version__}"}


def _polars_over_events(event_types: list[str]) -> list[Any]:
    import polars as pl

    age, found = pl.col("age"), []
    for days in WINDOWS:
        inside = age <= days
        found += [
            inside.sum().alias(f"n_events_{days}d"),
            pl.col("day").filter(inside).n_unique().alias(f"n_active_days_{days}d"),
            pl.col("value").filter(inside).sum().alias(f"value_{days}d"),
            pl.col("event").filter(inside).n_unique().alias(f"n_event_types_{days}d"),
        ]
    found += [
        ((age <= 28) & (pl.col("event") == event)).sum().alias(f"n_events_{event}_28d")
        for event in event_types
    ]
    for days in (7, 28):
        before = ((age > days) & (age <= days + 28)).sum()
        found.append(before.alias(f"before_{days}d"))
    return [
        *found,
        age.min().alias("recency_days"),
        (pl.col("ts").dt.hour() < 6).mean().alias("night_share_84d"),
    ]


def _polars_rhythm(past: Any) -> Any:
    """Gaps and weekends over the distinct days of a customer."""
    import polars as pl

    days = past.select("customer_id", "day").unique().sort("customer_id", "day")
    gap = pl.col("day").diff().over("customer_id").dt.total_days()
    weekend = pl.col("day").dt.weekday() >= 6
    return days.with_columns(gap=gap, weekend=weekend).group_by("customer_id").agg(
        gap_mean_days=pl.col("gap").mean(),
        gap_deviation_days=pl.col("gap").std(ddof=0),
        weekend_share_84d=pl.col("weekend").mean(),
    )  # fmt: skip


def _polars_finished(panel: Any) -> Any:
    """Tenure and trends, from what was aggregated."""
    import polars as pl

    trends = [
        (
            (pl.col(f"n_events_{days}d").cast(pl.Float64) + 1)
            / (pl.col(f"before_{days}d").cast(pl.Float64) * days / 28 + 1)
        ).alias(f"n_events_trend_{days}d")
        for days in (7, 28)
    ]
    tenure = (pl.col("snapshot") - pl.col("first_day")).dt.total_days().alias("tenure_days")
    return panel.with_columns(*trends, tenure).drop("before_7d", "before_28d", "first_day")


def polars_our_plan(given: dict[str, Any]) -> dict[str, Any]:
    """polars with the plan of this project: roll up to customer and day once, join days to snapshots
    by inequality, then one conditional aggregation."""
    import polars as pl

    began = time.process_time()
    daily = _polars_daily(given).collect()
    snapshots = pl.DataFrame({"snapshot": [_date(text) for text in given["snapshots"]]})
    snapshots = snapshots.with_columns(start=pl.col("snapshot") - timedelta(days=LOOKBACK))
    joined = daily.lazy().join_where(
        snapshots.lazy(), pl.col("day") < pl.col("snapshot"), pl.col("day") >= pl.col("start")
    )
    age = (pl.col("snapshot") - pl.col("day")).dt.total_days()
    gap = pl.when(pl.col("day_before") >= pl.col("start")).then(
        (pl.col("day") - pl.col("day_before")).dt.total_days()
    )
    aggregated = (
        joined.with_columns(age=age, gap=gap)
        .group_by("snapshot", "customer_id")
        .agg(_polars_over_days(given["event_types"]))
    )
    first = daily.lazy().group_by("customer_id").agg(first_day=pl.col("day").min())
    panel = _polars_finished(aggregated.join(first, on="customer_id", how="left"))
    panel.sort("snapshot", "customer_id").collect().write_parquet(given["out"])
    return {"work_s": time.process_time() - began, "versions": f"polars {pl.__version__}"}


def _polars_daily(given: dict[str, Any]) -> Any:
    """One row per customer and day, with the active day before."""
    import polars as pl

    types = given["event_types"]
    everything = sorted({*types, *given["all_event_types"]})
    bits = pl.col("event").replace_strict(
        {event: 1 << place for place, event in enumerate(everything)}, return_dtype=pl.Int64
    )
    counts = [(pl.col("event") == event).sum().alias(f"n_type_{event}") for event in types]
    return (
        pl.scan_parquet(given["events"])
        .with_columns(day=pl.col("ts").dt.date(), bit=bits)
        .group_by("customer_id", "day")
        .agg(
            *counts,
            n=pl.len(),
            value=pl.col("value").sum(),
            night=(pl.col("ts").dt.hour() < 6).sum(),
            mask=pl.col("bit").bitwise_or(),
        )
        .sort("customer_id", "day")
        .with_columns(day_before=pl.col("day").shift(1).over("customer_id"))
    )


def _polars_over_days(event_types: list[str]) -> list[Any]:
    import polars as pl

    age, n, found = pl.col("age"), pl.col("n").cast(pl.Int64), []
    for days in WINDOWS:
        inside = age <= days
        found += [
            pl.when(inside).then(n).otherwise(0).sum().alias(f"n_events_{days}d"),
            inside.sum().alias(f"n_active_days_{days}d"),
            pl.when(inside).then("value").otherwise(0.0).sum().alias(f"value_{days}d"),
            pl.when(inside)
            .then("mask")
            .otherwise(0)
            .bitwise_or()
            .bitwise_count_ones()
            .alias(f"n_event_types_{days}d"),
        ]
    found += [
        pl.when(age <= 28).then(f"n_type_{event}").otherwise(0).sum().alias(f"n_events_{event}_28d")
        for event in event_types
    ]
    for days in (7, 28):
        before = (age > days) & (age <= days + 28)
        found.append(pl.when(before).then(n).otherwise(0).sum().alias(f"before_{days}d"))
    return [
        *found,
        age.min().alias("recency_days"),
        pl.col("gap").mean().alias("gap_mean_days"),
        pl.col("gap").std(ddof=0).alias("gap_deviation_days"),
        (pl.col("day").dt.weekday() >= 6).mean().alias("weekend_share_84d"),
        (pl.col("night").sum() / n.sum()).alias("night_share_84d"),
    ]


def _date(text: str) -> Any:
    from datetime import date

    return date.fromisoformat(text)


if __name__ == "__main__":
    name, text = sys.argv[1:]
    print(json.dumps(globals()[name](json.loads(text))))
