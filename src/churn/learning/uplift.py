"""Whom a contact would keep: a challenger to ordering by risk × value, and whether it has earned that.

One model of leaving with the contact as a feature among the others (an S-learner, Künzel et al. 2019),
learnt from contacts whose chance is known. What it says of a customer is the difference between the
two predictions. It is judged by what its list would have saved, on customers it never saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from churn.features.definitions import Feature
from churn.learning import columns, splits
from churn.learning.columns import Column
from churn.learning.models import Recipe

Array = np.ndarray[Any, Any]

MIN_TREATED = 200
"""With fewer contacted customers there is nothing to learn an effect from."""

MIN_CHURNED = 20

LEVEL = 0.95


@dataclass(frozen=True)
class Uplift:
    """Trees over the features and, last, whether the customer is contacted."""

    columns: tuple[Column, ...]
    booster: lgb.Booster


@dataclass(frozen=True)
class Verdict:
    """Whether ordering by effect × value saves more than by risk × value, per customer who could be
    contacted, in units of `worth`: the difference with its interval, and both values.

    `passed` only with the lower bound above 0; `why` says it in words.
    """

    passed: bool
    difference: float
    low: float
    high: float
    by_effect: float
    by_risk: float
    n_rows: int
    n_treated: int
    why: str


def experiment(rows: pd.DataFrame, contacts: pd.DataFrame, *, days: int) -> pd.DataFrame:
    """The `rows` of a panel that took part in a campaign, with `is_treated` and `propensity`.

    A campaign is contacts of one name with one known `propensity`; its rows are those of the snapshot
    from which it is at most `days` days away (its own day included), the contacted and the others.
    Everybody of that snapshot could have been drawn. `rows`: snapshot, customer_id, …; `contacts` as in
    contracts.CONTACTS.
    """
    known = contacts[contacts["propensity"].between(0, 1, inclusive="neither")]
    snapshots = pd.to_datetime(rows["snapshot"])
    found = [rows.iloc[:0].assign(is_treated=0, propensity=0.0)]
    for _, campaign in known.groupby(["campaign", "propensity"]):
        first = pd.to_datetime(campaign["contacted_at"]).min().normalize()
        ages = (first - snapshots).dt.days
        near = ages.between(0, days) & (ages == ages[ages.between(0, days)].min())
        part = rows[near]
        treated = part["customer_id"].isin(campaign["customer_id"]).astype(int)
        found.append(part.assign(is_treated=treated, propensity=campaign["propensity"].iloc[0]))
    together = pd.concat(found, ignore_index=True)
    return together.astype({"is_treated": "int64", "propensity": "float64"})


def assigned(rows: pd.DataFrame, assignments: pd.DataFrame, *, days: int) -> pd.DataFrame:
    """The `rows` of a panel whose customer was assigned to an arm of a list at most `days` days after
    the snapshot, with `is_treated` (listed) and `propensity` of being so; of several rows the latest.

    `assignments` as in contracts.ASSIGNMENTS; who had no chance to be held out is left aside.
    """
    known = assignments[assignments["propensity"].between(0, 1, inclusive="neither")]
    asked = pd.DataFrame(
        {
            "customer_id": known["customer_id"],
            "assigned_on": pd.to_datetime(known["as_of"]),
            "is_treated": known["arm"].eq("contact").astype("int64"),
            "propensity": 1 - known["propensity"].astype(float),
        }
    )
    pairs = rows.assign(at=pd.to_datetime(rows["snapshot"])).merge(asked, on="customer_id")
    near = pairs[(pairs["assigned_on"] - pairs["at"]).dt.days.between(0, days)]
    latest = near.sort_values("at", kind="stable").drop_duplicates(
        ["customer_id", "assigned_on"], keep="last"
    )
    return latest.drop(columns=["at", "assigned_on"]).reset_index(drop=True)


def fit(rows: pd.DataFrame, *, features: Sequence[Feature], recipe: Recipe) -> Uplift:
    """Learn from `rows` with features, `is_treated` and `left` (1 or 0 in the effect window)."""
    known = columns.learn(rows, features=features)
    values = _matrix(known, rows, rows["is_treated"].to_numpy(dtype=float))
    given = dict(recipe.lightgbm)
    n_rounds = given.pop("n_rounds", 400)
    parameters = {
        **given,
        "feature_fraction": 1.0,  # a tree without the contact would teach nothing of it
        "objective": "binary",
        "seed": recipe.seed,
        "num_threads": recipe.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        values,
        rows["left"].to_numpy(dtype=float),
        categorical_feature=[k for k, c in enumerate(known) if c.kind == "category"],
        params=parameters,
    )
    return Uplift(tuple(known), lgb.train(parameters, data, num_boost_round=n_rounds))


def effect(model: Uplift, frame: pd.DataFrame) -> Array:
    """How much less likely each customer of `frame` is to leave if contacted (0.05: five points);
    negative where a contact is expected to drive them away."""
    alone, contacted = _both(model, frame)
    return alone - contacted


def judged(
    rows: pd.DataFrame,
    *,
    features: Sequence[Feature],
    recipe: Recipe,
    worth: Array,
    list_share: float,
    draws: int = 400,
) -> Verdict:
    """May the effect order the list? Learnt and judged crosswise by customer.

    Each customer is scored by models of the others; both policies list `list_share` of each snapshot,
    the challenger nobody whom it expects to drive away. What a policy saves is the mean over all rows
    of listed × doubly robust effect × worth (Dudík, Langford & Li 2011; Athey & Wager 2021). Its
    standard error is that of a bootstrap over customers, and never below what the chances of leaving
    and of being contacted foresee: of a dozen contacted customers of whom nobody left, no bootstrap
    learns that one might have.
    """
    n_treated, n_left = int(rows["is_treated"].sum()), int(rows["left"].sum())
    n_churned = int(rows.loc[rows["is_treated"] == 1, "left"].sum())
    if n_treated < MIN_TREATED or n_churned < MIN_CHURNED:
        why = (
            f"not proven: {n_treated:,} contacted customers with a known chance, {n_churned:,} of them "
            f"left; at least {MIN_TREATED} and {MIN_CHURNED} are needed"
        )
        nothing = float("nan")
        return Verdict(
            False, nothing, nothing, nothing, nothing, nothing, len(rows), n_treated, why
        )
    alone, contacted = _cross_fitted(rows, features=features, recipe=recipe)
    saved = worth * _doubly_robust(rows, alone, contacted)
    by_effect = _listed(
        rows, np.where(alone > contacted, (alone - contacted) * worth, 0), list_share
    )
    by_risk = _listed(rows, alone * worth, list_share)
    change = by_effect.astype(float) - by_risk.astype(float)
    gained = change * saved
    error = max(
        _drawn_error(gained, rows["customer_id"], draws=draws, seed=recipe.seed),
        _foreseen_error(rows, change * worth, alone),
    )
    reach = _quantile((1 + LEVEL) / 2) * error
    low, high = float(gained.mean() - reach), float(gained.mean() + reach)
    passed = low > 0
    difference = float(gained.mean())
    why = (
        f"{'proven' if passed else 'not proven'}: {difference:+.3g} per customer ({low:+.3g} to "
        f"{high:+.3g}) over risk × value; {n_treated:,} contacted, {n_left:,} left"
    )
    return Verdict(
        passed, difference, low, high, float((by_effect * saved).mean()),
        float((by_risk * saved).mean()), len(rows), n_treated, why,
    )  # fmt: skip


def harmed(rows: pd.DataFrame, *, by: str) -> pd.DataFrame:
    """The effect of a contact in each group of column `by`: group, n_treated, value, low, high, and
    `is_harmed` where contact raised leaving: those are left alone.

    Inverse-propensity weighted difference in leaving, positive = contact helps; intervals hold for all
    groups together (Bonferroni).
    """
    treated, share = rows["is_treated"], rows["propensity"]
    weight = np.where(treated == 1, -1 / share, 1 / (1 - share))
    scores = pd.DataFrame(
        {"group": rows[by], "is_treated": treated, "score": weight * rows["left"]}
    )
    grouped = scores.dropna(subset="group").groupby("group")
    found = grouped.agg(n_treated=("is_treated", "sum"), value=("score", "mean"))
    error: Array = (grouped["score"].std() / np.sqrt(grouped.size())).to_numpy()
    reach = _quantile(1 - (1 - LEVEL) / 2 / max(1, len(found))) * error
    found = found.assign(low=found["value"] - reach, high=found["value"] + reach)
    return found.assign(is_harmed=found["high"] < 0).reset_index()


def _quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(level)


def _matrix(known: Sequence[Column], frame: pd.DataFrame, treated: Array) -> Array:
    matrix: Array = np.column_stack([columns.matrix(known, frame), treated])
    return matrix


def _both(model: Uplift, frame: pd.DataFrame) -> tuple[Array, Array]:
    """The chance of leaving alone, and contacted."""
    nobody, everybody = np.zeros(len(frame)), np.ones(len(frame))
    alone, contacted = (
        np.asarray(model.booster.predict(_matrix(model.columns, frame, given)))
        for given in (nobody, everybody)
    )
    return alone, contacted


def _cross_fitted(
    rows: pd.DataFrame, *, features: Sequence[Feature], recipe: Recipe
) -> tuple[Array, Array]:
    n_folds = max(recipe.n_folds, 2)
    fold = splits.fold_of(rows["customer_id"], n_folds=n_folds, seed=recipe.seed)
    alone, contacted = np.empty(len(rows)), np.empty(len(rows))
    for k in range(n_folds):
        mine = fold == k
        model = fit(rows[~mine], features=features, recipe=replace(recipe, seed=recipe.seed + k))
        alone[mine], contacted[mine] = _both(model, rows[mine])
    return alone, contacted


def _doubly_robust(rows: pd.DataFrame, alone: Array, contacted: Array) -> Array:
    """An unbiased score of each row's effect, whatever the model says: its chance is known."""
    treated = rows["is_treated"].to_numpy(dtype=float)
    share, left = rows["propensity"].to_numpy(dtype=float), rows["left"].to_numpy(dtype=float)
    missed = (1 - treated) / (1 - share) * (left - alone) - treated / share * (left - contacted)
    score: Array = alone - contacted + missed
    return score


def _listed(rows: pd.DataFrame, score: Array, list_share: float) -> Array:
    """Who is on the list of their snapshot: the highest scores, none of them 0."""
    place = pd.Series(-score, index=rows.index).groupby(rows["snapshot"]).rank(method="first")
    room = rows.groupby("snapshot")["customer_id"].transform("size") * list_share
    listed: Array = (place <= room).to_numpy() & (score > 0)
    return listed


def _drawn_error(values: Array, customers: pd.Series, *, draws: int, seed: int) -> float:
    """The standard error of the mean when customers are drawn anew (Poisson weights, all rows of one)."""
    code = pd.factorize(customers)[0]
    sums, sizes = np.bincount(code, weights=values), np.bincount(code)
    random = np.random.default_rng(seed)
    weight = random.poisson(1.0, (draws, len(sums)))
    means = (weight @ sums) / np.maximum(weight @ sizes, 1)
    return float(means.std(ddof=1))


def _foreseen_error(rows: pd.DataFrame, worth: Array, alone: Array) -> float:
    """The standard error of the mean of worth × effect if rows leave with the chance `alone`."""
    share = rows["propensity"].to_numpy(dtype=float)
    noise = worth**2 * alone * (1 - alone) * (1 / share + 1 / (1 - share))
    return float(np.sqrt(noise.sum()) / len(rows))
