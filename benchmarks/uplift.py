"""May a model of the effect order the list? The demo product's six campaigns, and what is true.

    python benchmarks/uplift.py 1 2 3 [--customers 20000]

For each seed: logs up to Monday of week 60, the panel of 24 snapshots a fortnight apart, the rows that
took part in a campaign (6 % contacted at random) and whether they left within 56 days; then the
verdict (`learning.uplift.judged`, list of 2 %, worth = price a year), and what the oracle says: the
rank correlation of estimated and true effect, and the share of the best list's true savings that a list
of 2 % by risk × value and by effect × value has.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from contacted import AS_OF, WEEK, settings, write
from measure import show
from true_labels import default_recipe

from churn.features.definitions import Feature
from churn.io import tables
from churn.learning import models, splits, uplift
from churn.simulate import World, oracle
from churn.stages import features, rollup

PATHS = 200
EFFECT_DAYS = 56


def main(seeds: list[int], n_customers: int) -> None:
    heads = ["seed", "rows", "contacted", "left", "effect minus risk × value (a customer and year)",
             "verdict", "rank correlation with the truth", "savings by risk × value", "by effect × value",
             "segments harmed"]  # fmt: skip
    show(heads, (judged(seed, n_customers) for seed in seeds))


def judged(seed: int, n_customers: int) -> list[str]:
    world = World(n_customers=n_customers)
    panel, known, contacts = built(world, seed)
    settled = panel[panel["known_days"] >= EFFECT_DAYS]
    rows = uplift.experiment(settled, contacts, days=6)
    rows = rows.assign(left=(rows["left_after_days"] < EFFECT_DAYS).astype(int))
    recipe = replace(default_recipe(seed), model="lightgbm", n_folds=2)
    worth = 12 * rows["price_month"].fillna(0).to_numpy(dtype=float)
    verdict = uplift.judged(rows, features=known, recipe=recipe, worth=worth, list_share=0.02)
    harmed = uplift.harmed(rows, by="plan")
    now = panel[splits.days(panel["snapshot"]) == AS_OF]
    truth = oracle(world, seed=seed, week=WEEK, paths=PATHS).set_index("customer_id")
    now = now[now["customer_id"].isin(truth.index)]
    truth = truth.loc[now["customer_id"]]
    saved = (truth["p_true_56_b"] - truth["p_true_56_contacted_b"]).to_numpy()
    value = 12 * truth["mrr"].to_numpy()
    model = uplift.fit(rows, features=known, recipe=recipe)
    mature = panel[panel["label_mature"]]
    risk = models.predict(models.fit(mature, features=known, recipe=recipe), now)
    effect = uplift.effect(model, now)
    best = caught(
        (truth["p_true_56"] - truth["p_true_56_contacted"]).to_numpy() * value, saved * value
    )
    shares = [caught(score * value, saved * value) / best for score in (risk, effect)]
    return [
        str(seed), f"{verdict.n_rows:,}", f"{verdict.n_treated:,}", f"{rows['left'].sum():,}",
        f"{verdict.difference:+.2f} ({verdict.low:+.2f} to {verdict.high:+.2f})",
        "proven" if verdict.passed else "not proven",
        "constant" if np.ptp(effect) == 0 else f"{correlation(effect, saved):.2f}",
        *(f"{share:.2f}" for share in shares),
        ", ".join(harmed.loc[harmed["is_harmed"], "group"]) or "none",
    ]  # fmt: skip


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(pd.Series(one).corr(pd.Series(other), method="spearman"))


def caught(score: np.ndarray, saved: np.ndarray) -> float:
    """The true savings on a list of 2 % by `score`."""
    top = np.argsort(-score, kind="stable")[: round(0.02 * len(score))]
    return float(saved[top].sum())


def built(world: World, seed: int) -> tuple[pd.DataFrame, list[Feature], pd.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write(place, world, seed, None)
        given = settings(place, seed)
        given.train.snapshots = 24
        rollup.run(given)
        features.run(given)
        panel = tables.read(place / "panel", made_by="features")
        facts = tables.facts(place / "panel", made_by="features")
        contacts = tables.read(place / "contacts", made_by="rollup")
    known = [Feature(**entry) for entry in facts["features"] if entry["family"] != "contact"]
    return panel, known, contacts


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3])
    asked.add_argument("--customers", type=int, default=20_000)
    given = asked.parse_args()
    main(given.seeds, given.customers)
