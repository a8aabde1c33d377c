"""What a search is made of: the origins it may see, the one it may not, and what there is to choose.

The latest origin of a backtest is held back. The others are those of a backtest on that day, with what
was known then.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any

from churn import timeline
from churn.errors import ConfigurationError, HeldBackError, nearest
from churn.io import tables
from churn.io.engine import opened, resources
from churn.io.lab.study import Study
from churn.io.modelling import origins, recipes
from churn.io.workspace import SIDES, USAGE, Workspace
from churn.learning import search
from churn.learning.backtest import Origin
from churn.learning.search import Space
from churn.settings import Settings

log = logging.getLogger("churn")


def held_back(settings: Settings, as_of: date) -> date:
    """The day of the latest origin; raises `ConfigurationError` where there would be no other."""
    given = settings.backtest
    if given.origins < 2:
        raise ConfigurationError(
            "a search needs an origin to search at and one that it never sees",
            got=f"backtest.origins={given.origins}",
            expected="at least 2",
            next_step="set backtest.origins=4",
        )
    ((day, _),) = timeline.origins(
        as_of,
        gap_days=settings.churn.gap_days,
        horizon_days=settings.churn.horizon_days,
        n_origins=1,
        step_days=given.step_days,
        n_tests=given.test_snapshots,
        test_step_days=given.test_step_days,
    )
    return day


def seen(settings: Settings, usage: Mapping[str, Any], held_at: date) -> list[Origin]:
    """The origins of the search, each with a share of its customers to learn from."""
    n, most = settings.backtest.origins - 1, settings.tune.most_rows
    found = [
        search.sampled(origin, most_rows=most, seed=settings.seed)
        for origin in _built(replace(settings, known_at=None), usage, held_at, n)
    ]
    found = [origin for origin in found if search.can_judge(origin)]
    if not found:
        raise HeldBackError(
            f"the log is too short for a search that leaves {held_at} unseen",
            got=f"a log from {usage['first_day']} on, and no earlier origin with enough to learn from",
            expected="history, a label window to learn from and one to be judged on before that day",
            next_step="choose a later as_of, fewer backtest.test_snapshots, or a shorter "
            "churn.horizon_days or churn.active_days",
        )
    return found


def held(settings: Settings, usage: Mapping[str, Any], as_of: date) -> Origin | None:
    """The origin held back, with what is known since; None where it has nothing to learn from."""
    return next(_built(settings, usage, as_of, 1), None)


def space(settings: Settings, seen: Sequence[Origin]) -> Space:
    """The models and families to choose among; raises `ConfigurationError` for others."""
    features = list({f.name: f for origin in seen for f in origin.features}.values())
    free = search.switchable(features)
    for name in settings.tune.families:
        if name not in free:
            there = any(f.family == name for f in features)
            raise ConfigurationError(
                "tune.families names a family that "
                + ("other families read" if there else "this log has no features of"),
                got=name,
                expected=nearest(name, free),
                next_step="name families that can be left out alone, or none for all of them",
            )
    families = [name for name in free if name in (settings.tune.families or free)]
    base = recipes.of(settings)
    return Space(
        base,
        tuple(dict.fromkeys([base.model, *settings.tune.models])),
        {name: name not in settings.features.without for name in families},
    )


def study(settings: Settings, space: Space, seen: Sequence[Origin], held_at: date) -> Study:
    """The search itself, with the trials of the same question that are there already."""
    place, asked = settings.place, settings.tune
    names = (*USAGE, *SIDES)
    question = {
        "as_of": str(held_at),
        "origins": [str(origin.at) for origin in seen],
        "data": [tables.fingerprint(place / name, made_by="rollup") for name in names],
        "base": {k: v for k, v in asdict(space.base).items() if k != "threads"},
        "models": space.models,
        "families": dict(space.families),
        "panel": _with_families(settings).panel_question(),
        "judged": [asked.figure, asked.most_rows, settings.train.list_share],
        "backtest": asdict(settings.backtest),
    }
    path = place / "tune" / "trials.json"
    made = Study(space, n_origins=len(seen), seed=settings.seed, path=path, question=question)
    if made.trials:
        log.info("%d trials of the same search are taken over from %s", len(made.trials), path)
    return made


def _built(settings: Settings, usage: Mapping[str, Any], as_of: date, n: int) -> Iterator[Origin]:
    """The `n` origins of a backtest at `as_of`, one after the other."""
    workspace = Workspace(settings.place)
    wide = _with_families(settings)
    asked = replace(wide, backtest=replace(settings.backtest, origins=n))
    with opened(resources(settings.engine), workspace.usage()) as engine:
        yield from origins.rebuilt(engine, asked, as_of, usage, [])


def _with_families(settings: Settings) -> Settings:
    """Settings whose panels have every family that a trial may switch on."""
    asked, off = settings.tune.families, settings.features.without
    kept = [name for name in off if asked and name not in asked]
    return replace(settings, features=replace(settings.features, without=kept))
