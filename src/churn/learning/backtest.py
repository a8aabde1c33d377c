"""Rolling origins: refit at each, judged on what came later, beside everything there is to beat.

Nothing is kept from one origin to the next. What an origin knows stands in its `train` rows, whose
labels were known on that day, and in the features they were built with.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import baselines, intervals, metrics, models, shapley, splits
from churn.learning.baselines import Baseline, Champion
from churn.learning.intervals import Array, Draws
from churn.learning.models import Recipe
from churn.learning.splits import Split

MODEL = "model"
N_EXPLAINED = 2000


@dataclass(frozen=True)
class Origin:
    """A day `at` on which a model might have been trained, and what came of it.

    `train` are rows with labels known at `at`, `test` rows of snapshots from `at` on with labels
    known since, and `models.TIMES` where the panel has them. Columns of `test` that begin with `by_`
    say to which groups a row belongs.
    """

    at: date
    train: pd.DataFrame
    test: pd.DataFrame
    features: Sequence[Feature]


@dataclass(frozen=True)
class Judged:
    """One origin that was judged, and what it learnt from."""

    at: date
    training_snapshots: tuple[date, ...]
    test_snapshots: tuple[date, ...]
    n_rows: int
    n_churned: int


Contestants = Callable[[Origin], Mapping[str, Baseline]]


@dataclass(frozen=True)
class Backtest:
    """All origins' predictions. `rows`: origin, snapshot, customer_id, label and the `by_` groups.

    `scores` and `risks` are arrays along `rows` by contestant: the model, and those baselines that
    took part at every origin. `first` is the earliest origin, whole.
    """

    origins: tuple[Judged, ...]
    rows: pd.DataFrame
    scores: Mapping[str, Array]
    risks: Mapping[str, Array]
    list_share: float
    first: Origin
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def risk(self) -> Array:
        """The model's own."""
        return self.risks[MODEL]

    @cached_property
    def figures(self) -> dict[str, dict[str, float]]:
        """Pooled figures by contestant, units as in `titles.UNITS`."""
        return {name: self._evaluated(name, np.full(len(self.rows), True)) for name in self.scores}

    @cached_property
    def by_origin(self) -> dict[date, dict[str, dict[str, float]]]:
        """Figures by origin and contestant."""
        where = self.rows["origin"].to_numpy()
        return {
            one.at: {name: self._evaluated(name, where == one.at) for name in self.scores}
            for one in self.origins
        }

    def _evaluated(self, name: str, which: Array) -> dict[str, float]:
        rows = self.rows[which]
        return metrics.evaluate(
            rows["label"].to_numpy(dtype=float),
            self.scores[name][which],
            snapshot=rows["snapshot"],
            list_share=self.list_share,
            risk=self.risks[name][which],
        )

    def on_list(self, name: str = MODEL) -> Array:
        return metrics.on_list(
            self.scores[name], snapshot=self.rows["snapshot"], list_share=self.list_share
        )


def run(
    origins: Iterable[Origin], *, contestants: Contestants, list_share: float
) -> Backtest | None:
    """Fit every contestant at every origin, predict what came later.

    An origin with fewer than `models.MIN_CHURNED` outcomes of either kind to learn from, or with
    nobody to judge, is passed over; None when none is left.
    """
    judged, rows, scores, risks = [], [], [], []
    first: Origin | None = None
    for origin in origins:
        label = origin.train["label"]
        if min(label.sum(), (1 - label).sum()) < models.MIN_CHURNED or origin.test.empty:
            continue
        fitted = contestants(origin)
        first = first or origin
        judged.append(_note(origin))
        rows.append(_rows(origin))
        scores.append({name: one.score(origin.test) for name, one in fitted.items()})
        risks.append({name: one.risk(origin.test) for name, one in fitted.items()})
    if first is None:
        return None
    every = list(dict.fromkeys(name for one in scores for name in one))
    names = [name for name in every if all(name in one for one in scores)]
    return Backtest(
        tuple(judged),
        pd.concat(rows, ignore_index=True),
        {name: np.concatenate([one[name] for one in scores]) for name in names},
        {name: np.concatenate([one[name] for one in risks]) for name in names},
        list_share,
        first,
        _left_out(every, names),
    )


def _left_out(every: Sequence[str], there: Sequence[str]) -> dict[str, str]:
    """Who is not pooled, and why."""
    said = {
        name: "took no part at some origin: the log had no column for it yet"
        for name in every
        if name not in there
    }
    if "champion" not in every:
        said["champion"] = "there is no model in charge"
    return said


def contestants(
    recipe: Recipe,
    *,
    champion: Champion | None = None,
    guests: Mapping[str, Callable[[], Any]] | None = None,
) -> Contestants:
    """The model of `recipe`, every baseline, the champion and anybody's classifiers (`guests`)."""

    def fitted(origin: Origin) -> dict[str, Baseline]:
        train, features = origin.train, origin.features
        fitted_model = models.fit(train, features=features, recipe=recipe)
        model = baselines.of_model(MODEL, fitted_model)
        found = {
            MODEL: model,
            **baselines.fit_all(train, features=features, recipe=recipe, model=fitted_model),
        }
        for name, make in (guests or {}).items():
            found[name] = baselines.fit_guest(name, train, features=features, make=make)
        if champion is not None:
            found["champion"] = baselines.fit_champion(
                champion, train, at=origin.at, features=features,
                others={MODEL: (features, recipe, model)},
            )  # fmt: skip
        return found

    return fitted


def only_model(recipe: Recipe) -> Contestants:
    """The model of `recipe` alone."""

    def fitted(origin: Origin) -> dict[str, Baseline]:
        return {MODEL: baselines.fit_model(MODEL, origin.train, origin.features, recipe)}

    return fitted


def watched(contestants: Contestants, watch: Callable[[Origin, models.Model], None]) -> Contestants:
    """The same `contestants`; `watch` sees each origin with the model that it fitted."""

    def fitted(origin: Origin) -> Mapping[str, Baseline]:
        found = contestants(origin)
        model = found[MODEL].model
        if model is not None:
            watch(origin, model)
        return found

    return fitted


def from_panel(
    rows: pd.DataFrame, split: Sequence[Split], *, features: Sequence[Feature]
) -> Iterable[Origin]:
    """Origins inside one panel: cells as known at each snapshot, columns chosen at its end."""
    for one in split:
        # when who left is known later than the origins: to judge by, not to learn from
        train = at(rows, one.train).drop(columns=list(models.TIMES), errors="ignore")
        yield Origin(one.test[0], train, at(rows, one.test), features)


def at(rows: pd.DataFrame, snapshots: Sequence[date]) -> pd.DataFrame:
    return rows[rows["snapshot"].isin(list(snapshots))].reset_index(drop=True)


def mature(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows of `panel` whose outcome is known, snapshots as dates, in the panel's order."""
    rows = panel[panel["label_mature"].astype(bool) & panel["label"].notna()]
    return rows.assign(snapshot=splits.days(rows["snapshot"])).reset_index(drop=True)


def drawn(found: Backtest, *, n: int, seed: int) -> dict[str, dict[str, Array]]:
    """The figures of every contestant in the same `n` draws of customers (see `intervals`)."""
    draws = Draws.of(found.rows, list_share=found.list_share, n=n, seed=seed)
    return {
        name: intervals.figures(draws, found.scores[name], found.risks[name])
        for name in found.scores
    }


def differences(
    by_name: Mapping[str, Mapping[str, Array]], *, of: str = MODEL
) -> dict[str, dict[str, dict[str, float | None]]]:
    """One contestant minus each other, paired, with intervals."""
    return {
        name: intervals.difference(by_name[of], other)
        for name, other in by_name.items()
        if name != of
    }


def spread(found: Backtest) -> dict[str, dict[str, float]]:
    """Standard deviation of each figure over the origins, by contestant; at least two origins."""
    if len(found.by_origin) < 2:
        return {}
    frames = {
        name: pd.DataFrame([one[name] for one in found.by_origin.values()]) for name in found.scores
    }
    return {
        name: {str(key): float(value) for key, value in frame.std(ddof=1).dropna().items()}
        for name, frame in frames.items()
    }


def shuffled(
    origin: Origin, *, contestants: Contestants, seed: int, of: str = MODEL
) -> dict[str, float] | None:
    """ROC AUC of the same training where labels are chance: shuffled within each snapshot.

    Test labels are shuffled too. Then the AUC is .5 up to its standard error, sqrt((n + 1) /
    (12 n0 n1)) (Mann & Whitney 1947), whatever the features are, unless training saw what it is
    tested on. With true test labels a model of noise may lean towards or away from the truth by
    far more than that.
    """
    random = np.random.default_rng([seed, 1])
    mixed = Origin(
        origin.at, _mixed(origin.train, random), _mixed(origin.test, random), origin.features
    )
    label = mixed.test["label"].to_numpy(dtype=float)
    n, n_churned = len(label), label.sum()
    if not 0 < n_churned < n:
        return None
    score = contestants(mixed)[of].score(mixed.test)
    found = metrics.evaluate(label, score, snapshot=mixed.test["snapshot"], list_share=1.0)
    error = float(np.sqrt((n + 1) / (12 * n_churned * (n - n_churned))))
    return {"roc_auc": found["roc_auc"], "standard_error": error}


def largest_share(model: models.Model, rows: pd.DataFrame) -> dict[str, Any]:
    """The feature with the largest share of the mean |contribution| over a sample of `rows`."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(N_EXPLAINED, len(rows))).astype(int))
    parts = shapley.contributions(model, rows.iloc[chosen]).drop(columns=shapley.BASE)
    strength = parts.abs().mean()
    total = float(strength.sum())
    name = str(strength.idxmax())
    return {"feature": name, "share": float(strength.max()) / total if total > 0 else 0.0}


def _mixed(rows: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    label = rows["label"].to_numpy(dtype=float).copy()
    for places in rows.reset_index(drop=True).groupby("snapshot").indices.values():
        label[places] = random.permutation(label[places])
    return rows.assign(label=label)


def _note(origin: Origin) -> Judged:
    return Judged(
        origin.at,
        tuple(sorted(origin.train["snapshot"].unique())),
        tuple(sorted(origin.test["snapshot"].unique())),
        len(origin.train),
        int(origin.train["label"].sum()),
    )


def _rows(origin: Origin) -> pd.DataFrame:
    named = [
        name for name in origin.test.columns if name.startswith("by_") or name == "value_month"
    ]
    kept = origin.test[["snapshot", "customer_id", "label", *named]]
    return kept.assign(origin=origin.at)
