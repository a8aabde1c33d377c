"""`churn score`: the champion's calibrated risk of every active customer at `as_of`."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from churn import contracts
from churn.errors import HeldBackError, NotArrivedError
from churn.features import panel
from churn.io import bundle, tables
from churn.io.bundle import Bundle
from churn.io.engine import Engine, opened, resources
from churn.io.modelling import plans, rescoring
from churn.io.modelling.rescoring import Scored
from churn.io.sending import sink
from churn.io.workspace import Workspace, weigh
from churn.settings import Settings

log = logging.getLogger("churn")

MAX_SILENT_DAYS = 7
"""A log that ends longer before `as_of` has not arrived: a shop may be closed for a week, no more."""


def run(settings: Settings) -> None:
    """Write `scores/`, `scored/` (the features behind them) and `rescored/` (what the same model says of
    the weeks before), one part per `as_of`."""
    sink.require(settings.sink)
    workspace = Workspace(settings.place)
    usage = workspace.usage_facts()
    as_of = settings.as_of_or_last(usage)
    _require_arrived(as_of, usage)
    champion = bundle.load(settings.place, "champion")
    plan = plans.plan_of(champion, settings, as_of, usage)
    before = rescoring.snapshots_before(
        as_of,
        weeks=settings.retain.smooth_weeks,
        first_day=date.fromisoformat(usage["first_day"]),
    )
    since = replace(plan, snapshots=[*before, as_of]).reads_from
    with opened(resources(settings.engine), workspace.usage(since)) as engine:
        weigh(engine, plan.vocabulary)
        found, active = _scored(engine, champion, plan, before, workspace)
    risks, others = parted(active, found.risks)
    if not len(risks):
        raise HeldBackError(
            f"nobody is active at {as_of}",
            got="no customer",
            expected=f"customers who could churn (a customer churns who {plan.definition.in_words()})",
            next_step="look at the log with `churn check`, or choose another as_of",
        )
    facts = champion.spec["panel"]
    scores = _scores(champion, risks, as_of, str(facts["features_version"]))
    tables.write(workspace.folder("scores"), {as_of.isoformat(): scores}, keep=True)
    tables.write(workspace.folder("rescored"), {as_of.isoformat(): found.before}, keep=True)
    others.insert(0, "as_of", as_of.isoformat())
    tables.write(
        workspace.folder("not_scored"), {as_of.isoformat(): others.astype("str")}, keep=True
    )
    if len(others):
        log.warning("%s active customers have no score (not_scored/)", f"{len(others):,}")
    log.info(
        "scored %s customers at %s with model %s: mean risk %.2f %%",
        f"{len(scores):,}", as_of, champion.version, 100 * scores["risk"].mean(),
    )  # fmt: skip
    sink.send(settings.sink, ["scores"], place=settings.place, as_of=as_of)


def _require_arrived(as_of: date, usage: dict[str, Any]) -> None:
    """A list for a week that the log has not reached would call everybody silent."""
    last = date.fromisoformat(usage["last_day"])
    if (as_of - last).days > MAX_SILENT_DAYS:
        raise NotArrivedError(
            f"the log has not reached as_of={as_of} yet",
            got=f"a log that ends on {last}",
            expected=f"events up to at most {MAX_SILENT_DAYS} days before as_of",
            next_step="retry when the logs have arrived, or leave as_of out",
        )


def _scored(
    engine: Engine,
    champion: Bundle,
    plan: panel.Plan,
    before: Sequence[date],
    workspace: Workspace,
) -> tuple[Scored, pd.Series]:
    """The scores of everybody and who that is (customer_id), with the features behind the scores kept
    as part `as_of` of `scored/`."""
    (as_of,) = plan.snapshots
    folder, part = workspace.folder("scored"), as_of.isoformat()
    if not engine.is_distributed:
        features, found = rescoring.here(engine, champion.model, plan, before)
        if len(features):
            tables.write(folder, {part: features}, keep=True)
        return found, features["customer_id"].to_pandas()
    folder.mkdir(parents=True, exist_ok=True)
    with tables.staging(folder) as staged:
        place = staged / "scored"
        found = rescoring.by_workers(engine, champion.model, plan, before, place=place)
        active = pq.read_table(place, columns=["customer_id"])["customer_id"].to_pandas()
        if len(found.risks):
            tables.commit(folder, {part: place}, keep=tables.names(folder), facts={})
    return found, active


def parted(active: pd.Series, risks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`risks` of everybody who has one, and the others of `active` (customer_id, reason): every active
    customer is in one of the two.

    A risk that is no number ranks nobody, and a row that does not come back from a worker is lost in
    silence otherwise.
    """
    has_one = np.isfinite(risks["risk"].to_numpy(dtype=float))
    without = risks.loc[~has_one, ["customer_id"]].assign(reason="the model gave no risk")
    lost = active[~active.isin(set(risks["customer_id"]))]
    missing = pd.DataFrame({"customer_id": lost}).assign(reason="no row came back from the model")
    others = pd.concat([without, missing]).sort_values("customer_id", ignore_index=True)
    return risks[has_one].reset_index(drop=True), others


def _scores(champion: Bundle, risks: pd.DataFrame, as_of: date, version: str) -> pd.DataFrame:
    """One row per customer, the most at risk first; ties by customer.

    `act_before` is the day by which half of the risk has accrued (see `hazard.risks`).
    """
    first = pd.Timestamp(as_of) + pd.Timedelta(days=champion.spec["churn"]["gap_days"])
    half = first + pd.to_timedelta(risks["half_after_days"], unit="D")
    scores = risks.assign(
        as_of=as_of,
        act_before=half.dt.date,
        model_version=champion.version,
        features_version=version,
    ).sort_values(["risk", "customer_id"], ascending=[False, True], ignore_index=True)
    scores["rank"] = range(1, len(scores) + 1)
    return scores[list(contracts.SCORES.columns)]
