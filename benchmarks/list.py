"""What is a list worth? Net value and customers saved by each way of choosing 2 % of the customers.

    python benchmarks/list.py 1 2 3

For each seed: 20,000 customers with the constants of conf/source/demo.yaml, everything known at
Monday of week 50, default settings. A contact is worth what it changes in the true risk of the next
eight weeks, times twelve months of price: (p_true_56 - p_true_56_contacted) × mrr × 12. Lists that
look at the truth choose by one half of the simulated futures; all are judged by the other half.

`perfect risk × value` has the risk that SIMULATOR.md calls p_true, that of the next 28 days; the other
perfect list has that of the eight weeks in which a contact has its effect, which is worth more.
`taught the truth` is the default recipe on the same rows and features with the true eight-week risks
for labels: what logs without luck in them could give. `saved` is customers a list saves, `harmed` the
share of it that a contact drives away, `share` its value over that of the oracle's list.
"""

import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from oracle import scored_at, show
from true_labels import taught

from churn.io import tables
from churn.io.documents import roster
from churn.retention import ranking
from churn.retention.policy import Policy
from churn.settings import Settings, SourceSettings
from churn.simulate import World, oracle

WEEK = 50
PATHS = 200
FEW_PATHS = 40
SHARE = 0.02
PERFECT = ("perfect risk × value", "perfect 8-week risk × value")
OF_PERFECT = {name: f"of {name}" for name in PERFECT}
COLUMNS = ["seed", "list", "n", "value", "share", *OF_PERFECT.values(), "saved", "harmed"]


def main(seeds: list[int]) -> None:
    rows = [row for seed in seeds for row in measured(seed)]
    means = pd.DataFrame(rows).drop(columns="seed").groupby("list", sort=False).mean().reset_index()
    show(COLUMNS, [*rows, *({"seed": "mean", **row} for row in means.to_dict("records"))])


def measured(seed: int) -> list[dict[str, object]]:
    """One row per way of choosing."""
    with tempfile.TemporaryDirectory() as folder:
        customers = scored(Path(folder), seed)
        true_labels = taught(Path(folder), seed=seed, paths=FEW_PATHS, truth="p_true_56")
    truth = oracle(World(), seed=seed, week=WEEK, paths=PATHS)
    both = truth.merge(customers, on="customer_id")
    both["taught"] = both["customer_id"].map(true_labels.set_index("customer_id")["risk"])
    worth = (both["p_true_56_b"] - both["p_true_56_contacted_b"]) * both["mrr"] * 12
    saved = both["p_true_56_b"] - both["p_true_56_contacted_b"]
    chosen = lists(both)
    value = {name: worth[which].sum() for name, which in chosen.items()}
    return [
        {
            "seed": seed, "list": name, "n": float(which.sum()), "value": value[name],
            "share": value[name] / value["oracle"],
            **{words: value[name] / value[perfect] for perfect, words in OF_PERFECT.items()},
            "saved": saved[which].sum(), "harmed": (saved[which] < 0).mean(),
        }
        for name, which in chosen.items()
    ]  # fmt: skip


def lists(both: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which rows of `both` are on the list, by its name."""
    n = round(SHARE * len(both))
    effect = (both["p_true_56"] - both["p_true_56_contacted"]) * both["mrr"]
    by_score = {
        "perfect risk × value": both["p_true"] * both["mrr"],
        "perfect 8-week risk × value": both["p_true_56"] * both["mrr"],
        "taught the truth": both["taught"] * both["mrr"],
        "oracle": effect,
        "longest silent": both["recency_days"].fillna(999),
    }
    ours = {"default": {}, "risk alone": {"policy": "risk"}, "biggest revenue": {"policy": "value"}}
    named = {name: by_policy(both, **given) for name, given in ours.items()}
    for name, score in by_score.items():
        order = np.lexsort([both["customer_id"], -score.to_numpy()])
        named[name] = np.isin(np.arange(len(both)), order[:n])
    return named


def by_policy(both: pd.DataFrame, **given: object) -> np.ndarray:
    """The list of `churn retain` for one room of 2 % and nobody held out."""
    policy = Policy(capacity_share=SHARE, **given)
    as_of = date.fromisoformat(World().start) + timedelta(weeks=WEEK)
    found = ranking.ranked(both.assign(owner=None), policy=policy, as_of=as_of)
    return both["customer_id"].isin(set(found.loc[found["is_listed"], "customer_id"])).to_numpy()


def scored(place: Path, seed: int) -> pd.DataFrame:
    """Everybody scored at the week by a model trained then, as `churn retain` sees them."""
    as_of = date.fromisoformat(World().start) + timedelta(weeks=WEEK)
    scored_at(as_of, place, seed=seed)
    settings = Settings(workspace=str(place), source=SourceSettings(name="demo"), seed=seed)
    found = roster.ranked(settings, as_of).rows
    features = tables.read(place / "scored", made_by="score", part=as_of.isoformat())
    kept = ["customer_id", "risk", "risk_8w", "mean_risk", "mean_risk_8w", "value_month", "state"]
    return found[kept].merge(features[["customer_id", "recency_days"]], on="customer_id")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 2, 3])
