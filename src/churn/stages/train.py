"""`churn train`: panel → baselines, a calibrated model, honest figures, a challenger."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.io import bundle, model_card, plots, scorecard, tables, tracking
from churn.io.engine import available_threads
from churn.learning import models, trial
from churn.learning.models import Model, Recipe
from churn.settings import Settings

logger = logging.getLogger("churn")


def run(settings: Settings) -> None:
    """Fit on all mature rows of the panel and register the model as the challenger.

    Raises `HeldBackError` when the panel holds too few outcomes to learn from.
    """
    place = settings.place
    panel = tables.read(place / "panel", made_by="features")
    facts = tables.facts(place / "panel", made_by="features")
    _require_same_question(settings, facts)
    features = [Feature(**entry) for entry in facts["features"]]
    definition = Definition(**facts["churn"])
    _require_known(settings.train.monotone, features)
    rows = trial.mature(panel)
    models.check_labels(rows)
    recipe, list_share = recipe_of(settings), settings.train.list_share
    judged = trial.run(
        rows,
        trial.latest_split(rows, definition=definition, n_test=settings.train.n_test_snapshots),
        features=features,
        recipe=recipe,
        list_share=list_share,
    )
    model = models.fit(rows, features=features, recipe=recipe)
    record = {"as_of": facts["as_of"], **trial.record(rows, model, judged, recipe=recipe)}
    entry = bundle.save(
        place,
        model,
        features=features,
        decisive={"churn": facts["churn"], "panel": _without_date(facts)},
        record=record,
    )
    version = entry["version"]
    card = model_card.text(version, record, churn=facts["churn"])
    pictures = plots.of_training(panel, model, judged, features=features, list_share=list_share)
    files = {"model_card.md": card.encode(), **pictures}
    ids = tracking.record(_store(settings), _tracked(settings, version, record, model, files))
    bundle.point(place, "challenger", {**entry, **ids})
    scorecard.write(place, record, judged)
    _log(entry["version"], record)


def _require_same_question(settings: Settings, facts: dict[str, Any]) -> None:
    """A panel answers one question; training must not quietly answer another with it."""
    asked = {**settings.panel_question(), "as_of": settings.as_of or facts["as_of"]}
    found = {**facts["asked"], "as_of": facts["as_of"]}
    for name, value in asked.items():
        if value != found[name]:
            raise ConfigurationError(
                f"the panel was built with another {name}",
                got=f"a panel with {found[name]}",
                expected=f"{value}",
                next_step="run `churn features` (or `churn run`) with the same words first",
            )


def _require_known(monotone: dict[str, int], features: list[Feature]) -> None:
    """A misspelt feature must not quietly go unconstrained."""
    known = {name for feature in features for name in (feature.name, feature.family)}
    for name in monotone:
        if name not in known:
            raise ConfigurationError(
                "train.monotone names neither a feature nor a family of the panel",
                got=name,
                expected=nearest(name, sorted(known)),
                next_step="the names stand in docs/features.md",
            )


def recipe_of(settings: Settings) -> Recipe:
    """The room's own value object from the settings."""
    train = settings.train
    return Recipe(
        model=train.model,
        lightgbm=asdict(train.lightgbm),
        logistic_c=train.logistic_c,
        n_folds=train.n_folds,
        n_calibration_snapshots=train.n_calibration_snapshots,
        seed=settings.seed,
        threads=settings.engine.threads or available_threads(),
        horizon_days=settings.churn.horizon_days,
        half_life_days=train.half_life_days,
        monotone=train.monotone,
    )


def _store(settings: Settings) -> tracking.Store:
    train = settings.train
    return tracking.store(settings.place, experiment=train.experiment, uri=train.tracking_uri)


def _without_date(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of the panel that outlive the day it was built for."""
    return {key: value for key, value in facts.items() if key not in ("as_of", "asked")}


def _tracked(
    settings: Settings, version: str, record: dict[str, Any], model: Model, files: dict[str, bytes]
) -> tracking.Run:
    place = settings.place
    config = yaml.safe_dump(asdict(settings), sort_keys=False).encode()
    return tracking.Run(
        version=version,
        model_folder=place / "models" / version,
        inputs=[(c.name, c.kind) for c in model.columns],
        parameters={
            "seed": settings.seed,
            **asdict(settings.train),
            "churn": asdict(settings.churn),
        },
        figures=trial.figures(record),
        tags={f"{name}_sha256": _fingerprint(place / name) for name in ("panel", "daily")},
        description=files["model_card.md"].decode(),
        files={**files, "config.yaml": config},
    )


def _fingerprint(folder: Path) -> str:
    return tables.fingerprint(folder, made_by="features") if tables.exists(folder) else "absent"


def _log(version: str, record: dict[str, Any]) -> None:
    logger.info(
        "challenger %s: %s rows of %d snapshots, %.2f %% churned",
        version,
        f"{record['n_rows']:,}",
        len(record["training_snapshots"]),
        100 * record["base_rate"],
    )
    for line in model_card.figures(record).splitlines():
        if line:
            logger.info("%s", line)
