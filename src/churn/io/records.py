"""What a workspace holds for proof: lists as they were handed out, outcomes, assignments."""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from churn import contracts
from churn.io import revisions, tables
from churn.io.workspace import Workspace, arrow_schema, empty
from churn.proof.outcomes import as_contacts

LIST = ["as_of", "list_id", "customer_id", "family", "play"]


def outcomes(place: Path, *, by: date | None = None) -> pd.DataFrame:
    """What CS had recorded `by` a snapshot, or at all (contracts.OUTCOMES); without rows until
    something was imported."""
    rows = _table(place / "outcomes", contracts.OUTCOMES, made_by="outcomes")
    return rows if by is None or rows.empty else rows[rows["recorded_as_of"] <= by]


def contacts(workspace: Workspace, as_of: date) -> pd.DataFrame:
    """Every contact before `as_of`, as known then (contracts.CONTACTS): those of the source, and those
    that CS recorded on our lists."""
    said = outcomes(workspace.place, by=as_of)
    if said.empty:
        return workspace.contacts(as_of)
    own = as_contacts(said)
    own = own[own["contacted_at"] < pd.Timestamp(as_of)]
    every = pd.concat([workspace.contacts(as_of).astype({"propensity": float}), own])
    return every.sort_values(["customer_id", "contacted_at"], kind="stable", ignore_index=True)


def last_contacts(contacts: pd.DataFrame) -> dict[str, date]:
    """The date of the last of `contacts` by customer."""
    latest = contacts.groupby("customer_id")["contacted_at"].max()
    return {str(customer): moment.date() for customer, moment in latest.items()}


def assignments(place: Path) -> pd.DataFrame:
    """Who was listed and who held out (contracts.ASSIGNMENTS); without rows until there is a list.

    One row per customer and block, the first: workspaces of older versions may have another.
    """
    rows = _table(place / "assignments", contracts.ASSIGNMENTS, made_by="retain")
    first = rows.sort_values(["as_of", "customer_id"], kind="stable")
    return first.drop_duplicates(["customer_id", "block"], ignore_index=True)


def keep_outcomes(place: Path, rows: pd.DataFrame) -> None:
    """Write `rows` as the table `outcomes/`, whole."""
    schema = arrow_schema(contracts.OUTCOMES)
    table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    tables.write(place / "outcomes", {"outcomes": table.replace_schema_metadata(None)})


def lists(place: Path, days: Collection[date]) -> pd.DataFrame:
    """Every list of `days` as people got it: published revisions in order, then what `churn retain`
    made, one row per list and customer (columns `LIST`).

    `family` is that of the first reason that raised the risk, `play` the same where a play was
    suggested.
    """
    published = place / "published"
    found = [
        _listed(
            pq.read_table(revisions.trusted(published / name, revisions.LIST)).to_pandas(),
            pq.read_table(revisions.trusted(published / name, "reasons.parquet")).to_pandas(),
        )
        for name in revisions.names(published)
        if name.split("/")[0] in {day.isoformat() for day in days}
    ]
    made = place / "retention"
    for part in tables.names(made):
        if date.fromisoformat(part) in days:
            rows = tables.read(made, made_by="retain", part=part)
            reasons = tables.read(place / "reasons", made_by="explain", part=part)
            found.append(_listed(rows, reasons))
    if not found:
        return pd.DataFrame(columns=LIST)
    return pd.concat(found).drop_duplicates(LIST[:3], ignore_index=True)


def _listed(rows: pd.DataFrame, reasons: pd.DataFrame) -> pd.DataFrame:
    raising = reasons[reasons["direction"] == "raises"].sort_values("rank")
    family = rows["customer_id"].map(raising.groupby("customer_id")["family"].first())
    family = family.astype(object).where(family.notna(), None)
    suggested = rows["suggested_play"].notna()
    return rows[LIST[:3]].assign(family=family, play=family.where(suggested, None))


def _table(folder: Path, contract: contracts.Table, *, made_by: str) -> pd.DataFrame:
    if not tables.exists(folder):
        return empty(contract).to_pandas()
    return tables.read(folder, made_by=made_by)
