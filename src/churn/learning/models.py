"""Panel → a calibrated model, and the one function that predicts in training and in scoring.

A model adds up the log-odds of its members (regularised LightGBM, logistic regression on log-scaled
features), each with the weight that calibration found for it, and passes them through a sigmoid.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from churn.errors import HeldBackError, InputError
from churn.features.definitions import Feature
from churn.learning import columns, hazard, linear, splits
from churn.learning.calibration import Calibration as Calibration
from churn.learning.calibration import calibrated as calibrated
from churn.learning.calibration import fit_calibration as fit_calibration
from churn.learning.calibration import sigmoid as sigmoid
from churn.learning.columns import Column
from churn.learning.hazard import Hazard
from churn.learning.linear import Logistic

Array = np.ndarray[Any, Any]

MIN_CHURNED = 20
"""Fewer churned (or staying) training rows than this teach nothing that would hold."""

TIMES = ("left_after_days", "known_days")
"""The columns of a panel that say when (see `hazard.fit`)."""

_MEMBERS = {"blend": ("trees", "line"), "lightgbm": ("trees",), "logistic": ("line",)}


@dataclass(frozen=True)
class Recipe:
    """How to fit a model. `model` is blend, lightgbm or logistic.

    `lightgbm` are LightGBM's own parameters and `n_rounds`. Calibration needs `n_folds` ≥ 2 folds
    of customers; with fewer the log-odds stay as they are. Of more than `max_rows` training rows, a
    share of the customers is used.
    `horizon_days` is that of the labels. With `half_life_days` older snapshots count less (see
    `splits.recency_weights`). `monotone` maps a feature or a family to 1 (more of it never lowers the
    risk) or -1 (never raises it); the feature's own entry goes before that of its family.
    """

    model: str = "blend"
    lightgbm: Mapping[str, Any] = field(default_factory=dict)
    logistic_c: float = 0.02
    n_folds: int = 3
    seed: int = 7
    threads: int = 1
    max_rows: int = 1_000_000
    horizon_days: int = 28
    half_life_days: float = 0.0
    monotone: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """Everything a prediction needs; no object in it came out of a pickle.

    The hazard decides no `risk`, only when: it is constant where nobody asked for more.
    """

    columns: tuple[Column, ...]
    booster: lgb.Booster | None
    logistic: Logistic | None
    calibration: Calibration
    hazard: Hazard = field(default_factory=lambda: Hazard(horizon_days=28))


def predict(model: Model, frame: pd.DataFrame) -> Array:
    """The calibrated probability of churn for each row of `frame`, 0 to 1.

    Raises `InputError` when a column is absent or of another kind.
    """
    return sigmoid(log_odds(model, frame))


def risks(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """`risk` as `predict` has it, the risks of 2, 4, 8 and 12 weeks, and by when half has accrued.

    One row per row of `frame`; see `hazard.risks`.
    """
    values = columns.matrix(model.columns, frame)
    return hazard.risks(model.hazard, values, calibrated(model.calibration, _raw(model, values)))


def of_term_end(model: Model, rows: pd.DataFrame) -> Array:
    """What it adds to the log-odds of leaving within eight weeks that the term of each row ends in them:
    the difference to the same row with a term that goes on for eight weeks more."""
    if rows.empty:
        return np.zeros(0)
    ends, goes_on = (
        hazard.log_odds_of_list(
            model.hazard, values, calibrated(model.calibration, _raw(model, values))
        )
        for values in (
            columns.matrix(model.columns, frame) for frame in (rows, hazard.with_longer_terms(rows))
        )
    )
    added: Array = ends - goes_on
    return added


def log_odds(model: Model, frame: pd.DataFrame) -> Array:
    """Calibrated log-odds of churn, one per row."""
    return calibrated(model.calibration, _raw(model, columns.matrix(model.columns, frame)))


def fit(rows: pd.DataFrame, *, features: Sequence[Feature], recipe: Recipe) -> Model:
    """Learn from `rows`, one per (snapshot, customer) with a 0/1 `label`, in the panel's order; a
    column `weight` says how much each counts.

    Raises `HeldBackError` when hardly anybody churned, or hardly anybody stayed.
    """
    check_labels(rows)
    used = splits.sample_customers(rows, max_rows=recipe.max_rows, seed=recipe.seed)
    known = columns.learn(used, features=features)
    values = columns.matrix(known, used)
    label = used["label"].to_numpy(dtype=float)
    weight = _row_weights(used, half_life_days=recipe.half_life_days)
    recipe = replace(recipe, monotone=_signs(features, recipe.monotone))
    model, raw = _fitted(known, values, used, weight, recipe=recipe)
    if recipe.n_folds < 2:
        return model
    unseen = np.flatnonzero(~np.isnan(raw).any(axis=1))
    found = fit_calibration(label[unseen], raw[unseen], _some(weight, unseen))
    return replace(
        model,
        calibration=found,
        hazard=_fit_hazard(known, values, calibrated(found, raw), used, recipe=recipe),
    )


def check_labels(rows: pd.DataFrame) -> None:
    """Refuse rows from which leaving cannot be learnt: none, or only one kind, or too few."""
    n_churned = int(rows["label"].sum())
    n_stayed = len(rows) - n_churned
    if min(n_churned, n_stayed) >= MIN_CHURNED:
        return
    rate = f"{n_churned / len(rows):.1%} of {len(rows):,} rows churned" if len(rows) else "no rows"
    if not len(rows):
        what, keys = (
            "there is no customer whose outcome is known yet",
            "churn.horizon_days (smaller)",
        )
    elif n_churned < n_stayed:
        what, keys = "too few customers churn under this definition", "churn.horizon_days (smaller)"
    else:
        what, keys = "too few customers stay under this definition", "churn.horizon_days (larger)"
    raise HeldBackError(
        what,
        got=f"{rate} ({n_churned:,} churned, {n_stayed:,} stayed)",
        expected=f"at least {MIN_CHURNED} churned and {MIN_CHURNED} stayed in the training rows",
        next_step=f"change {keys}, churn.active_days or churn.qualifying_events, "
        "or take in a longer log",
    )


def to_spec(model: Model) -> tuple[str, dict[str, Any]]:
    """The model as LightGBM's text ("" without trees) and a specification made of JSON types."""
    spec = {
        "columns": columns.to_spec(model.columns),
        "logistic": linear.to_spec(model.logistic) if model.logistic else None,
        "calibration": asdict(model.calibration),
        "hazard": hazard.to_spec(model.hazard),
        "has_trees": model.booster is not None,
    }
    return (_text(model.booster) if model.booster else ""), spec


def from_spec(text: str, spec: Mapping[str, Any]) -> Model:
    """The model that `to_spec` took apart. A text cut short aborts the process: check hashes.

    Raises `InputError` for a model of a release that did not know hazards.
    """
    if "hazard" not in spec:
        raise InputError(
            "the model does not say when customers leave",
            got="a model of an earlier release",
            expected="one with a hazard for each week",
            next_step="run `churn train` and `churn promote` again",
        )
    return Model(
        columns.from_spec(spec["columns"]),
        lgb.Booster(model_str=text) if spec["has_trees"] else None,
        linear.from_spec(spec["logistic"]) if spec["logistic"] else None,
        Calibration(tuple(spec["calibration"]["weights"]), spec["calibration"]["intercept"]),
        hazard.from_spec(spec["hazard"]),
    )


def _signs(features: Sequence[Feature], monotone: Mapping[str, int]) -> dict[str, int]:
    """Feature → 1 or -1, of those that `monotone` names by themselves or by their family."""
    asked = {f.name: monotone.get(f.name, monotone.get(f.family, 0)) for f in features}
    numbers = {f.name for f in features if f.kind == "number"}
    return {name: sign for name, sign in asked.items() if sign and name in numbers}


def _row_weights(rows: pd.DataFrame, *, half_life_days: float) -> Array | None:
    """How much each row counts: by its age, and by its own column `weight` where it has one."""
    by_age = splits.recency_weights(rows["snapshot"], half_life_days=half_life_days)
    if "weight" not in rows:
        return by_age
    own: Array = rows["weight"].to_numpy(dtype=float)
    return own if by_age is None else own * by_age


def _some(weight: Array | None, rows: Array) -> Array | None:
    return None if weight is None else weight[rows]


def _fitted(
    known: Sequence[Column],
    values: Array,
    rows: pd.DataFrame,
    weight: Array | None,
    *,
    recipe: Recipe,
) -> tuple[Model, Array]:
    """A model of everybody, and raw log-odds of all rows, each customer scored by a model that never
    saw them (rows × members, NaN where the others had one outcome only): what calibration is
    learnt from.

    Why by customer and not on held-out later snapshots: those must lie an embargo of gap + horizon
    after the last training snapshot, which costs the two to four most recent snapshots (on a short
    log, all but one), and the sigmoid would then belong to a model that is not the one in use.
    Measured on twelve `as_of` of three real logs: log loss .816 of the base rate's against
    .826-.831 for held-out snapshots, and predicted / actual 9 % off against 15-18 %. The latest
    snapshots alone were worse than all: churn swings back more often than it trends.
    """
    label = rows["label"].to_numpy(dtype=float)
    raw = np.full((len(rows), len(_MEMBERS[recipe.model])), np.nan)
    n_folds = max(1, recipe.n_folds)
    fold = splits.fold_of(rows["customer_id"], n_folds=n_folds, seed=recipe.seed)
    workers = recipe.threads if values.nbytes <= MAX_SHARED_BYTES else 1
    alone = replace(recipe, threads=recipe.threads if workers == 1 else 1)
    binned = _binned(known, values, label, weight, recipe=recipe)

    def of_everybody() -> Model:
        return _fit_members(known, values, label, weight, recipe=alone, binned=binned)

    def of_others(k: int) -> None:
        mine, others = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        if len(mine) and len(np.unique(label[others])) == 2:
            few = binned.subset(others.tolist()) if binned else None
            given = label[others], _some(weight, others)
            model = _fit_members(known, values, *given, rows=others, recipe=alone, binned=few)
            raw[mine] = _raw(model, values[mine])

    # The limit around all of them: what each fit sets and takes back by itself is one for the process.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        whole = pool.submit(of_everybody)
        list(pool.map(of_others, range(n_folds)))
    return whole.result(), raw


MAX_SHARED_BYTES = 1 << 30
"""Models of everybody and of the folds are fitted side by side, each on one thread, while copies of so
large a matrix are cheap: a regression uses one thread whatever it is given, and trees are the same on
any number."""


def _fit_hazard(
    known: Sequence[Column], values: Array, log_odds: Array, rows: pd.DataFrame, *, recipe: Recipe
) -> Hazard:
    """When who leaves, from the rows with `log_odds` of a model that never saw them.

    Rows of a panel that does not say when teach nothing: the hazard is then constant.
    """
    if not set(TIMES) <= set(rows.columns):
        return Hazard(recipe.horizon_days)
    unseen = ~np.isnan(log_odds)
    return hazard.fit(
        known,
        values[unseen],
        log_odds[unseen],
        rows.loc[unseen, list(TIMES)],
        horizon_days=recipe.horizon_days,
        seed=recipe.seed,
        threads=recipe.threads,
    )


def _fit_members(
    known: Sequence[Column],
    values: Array,
    label: Array,
    weight: Array | None,
    *,
    rows: Array | None = None,
    recipe: Recipe,
    binned: lgb.Dataset | None,
) -> Model:
    """The members on `rows` of `values` (None: all; for trees the same, `binned`), their log-odds as
    they are; `label` and `weight` are those of the rows, `recipe.monotone` goes by feature."""
    members = _MEMBERS[recipe.model]
    trees = _fit_booster(known, binned, recipe=recipe) if binned else None
    line = None
    if "line" in members:
        signs = [recipe.monotone.get(c.name, 0) for c in known]
        line = linear.fit(
            known, values, label, rows=rows, c=recipe.logistic_c, weight=weight, signs=signs
        )
    return Model(
        tuple(known),
        trees,
        line,
        Calibration.equal(len(members)),
        Hazard(recipe.horizon_days),
    )


def _binned(
    known: Sequence[Column], values: Array, label: Array, weight: Array | None, *, recipe: Recipe
) -> lgb.Dataset | None:
    """`values` as LightGBM keeps them, made once for the fits of all folds; None without trees.

    Where a bin ends is learnt without labels. Columns go in by place (`c0`, `c1`, …): names are checked
    before, and LightGBM refuses some.
    """
    if "trees" not in _MEMBERS[recipe.model]:
        return None
    return lgb.Dataset(
        values,
        label,
        weight=weight,
        feature_name=[f"c{place}" for place in range(len(known))],
        categorical_feature=[k for k, c in enumerate(known) if c.kind == "category"],
        params=_parameters(known, recipe),
    ).construct()


def _fit_booster(known: Sequence[Column], binned: lgb.Dataset, *, recipe: Recipe) -> lgb.Booster:
    trained = lgb.train(
        _parameters(known, recipe), binned, num_boost_round=recipe.lightgbm.get("n_rounds", 400)
    )
    return lgb.Booster(model_str=_text(trained))


def _parameters(known: Sequence[Column], recipe: Recipe) -> dict[str, Any]:
    """LightGBM's parameters; no class weights, which would only ruin the probabilities.

    By column, since a tree looks at few of them: by row each would be counted for every tree (3 times
    as long), as would the columns bundled with it.
    """
    parameters = {
        **recipe.lightgbm,
        "objective": "binary",
        "seed": recipe.seed,
        "num_threads": recipe.threads,
        "deterministic": True,
        "force_col_wise": True,
        "enable_bundle": False,
        "verbosity": -1,
    }
    parameters.pop("n_rounds", None)
    if recipe.monotone:
        parameters["monotone_constraints"] = [recipe.monotone.get(c.name, 0) for c in known]
    return parameters


def _text(booster: lgb.Booster) -> str:
    """The trees without the parameters: those hold thread counts, which change no prediction."""
    text: str = booster.model_to_string()
    return text.split("\nparameters:", 1)[0] + "\n"


def _raw(model: Model, values: Array) -> Array:
    """The members' log-odds (rows × members, trees first)."""
    members = []
    if model.booster is not None:
        members.append(np.asarray(model.booster.predict(values, raw_score=True)))
    if model.logistic is not None:
        members.append(linear.log_odds(model.logistic, values))
    return np.column_stack(members) if members else np.zeros((len(values), 0))
