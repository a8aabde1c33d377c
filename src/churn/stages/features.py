"""`churn features`: the panel for training at `as_of`, and for `as_of` itself."""

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.features import panel
from churn.features.definitions import Feature
from churn.io import tables
from churn.io.engine import opened, resources
from churn.io.modelling import panels, plans
from churn.io.sending import sink
from churn.io.workspace import Workspace, weigh
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    sink.require(settings.sink)
    workspace = Workspace(settings.place)
    usage = workspace.usage_facts()
    as_of = settings.as_of_or_last(usage)
    with opened(resources(settings.engine), workspace.usage()) as engine:
        plan = plans.for_training(engine, settings, as_of, usage)
        weigh(engine, plan.vocabulary)
        folder = workspace.folder("panel")
        folder.mkdir(parents=True, exist_ok=True)
        with tables.staging(folder) as place:
            panels.write(engine, plan, place / "panel")
            rows = pq.read_table(place / "panel", columns=["snapshot", "label", "label_mature"])
            tables.commit(
                folder,
                {"panel": place / "panel"},
                keep=[],
                facts=_facts(plan, as_of, settings),
            )
    _report(rows, plan.features)
    sink.send(settings.sink, ["panel"], place=settings.place, as_of=as_of)


def _facts(plan: panel.Plan, as_of: date, settings: Settings) -> dict[str, Any]:
    """What scoring needs to build the same columns again."""
    features = [vars(feature) for feature in plan.features]
    facts = {
        "as_of": as_of.isoformat(),
        "churn": vars(plan.definition),
        "lookback_days": plan.lookback_days,
        "vocabulary": vars(plan.vocabulary),
        "arrival_hours": settings.source.arrival_hours,
        "features": features,
        "asked": settings.panel_question(),
    }
    spelled = json.dumps([features, plan.lookback_days, vars(plan.vocabulary)], sort_keys=True)
    return facts | {"features_version": hashlib.sha256(spelled.encode()).hexdigest()[:12]}


def _report(rows: pa.Table, features: Sequence[Feature]) -> None:
    mature = rows.filter(rows["label_mature"])
    log.info(
        "panel: %s rows, %d snapshots, %d features in %d families; churn %.1f %% of %s mature rows",
        f"{len(rows):,}",
        pc.count_distinct(rows["snapshot"]).as_py(),
        len(features),
        len({feature.family for feature in features}),
        100 * (pc.mean(mature["label"]).as_py() if len(mature) else float("nan")),
        f"{len(mature):,}",
    )
