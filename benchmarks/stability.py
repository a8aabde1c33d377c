"""How much calmer is the list than the raw scores, and what does the calm cost?

    python benchmarks/stability.py WORKSPACE FIRST LAST

Every week from FIRST to LAST (26 weeks of the demo for the figures in README.md) is scored as a replay
does: by a model refitted every four weeks on what was known then, at the week itself and at the three
weeks before, each as known then. Then every week is cut by several policies: `raw` takes the first n by
today's priority; the others use the mean of so many weeks, or today's score where that
is higher, and keep who was listed until there are so
many times n before them. Without owners and without a hold-out, so that every list has the same size.
The weeks are kept in WORKSPACE/stability/ for another look.

`precision`: the share of the list that leaves within the horizon; `turnover`: the share that was not on
the list of the week before; `lead`: median days between first standing on the list and leaving.
"""

import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from oracle import show

from churn.conf_tree import CONF
from churn.io import tables
from churn.io.engine import opened, resources
from churn.io.modelling import panels, plans, recipes
from churn.io.workspace import Workspace, weigh
from churn.learning import backtest, models
from churn.retention import listing, ranking
from churn.retention.policy import Policy
from churn.settings import register, to_settings
from churn.timeline import as_of_dates

HORIZON_DAYS = 28
REFIT_WEEKS = 4
WEEKS, LEAVE_AT = (1, 2, 3, 4), (1.0, 1.25, 1.5, 2.0)


def main(place: Path, first: date, last: date) -> None:
    weeks = Weeks(place, as_of_dates(first, last))
    raw = weeks.judged(Policy(smooth_weeks=1, leave_at=1.0, judge_after_days=0))
    rows = [{"lists": "raw", **raw}]
    for n in WEEKS:
        for leave_at in LEAVE_AT:
            if (n, leave_at) != (1, 1.0):
                policy = Policy(smooth_weeks=n, leave_at=leave_at, judge_after_days=0)
                rows.append({"lists": f"{n} weeks, until {leave_at} n", **weeks.judged(policy)})
    for row in rows:
        row["turnover against raw"] = float(row["turnover"]) / float(raw["turnover"]) - 1
        row["precision against raw"] = float(row["precision"]) - float(raw["precision"])
    show(list(rows[0]), rows)


class Weeks:
    """The weeks of a replay: everybody's scores by that week's own model, and who left when."""

    def __init__(self, place: Path, dates: list[date]) -> None:
        self.dates = dates
        terms = tables.read(place / "subscriptions", made_by="rollup")
        self.ends = pd.to_datetime(terms.groupby("customer_id")["end_date"].max()).dt.date
        kept = place / "stability" / f"{dates[0]}_{dates[-1]}.parquet"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            scored(place, dates).to_parquet(kept)
        every = pd.read_parquet(kept)
        self.scores = {day: _wide(rows) for day, rows in every.groupby("week")}

    def judged(self, policy: Policy) -> dict[str, object]:
        before: set[str] = set()
        first_on: dict[str, date] = {}
        precision, turnover = [], []
        for day in self.dates:
            rows = self.scores[day]
            listed = self._listed(rows, policy, day, before)
            ends = listed.map(self.ends)
            left = ends.map(
                lambda end, day=day: end < day + timedelta(days=HORIZON_DAYS), na_action="ignore"
            )
            precision.append(left.eq(True).mean())
            now = set(listed)
            if before:
                turnover.append(1 - len(now & before) / len(now))
            for customer in now:
                first_on.setdefault(customer, day)
            before = now
        leads = [
            (end - first_on[customer]).days
            for customer, end in self.ends.dropna().items()
            if customer in first_on and end >= first_on[customer]
        ]
        return {
            "precision": float(np.mean(precision)),
            "turnover": float(np.mean(turnover)),
            "lead": float(np.median(leads)),
            "warned": len(leads),
        }

    def _listed(self, rows: pd.DataFrame, policy: Policy, day: date, before: set[str]) -> pd.Series:
        n = policy.smooth_weeks
        asked = pd.DataFrame(
            {
                "customer_id": rows["customer_id"],
                "owner": None,
                "value_month": rows["value_month"],
                "risk": rows["risk_0"],
                "risk_8w": rows["risk_8w_0"],
                "mean_risk": rows[[f"risk_{k}" for k in range(n)]].mean(axis=1),
                "mean_risk_8w": rows[[f"risk_8w_{k}" for k in range(n)]].mean(axis=1),
            }
        )
        found = ranking.ranked(asked, policy=policy, as_of=day, before=before)
        return found.loc[found["is_listed"], "customer_id"]


def scored(place: Path, dates: list[date]) -> pd.DataFrame:
    """week, k, customer_id, risk, risk_8w, value_month: everybody k weeks before, by the week's model."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = to_settings(compose("replay", [f"workspace={place}"]))
    workspace, found = Workspace(place), []
    for start in range(0, len(dates), REFIT_WEEKS):
        block = dates[start : start + REFIT_WEEKS]
        with opened(resources(settings.engine), workspace.usage()) as engine:
            plan = plans.for_training(engine, settings, block[0], workspace.usage_facts())
            weigh(engine, plan.vocabulary)
            train = backtest.mature(panels.rows(engine, plan).to_pandas())
            model = models.fit(train, features=plan.features, recipe=recipes.of(settings))
            early = [block[0] - timedelta(days=7 * k) for k in range(max(WEEKS) - 1, 0, -1)]
            asked = replace(plan, snapshots=[*early, *block])
            for piece in panels.pieces(engine, asked):
                found += _of_piece(model, piece.to_pandas(), block)
        print(f"{block[0]}: {len(train):,} rows to learn from", file=sys.stderr, flush=True)
    return pd.concat(found, ignore_index=True)


def _of_piece(model: models.Model, rows: pd.DataFrame, block: list[date]) -> list[pd.DataFrame]:
    snapshot = pd.to_datetime(rows["snapshot"]).dt.date
    risks = models.risks(model, rows)[["risk", "risk_8w"]].assign(
        customer_id=rows["customer_id"],
        value_month=listing.value_month(rows, lookback_days=ranking.LOOKBACK_DAYS),
        snapshot=snapshot,
    )
    return [
        risks[snapshot == week - timedelta(days=7 * k)]
        .drop(columns="snapshot")
        .assign(week=week, k=k)
        for week in block
        for k in range(max(WEEKS))
    ]


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """customer_id, value_month, and risk_<k>, risk_8w_<k> of everybody there in the week."""
    found = rows.loc[rows["k"] == 0, ["customer_id", "value_month"]]
    for k, part in rows.groupby("k"):
        named = part[["customer_id", "risk", "risk_8w"]].rename(
            columns={"risk": f"risk_{k}", "risk_8w": f"risk_8w_{k}"}
        )
        found = found.merge(named, on="customer_id", how="left")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), date.fromisoformat(sys.argv[3]))
