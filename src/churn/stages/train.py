"""`churn train`: panel → baselines, a calibrated model, honest figures, a challenger."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.io import bundle, model_card, plots, tables, tracking
from churn.io.engine import available_threads
from churn.learning import baselines, models, shapley, trial
from churn.learning.models import Model, Recipe
from churn.learning.trial import Trial
from churn.settings import Settings

logger = logging.getLogger("churn")

N_EXPLAINED = 2000
"""Rows behind the picture of feature families; more would not move a bar."""


def run(settings: Settings) -> None:
    """Fit on all mature rows of the panel and register the model as the challenger.

    Raises `HeldBackError` when the panel holds too few outcomes to learn from.
    """
    place = settings.place
    panel = tables.read(place / "panel", made_by="features")
    facts = tables.facts(place / "panel", made_by="features")
    features = [Feature(**entry) for entry in facts["features"]]
    definition = Definition(**facts["churn"])
    rows = trial.mature(panel)
    models.check_labels(rows)
    recipe = recipe_of(settings)
    judged = trial.run(
        rows,
        trial.latest_split(rows, definition=definition, n_test=settings.train.n_test_snapshots),
        features=features,
        recipe=recipe,
        list_share=settings.train.list_share,
    )
    model = models.fit(rows, features=features, recipe=recipe)
    record = _record(rows, model, recipe, judged, facts)
    entry = bundle.save(
        place,
        model,
        features=features,
        decisive={"churn": facts["churn"], "panel": _without_date(facts)},
        record=record,
    )
    files = _files(settings, panel, model, features, judged)
    files["model_card.md"] = model_card.text(
        entry["version"], record, churn=facts["churn"]
    ).encode()
    ids = tracking.record(
        tracking.store(
            place, experiment=settings.train.experiment, uri=settings.train.tracking_uri
        ),
        _tracked(settings, entry, record, model, files),
    )
    bundle.point(place, "challenger", {**entry, **ids})
    _log(entry["version"], record)


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
    )


def _record(
    rows: pd.DataFrame, model: Model, recipe: Recipe, judged: Trial | None, facts: dict[str, Any]
) -> dict[str, Any]:
    """What is worth knowing about this training, as JSON types; `test` is None without figures.

    Threads are left out: they change no figure, and a record should not know its machine.
    """
    return {
        "as_of": facts.get("as_of"),
        "training_snapshots": [str(s) for s in sorted(rows["snapshot"].unique())],
        "n_rows": len(rows),
        "n_churned": int(rows["label"].sum()),
        "base_rate": float(rows["label"].mean()),
        "n_features": len(model.columns),
        "recipe": {k: v for k, v in asdict(recipe).items() if k != "threads"},
        "calibration": asdict(model.calibration),
        "test": judged
        and {
            "snapshots": [str(s) for s in judged.split.test],
            "training_snapshots": [str(s) for s in judged.split.train],
            "figures": judged.figures,
        },
    }


def _without_date(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of the panel that outlive the day it was built for."""
    return {key: value for key, value in facts.items() if key != "as_of"}


def _files(
    settings: Settings,
    panel: pd.DataFrame,
    model: Model,
    features: list[Feature],
    judged: Trial | None,
) -> dict[str, bytes]:
    """Configuration and pictures by file name."""
    latest = panel[panel["snapshot"] == panel["snapshot"].max()]
    chosen = np.unique(np.linspace(0, len(latest) - 1, min(N_EXPLAINED, len(latest))).astype(int))
    explained = shapley.contributions(model, latest.iloc[chosen])
    importance = shapley.by_family(explained, features).abs().mean()
    files = {
        "config.yaml": yaml.safe_dump(asdict(settings), sort_keys=False).encode(),
        "feature_families.png": plots.families(importance),
    }
    if judged is not None:
        label = judged.test["label"].to_numpy(dtype=float)
        shown = ["model", "longest_silent"]
        scores = {baselines.TITLES[n]: judged.scores[n] for n in shown if n in judged.scores}
        files["calibration.png"] = plots.calibration(label, judged.risk)
        files["gain.png"] = plots.gain(label, scores, list_share=settings.train.list_share)
    return files


def _tracked(
    settings: Settings,
    entry: dict[str, Any],
    record: dict[str, Any],
    model: Model,
    files: dict[str, bytes],
) -> tracking.Run:
    place = settings.place
    test = record["test"]
    figures = {
        f"{name}.{key}": value
        for name, found in (test["figures"] if test else {}).items()
        for key, value in found.items()
    }
    return tracking.Run(
        version=entry["version"],
        model_folder=place / "models" / entry["version"],
        inputs=[(c.name, c.kind) for c in model.columns],
        parameters=_flat(
            {"seed": settings.seed, **asdict(settings.train), "churn": asdict(settings.churn)}
        ),
        figures={
            **figures,
            "train.base_rate": record["base_rate"],
            "train.n_rows": record["n_rows"],
        },
        tags={
            "panel_sha256": _fingerprint(place / "panel"),
            "daily_sha256": _fingerprint(place / "daily"),
        },
        description=files["model_card.md"].decode(),
        files=files,
    )


def _fingerprint(folder: Path) -> str:
    return tables.fingerprint(folder, made_by="features") if tables.exists(folder) else "absent"


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


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
