"""Settings → how a model is fitted, and the champion that it meets.

Apart from `plans`: who only builds a panel need not wait for scikit-learn and LightGBM.
"""

import logging
from dataclasses import asdict, fields
from datetime import date

from churn.errors import InputError
from churn.features.labels import Definition
from churn.io import bundle
from churn.io.engine import available_threads
from churn.learning.baselines import Champion
from churn.learning.models import Recipe
from churn.settings import Settings
from churn.timeline import label_window

log = logging.getLogger("churn")


def of(settings: Settings) -> Recipe:
    """The room's own value object from the settings."""
    train = settings.train
    return Recipe(
        model=train.model,
        lightgbm=asdict(train.lightgbm),
        logistic_c=train.logistic_c,
        n_folds=train.n_folds,
        seed=settings.seed,
        threads=settings.engine.threads or available_threads(),
        horizon_days=settings.churn.horizon_days,
        half_life_days=train.half_life_days,
        monotone=train.monotone,
    )


def champion(settings: Settings) -> Champion | None:
    """The model in charge as a contestant; None where a rule is, or nothing that can be opened.

    Where it was made for another definition of churn, only its recipe can take part.
    """
    entry = bundle.pointer(settings.place, "champion")
    if entry is None or "rule" in entry:
        return None
    try:
        found = bundle.load(settings.place, "champion")
    except InputError as error:
        log.warning("the champion takes no part: %s", error)
        return None
    known = {f.name for f in fields(Recipe)} - {"threads"}
    recipe = {name: value for name, value in found.spec["recipe"].items() if name in known}
    churn = Definition(**found.spec["churn"])
    last = date.fromisoformat(max(found.spec["training_snapshots"]))
    window = label_window(last, gap_days=churn.gap_days, horizon_days=churn.horizon_days)
    return Champion(
        found.model,
        found.features,
        Recipe(**recipe, threads=settings.engine.threads or available_threads()),
        window.before if churn == settings.churn else date.max,
    )
