"""What each family of features is worth: the figures with it and without it, on logs it never saw.

    python benchmarks/ablation.py [complete_journey online_retail oulad_2013 simulator_1 ...]
        [--families return,peers] [--keep FOLDER]

Each log is cut at its test snapshots (benchmarks/real_logs.py); the simulator's worlds
(benchmarks/oracle.py) are tested against the true risk. The panel is built once with every family;
then the default set is fitted, and again without each of its families, and with each family that
is off by default. A difference is (with the family) - (without it); its standard error comes from
400 resamples of the customers, the same for both. Prints one Markdown table. With --keep the
workspaces stay in FOLDER and are used again.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import real_logs
import yaml
from oracle import PATHS, WEEK

from churn.conf_tree import CONF
from churn.features.definitions import Feature
from churn.io import tables
from churn.learning import backtest, models
from churn.learning.models import Recipe
from churn.simulate import World, oracle

RESAMPLES = 400
FIGURES = ("ROC AUC", "AP", "log loss")
MAX_ROWS = 25_000
"""Of more training rows a share of the customers is used: every variant is fitted eight times."""
DEFAULT_LOGS = ["online_retail", "complete_journey", "oulad_2013"]
OFF = yaml.safe_load((CONF / "features" / "default.yaml").read_text())["without"]


@dataclass
class Case:
    """One test snapshot of a log: what a model may learn from, and what it is tested on."""

    train: pd.DataFrame
    test: pd.DataFrame
    features: list[Feature]


def main(logs: Sequence[str], families: Sequence[str], keep: str | None) -> None:
    shown = [f"{name}{part}" for name in FIGURES for part in ("", " without", " difference")]
    print("| log | family | default | features | " + " | ".join(shown) + " |")
    print("|" + "---|" * (4 + len(shown)), flush=True)
    for log in logs:
        with ExitStack() as stack:
            place = keep or stack.enter_context(tempfile.TemporaryDirectory())
            cases = cases_of(log, Path(place) / log)
            for row in ablated(log, cases, families):
                print("| " + " | ".join(row) + " |", flush=True)


def ablated(log: str, cases: Sequence[Case], families: Sequence[str]) -> list[list[str]]:
    """One row of the table per family that the log has features of."""
    everybody = {item.family for case in cases for item in case.features}
    usual = tested(cases, everybody - set(OFF))
    rows = []
    for family in [name for name in _in_order(cases) if not families or name in families]:
        other = tested(cases, (everybody - set(OFF)) ^ {family})
        given, lacking = (other, usual) if family in OFF else (usual, other)
        n = max(sum(item.family == family for item in case.features) for case in cases)
        line = [log, family, "off" if family in OFF else "on", str(n)]
        rows.append(line + compared(given, lacking))
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows


def compared(given: pd.DataFrame, lacking: pd.DataFrame) -> list[str]:
    """With, without, and the difference with its standard error, for every figure."""
    who, customers = pd.factorize(given["customer_id"])
    rng = np.random.default_rng(7)
    size = len(customers)
    draws = [rng.multinomial(size, np.full(size, 1 / size))[who] for _ in range(RESAMPLES)]
    ones = np.ones(len(given))
    have, lack = figures(given, ones), figures(lacking, ones)
    resampled = np.array([figures(given, w) - figures(lacking, w) for w in draws])
    errors = resampled.std(axis=0)
    cells = []
    for place in range(len(FIGURES)):
        difference = f"{have[place] - lack[place]:+.4f} ± {errors[place]:.4f}"
        cells += [f"{have[place]:.4f}", f"{lack[place]:.4f}", difference]
    return cells


def figures(rows: pd.DataFrame, weight: np.ndarray) -> np.ndarray:
    """ROC AUC, average precision and log loss of weighted rows; a label may be a probability."""
    score, label = rows["risk"].to_numpy(), rows["label"].to_numpy(dtype=float)
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    left = np.add.reduceat((weight * label)[order], starts)
    stayed = np.add.reduceat((weight * (1 - label))[order], starts)
    above = np.cumsum(left) - left
    auc = ((above + left / 2) * stayed).sum() / (left.sum() * stayed.sum())
    all_above = np.maximum(np.cumsum(left + stayed), 1e-12)
    ap = (np.cumsum(left) / all_above * left).sum() / left.sum()
    p = np.clip(score, 1e-6, 1 - 1e-6)
    loss = -(label * np.log(p) + (1 - label) * np.log(1 - p))
    return np.array([auc, ap, (weight * loss).sum() / weight.sum()])


def tested(cases: Sequence[Case], families: set[str]) -> pd.DataFrame:
    """Risk and label of every test row, by the default recipe on the features of `families`."""
    parts = []
    for case in cases:
        chosen = [item for item in case.features if item.family in families]
        model = models.fit(case.train, features=chosen, recipe=recipe())
        risk = models.predict(model, case.test)
        parts.append(case.test[["customer_id", "label"]].assign(risk=risk))
    return pd.concat(parts, ignore_index=True)


def recipe() -> Recipe:
    given = yaml.safe_load((CONF / "train" / "default.yaml").read_text())
    names = ("model", "lightgbm", "logistic_c", "n_folds")
    return Recipe(**{name: given[name] for name in names}, max_rows=MAX_ROWS)


def cases_of(log: str, place: Path) -> list[Case]:
    if log.startswith("simulator_"):
        return [simulated(int(log.removeprefix("simulator_")), place)]
    task = next(task for task in real_logs.TASKS if task.name == log and not task.trained_at)
    return [cut(task, snapshot, place / snapshot) for snapshot in task.snapshots]


def cut(task: real_logs.Task, snapshot: str, place: Path) -> Case:
    """A log that ends at `snapshot`; the labels come from the whole log."""
    if not (place / "ws" / "panel").exists():
        place.mkdir(parents=True, exist_ok=True)
        words = [*task.overrides, *real_logs.source(task, snapshot, place)]
        for command in ("rollup", "features"):
            churn(command, place / "ws", f"as_of={snapshot}", *words)
    return case(place / "ws", real_logs.labels(task, snapshot))


def simulated(seed: int, place: Path) -> Case:
    """One world of the simulator; the label is the true risk, from its own half of the futures."""
    world = World()
    as_of = date.fromisoformat(world.start) + timedelta(weeks=WEEK)
    if not (place / "ws" / "panel").exists():
        churn("simulate", place / "ws", f"seed={seed}")
        for command in ("rollup", "features"):
            churn(command, place / "ws", f"seed={seed}", f"as_of={as_of}")
    truth = place / "truth.parquet"
    if not truth.exists():
        oracle(world, seed=seed, week=WEEK, paths=PATHS).to_parquet(truth)
    risks = pd.read_parquet(truth).rename(columns={"p_true_b": "label"})
    return case(place / "ws", risks[["customer_id", "label"]])


def case(workspace: Path, labels: pd.DataFrame) -> Case:
    panel = tables.read(workspace / "panel", made_by="features")
    facts = tables.facts(workspace / "panel", made_by="features")
    now = panel[panel["snapshot"] == pd.Timestamp(facts["as_of"]).date()]
    if now.empty:
        now = panel[pd.to_datetime(panel["snapshot"]) == pd.Timestamp(facts["as_of"])]
    test = now.drop(columns="label").merge(labels, on="customer_id", validate="one_to_one")
    features = [Feature(**entry) for entry in facts["features"]]
    return Case(backtest.mature(panel), test, features)


def churn(command: str, workspace: Path, *words: str) -> None:
    given = ["features.without=[]", "engine.threads=1"]
    done = subprocess.run(
        [sys.executable, "-m", "churn", command, f"workspace={workspace}", *words, *given],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-3000:]}")
    print(done.stderr, file=sys.stderr, end="", flush=True)


def _in_order(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(item.family for case in cases for item in case.features))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--families", default="")
    parser.add_argument("--keep")
    asked = parser.parse_args()
    main(asked.logs or DEFAULT_LOGS, [f for f in asked.families.split(",") if f], asked.keep)
