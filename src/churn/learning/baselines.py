"""What a model has to beat: rules anybody could write, and a plain regression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import models
from churn.learning.models import Array, Recipe

Predict = Callable[[pd.DataFrame], Array]


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
    """A fitted rival: `score` ranks (higher = likelier to churn), `risk` is a probability."""

    name: str
    score: Predict
    risk: Predict


RULES = (
    Rule("longest_silent", "recency_days", sign=1, if_missing=3650.0),
    Rule("biggest_drop", "n_events_trend_28d", sign=-1, if_missing=1.0),
)
"""Nothing heard at all counts as silent longest; without a past to compare with, as no change."""

TITLES = {
    "model": "model",
    "longest_silent": "longest silent",
    "biggest_drop": "biggest drop in events",
    "tenure_contract": "tenure and contract only",
    "logistic_all": "logistic regression, all features",
}


def fit_all(
    rows: pd.DataFrame, *, features: Sequence[Feature], recipe: Recipe
) -> dict[str, Baseline]:
    """Every baseline that the columns of `rows` allow, by name, fitted on `rows`."""
    names = {f.name for f in features}
    found = {r.name: _fit_rule(r, rows) for r in RULES if r.column in names}
    plain = replace(recipe, n_folds=0)
    short = [f for f in features if f.family in ("tenure", "contract")]
    if short:
        found["tenure_contract"] = _fit_model(
            "tenure_contract", rows, short, replace(plain, model="lightgbm")
        )
    found["logistic_all"] = _fit_model(
        "logistic_all", rows, features, replace(plain, model="logistic")
    )
    return found


def rule_score(rule: Rule, frame: pd.DataFrame) -> Array:
    """The log-scaled column, turned so that higher means likelier to churn."""
    values = frame[rule.column].to_numpy(dtype=float, na_value=np.nan)
    filled = np.where(np.isfinite(values), values, rule.if_missing)
    return rule.sign * np.sign(filled) * np.log1p(np.abs(filled))


def _fit_rule(rule: Rule, rows: pd.DataFrame) -> Baseline:
    """A rule only ranks; a sigmoid fitted on the training rows gives it probabilities."""
    label = rows["label"].to_numpy(dtype=float)
    fitted = models.fit_calibration(label, rule_score(rule, rows)[:, None])

    def score(frame: pd.DataFrame) -> Array:
        return rule_score(rule, frame)

    def risk(frame: pd.DataFrame) -> Array:
        return models.sigmoid(models.calibrated(fitted, score(frame)[:, None]))

    return Baseline(rule.name, score, risk)


def _fit_model(
    name: str, rows: pd.DataFrame, features: Sequence[Feature], recipe: Recipe
) -> Baseline:
    model = models.fit(rows, features=features, recipe=recipe)

    def risk(frame: pd.DataFrame) -> Array:
        return models.predict(model, frame)

    return Baseline(name, risk, risk)
