"""`churn impact`: assignments, outcomes and what became of everybody → what contacting has changed."""

import logging
from datetime import date, timedelta

import pandas as pd

from churn.errors import HeldBackError
from churn.io import records, tables
from churn.io.documents import impact_report
from churn.io.documents.impact_report import Findings
from churn.io.lab import challenge, model_card
from churn.io.modelling import departures
from churn.io.workspace import Workspace
from churn.proof import impact
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `impact/` (one row per weekly look and effect; impact.md, impact.html), and say it.

    Raises `HeldBackError` when nobody was assigned to an arm yet.
    """
    workspace = Workspace(settings.place)
    as_of = settings.as_of_or_last(workspace.usage_facts())
    rows = _followed(settings, workspace, as_of)
    found = _findings(settings, workspace, rows, as_of)
    text = impact_report.text(found)
    folder = workspace.folder("impact")
    tables.write(folder, {"looks": impact_report.table(found.looks)})
    tables.write_bytes(folder / "impact.md", text.encode())
    pictures = {}
    if any(look.listing is not None for look in found.looks):
        pictures["impact.png"] = impact_report.picture(found)
    tables.write_bytes(folder / "impact.html", model_card.page(text, pictures).encode())
    for line in impact_report.lines(found):
        log.info("%s", line)
    log.info("page: %s", folder / "impact.html")
    verdict = challenge.judged(settings, as_of) if settings.impact.uplift else None
    if verdict is not None:
        log.info("an order by the effect of a contact: %s", verdict.why)


def _followed(settings: Settings, workspace: Workspace, as_of: date) -> pd.DataFrame:
    """Everybody who was assigned before `as_of`, with what became of them (see `impact.followed`)."""
    assigned = records.assignments(settings.place)
    assigned = assigned[assigned["as_of"] < as_of]
    if not assigned["propensity"].between(0, 1, inclusive="neither").any():
        first = as_of + timedelta(days=settings.impact.effect_days)
        raise HeldBackError(
            "nobody was held out yet, so nothing can be compared",
            got=f"{len(assigned):,} assigned customers before {as_of}",
            expected="customers who qualified for a list, some of them held out at random",
            next_step="set retain.holdout and CHURN_HOLDOUT_KEY and publish lists with `churn weekly`; "
            f"too early: first answer possible on {first} at the soonest",
        )
    left = departures.left_after(settings, as_of, assigned["as_of"].unique())
    known = records.outcomes(settings.place, by=as_of)
    calls = workspace.contacts(as_of)
    calls = calls[calls["campaign"].isna()]  # whom somebody called without a list
    talks = pd.DataFrame(
        {
            "customer_id": calls["customer_id"],
            "as_of": calls["contacted_at"].dt.date,
            "contacted": True,
        }
    )
    said = pd.concat([known[list(talks.columns)].astype(object), talks.astype(object)])
    rows = impact.followed(
        assigned, left.drop(columns="label"), said, effect_days=settings.impact.effect_days
    )
    people = workspace.people(as_of)
    return rows.assign(segment=rows["customer_id"].map(people["segment"]))


def _findings(
    settings: Settings, workspace: Workspace, rows: pd.DataFrame, as_of: date
) -> Findings:
    days = impact.look_days(rows, as_of=as_of)
    looks = [impact.look(rows, on=on) for on in days]
    now = looks[-1] if looks else impact.look(rows, on=as_of)
    settled = rows[rows["settled_on"] <= as_of]
    listed = settled[settled["arm"] == "contact"]
    currencies = workspace.contract_terms(as_of)["currency"].dropna().unique()
    return Findings(
        as_of=as_of,
        effect_days=settings.impact.effect_days,
        currency=currencies[0] if len(currencies) == 1 else "",
        looks=looks,
        first_answer=rows["settled_on"].min(),
        prospect=impact.prospect(rows, now, target=settings.impact.target_points / 100),
        reconciled=impact.reconciled(rows, on=as_of),
        segments=impact.by_segment(rows, on=as_of),
        n_assigned=len(rows),
        n_waiting=len(rows) - len(settled),
        recorded_share=listed["is_recorded"].mean() if len(listed) else 0.0,
        contacted_share=listed["is_contacted"].mean() if len(listed) else 0.0,
    )
