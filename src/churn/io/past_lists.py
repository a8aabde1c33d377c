"""The record of earlier lists of a workspace, as known at a date."""

from datetime import date

import pandas as pd
import pyarrow.parquet as pq

from churn.io import departures, tables
from churn.io.workspace import Workspace
from churn.proof import track_record
from churn.settings import Settings


def record(settings: Settings, as_of: date, *, n_lists: int = 26) -> pd.DataFrame:
    """What became of the `n_lists` lists before `as_of`, the newest first (see `track_record.past`).

    Lists are parts of `retention/`; who was scored then is in `scored/`.
    """
    workspace = Workspace(settings.place)
    folder = workspace.folder("retention")
    parts = [part for part in tables.names(folder) if part < as_of.isoformat()][-n_lists:]
    read = [tables.read(folder, made_by="retain", part=part) for part in parts]
    columns = ["as_of", "customer_id", "risk"]
    listed = pd.concat([rows[columns] for rows in read]) if read else pd.DataFrame(columns=columns)
    days = [date.fromisoformat(part) for part in parts]
    churn = departures.definition(settings)
    became = pd.DataFrame(columns=["as_of", "customer_id", "label"])
    if days:
        became = departures.left_after(settings, as_of, days)
    return track_record.past(
        listed,
        _scored(workspace, days),
        became,
        as_of=as_of,
        window_days=churn.gap_days + churn.horizon_days,
    )


def _scored(workspace: Workspace, days: list[date]) -> pd.DataFrame:
    """as_of, customer_id and recency_days of everybody scored on `days`, where that is still there."""
    folder = workspace.folder("scored")
    wanted = {day.isoformat() for day in days}
    found = [pd.DataFrame(columns=["as_of", "customer_id", "recency_days"])]
    files = tables.parts(folder, made_by="score") if wanted and tables.exists(folder) else {}
    for name, path in files.items():
        part = tables.part_of(name)
        if part in wanted and "recency_days" in pq.read_schema(path).names:
            rows = pq.read_table(path, columns=["customer_id", "recency_days"]).to_pandas()
            found.append(rows.assign(as_of=date.fromisoformat(part)))
    return pd.concat(found[1:] or found, ignore_index=True)
