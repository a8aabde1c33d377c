"""The standard 40 on Featuretools, with cutoff times; run by `peers.py` with an older pandas.

    python benchmarks/peer_featuretools.py NAME JSON

JSON as in `peer_tasks.py`, and `pairs`: a Parquet file with the snapshots and customers wanted. The
trends and a deviation of the population are computed from what the primitives give; one matrix per
training window is needed. The last line of output is a JSON object.
"""

import glob
import json
import sys
import time
from typing import Any

WINDOWS = (7, 14, 28, 56, 84)
LOOKBACK = 84


def featuretools_dfs(given: dict[str, Any]) -> dict[str, Any]:
    """The panel, from one matrix per training window.

    Without `add_last_time_indexes()` a training window is applied to events only, and customers or
    days without a time of their own are silently wrong.
    """
    import featuretools as ft
    import pandas as pd

    began = time.process_time()
    entities = _entity_set(given)
    pairs = pd.read_parquet(given["pairs"])
    pairs["time"] = pd.to_datetime(pairs.pop("snapshot"))
    pairs = pairs[["customer_id", "time"]]
    matrices = {
        days: _matrix(entities, pairs, given["event_types"], days) for days in (*WINDOWS, 35, None)
    }
    panel = _featuretools_panel(matrices, given["event_types"])
    panel.to_parquet(given["out"])
    versions = f"featuretools {ft.__version__}, pandas {pd.__version__}"
    return {"work_s": time.process_time() - began, "versions": versions}


def _entity_set(given: dict[str, Any]) -> Any:
    """events and days → customers, each with the time of its last row."""
    import featuretools as ft
    import pandas as pd

    events, days = _events_and_days(given)
    entities = ft.EntitySet("log")
    entities.add_dataframe(
        dataframe_name="events",
        dataframe=events,
        index="event_id",
        time_index="ts",
        logical_types={"event": "Categorical", "customer_id": "Categorical", "is_night": "Boolean"},
    )
    entities.add_dataframe(
        dataframe_name="days",
        dataframe=days,
        index="day_id",
        time_index="day",
        logical_types={"customer_id": "Categorical", "is_weekend": "Boolean"},
    )
    customers = pd.DataFrame({"customer_id": events["customer_id"].unique()})
    entities.add_dataframe(dataframe_name="customers", dataframe=customers, index="customer_id")
    entities.add_relationship("customers", "customer_id", "events", "customer_id")
    entities.add_relationship("customers", "customer_id", "days", "customer_id")
    entities.add_interesting_values(dataframe_name="events", values={"event": given["event_types"]})
    entities.add_last_time_indexes()
    return entities


def _events_and_days(given: dict[str, Any]) -> tuple[Any, Any]:
    """The log with ids, and one row per customer and active day."""
    import pandas as pd

    files = sorted(glob.glob(given["events"]))
    events = pd.concat((pd.read_parquet(path) for path in files), ignore_index=True)
    events = events.sort_values("ts").drop(columns=["loaded_at"], errors="ignore")
    events["ts"] = events["ts"].astype("datetime64[ns]")
    events["event_id"] = range(len(events))
    events["is_night"] = events["ts"].dt.hour < 6
    events["day"] = events["ts"].dt.normalize()
    events["day_id"] = events["customer_id"] + events["day"].dt.strftime(" %Y-%m-%d")
    days = events.drop_duplicates("day_id")[["day_id", "customer_id", "day"]]
    days = days.assign(is_weekend=days["day"].dt.dayofweek >= 5)
    columns = ["event_id", "customer_id", "ts", "event", "value", "is_night"]
    return events[columns], days


def _matrix(entities: Any, pairs: Any, event_types: list[str], days: int | None) -> Any:
    """The features of one training window; without a window only the time since the first day."""
    import featuretools as ft
    from featuretools import primitives as p

    events, dated = entities["events"], entities["days"]

    def over(column: Any, primitive: Any, **more: Any) -> Any:
        base = ft.IdentityFeature(column)
        return ft.AggregationFeature(
            base, parent_dataframe_name="customers", primitive=primitive, **more
        )

    count = over(events.ww["event_id"], p.Count)
    features = {"n": count}
    if days is None:
        features = {"tenure": over(dated.ww["day"], p.TimeSinceFirst(unit="days"))}
    if days in WINDOWS:
        features |= {
            "n_active_days": over(dated.ww["day_id"], p.Count),
            "value": over(events.ww["value"], p.Sum),
            "n_event_types": over(events.ww["event"], p.NumUnique),
        }
    if days == 28:
        for event in event_types:
            where = ft.IdentityFeature(events.ww["event"]) == event
            features[f"n_{event}"] = over(events.ww["event_id"], p.Count, where=where)
    if days == LOOKBACK:
        features |= {
            "recency": over(dated.ww["day"], p.TimeSinceLast(unit="days")),
            "weekend": over(dated.ww["is_weekend"], p.PercentTrue),
            "night": over(events.ww["is_night"], p.PercentTrue),
            "gap": over(dated.ww["day"], p.AvgTimeBetween(unit="days")),
        }
        step = ft.GroupByTransformFeature(
            [ft.IdentityFeature(dated.ww["day"])],
            primitive=p.TimeSincePrevious(unit="days"),
            groupby=ft.IdentityFeature(dated.ww["customer_id"]),
        )
        features["deviation"] = ft.AggregationFeature(
            step, parent_dataframe_name="customers", primitive=p.Std
        )
    named = [feature.rename(name) for name, feature in features.items()]
    return ft.calculate_feature_matrix(
        named,
        entityset=entities,
        cutoff_time=pairs,
        training_window=f"{days} days" if days else None,
        include_cutoff_time=False,
        cutoff_time_in_index=True,
        n_jobs=1,
    ).sort_index()


def _featuretools_panel(matrices: dict[Any, Any], event_types: list[str]) -> Any:
    """The matrices under the names of the standard 40."""
    import pandas as pd

    whole = matrices[LOOKBACK]
    panel = pd.DataFrame(index=whole.index)
    for days in WINDOWS:
        for name in ("n_active_days", "value", "n_event_types"):
            panel[f"{name}_{days}d"] = matrices[days][name].fillna(0)
        panel[f"n_events_{days}d"] = matrices[days]["n"]
    for event in event_types:
        panel[f"n_events_{event}_28d"] = matrices[28][f"n_{event}"]
    for days in (7, 28):
        before = matrices[days + 28]["n"] - matrices[days]["n"]
        now = matrices[days]["n"]
        panel[f"n_events_trend_{days}d"] = (now + 1) / (before * days / 28 + 1)
    panel["recency_days"] = whole["recency"]
    panel["tenure_days"] = matrices[None]["tenure"]
    panel["gap_mean_days"] = whole["gap"]
    n_gaps = panel["n_active_days_84d"] - 1
    of_population = whole["deviation"] * ((n_gaps - 1) / n_gaps) ** 0.5  # its Std is of a sample
    panel["gap_deviation_days"] = of_population.where(n_gaps > 1, whole["gap"] * 0)
    panel["weekend_share_84d"] = whole["weekend"]
    panel["night_share_84d"] = whole["night"]
    panel.index.names = ["customer_id", "snapshot"]
    panel = panel.reset_index()
    return panel.astype(dict.fromkeys(panel.columns[2:], "float64"))


if __name__ == "__main__":
    name, text = sys.argv[1:]
    print(json.dumps(globals()[name](json.loads(text))))
