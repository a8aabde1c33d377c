"""Who stands beside the list and why, in words."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd

from churn.io import wording
from churn.io.documents.handout import Aside

_WHY = {
    "notice": "Gave notice: the subscription ends {until}.",
    "said_leaving": "You recorded that they are already leaving.",
    "do_not_contact": "Asked not to be contacted.",
    "not_now": "“Not now”: again from {until}.",
    "contacted": "Contacted; at rest until {until}.",
    "too_new": "Known for {days} only: too short to tell what is normal for them.",
    "churned": "Has left, or is not active any more.",
    "fell": "Less is at stake: the risk went from {before} to {now}.",
    "others": "Others come first this week.",
}

N_MOST = 200
"""More names than these help nobody; the parts of a list keep them all."""


def asides(rows: pd.DataFrame) -> list[Aside]:
    """A row per customer: customer_id, customer_name, owner, cause, until, and what the words need."""
    return [_aside(row) for row in rows.head(N_MOST).to_dict("records")]


def _aside(row: dict[Any, Any]) -> Aside:
    days = row.get("seen_days")
    why = _WHY[row["cause"]].format(
        until=wording.day(row.get("until")),
        days="1 day" if days == 1 else f"{0 if wording.missing(days) else days:.0f} days",
        before=wording.percent(row.get("risk")),
        now=wording.percent(row.get("risk_now")),
    )
    name = None if wording.missing(row["customer_name"]) else str(row["customer_name"])
    return Aside(str(row["customer_id"]), name, str(row["owner"]), why)


def why_changed(parts: Sequence[float], *, since: date) -> str:
    """The move of a risk since `since` in words, from its parts by model, late data and behaviour."""
    model, late, behaviour = parts
    if any(wording.missing(part) for part in parts):
        return ""
    named = [
        (behaviour, "from what they did since"),
        (model, "from the new model"),
        (late, "from data that arrived late"),
    ]
    told = [f"{wording.points(part)} {words}" for part, words in named if wording.points(part)]
    total = wording.points(sum(parts))
    if not told:
        return f"The risk is what it was on {wording.day(since)}."
    return f"Since {wording.day(since)} the risk moved by {total or '0 points'}: {', '.join(told)}."
