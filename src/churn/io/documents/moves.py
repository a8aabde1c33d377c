"""What moved the risk of who is listed since the last list: behaviour, the model, or late data."""

from dataclasses import replace
from datetime import date

import pandas as pd

from churn.features import panel
from churn.io import bundle, tables
from churn.io.documents import beside_list
from churn.io.documents.roster import Roster
from churn.io.engine import Engine
from churn.io.modelling import plans
from churn.io.workspace import Workspace, weigh
from churn.retention import changes
from churn.settings import Settings


def why_moved(
    settings: Settings, workspace: Workspace, roster: Roster, engine: Engine, as_of: date
) -> dict[str, str]:
    """A sentence for each listed customer who was scored for the last list too.

    Nobody has one when that list is not one of the weeks that today's model was asked about.
    """
    if roster.previous is None:
        return {}
    since = roster.previous.as_of
    scores, part = workspace.folder("scores"), since.isoformat()
    again = tables.read(workspace.folder("rescored"), made_by="score", part=as_of.isoformat())
    then = again[pd.to_datetime(again["snapshot"]).dt.date == since].set_index("customer_id")[
        "risk"
    ]
    if then.empty or part not in tables.names(scores):
        return {}
    was = tables.read(scores, made_by="score", part=part).set_index("customer_id")["risk"]
    listed = roster.rows[roster.rows["is_listed"]].set_index("customer_id")["risk"]
    now_known = _by_now(settings, workspace, engine, then, since, as_of)
    parts = changes.split(listed, was=was, again=then, known_by_now=now_known)
    return {
        str(customer): beside_list.why_changed(
            [row["model"], row["late"], row["behaviour"]], since=since
        )
        for customer, row in parts.to_dict("index").items()
    }


def _by_now(
    settings: Settings,
    workspace: Workspace,
    engine: Engine,
    then: pd.Series,
    since: date,
    as_of: date,
) -> pd.Series:
    """The risks at `since` from what has arrived by now; those of `then` where nothing came late."""
    usage = workspace.usage_facts()
    described = bundle.described(settings.place)
    plan = plans.plan_of(described, settings, as_of, usage)
    at_that_time = replace(plan, snapshots=[since], features=[])
    if not usage["has_loaded_at"] or not engine.table(panel.late_pairs(at_that_time)).num_rows:
        return then
    from churn.io.modelling import (
        rescoring,  # it loads LightGBM, which most lists need not wait for
    )

    champion = bundle.load(settings.place, "champion")
    weigh(engine, plan.vocabulary)
    with tables.staging(settings.place) as staged:
        return rescoring.known_by_now(engine, champion.model, plan, since, place=staged / "late")
