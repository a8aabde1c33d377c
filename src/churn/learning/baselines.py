"""What a model has to beat: chance, rules anybody could write, a plain regression, the champion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import columns, models
from churn.learning.columns import Column
from churn.learning.hazard import Hazard
from churn.learning.linear import Z_LIMIT, Logistic, Term
from churn.learning.models import Array, Calibration, Model, Recipe

Predict = Callable[[pd.DataFrame], Array]

FARTHEST = 9.0
"""exp(9) days are 22 years: no rule distinguishes beyond."""


@dataclass(frozen=True)
class Rule:
    """Rank customers by one column. `sign` -1 puts the smallest first; `if_missing` stands in for
    a value that is not there."""

    name: str
    column: str
    sign: int
    if_missing: float


@dataclass(frozen=True)
class Baseline:
    """A fitted contestant: `score` ranks (higher = likelier to churn), `risk` is a probability.

    `model` is what stands behind both, where it is one of ours.
    """

    name: str
    score: Predict
    risk: Predict
    model: Model | None = None


@dataclass(frozen=True)
class Champion:
    """The model in charge: what it was fitted with, and the day before which it learnt nothing new.

    `known_before` is the day on which its last training label was known.
    """

    model: Model
    features: Sequence[Feature]
    recipe: Recipe
    known_before: date


RULES = (
    Rule("longest_silent", "recency_days", sign=1, if_missing=3650.0),
    Rule("biggest_drop", "n_events_trend_28d", sign=-1, if_missing=1.0),
)
"""Nothing heard at all counts as silent longest; without a past to compare with, as no change."""


def fit_all(
    rows: pd.DataFrame,
    *,
    features: Sequence[Feature],
    recipe: Recipe,
    model: Model | None = None,
) -> dict[str, Baseline]:
    """Every baseline that the columns of `rows` allow, by name, fitted on `rows`.

    `model` is what `recipe` gave on the same rows: if a regression on all features is part of it,
    that is the baseline and is not fitted again.
    """
    found = {"random": _random(rows, seed=recipe.seed)}
    for rule in rules(features):
        found[rule.name] = _ranked_by(
            rule, rule_model(rule, rows, horizon_days=recipe.horizon_days)
        )
    plain = replace(recipe, n_folds=0)
    short = tenure_and_contract(features)
    if short:
        trees = replace(plain, model="lightgbm")
        found["tenure_contract"] = fit_model("tenure_contract", rows, short, trees)
    if model is not None and model.logistic is not None:
        alone = Model(model.columns, None, model.logistic, Calibration.equal(1))
        found["logistic_all"] = of_model("logistic_all", alone)
    else:
        line = replace(plain, model="logistic")
        found["logistic_all"] = fit_model("logistic_all", rows, features, line)
    return found


def tenure_and_contract(features: Sequence[Feature]) -> list[Feature]:
    """The features of these two families that know nothing of usage.

    Some of them divide usage by time or seats (active days as a share of tenure): with those the
    baseline would not be what its name says.
    """
    return [
        f
        for f in features
        if f.family in ("tenure", "contract") and all(c.startswith("its_") for c in f.columns())
    ]


def rules(features: Sequence[Feature]) -> list[Rule]:
    """The rules whose column is among `features`."""
    names = {f.name for f in features}
    return [rule for rule in RULES if rule.column in names]


def rule_model(rule: Rule, rows: pd.DataFrame, *, horizon_days: int) -> Model:
    """A rule as a model that scoring can open: the log-scaled column through a fitted sigmoid.

    The sigmoid gives it probabilities; it cannot change the order, except to call all equal where
    the rule points the wrong way.
    """
    scale = Z_LIMIT / FARTHEST
    term = Term(0.0, scale, rule.sign / scale, rule.sign * float(np.log1p(rule.if_missing)))
    raw = rule_score(rule, rows)
    line = Logistic(0.0, (replace(term, centre=float(raw.mean())),))
    label = rows["label"].to_numpy(dtype=float)
    fitted = models.fit_calibration(label, raw[:, None])
    return Model((Column(rule.column, "number"),), None, line, fitted, Hazard(horizon_days))


def rule_score(rule: Rule, frame: pd.DataFrame) -> Array:
    """The log-scaled column, turned so that higher means likelier to churn."""
    values = frame[rule.column].to_numpy(dtype=float, na_value=np.nan)
    filled = np.where(np.isfinite(values), values, rule.if_missing)
    return rule.sign * np.sign(filled) * np.log1p(np.abs(filled))


def fit_model(
    name: str, rows: pd.DataFrame, features: Sequence[Feature], recipe: Recipe
) -> Baseline:
    """A contestant that ranks by its own probabilities."""
    return of_model(name, models.fit(rows, features=features, recipe=recipe))


def of_model(name: str, model: Model) -> Baseline:
    def risk(frame: pd.DataFrame) -> Array:
        return models.predict(model, frame)

    return Baseline(name, risk, risk, model)


def fit_guest(
    name: str, rows: pd.DataFrame, *, features: Sequence[Feature], make: Callable[[], Any]
) -> Baseline:
    """Anybody's scikit-learn classifier on all features; `make` returns it unfitted.

    It gets numbers and the places of categories as float64. Where it says that it cannot take
    missing values it gets medians. Its probabilities are judged as they are.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import get_tags

    known = columns.learn(rows, features=features)
    classifier = make()
    if not get_tags(classifier).input_tags.allow_nan:
        filled = SimpleImputer(strategy="median", keep_empty_features=True)
        classifier = make_pipeline(filled, classifier)
    classifier.fit(columns.matrix(known, rows), rows["label"].to_numpy(dtype=int))

    def risk(frame: pd.DataFrame) -> Array:
        found = classifier.predict_proba(columns.matrix(known, frame))
        return np.asarray(found, dtype=float)[:, list(classifier.classes_).index(1)]

    return Baseline(name, risk, risk)


def fit_champion(
    champion: Champion,
    rows: pd.DataFrame,
    *,
    at: date,
    features: Sequence[Feature],
    others: Mapping[str, tuple[Sequence[Feature], Recipe, Baseline]],
) -> Baseline:
    """The champion as a rival at an origin.

    It is scored as it stands where it had learnt nothing that was not known at `at` and its columns
    mean the same (topics of messages are learnt anew each time, so a model that reads them does
    not qualify). Elsewhere scoring it would reward memory, so its recipe is fitted again inside the
    origin. `others` are contestants that were just fitted: the same recipe on the same columns
    is not fitted twice.
    """
    there = {f.name: f for f in features}
    mine = [there[f.name] for f in champion.features if f.name in there]
    is_same = mine == list(champion.features) and not any(f.rows == "texts" for f in mine)
    if champion.known_before <= at and is_same:
        return of_model("champion", champion.model)
    for known, recipe, fitted in others.values():
        if list(known) == mine and _recipe(recipe) == _recipe(champion.recipe):
            return replace(fitted, name="champion")
    return fit_model("champion", rows, mine, champion.recipe)


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """A recipe without what changes no figure."""
    return {name: value for name, value in asdict(recipe).items() if name != "threads"}


def _random(rows: pd.DataFrame, *, seed: int) -> Baseline:
    """Chance that hangs on customer, snapshot and seed alone; the base rate as everybody's risk."""
    base = float(rows["label"].mean())

    def score(frame: pd.DataFrame) -> Array:
        names = frame["snapshot"].astype(str) + " " + frame["customer_id"].astype(str)
        hashed = pd.util.hash_array(names.to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:])
        return hashed / 2.0**64

    def risk(frame: pd.DataFrame) -> Array:
        return np.full(len(frame), base)

    return Baseline("random", score, risk)


def _ranked_by(rule: Rule, model: Model) -> Baseline:
    def score(frame: pd.DataFrame) -> Array:
        return rule_score(rule, frame)

    def risk(frame: pd.DataFrame) -> Array:
        return models.predict(model, frame)

    return Baseline(rule.name, score, risk)
