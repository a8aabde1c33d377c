"""`churn tune`: a search over model and families, judged on a day that it never saw."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from churn.io import bundle, tables
from churn.io.lab import model_card, searches, shared, store, tracking, tuning
from churn.io.lab.store import Store
from churn.io.lab.study import Study
from churn.io.lab.tuning import Search
from churn.io.workspace import Workspace
from churn.learning import search
from churn.learning.backtest import MODEL, Origin
from churn.learning.models import Recipe
from churn.learning.search import DEFAULT, Space
from churn.settings import Settings

log = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Write `WORKSPACE/tune/` (tune.md, tune.html, tune.json, the winner as a preset), and MLflow runs.

    The latest of `backtest.origins` is held back. The search runs as it would have on that day: at
    the origins of a backtest then, with outcomes known then. Raises `HeldBackError` when the log is
    too short for that.
    """
    usage = Workspace(settings.place).usage_facts()
    as_of = settings.as_of_or_last(usage)
    held_at = searches.held_back(settings, as_of)
    seen = searches.seen(settings, usage, held_at)
    space = searches.space(settings, seen)
    study = searches.study(settings, space, seen, held_at)
    again = study.facts.get("mlflow_run_id")
    with tracking.begun(store.of(settings), name=_run_name(settings), again=again) as where:
        study.keep(mlflow_run_id=where.run_id)
        _search(settings, space, study, seen, where)
        told = Search(
            settings, space, settings.features.without, study.trials,
            [one.at for one in seen], held_at, max(len(one.train) for one in seen),
            _final(settings, space, study, searches.held(settings, usage, as_of)),
        )  # fmt: skip
        _tell(told, where)


def _search(
    settings: Settings, space: Space, study: Study, seen: Sequence[Origin], where: Store
) -> None:
    """Run the trials, each a run below one of MLflow's."""
    given, off = settings.tune, settings.features.without
    # Ranking does not need calibration, which fits each model n_folds times more.
    folds = settings.train.n_folds if given.figure == "log_loss_skill" else 0

    def judge(choice: Mapping[str, Any]) -> Iterator[float]:
        recipe = replace(search.recipe(space.base, choice), n_folds=folds)
        families = search.without(off, choice)
        share = settings.train.list_share
        return search.judged(seen, recipe, families, figure=given.figure, list_share=share)

    is_tracked = True
    for trial in study.run(judge, n=given.trials, timeout_minutes=given.timeout_minutes):
        best = search.best(study.trials)
        log.info(
            "trial %d of %d: %.4f%s; best %.4f (trial %d)",
            trial.number, given.trials, trial.value,
            f", given up after {len(trial.so_far)} origins" if trial.is_pruned else "",
            best.value, best.number,
        )  # fmt: skip
        is_tracked = is_tracked and _track(settings, where, trial)


def _track(settings: Settings, where: Store, trial: search.Trial) -> bool:
    off = settings.features.without
    return tracking.below(
        where,
        name=f"trial {trial.number:02d} {trial.choice[search.MODEL_KEY]}",
        parameters=trial.choice,
        steps={settings.tune.figure: trial.so_far},
        tags={"trial": str(trial.number), "given_up_early": str(trial.is_pruned).lower()},
        files={
            "config.yaml": shared.configuration(tuning.configured(settings, trial.choice, off=off))
        },
    )


def _final(
    settings: Settings, space: Space, study: Study, held: Origin | None
) -> dict[str, Any] | None:
    """Winner and default on the origin held back."""
    winner, off = search.best(study.trials), settings.features.without
    contestants: dict[str, tuple[Recipe, Sequence[str]]] = {DEFAULT: (space.base, off)}
    if winner.number != 0:
        mine = search.recipe(space.base, winner.choice), search.without(off, winner.choice)
        contestants = {MODEL: mine, **contestants}
    if held is None:
        return None
    return search.final(
        held, contestants, list_share=settings.train.list_share,
        draws=settings.backtest.draws, seed=settings.seed,
    )  # fmt: skip


def _tell(told: Search, where: Store) -> None:
    """Report, page, preset, and the end of MLflow's run."""
    settings, folder = told.settings, told.settings.place / "tune"
    text, pictures = tuning.text(told), tuning.pictures(told)
    content = {
        "figure": told.figure,
        "origins": [str(day) for day in told.origins],
        "trials": [asdict(trial) for trial in told.trials],
        "best": told.best.number,
        "changes": told.changes(told.best),
        "command": tuning.command(told),
        "final": told.final,
        "is_better": search.is_better(told.final, told.figure),
    }
    files = {
        "tune.md": text.encode(),
        "tune.html": model_card.page(text, pictures).encode(),
        "tune.json": bundle.canonical(content).encode(),
        **pictures,
    }
    for name, data in files.items():
        tables.write_bytes(folder / name, data)
    preset = folder / "experiment" / f"{settings.tune.name}.yaml"
    tables.write_bytes(preset, tuning.preset(told))
    tracking.note(
        where,
        name=_run_name(settings),
        parameters={"seed": settings.seed, "tune": asdict(settings.tune)},
        figures=_figures(told),
        description=text,
        files={
            **files,
            preset.name: tuning.preset(told),
            "config.yaml": shared.configuration(settings),
        },
    )
    for line in text.splitlines():
        if line:
            log.info("%s", line)
    log.info("page: %s", folder / "tune.html")


def _figures(told: Search) -> dict[str, float]:
    """What MLflow's table shows of the whole search."""
    found = {f"best.{told.figure}": told.best.value, f"default.{told.figure}": told.trials[0].value}
    for name, figures in (told.final or {}).get("figures", {}).items():
        title = "winner" if name == MODEL else name
        found |= {f"held_out.{title}.{key}": value for key, value in figures.items()}
    minus = (told.final or {}).get("differences") or {}
    for key, value in minus.get(told.figure, {}).items():
        if value is not None:
            found[f"held_out.winner_minus_default.{told.figure}_{key}"] = value
    return found


def _run_name(settings: Settings) -> str:
    return tracking.run_name("tune", settings.name, settings.config.overrides)
