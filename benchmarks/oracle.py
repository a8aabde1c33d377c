"""The demo product's truth: how much of the best possible model do logs and model reach?

    python benchmarks/oracle.py 1 2 3

For each seed: 20,000 customers with the constants of conf/source/demo.yaml, everything known at
Monday of week 50, default settings. A share is (figure - figure of the base rate) / (figure of the
oracle - figure of the base rate). Metrics use the true risk as a soft label; the oracle's score and
the labels come from independent halves of the simulated futures.

A second table is about the risks of 2, 4, 8 and 12 weeks: their mean against the share that really
left (one future, with the campaigns in it) and against the oracle's (no further contact), and the
share of the oracle's log loss beside that of a constant hazard through the same risk.

A third table: the model's shares as shares of those of the same recipe on the same rows, taught the
true risks (`true_labels.py`), which the first table calls "true labels".
"""

import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from true_labels import taught

from churn.learning.hazard import RISK_WEEKS
from churn.simulate import World, oracle, oracle_by_week

WEEK = 50
PATHS = 200
SHARES = ("share_auc", "share_ap", "share_log_loss")


def main(seeds: list[int]) -> None:
    rows, timed = [], []
    for seed in seeds:
        found = measured(seed)
        rows += found[0]
        timed += found[1]
    table = pd.DataFrame(rows)
    shown = [
        "seed",
        "score",
        "n",
        "base",
        "auc",
        "ap",
        "precision",
        "share_auc",
        "share_ap",
        "share_log_loss",
        "ratio",
    ]
    show(shown, [*rows, *means(table)])
    print()
    show(list(timed[0]), timed)
    print()
    reached = against_true_labels([*rows, *means(table)])
    show(list(reached[0]), reached)


def against_true_labels(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """One row per world and their mean: what the model reaches of what true labels would give."""
    by_score = pd.DataFrame(rows).set_index(["score", "seed"])[list(SHARES)].astype(float)
    found = (by_score.loc["model"] / by_score.loc["true labels"]).reset_index()
    return found.to_dict("records")


def show(columns: list[str], rows: list[dict[str, object]]) -> None:
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(worded(row.get(name)) for name in columns) + " |", flush=True)


def measured(seed: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """One row per score of one world, and one per horizon."""
    world = World()
    as_of = date.fromisoformat(world.start) + timedelta(weeks=WEEK)
    with tempfile.TemporaryDirectory() as folder:
        scored_at(as_of, Path(folder), seed=seed)
        scores = _part(Path(folder) / "scores")
        scored = _part(Path(folder) / "scored")
        terms = _part(Path(folder) / "subscriptions")
        true_labels = taught(Path(folder), seed=seed, paths=PATHS)
    truth = oracle(world, seed=seed, week=WEEK, paths=PATHS)
    both = truth.merge(
        scores[["customer_id", "risk"]], on="customer_id", how="outer", indicator=True
    )
    missing = both["_merge"] != "both"
    print(f"seed {seed}: {missing.sum()} customers on one side only", file=sys.stderr)
    both = both[~missing].merge(scored, on="customer_id")
    both = both.merge(true_labels.rename(columns={"risk": "taught"}), on="customer_id")
    candidates = {
        "longest silent": both["recency_days"].fillna(999).to_numpy(),
        "biggest drop": -both["n_events_trend_28d"].fillna(0).to_numpy(),
        "model": both["risk"].to_numpy(),
        "true labels": both["taught"].to_numpy(),
        "oracle": both["p_true"].to_numpy(),
    }
    label = both["p_true_b"].to_numpy()
    best = figures(label, candidates["oracle"])
    found = []
    for name, score in candidates.items():
        row = figures(label, score)
        is_risk = name in ("model", "true labels", "oracle")
        found.append(
            {
                "seed": seed, "score": name, "n": len(label), "base": label.mean(), **row,
                "share_auc": (row["auc"] - 0.5) / (best["auc"] - 0.5),
                "share_ap": (row["ap"] - label.mean()) / (best["ap"] - label.mean()),
                "share_log_loss": skill(label, score) / skill(label, candidates["oracle"]) if is_risk else np.nan,
                "ratio": score.mean() / label.mean() if is_risk else np.nan,
            }
        )  # fmt: skip
    return found, horizons(seed, scores, terms, as_of)


def scored_at(as_of: date, place: Path, *, seed: int) -> None:
    """The demo of `seed` simulated into `place`, and everybody scored at `as_of` by a model of then."""
    for command in ("simulate", "rollup", "features", "train", "score"):
        dated = [] if command == "simulate" else [f"as_of={as_of}", "backtest.origins=0"]
        done = subprocess.run(
            [sys.executable, "-m", "churn", command, f"workspace={place}", f"seed={seed}", *dated],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"seed {seed}, {command}: {done.stderr[-3000:]}")
        print(done.stderr, file=sys.stderr, end="", flush=True)
        if command == "train":  # what is measured is the model, whatever the gate would say of it
            shutil.copy(place / "challenger.json", place / "champion.json")


def horizons(
    seed: int, scores: pd.DataFrame, terms: pd.DataFrame, as_of: date
) -> list[dict[str, object]]:
    """One row per horizon: are the risks of so many weeks calibrated, and what do they know?"""
    truth = oracle_by_week(World(), seed=seed, week=WEEK, after=RISK_WEEKS, paths=PATHS)
    both = truth.merge(scores, on="customer_id")
    ends = pd.to_datetime(terms.groupby("customer_id")["end_date"].max())
    after = (both["customer_id"].map(ends) - pd.Timestamp(as_of)).dt.days
    rows = []
    for weeks in RISK_WEEKS:
        label, risk = both[f"p_true_{weeks}w"].to_numpy(), both[f"risk_{weeks}w"].to_numpy()
        left, best = (after < 7 * weeks).mean(), skill(label, label)
        constant = 1 - (1 - both["risk"].to_numpy()) ** (weeks / 4)
        rows.append(
            {
                "seed": seed, "weeks": weeks, "left": left, "oracle": label.mean(),
                "risk": risk.mean(), "risk / left": risk.mean() / left,
                "risk / oracle": risk.mean() / label.mean(),
                "auc": figures(label, risk)["auc"], "share_log_loss": skill(label, risk) / best,
                "share_constant": skill(label, constant) / best,
            }
        )  # fmt: skip
    return rows


def figures(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """ROC AUC, average precision and precision at 2 % with soft labels: each customer counts as
    `label` of a leaver and 1 - `label` of a stayer; ties share."""
    order = pd.DataFrame({"score": score, "left": label, "stayed": 1 - label})
    groups = order.groupby("score")[["left", "stayed"]].sum().sort_index(ascending=False)
    left, stayed = groups["left"].to_numpy(), groups["stayed"].to_numpy()
    above = np.cumsum(left) - left
    auc = ((above + left / 2) * stayed).sum() / (left.sum() * stayed.sum())
    precision = np.cumsum(left) / np.cumsum(left + stayed)
    top = np.argsort(-score, kind="stable")[: round(0.02 * len(score))]
    return {
        "auc": auc,
        "ap": (precision * left).sum() / left.sum(),
        "precision": label[top].mean(),
    }


def skill(label: np.ndarray, risk: np.ndarray) -> float:
    """How much less a score loses than the base rate (nats per customer)."""
    return _loss(label, np.full_like(label, label.mean())) - _loss(label, risk)


def _loss(label: np.ndarray, risk: np.ndarray) -> float:
    p = np.clip(risk, 1e-6, 1 - 1e-6)
    return float(-(label * np.log(p) + (1 - label) * np.log(1 - p)).mean())


def means(table: pd.DataFrame) -> list[dict[str, object]]:
    mean = table.drop(columns="seed").groupby("score", sort=False).mean().reset_index()
    return [{"seed": "mean", **row} for row in mean.to_dict("records")]


def worded(value: object) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.3f}"
    return str(value)


def _part(folder: Path) -> pd.DataFrame:
    manifest = yaml.safe_load((folder / "_manifest.json").read_text())
    (entry,) = manifest["parts"].values()
    return pq.read_table(folder / entry["file"]).to_pandas()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 2, 3])
