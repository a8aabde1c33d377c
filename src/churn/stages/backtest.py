"""`churn backtest`: rolling origins, everything learnt inside its origin, beside all baselines."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd

from churn.errors import HeldBackError
from churn.io import bundle, tables
from churn.io.engine import opened, resources
from churn.io.lab import report, runs, shared, store, tracking
from churn.io.lab.store import Store
from churn.io.modelling import guests, origins, recipes
from churn.io.workspace import Workspace
from churn.learning import backtest, trial
from churn.retention import policies
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `WORKSPACE/backtest/` (backtest.md, backtest.json, predictions) and an MLflow run.

    Raises `HeldBackError` when the log is too short for a single origin.
    """
    usage = Workspace(settings.place).usage_facts()
    with tracking.begun(store.of(settings), name=_run_name(settings)) as where:
        _backtest(settings, usage, where)


def _backtest(settings: Settings, usage: Mapping[str, Any], where: Store) -> None:
    workspace = Workspace(settings.place)
    as_of = settings.as_of_or_last(usage)
    left: list[pd.DataFrame] = []
    with opened(resources(settings.engine), workspace.usage()) as engine:
        found = backtest.run(
            origins.rebuilt(engine, settings, as_of, usage, left),
            contestants=backtest.contestants(
                recipes.of(settings),
                champion=recipes.champion(settings),
                guests=guests.found(),
            ),
            list_share=settings.train.list_share,
        )
    if found is None:
        raise _too_short(settings, as_of, usage)
    given = settings.backtest
    summary = trial.summary(
        found, pd.concat(left), draws=given.draws, seed=settings.seed, min_churned=given.min_churned
    )
    summary["policies"] = policies.compared(
        found.rows.assign(risk=found.risk),
        policy=settings.retain,
        list_share=settings.train.list_share,
        horizon_days=settings.churn.horizon_days,
    )
    text = report.markdown(summary, churn=settings.churn, as_of=as_of)
    folder = workspace.folder("backtest")
    tables.write(folder, {"predictions": trial.predictions(found)})
    tables.write_json(folder / "backtest.json", summary)
    tables.write_bytes(folder / "backtest.md", text.encode())
    for line in text.splitlines():
        if line:
            log.info("%s", line)
    run_id = _track(settings, where, summary, text)
    key = runs.keep(settings, found, kind="backtest", run_id=run_id)
    log.info("kept for `churn compare` as %s", settings.name or key)


def _run_name(settings: Settings) -> str:
    return tracking.run_name("backtest", settings.name, settings.config.overrides)


def _too_short(settings: Settings, as_of: date, usage: Mapping[str, Any]) -> HeldBackError:
    return HeldBackError(
        f"the log is too short for a backtest at {as_of}",
        got=f"a log from {usage['first_day']} on, and no origin with enough to learn from",
        expected="history, a label window to learn from and one to be judged on",
        next_step="choose a later as_of, fewer backtest.test_snapshots, or a shorter "
        "churn.horizon_days or churn.active_days",
    )


def _track(settings: Settings, where: Store, summary: Mapping[str, Any], text: str) -> str | None:
    return tracking.note(
        where,
        name=_run_name(settings),
        parameters={
            "seed": settings.seed,
            "train": asdict(settings.train),
            "backtest": asdict(settings.backtest),
            "churn": asdict(settings.churn),
            "features": asdict(settings.features),
        },
        figures=report.flat(summary),
        description=text,
        files={
            "backtest.md": text.encode(),
            "backtest.json": bundle.canonical(summary).encode(),
            "config.yaml": shared.configuration(settings),
        },
    )
