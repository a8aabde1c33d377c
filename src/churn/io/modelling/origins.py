"""Past days on which a model might have been trained, each with what was known then and came later."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from churn import timeline
from churn.errors import ConfigurationError, HeldBackError, nearest
from churn.features import panel
from churn.io import tables
from churn.io.engine import Engine, opened, resources
from churn.io.modelling import contacts, panels, plans
from churn.io.workspace import Workspace, weigh
from churn.learning import backtest, models, reach
from churn.learning.backtest import Origin
from churn.retention import listing, ranking
from churn.settings import Settings

log = logging.getLogger("churn")

OTHERS = 1_000
"""Added to the seed: who is judged is drawn apart from who is learnt from."""


def are_affordable(settings: Settings, *, n_rows: int) -> bool:
    """Whether `churn train` builds a panel for each origin: a roll-up is there, `n_rows` not too many.

    Decided by the rows of the training panel, since those of the roll-up grow with what came later.
    """
    is_there = tables.exists(Workspace(settings.place).folder("daily"))
    return is_there and n_rows <= settings.backtest.rebuild_rows


def rebuilt(
    engine: Engine,
    settings: Settings,
    as_of: date,
    usage: Mapping[str, Any],
    left: list[pd.DataFrame],
    *,
    most_rows: int = models.Recipe.max_rows,
) -> Iterator[Origin]:
    """Origins whose panels are built as they would have been on the day, one after the other.

    Training rows come with labels as known at the origin, test rows with labels as known at
    `as_of`. Days on which churned customers left are added to `left`. An origin before which the
    log is too short is passed over. Of more than `most_rows` to learn from, or to judge, whole
    customers are drawn, the one independently of the other.
    """
    given = settings.backtest
    _require_attributes(given.audit, [*usage["attributes"], "segment"])
    for at, tests in timeline.origins(
        as_of,
        gap_days=settings.churn.gap_days,
        horizon_days=settings.churn.horizon_days,
        n_origins=given.origins,
        step_days=given.step_days,
        n_tests=given.test_snapshots,
        test_step_days=given.test_step_days,
    ):
        try:
            plan = plans.for_training(engine, settings, at, usage)
        except HeldBackError as error:
            log.info("origin %s is passed over: %s", at, error.what)
            continue
        weigh(engine, plan.vocabulary)
        known = replace(plan, snapshots=[s for s in plan.snapshots if s != at])
        later = replace(
            plan, snapshots=tests, labels_known_on=as_of, arrival=settings.arrival(as_of)
        )
        train, share = _mature(engine, known, most_rows, settings.seed)
        train = contacts.weighted(settings, train, at)
        train = train.drop(columns=list(models.TIMES))  # the backtest judges one horizon
        test, _ = _mature(engine, later, most_rows, settings.seed + OTHERS)
        left.append(_days(engine.table(panel.departures(later)).to_pandas()))
        log.info(
            "origin %s: %s rows of %d snapshots to learn from, %s to judge, %d features",
            at, f"{len(train):,}", train["snapshot"].nunique(), f"{len(test):,}", len(plan.features),
        )  # fmt: skip
        test = reach.grouped(test, train, is_whole=share == 1)
        yield Origin(at, train, _with_attributes(test, settings, at), plan.features)


def _mature(
    engine: Engine, plan: panel.Plan, most_rows: int, seed: int
) -> tuple[pd.DataFrame, float]:
    rows, share = panels.in_part(engine, plan, max_rows=most_rows, seed=seed)
    return backtest.mature(rows), share


def departures(settings: Settings, as_of: date, snapshots: Sequence[date]) -> pd.DataFrame | None:
    """When those who churned after `snapshots` left, as known at `as_of`; None without a roll-up."""
    workspace = Workspace(settings.place)
    if not tables.exists(workspace.folder("daily")):
        return None
    types = workspace.usage_facts()["event_types"]
    with opened(resources(settings.engine), workspace.usage()) as engine:
        plan = plans.without_features(settings, snapshots, as_of, types)
        return _days(engine.table(panel.departures(plan)).to_pandas())


def _require_attributes(audit: Sequence[str], known: list[str]) -> None:
    for name in audit:
        if name not in known:
            raise ConfigurationError(
                "backtest.audit names no attribute of the customers",
                got=name,
                expected=nearest(name, known),
                next_step="name columns of the customers table",
            )


def _days(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        **{name: pd.to_datetime(rows[name]).dt.date for name in ("snapshot", "churned_on")}
    )


def with_attributes(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """`rows` of a panel with each customer's segment and the attributes to audit, as known at the
    row's snapshot; as they are where there is no roll-up."""
    workspace = Workspace(settings.place)
    if not tables.exists(workspace.folder("daily")):
        return rows
    known = workspace.usage_facts()["attributes"]
    _require_attributes(settings.backtest.audit, [*known, "segment"])
    snapshots: list[date] = sorted(rows["snapshot"].unique())
    parts = [_with_attributes(rows[rows["snapshot"] == at], settings, at) for at in snapshots]
    return pd.concat(parts).reindex(rows.index)


def _with_attributes(test: pd.DataFrame, settings: Settings, at: date) -> pd.DataFrame:
    """`test` with the customer's segment, the attributes to audit and the value, as known then."""
    people = Workspace(settings.place, settings.arrival(at)).people(at)
    wanted = list(dict.fromkeys(["segment", *settings.backtest.audit]))
    shown = [name for name in wanted if name in people and people[name].notna().any()]
    groups = {f"by_{n}": test["customer_id"].map(people[n]) for n in shown}
    value = listing.value_month(test, lookback_days=ranking.LOOKBACK_DAYS)
    return test.assign(**groups, value_month=value)
