"""The record of earlier lists of a workspace, as known at a date."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from churn.io import records, tables, wording
from churn.io.documents.handout import Past
from churn.io.modelling import departures
from churn.io.workspace import Workspace
from churn.proof import track_record
from churn.proof.record import by_play
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


def plays(settings: Settings, as_of: date) -> dict[str, str]:
    """What each play has come to so far, in words, by the family that it belongs to."""
    said = records.outcomes(settings.place, by=as_of)
    if said.empty:
        return {}
    became = departures.left_after(settings, as_of, set(said["as_of"]))
    found = by_play(said, became.rename(columns={"label": "churned"}))
    return {str(row["play"]): _come_to(row) for row in found.to_dict("records")}


def _come_to(row: Mapping[Any, Any]) -> str:
    told = f"suggested {row['n_suggested']:,} times, {row['n_contacted']:,} contacted"
    if not row["n_settled"]:
        return f"{told}; too early to say who stayed."
    return f"{told}; {row['n_stayed']:,} of {row['n_settled']:,} settled stayed."


def lists(settings: Settings, as_of: date) -> list[Past]:
    """The record of earlier lists as the page tells it, the newest first."""
    return [
        Past(
            as_of=row["as_of"].isoformat(),
            size=int(row["size"]),
            expected=float(row["expected"]),
            left=None if wording.missing(row["left"]) else int(row["left"]),
            silent_left=None if wording.missing(row["silent_left"]) else float(row["silent_left"]),
            random_left=None if wording.missing(row["random_left"]) else float(row["random_left"]),
        )
        for row in record(settings, as_of).to_dict("records")
    ]
