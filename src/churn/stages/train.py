"""`churn train`: panel → baselines, a calibrated model, honest figures, a challenger."""

import logging
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from churn import contracts
from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.io import bundle, tables
from churn.io.bundle import Bundle
from churn.io.engine import opened, resources
from churn.io.lab import model_card, plots, runs, scorecard, shared, store, tracking
from churn.io.lab.served import Served
from churn.io.lab.store import Store
from churn.io.modelling import contacts, guests, origins, panels, probe, recipes, witness
from churn.io.workspace import Workspace
from churn.learning import ablation, backtest, baselines, gate, models, splits, trial
from churn.learning.backtest import Backtest
from churn.learning.models import Model, Recipe
from churn.retention import evidence, language
from churn.settings import Settings, spoken

logger = logging.getLogger("churn")


@dataclass(frozen=True)
class Taught:
    """What a training starts from: mature rows of the panel, and what they mean."""

    rows: pd.DataFrame
    facts: dict[str, Any]
    features: list[Feature]
    definition: Definition


def run(settings: Settings) -> None:
    """Fit on all mature rows of the panel, judge the recipe at rolling origins, register both.

    The model becomes the challenger; the best rule is kept beside it, for when no model passes the
    gate. Raises `HeldBackError` when the panel holds too few outcomes to learn from.
    """
    max_rows = recipes.of(settings).max_rows
    panel = panels.to_learn_from(settings.place / "panel", max_rows=max_rows, seed=settings.seed)
    taught, latest = _taught(settings, panel), panel[panel["snapshot"] == panel["snapshot"].max()]
    del panel  # as large as what is taught, which is a copy
    with tracking.begun(store.of(settings), name=_run_name(settings)) as where:
        _train(settings, taught, latest, where)


def _train(settings: Settings, taught: Taught, latest: pd.DataFrame, where: Store) -> None:
    recipe, champion = recipes.of(settings), recipes.champion(settings)
    heard: list[pd.DataFrame] = []
    takes_part = witness.listening(
        backtest.contestants(recipe, champion=champion, guests=guests.found()),
        settings, language.with_own(spoken(settings), taught.features), heard,
    )  # fmt: skip
    judged, left = _judged(settings, taught, takes_part)
    model = models.fit(taught.rows, features=taught.features, recipe=recipe)
    alone = backtest.only_model(recipe)
    found = trial.evidence(
        judged, model, taught.rows, contestants=alone, draws=settings.backtest.draws,
        seed=settings.seed,
    )  # fmt: skip
    if found is not None:
        found |= _seen(settings, model, taught)
    record = trial.record(
        taught.rows, model, judged, recipe=recipe, evidence=found, churned_on=left,
        ablation=_ablation(settings, taught, recipe), min_churned=settings.backtest.min_churned,
    )  # fmt: skip
    record["reasons"] = _reasons(settings, heard, left)
    entry = _saved(settings, model, taught, record)
    told = (
        pd.concat(heard) if heard else pd.DataFrame(columns=[*contracts.BACKTEST_REASONS.columns])
    )
    part = {entry["version"]: told[list(contracts.BACKTEST_REASONS.columns)]}
    tables.write(settings.place / "backtest_reasons", part, keep=True)
    _keep_rule(settings, taught, judged, record)
    _tell(settings, where, entry, model, taught, judged, latest)


def _taught(settings: Settings, panel: pd.DataFrame) -> Taught:
    facts = tables.facts(settings.place / "panel", made_by="features")
    _require_same_question(settings, facts)
    as_of = date.fromisoformat(facts["as_of"])
    rows = contacts.weighted(settings, backtest.mature(panel), as_of)
    models.check_labels(rows)
    features = [Feature(**entry) for entry in facts["features"]]
    _require_known(settings.train.monotone, features)
    return Taught(rows, facts, features, Definition(**facts["churn"]))


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


def _seen(settings: Settings, model: Model, taught: Taught) -> dict[str, Any]:
    """What only this place can find out: who the champion was, and whether the future shows."""
    entry = bundle.pointer(settings.place, "champion") or {}
    spec = {
        "as_of": taught.facts["as_of"],
        "churn": taught.facts["churn"],
        "panel": taught.facts,
        "features": taught.facts["features"],
    }
    return {
        "against": None if "rule" in entry else entry.get("version"),
        "unchanged": probe.unchanged(settings, Bundle(spec, {}, model)),
    }


def _judged(
    settings: Settings, taught: Taught, contestants: backtest.Contestants
) -> tuple[Backtest | None, pd.DataFrame | None]:
    """The recipe at rolling origins, and when those who churned left (where that is known)."""
    as_of = date.fromisoformat(taught.facts["as_of"])
    if not origins.are_affordable(settings, n_rows=len(taught.rows)):
        found = _tried(settings, taught, contestants)
        days = [] if found is None else sorted(found.rows["snapshot"].unique())
        return found, origins.departures(settings, as_of, days) if days else None
    workspace, left = Workspace(settings.place), list[pd.DataFrame]()
    with opened(resources(settings.engine), workspace.usage()) as engine:
        rebuilt = origins.rebuilt(engine, settings, as_of, workspace.usage_facts(), left)
        found = backtest.run(rebuilt, contestants=contestants, list_share=settings.train.list_share)
    return found, pd.concat(left) if found is not None else None


def _tried(
    settings: Settings, taught: Taught, contestants: backtest.Contestants
) -> Backtest | None:
    """Origins inside the panel, where there are many customers learning from a share of them."""
    few = splits.sample_customers(
        taught.rows, max_rows=settings.backtest.most_rows, seed=settings.seed
    )
    return trial.run(
        origins.with_attributes(taught.rows, settings),
        definition=taught.definition,
        features=taught.features,
        contestants=contestants,
        n_origins=settings.backtest.origins,
        n_test=settings.train.n_test_snapshots,
        list_share=settings.train.list_share,
        learners=few["customer_id"].unique(),
    )


def _reasons(
    settings: Settings, heard: list[pd.DataFrame], left: pd.DataFrame | None
) -> list[dict[str, Any]] | None:
    """How customers fared for whom each family spoke; None where no origin was judged."""
    if not heard:
        return None
    return evidence.weighed(pd.concat(heard), left, min_lift=settings.explain.min_lift)


def _ablation(settings: Settings, taught: Taught, recipe: Recipe) -> dict[str, Any] | None:
    if not settings.train.ablation:
        return None
    found = _tried(settings, taught, ablation.contestants(recipe))
    if found is None:
        return None
    draws = settings.backtest.draws
    return ablation.worth(found, taught.features, draws=draws, seed=settings.seed)


def _saved(
    settings: Settings, model: Model, taught: Taught, record: dict[str, Any], **decisive: str
) -> dict[str, Any]:
    """Write a bundle; returns its pointer."""
    panel = {key: value for key, value in taught.facts.items() if key not in ("as_of", "asked")}
    found = {"as_of": taught.facts["as_of"], **record}
    found["data"] = {
        f"{name}_sha256": _fingerprint(settings.place / name) for name in ("panel", "daily")
    }
    return bundle.save(
        settings.place,
        model,
        features=taught.features,
        decisive={"churn": taught.facts["churn"], "panel": panel, **decisive},
        record=found,
    )


def _keep_rule(
    settings: Settings, taught: Taught, judged: Backtest | None, record: dict[str, Any]
) -> None:
    """Save the best rule as a model of its own: what is listed while no model has beaten it."""
    there = {rule.name: rule for rule in baselines.rules(taught.features)}
    name = trial.best_rule(judged, list(there))
    if name is not None:
        rule = baselines.rule_model(
            there[name], taught.rows, horizon_days=taught.definition.horizon_days
        )
        entry = _saved(settings, rule, taught, record, rule=name)
        bundle.point(settings.place, "rule", {**entry, "rule": name})


def _tell(
    settings: Settings,
    where: Store,
    entry: dict[str, Any],
    model: Model,
    taught: Taught,
    judged: Backtest | None,
    latest: pd.DataFrame,
) -> None:
    """Card, pictures, MLflow's run, the challenger's pointer, and the log."""
    place, version = settings.place, entry["version"]
    record = bundle.opened(place, entry).spec
    card = model_card.text(version, record, churn=taught.facts["churn"], allowed=_allowed(settings))
    pictures = plots.of_training(
        latest, model, judged, features=taught.features, list_share=settings.train.list_share
    )
    files = {"model_card.md": card.encode(), **pictures}
    files["model_card.html"] = model_card.page(card, pictures).encode()
    ids = tracking.record(where, _tracked(settings, version, record, model, files))
    bundle.point(place, "challenger", {**entry, **ids})
    if judged is not None:
        run_id = ids.get("mlflow_run_id")
        runs.keep(settings, judged, kind="train", version=version, run_id=run_id)
    scorecard.write(place, record, judged)
    tables.write_bytes(place / "cards" / f"{version}.html", files["model_card.html"])
    tables.write_bytes(place / "cards" / f"{version}.yaml", _configuration(settings))
    _log(version, record)


def _allowed(settings: Settings) -> list[str]:
    return list(settings.promote.allowed)


def _configuration(settings: Settings) -> bytes:
    return yaml.safe_dump(asdict(settings), sort_keys=False).encode()


def _run_name(settings: Settings) -> str:
    return tracking.run_name("train", settings.name, settings.config.overrides)


def _tracked(
    settings: Settings, version: str, record: dict[str, Any], model: Model, files: dict[str, bytes]
) -> tracking.Run:
    place = settings.place
    verdicts = gate.judge(record.get("evidence"), allowed=_allowed(settings))
    return tracking.Run(
        name=_run_name(settings),
        model=Served(
            version, place / "models" / version, [(c.name, c.kind) for c in model.columns]
        ),
        parameters={
            "seed": settings.seed,
            **asdict(settings.train),
            "churn": asdict(settings.churn),
            "features": asdict(settings.features),
        },
        figures=trial.figures(record),
        tags={
            **record["data"],
            "gate": gate.in_words(verdicts),
        },
        description=files["model_card.md"].decode(),
        files={**files, "config.yaml": shared.configuration(settings)},
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
    logger.info("repeat it with: %s", model_card.command(version))
