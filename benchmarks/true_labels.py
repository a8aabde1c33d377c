"""The default recipe, taught the true risks instead of who happened to leave.

What it reaches is what the features and the recipe could reach if labels had no luck in them.
"""

from datetime import date
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import yaml

from churn.conf_tree import CONF
from churn.features.definitions import Feature
from churn.io import tables
from churn.learning import backtest, calibration, columns, linear, splits
from churn.learning.columns import Column
from churn.learning.models import Recipe
from churn.simulate import World, oracle


def taught(workspace: Path, *, seed: int, paths: int, truth: str = "p_true") -> pd.DataFrame:
    """`customer_id` and `risk` at the panel's last snapshot, by a model of the same features,
    rows, folds and parameters as `churn train`, whose labels are the true risks (`p_true` of 28 days,
    `p_true_56` of 8 weeks)."""
    recipe = default_recipe(seed)
    panel = tables.read(workspace / "panel", made_by="features")
    facts = tables.facts(workspace / "panel", made_by="features")
    features = [Feature(**entry) for entry in facts["features"]]
    rows = backtest.mature(panel)
    label = true_risks(rows, seed=seed, paths=paths, column=truth)
    now = panel[splits.days(panel["snapshot"]) == date.fromisoformat(str(facts["as_of"]))]
    known = columns.learn(rows, features=features)
    values, asked = columns.matrix(known, rows), columns.matrix(known, now)
    fold = splits.fold_of(rows["customer_id"], n_folds=recipe.n_folds, seed=seed)
    unseen = np.empty((len(rows), 2))
    for k in range(recipe.n_folds):
        mine, others = fold == k, fold != k
        unseen[mine] = _raw(known, values[others], label[others], values[mine], recipe)
    weights = calibration.fit_calibration(label, unseen)
    raw = _raw(known, values, label, asked, recipe)
    risk = calibration.sigmoid(calibration.calibrated(weights, raw))
    return pd.DataFrame({"customer_id": now["customer_id"].to_numpy(), "risk": risk})


def default_recipe(seed: int) -> Recipe:
    given = yaml.safe_load((CONF / "train" / "default.yaml").read_text())
    names = ("model", "lightgbm", "logistic_c", "n_folds")
    return Recipe(**{name: given[name] for name in names}, seed=seed)


def true_risks(rows: pd.DataFrame, *, seed: int, paths: int, column: str = "p_true") -> np.ndarray:
    """The true risk of each of `rows` at its own snapshot (no contact from then on)."""
    world = World()
    known = []
    for snapshot in sorted(rows["snapshot"].unique()):
        week = (snapshot - date.fromisoformat(world.start)).days // 7
        truth = oracle(world, seed=seed, week=week, paths=paths)
        risk = (truth[column] + truth[f"{column}_b"]) / 2
        known.append(truth[["customer_id"]].assign(snapshot=snapshot, risk=risk))
    found = rows[["customer_id", "snapshot"]].merge(pd.concat(known), how="left")["risk"]
    if found.isna().any():
        raise SystemExit(f"seed {seed}: {found.isna().sum()} training rows without a true risk")
    return found.to_numpy()


def _raw(
    known: tuple[Column, ...],
    values: np.ndarray,
    label: np.ndarray,
    asked: np.ndarray,
    recipe: Recipe,
) -> np.ndarray:
    """Log-odds of `asked` by trees and regression (rows × 2), both learnt from soft labels.

    Trees minimise the cross-entropy. The regression sees every row twice, once as a leaver that
    counts p and once as a stayer that counts 1 - p, which is the same likelihood.
    """
    parameters = dict(recipe.lightgbm)
    n_rounds = parameters.pop("n_rounds")
    parameters |= {
        "objective": "cross_entropy", "seed": recipe.seed, "num_threads": 1, "deterministic": True,
        "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip
    categories = [k for k, column in enumerate(known) if column.kind == "category"]
    data = lgb.Dataset(values, label, categorical_feature=categories, params=parameters)
    trees = lgb.train(parameters, data, num_boost_round=n_rounds)
    both = np.r_[np.ones(len(label)), np.zeros(len(label))]
    line = linear.fit(
        known,
        np.vstack([values, values]),
        both,
        c=recipe.logistic_c,
        weight=np.r_[label, 1 - label],
    )
    return np.column_stack([trees.predict(asked, raw_score=True), linear.log_odds(line, asked)])
