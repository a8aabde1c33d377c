"""Exact contributions of every feature to a score, in log-odds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import columns, linear
from churn.learning.models import Array, Model

CHUNK_ROWS = 50_000
"""Rows at a time: contributions are as large as what they explain, several times over."""

BASE = "base"
"""The column that holds the log-odds of a row about which nothing is known."""


def contributions(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """What each feature adds to each row's calibrated log-odds: rows × features, plus `base`.

    A row's columns sum to `models.log_odds` (within 1e-9). Trees: exact path-dependent Shapley
    values (Lundberg et al. 2018, LightGBM's own); logistic regression: term minus its mean over
    the training rows, the exact Shapley value of a sum. Both are added with the calibration's
    weights, as the scores are; its intercept goes to `base`.
    """
    values = columns.matrix(model.columns, frame)
    names = [c.name for c in model.columns]
    total = np.zeros((len(values), len(names) + 1))
    for first in range(0, len(values), CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        total[rows] = _weighted_contributions(model, values[rows])
    total[:, -1] += model.calibration.intercept
    return pd.DataFrame(total, columns=[*names, BASE], index=frame.index)


def by_family(contributions: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Contributions summed within each family of features: rows × families, without `base`.

    Correlated features share what they know at random; their sum is what is stable. Families
    stand in the order of their first feature; one that the model does not look at is 0.
    """
    families = list(dict.fromkeys(f.family for f in features))
    known = set(contributions.columns)
    members = {
        family: [f.name for f in features if f.family == family and f.name in known]
        for family in families
    }
    return pd.DataFrame({family: contributions[members[family]].sum(axis=1) for family in families})


def _weighted_contributions(model: Model, values: Array) -> Array:
    """The members' contributions times their weights; the last column is the base."""
    total = np.zeros((len(values), values.shape[1] + 1))
    weights = iter(model.calibration.weights)
    if model.booster is not None:
        weight = next(weights)
        if len(values):
            total += weight * np.asarray(model.booster.predict(values, pred_contrib=True))
    if model.logistic is not None:
        weight = next(weights)
        centres = np.array([term.centre for term in model.logistic.terms])
        total[:, :-1] += weight * (linear.added(model.logistic, values) - centres)
        total[:, -1] += weight * (model.logistic.intercept + centres.sum())
    return total
