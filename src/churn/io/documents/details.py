"""What the page tells of each listed customer: 26 weeks, what happened, reasons, contract, contacts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from churn.io import records, tables, wording
from churn.io.documents.handout import Detail, Mark
from churn.io.documents.roster import Roster
from churn.io.engine import Engine
from churn.io.workspace import Workspace
from churn.retention import listing
from churn.retention.language import RAISES
from churn.retention.policy import Play
from churn.usage import history

ATTRIBUTES = ("segment", "plan")
"""What the page can be filtered by, where the log has it."""

RECENT_WEEKS, NORMAL_WEEKS = 8, 6
"""What is normal is told by the weeks before the last eight, where there are at least six."""

LONG_TERM_DAYS, NEAR_DAYS = 60, 84

INCIDENT = re.compile("incident|outage|disruption|downtime", re.IGNORECASE)
"""Names in the table of dates that stand for something that went wrong."""


@dataclass(frozen=True)
class About:
    """Where to look for one list: its workspace, date, everybody ranked, and the reasons; by family the
    plays and, in words, what they have come to."""

    workspace: Workspace
    as_of: date
    roster: Roster
    reasons: pd.DataFrame
    plays: Mapping[str, Play] = field(default_factory=dict)
    play_records: Mapping[str, str] = field(default_factory=dict)

    @property
    def first_day(self) -> date:
        return self.as_of - timedelta(days=history.N_DAYS)


def details(
    about: About, engine: Engine, customers: Sequence[str], *, use: str, moved: Mapping[str, str]
) -> dict[str, Detail]:
    """A detail for each of `customers`; `use` is the column of the roll-up that counts as usage,
    `moved` what moved a risk since the last list."""
    engine.bind("listed", pa.table({"customer_id": pa.array(customers, pa.string())}))
    days = engine.table(history.days(about.as_of, use=use)).to_pandas()
    events = history.matrix(days, customers)
    activity, volume = history.by_week(np.minimum(events, 1)), history.by_week(events)
    seen = about.roster.rows.set_index("customer_id")["seen_days"].astype(float).to_dict()
    known, terms = (
        attributes(about.workspace, about.as_of),
        about.workspace.contract_terms(about.as_of),
    )
    marks, scores = _marks(about, customers), _scores(about, customers)
    now, before = _reasons(about.reasons), _reasons(_reasons_before(about))
    contacts = _contacts(about, customers)
    return {
        customer: Detail(
            weeks=history.week_starts(about.as_of),
            activity=activity[place].tolist(),
            events=volume[place].tolist(),
            band=_band(activity[place], seen[customer]),
            marks=marks.get(customer, []),
            scores=scores.get(customer, []),
            reasons=now.get(customer, []),
            reasons_before=before.get(customer, []),
            why_changed=moved.get(customer, ""),
            sure=_sure(seen[customer]),
            **_play(about, now.get(customer, [])),
            contacts=contacts.get(customer, []),
            contract=_contract(terms, customer),
            attributes={
                **{
                    name: str(found[customer]) for name, found in known.items() if customer in found
                },
                **_renewal(terms, customer, about.as_of),
            },
        )
        for place, customer in enumerate(customers)
    }


def _play(about: About, reasons: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What belongs to the play of the first reason: a talking point, a channel, its record so far."""
    family = next((one["family"] for one in reasons if one["direction"] == RAISES), None)
    play = about.plays.get(family or "")
    if play is None:
        return {}
    record = about.play_records.get(str(family), "")
    return {
        "talking_point": play.talking_point, "channel": play.channel, "play_record": record,
    }  # fmt: skip


def attributes(workspace: Workspace, as_of: date) -> dict[str, pd.Series]:
    """What a customer can be filtered by: segment, and the plan of the subscription."""
    people, terms = workspace.people(as_of), workspace.contract_terms(as_of)
    found = {"segment": people["segment"].dropna(), "plan": terms["plan"].dropna()}
    return {name: values for name, values in found.items() if len(values)}


def _band(activity: np.ndarray, seen_days: float) -> tuple[float, float] | None:
    """The middle half of the customer's weeks before the last eight."""
    n_seen = len(activity) if pd.isna(seen_days) else min(len(activity), int(seen_days) // 7)
    usual = activity[len(activity) - n_seen : -RECENT_WEEKS]
    if len(usual) < NORMAL_WEEKS:
        return None
    low, high = np.quantile(usual, [0.25, 0.75])
    return float(low), float(high)


def _marks(about: About, customers: Sequence[str]) -> dict[str, list[Mark]]:
    """What happened in the 26 weeks, by customer, in order of days."""
    found: dict[str, list[Mark]] = {customer: [] for customer in customers}
    for row in _recent(
        about, customers, records.contacts(about.workspace, about.as_of), "contacted_at"
    ):
        words = "Contact" if wording.missing(row["channel"]) else f"Contact by {row['channel']}"
        found[row["customer_id"]].append(Mark(row["day"], "contact", words))
    for row in _recent(about, customers, _plan_changes(about, customers), "effective"):
        found[row["customer_id"]].append(Mark(row["day"], "plan", row["words"]))
    incidents = [Mark(day, "incident", name) for day, name in _incidents(about)]
    return {
        customer: sorted([*marks, *incidents], key=lambda one: (one.day, one.kind, one.words))
        for customer, marks in found.items()
    }


def _recent(
    about: About, customers: Sequence[str], rows: pd.DataFrame, moment: str
) -> list[dict[str, Any]]:
    """The rows of `customers` within the 26 weeks, with their `day` in ISO."""
    at = pd.to_datetime(rows[moment])
    seen = rows[rows["customer_id"].isin(set(customers)) & (at >= pd.Timestamp(about.first_day))]
    told = seen.assign(day=at.loc[seen.index].dt.date.map(date.isoformat))
    return [{str(k): v for k, v in row.items()} for row in told.to_dict("records")]


def _plan_changes(about: About, customers: Sequence[str]) -> pd.DataFrame:
    """Every change of plan or seats of `customers`: customer_id, effective, words."""
    rows = about.workspace.contract_versions(about.as_of)
    rows = rows[rows["customer_id"].isin(set(customers))]
    rows = rows.sort_values(["customer_id", "effective"], kind="stable")
    was = rows.groupby("customer_id")[["plan", "seats"]].shift()
    is_same = rows["customer_id"].eq(rows["customer_id"].shift())
    words = []
    for (_, row), (_, old) in zip(rows.iterrows(), was.iterrows(), strict=True):
        words.append(_changed(row, old))
    told = rows.assign(words=words)
    return told[is_same & told["words"].ne("")]


def _changed(row: pd.Series, old: pd.Series) -> str:
    parts = []
    if row["plan"] != old["plan"] and not (
        wording.missing(row["plan"]) or wording.missing(old["plan"])
    ):
        parts.append(f"plan {wording.text(old['plan'])} → {wording.text(row['plan'])}")
    if (
        not (wording.missing(row["seats"]) or wording.missing(old["seats"]))
        and row["seats"] != old["seats"]
    ):
        parts.append(f"seats {old['seats']:,.0f} → {row['seats']:,.0f}")
    return ", ".join(parts)


def _incidents(about: About) -> list[tuple[str, str]]:
    rows = about.workspace.dates(about.as_of)
    at = pd.to_datetime(rows["date"])
    is_one = rows["name"].fillna("").str.contains(INCIDENT) & rows["value"].gt(0)
    seen = rows[is_one & (at >= pd.Timestamp(about.first_day))]
    return sorted(
        {(str(day)[:10], str(name)) for day, name in zip(seen["date"], seen["name"], strict=True)}
    )


def _scores(about: About, customers: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
    """The risk of each customer at every date that was scored in the 26 weeks, oldest first."""
    folder = about.workspace.folder("scores")
    found: dict[str, list[tuple[str, float]]] = {}
    for part, path in tables.parts(folder, made_by="score").items():
        if not about.first_day.isoformat() <= part <= about.as_of.isoformat():
            continue
        chosen = [("customer_id", "in", list(customers))]
        rows = pq.read_table(path, columns=["customer_id", "risk"], filters=chosen).to_pydict()
        for customer, risk in zip(rows["customer_id"], rows["risk"], strict=True):
            found.setdefault(customer, []).append((part, float(risk)))
    return found


def _reasons_before(about: About) -> pd.DataFrame | None:
    before, folder = about.roster.previous, about.workspace.folder("reasons")
    part = before.as_of.isoformat() if before else ""
    if part not in tables.names(folder):
        return None
    return tables.read(folder, made_by="explain", part=part)


def _reasons(rows: pd.DataFrame | None) -> dict[str, list[dict[str, Any]]]:
    if rows is None:
        return {}
    told = ["family", "direction", "sentence", "contribution", "evidence"]
    return {
        str(customer): [
            {str(name): "" if wording.missing(value) else value for name, value in row.items()}
            for row in spoken.sort_values("rank").reindex(columns=told).to_dict("records")
        ]
        for customer, spoken in rows.groupby("customer_id")
    }


def _contacts(about: About, customers: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """The last ten contacts of each customer in words, the newest first."""
    rows = records.contacts(about.workspace, about.as_of)
    found: dict[str, list[dict[str, str]]] = {}
    seen = rows[rows["customer_id"].isin(set(customers))].sort_values(
        "contacted_at", ascending=False
    )
    for customer, told in seen.groupby("customer_id"):
        found[str(customer)] = [
            {
                "Date": wording.day(row["contacted_at"]),
                "Channel": wording.text(row["channel"]),
                "Result": wording.text(row["result"]),
            }
            for row in told.head(10).to_dict("records")
        ]
    return found


def _sure(days: float) -> str:
    """How sure the risk is, in words; the same bounds as the column `confidence`."""
    if pd.isna(days):
        return ""
    known = f"known for {days:,.0f} days"
    if days <= listing.UNSURE_DAYS:
        return f"Not very: {known}, and little is normal yet."
    return f"Fairly: {known}." if days <= listing.SURE_DAYS else f"As sure as it gets: {known}."


def _renewal(terms: pd.DataFrame, customer: str, as_of: date) -> dict[str, str]:
    """The end of a long term that lies in the next twelve weeks: why a risk may rise later than the
    horizon. A term of a month ends every month and says nothing."""
    if customer not in terms.index:
        return {}
    ends, begun = (wording.as_date(terms.at[customer, name]) for name in ("term_end", "term_start"))
    if ends is None or begun is None or (ends - begun).days <= LONG_TERM_DAYS:
        return {}
    is_near = as_of <= ends < as_of + timedelta(days=NEAR_DAYS)
    return {"renewal": f"term ends {wording.day(ends)}"} if is_near else {}


def _contract(terms: pd.DataFrame, customer: str) -> dict[str, str]:
    """The contract in words; what is missing is left out."""
    if customer not in terms.index:
        return {}
    term = terms.loc[customer]
    facts = {
        "Plan": wording.text(term["plan"]),
        "Seats": "–" if pd.isna(term["seats"]) else f"{term['seats']:,.0f}",
        "Price a month": wording.money(term["price_month"], term["currency"]),
        "Customer since": wording.day(term["start_date"]),
        "Current term ends": wording.day(term["term_end"]),
    }
    return {name: value for name, value in facts.items() if value not in ("–", "")}
