"""Scores of a snapshot, and what the same model says of the weeks before: an order that does not jump."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from churn.features import panel
from churn.io.engine import Engine
from churn.io.modelling import panels, scorer
from churn.learning import models
from churn.learning.models import Model

KEPT = ["snapshot", "customer_id", "risk", "risk_8w"]


@dataclass(frozen=True)
class Scored:
    """`risks` of everybody at the snapshot (`models.risks`, customer_id), `before`: snapshot,
    customer_id, risk and risk_8w by the same model at the snapshots before, each as known then."""

    risks: pd.DataFrame
    before: pd.DataFrame


def snapshots_before(as_of: date, *, weeks: int, first_day: date) -> list[date]:
    """The snapshots whose scores are averaged with that of `as_of`, as far as the log reaches."""
    days = [as_of - timedelta(days=7 * k) for k in reversed(range(1, weeks))]
    return [day for day in days if day > first_day]


def here(
    engine: Engine, model: Model, plan: panel.Plan, before: Sequence[date]
) -> tuple[pa.Table, Scored]:
    """The features at the one snapshot of `plan`, and the scores there and at `before`.

    One pass over the days serves all snapshots; a range of customers is in memory at a time.
    """
    (as_of,) = plan.snapshots
    features, risks = [], []
    for piece in panels.pieces(engine, replace(plan, snapshots=[*before, as_of])):
        is_now = pc.equal(piece["snapshot"], pa.scalar(as_of))
        features.append(piece.filter(is_now).combine_chunks())
        risks.append(risks_of(model, piece))
    every = pd.concat(risks, ignore_index=True)
    of_now = every["snapshot"] == as_of
    now = every[of_now].drop(columns="snapshot").reset_index(drop=True)
    return pa.concat_tables(features), Scored(now, _ordered(every[~of_now]))


def by_workers(
    engine: Engine, model: Model, plan: panel.Plan, before: Sequence[date], *, place: Path
) -> Scored:
    """The same with the model brought to the rows, whose features are left as files `place`."""
    (as_of,) = plan.snapshots
    risks = {
        day: _applied(engine, model, plan, day, place.with_name(f"at-{day}")) for day in before
    }
    now = _applied(engine, model, plan, as_of, place)
    parts = [found.assign(snapshot=day) for day, found in risks.items()]
    none = pd.DataFrame(columns=KEPT)
    return Scored(now, _ordered(pd.concat(parts)) if parts else none)


def known_by_now(
    engine: Engine, model: Model, plan: panel.Plan, snapshot: date, *, place: Path
) -> pd.Series:
    """The risk of everybody at `snapshot` from what is known by the snapshot of `plan`, by customer_id:
    what late data alone have changed."""
    (as_of,) = plan.snapshots
    then = replace(plan, snapshots=[snapshot], known_on=as_of)
    if engine.is_distributed:
        found = _applied(engine, model, then, snapshot, place)
    else:
        pieces = [risks_of(model, piece) for piece in panels.pieces(engine, then)]
        found = pd.concat(pieces, ignore_index=True)
    return found.set_index("customer_id")["risk"]


def _applied(
    engine: Engine, model: Model, plan: panel.Plan, snapshot: date, place: Path
) -> pd.DataFrame:
    statement = panel.statement(replace(plan, snapshots=[snapshot]))
    engine.write(statement, place)
    engine.bind("scored", place)
    found = engine.apply(scorer.Scorer.of(model), scorer.scored_rows(model), scorer.RISKS)
    return found.to_pandas()


def risks_of(model: Model, piece: pa.Table) -> pd.DataFrame:
    """`models.risks` of the rows of `piece`, with their customer_id and snapshot.

    The ids are a copy: what is left of one column of a piece keeps the memory of all of them.
    """
    rows = piece.to_pandas(split_blocks=True)  # which copies no column
    ids = piece["customer_id"].take(np.arange(len(piece))).to_pandas()
    return models.risks(model, rows).assign(customer_id=ids.array, snapshot=rows["snapshot"].array)


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[KEPT].sort_values(["snapshot", "customer_id"], ignore_index=True)
