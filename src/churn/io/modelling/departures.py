"""What became of customers after past snapshots, as known at a date."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date

import pandas as pd

from churn.features import panel
from churn.features.labels import Definition
from churn.io import bundle
from churn.io.engine import opened, resources
from churn.io.modelling import plans
from churn.io.workspace import Workspace
from churn.settings import Settings


def definition(settings: Settings) -> Definition:
    """What the champion calls churn, or the configuration where there is no champion."""
    if bundle.pointer(settings.place, "champion") is None:
        return settings.churn
    return Definition(**bundle.described(settings.place).spec["churn"])


def left_after(settings: Settings, as_of: date, snapshots: Collection[date]) -> pd.DataFrame:
    """When everybody who could churn at `snapshots` left: customer_id, as_of (the snapshot),
    `left_after_days` from the snapshot on (null: not left as far as known at `as_of`), and `label`
    (null while its window is not over). Leaving is what `definition` says.
    """
    workspace = Workspace(settings.place)
    settings = replace(settings, churn=definition(settings))
    types = workspace.usage_facts()["event_types"]
    with opened(resources(settings.engine), workspace.usage()) as engine:
        plan = plans.without_features(settings, sorted(snapshots), as_of, types)
        rows = engine.table(panel.statement(plan)).to_pandas()
    return pd.DataFrame(
        {
            "customer_id": rows["customer_id"],
            "as_of": pd.to_datetime(rows["snapshot"]).dt.date,
            "left_after_days": rows["left_after_days"] + settings.churn.gap_days,
            "label": rows["label"].astype(float),
        }
    )
