"""Everybody who was scored, with all that decides who is listed: the list as a question to ranking."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

from churn import contracts
from churn.io import records, revisions, secret, tables
from churn.io.revisions import Earlier
from churn.io.workspace import Workspace
from churn.retention import holdout, listing, ranking, states
from churn.settings import Settings

KEY_VARIABLE = "CHURN_HOLDOUT_KEY"


@dataclass(frozen=True)
class Roster:
    """`rows` of `ranking.ranked` with `cause` and `until` (see `states`), names, owners and currency;
    `previous` is the list before, `is_random` whether a hold-out is drawn."""

    rows: pd.DataFrame
    previous: Earlier | None
    is_random: bool


def ranked(settings: Settings, as_of: date) -> Roster:
    """Everybody scored at `as_of` in the order of the list."""
    workspace = Workspace(settings.place, settings.arrival(as_of))
    before = revisions.latest(settings, as_of)
    found = _customers(workspace, as_of, policy=settings.retain.policy)
    cannot = states.states(
        found["customer_id"], _known(workspace, found, as_of), as_of=as_of, policy=settings.retain
    )
    key = holdout_key(settings)
    rows = ranking.ranked(
        found.join(cannot),
        policy=settings.retain,
        as_of=as_of,
        key=key,
        before=_qualified(workspace, before),
        assigned=_assigned(workspace, as_of),
        kept=_kept(workspace, as_of),
    )
    return Roster(rows, before, bool(key) and settings.retain.holdout + settings.retain.pilot > 0)


def holdout_key(settings: Settings) -> str | None:
    """The key of the draw: from the environment; the simulated product brings its own."""
    if given := secret.read(KEY_VARIABLE):
        return given
    return settings.retain.demo_key or None if settings.source.name == "demo" else None


def _customers(workspace: Workspace, as_of: date, *, policy: str) -> pd.DataFrame:
    """Everybody scored: scores, their means over the weeks before, value, tenure, who they are."""
    part = as_of.isoformat()
    scores = tables.read(workspace.folder("scores"), made_by="score", part=part)
    features = tables.read(workspace.folder("scored"), made_by="score", part=part)
    people, terms = workspace.people(as_of), workspace.contract_terms(as_of)
    facts = pd.DataFrame(
        {
            "customer_id": features["customer_id"],
            "tenure_days": features.get("tenure_days"),
            "seen_days": features.get("tenure_days", features.get("first_event_days")),
            "value_month": listing.value_month(features, lookback_days=ranking.LOOKBACK_DAYS),
        }
    )
    facts["seen_days"] = facts["seen_days"].astype(float)
    rows = scores.drop(columns=["rank"]).merge(facts, on="customer_id", validate="one_to_one")
    rows["owner"] = rows["customer_id"].map(people["owner"])
    rows["customer_name"] = rows["customer_id"].map(people["customer_name"])
    rows["currency"] = rows["customer_id"].map(terms["currency"])
    before = tables.read(workspace.folder("rescored"), made_by="score", part=part)
    if policy == "risk_value_effect":
        from churn.io.lab import (
            challenge,  # it knows the learning room; other lists should not wait
        )

        effect = challenge.effects(workspace.place, features, people["segment"])
        rows["effect"] = rows["customer_id"].map(effect.set_axis(features["customer_id"]))
    return rows.join(_means(rows, before))


def _means(rows: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """`mean_risk` and `mean_risk_8w` over today and the weeks before at which a customer was there."""
    columns = ["customer_id", "risk", "risk_8w"]
    every = pd.concat([rows[columns], before[columns]]) if len(before) else rows[columns]
    means = every.groupby("customer_id")[["risk", "risk_8w"]].mean().add_prefix("mean_")
    return means.reindex(rows["customer_id"]).set_index(rows.index)


def _known(workspace: Workspace, rows: pd.DataFrame, as_of: date) -> states.Known:
    ends = pd.to_datetime(workspace.contract_terms(as_of)["end_date"]).dropna().dt.date
    said = records.outcomes(workspace.place, by=as_of)
    return states.Known(
        ends=ends[ends >= as_of],
        talked=_talked(records.contacts(workspace, as_of)),
        seen_days=rows.set_index("customer_id")["seen_days"],
        outcomes=said,
    )


def _talked(contacts: pd.DataFrame) -> pd.Series:
    """The last contact by a person that reached the customer: a mailing of a campaign is no talk."""
    reached = contacts[contacts["campaign"].isna() & contacts["result"].ne("not reached")]
    return pd.Series(records.last_contacts(reached), dtype=object)


def _qualified(workspace: Workspace, before: Earlier | None) -> set[str]:
    """Who qualified for the list before, held out or not; with nothing kept of it, who was listed."""
    if before is None:
        return set()
    folder, part = workspace.folder("qualified"), before.as_of.isoformat()
    if part in tables.names(folder):
        return set(tables.read(folder, made_by="retain", part=part)["customer_id"])
    return set(before.rows["customer_id"])


def _assigned(workspace: Workspace, as_of: date) -> Mapping[str, holdout.Assigned]:
    """Arm, propensity and whether by the pilot, of everybody assigned earlier in this block."""
    return _arms(_part(workspace, day) for day in _days(workspace, as_of) if day < as_of)


def _kept(workspace: Workspace, as_of: date) -> Mapping[str, holdout.Assigned]:
    """The same of everybody who was assigned in this block at all: also by lists that went out
    before this one though they are later, and by this one as it was."""
    later = [day for day in _days(workspace, as_of) if day > as_of]
    return _arms([_holding(workspace, as_of), *(_part(workspace, day) for day in later)])


def _days(workspace: Workspace, as_of: date) -> list[date]:
    """The lists of the block of `as_of` that assigned somebody, in order."""
    days = map(date.fromisoformat, tables.names(workspace.folder("assignments")))
    return sorted(day for day in days if holdout.block_of(day) == holdout.block_of(as_of))


def _part(workspace: Workspace, as_of: date, name: str = "assignments") -> pd.DataFrame:
    return tables.read(workspace.folder(name), made_by="retain", part=as_of.isoformat())


def _holding(workspace: Workspace, as_of: date) -> pd.DataFrame:
    """Rows of the list of `as_of`, as it was made before, that hold when it is made again: all where
    it was published, else those of customers whom a later list of the block names too."""
    days = _days(workspace, as_of)
    if as_of not in days:
        return pd.DataFrame(columns=list(contracts.ASSIGNMENTS.columns))
    rows = _part(workspace, as_of)
    if revisions.numbered(workspace.place / "published" / as_of.isoformat()):
        return rows
    later = [_part(workspace, day, "qualified") for day in days if day > as_of]
    return rows[rows["customer_id"].isin({one for part in later for one in part["customer_id"]})]


def _arms(parts: Iterable[pd.DataFrame]) -> dict[str, holdout.Assigned]:
    """Of two rows of a customer the first counts (see `records.assignments`)."""
    found: dict[str, holdout.Assigned] = {}
    for rows in parts:
        arms = zip(rows["arm"], rows["propensity"], rows["is_pilot"], strict=True)
        found = dict(zip(rows["customer_id"], arms, strict=True)) | found
    return found


def assignments(roster: Roster, as_of: date, *, already: Collection[str]) -> pd.DataFrame:
    """Who qualifies for the first time in this block (contracts.ASSIGNMENTS)."""
    rows = roster.rows
    first = rows[rows["qualifies"] & ~rows["customer_id"].isin(already)]
    made = first.assign(as_of=as_of, block=holdout.block_of(as_of))
    return made.sort_values("customer_id")[list(contracts.ASSIGNMENTS.columns)]


def keep(settings: Settings, roster: Roster, as_of: date) -> None:
    """Write who qualifies, and who was assigned; no file that people open has it.

    A customer is assigned once in a block, by its first list. Where that is made after later ones
    it takes their rows over, in the arm that they gave.
    """
    workspace, part = Workspace(settings.place), as_of.isoformat()
    rows = roster.rows
    qualified = rows.loc[rows["qualifies"], ["customer_id", "owner", "arm", "is_listed"]]
    qualified = qualified.sort_values("customer_id").assign(as_of=as_of)
    holding = _holding(workspace, as_of)
    made = assignments(
        roster, as_of, already={*_assigned(workspace, as_of), *holding["customer_id"]}
    )
    made = pd.concat([one for one in (holding, made) if len(one)] or [made])
    parts = {part: made.sort_values("customer_id", ignore_index=True)}
    for day in _days(workspace, as_of):
        if day > as_of:
            later = _part(workspace, day)
            parts[day.isoformat()] = later[~later["customer_id"].isin(made["customer_id"])]
    tables.write(workspace.folder("qualified"), {part: qualified}, keep=True)
    tables.write(workspace.folder("assignments"), parts, keep=True)
