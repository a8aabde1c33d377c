"""What each family of features is worth: the same recipe without it, on the same rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from churn.features.definitions import Feature
from churn.learning import backtest, baselines
from churn.learning.backtest import MODEL, Backtest, Contestants, Origin
from churn.learning.baselines import Baseline
from churn.learning.models import Recipe

FIGURES = ("average_precision", "roc_auc")


def contestants(recipe: Recipe) -> Contestants:
    """The recipe on all features (`model`), and under each family's name without that family.

    Uncalibrated: only the order is compared, and calibration would fit everything three times more.
    """
    plain = replace(recipe, n_folds=0)

    def fitted(origin: Origin) -> dict[str, Baseline]:
        def on(name: str, features: Sequence[Feature]) -> Baseline:
            return baselines.fit_model(name, origin.train, features, plain)

        return {
            MODEL: on(MODEL, origin.features),
            **{name: on(name, kept) for name, kept in _without(origin.features).items()},
        }

    return fitted


def worth(
    found: Backtest, features: Sequence[Feature], *, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """By family: `n_features`, and the figures of all features minus those without it, with 95 %
    intervals by customer. JSON types."""
    by_name = backtest.drawn(found, n=draws, seed=seed)
    return {
        name: {
            "n_features": sum(feature.family == name for feature in features),
            **{key: minus[key] for key in FIGURES},
        }
        for name, minus in backtest.differences(by_name).items()
    }


def _without(features: Sequence[Feature]) -> dict[str, list[Feature]]:
    """Family → all other features, for families that are not everything."""
    families = dict.fromkeys(feature.family for feature in features)
    return {
        name: kept
        for name in families
        if (kept := [feature for feature in features if feature.family != name])
    }
