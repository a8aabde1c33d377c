"""How much calmer is the list than the raw scores, and what does the calm cost?

    python benchmarks/stability.py REPLAY [WORKSPACE]

REPLAY is the folder that `churn replay from= to= retain.smooth_weeks=4` left (26 weeks for the figures in
README.md), made from WORKSPACE (default: its parent). Every week is cut again by several policies from that week's own
model: `raw` takes the first n by today's priority; the others use the mean of so many weeks and keep
who was listed until there are so many times n before them. Without owners and without a hold-out, so
that every list has the same size.

`precision`: the share of the list that leaves within the horizon; `turnover`: the share that was not on
the list of the week before; `lead`: median days between first standing on the list and leaving.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from oracle import show

from churn.io import tables
from churn.retention import listing, ranking
from churn.retention.policy import Policy

HORIZON_DAYS = 28
WEEKS, LEAVE_AT = (1, 2, 3, 4), (1.0, 1.25, 1.5, 2.0)


def main(replay: Path, workspace: Path) -> None:
    weeks = Weeks(replay, workspace)
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

    def __init__(self, replay: Path, workspace: Path) -> None:
        self.dates = [date.fromisoformat(name) for name in tables.names(replay / "scores")]
        terms = tables.read(workspace / "subscriptions", made_by="rollup")
        self.ends = pd.to_datetime(terms.groupby("customer_id")["end_date"].max()).dt.date
        self.scores = {day: self._scores(replay, day) for day in self.dates}

    def _scores(self, replay: Path, day: date) -> pd.DataFrame:
        """customer_id, value_month, and risk_<k>, risk_8w_<k>: by this week's model, k weeks before."""
        part = day.isoformat()
        found = tables.read(replay / "scores", made_by="score", part=part)
        features = tables.read(replay / "scored", made_by="score", part=part)
        value = listing.value_month(features, lookback_days=ranking.LOOKBACK_DAYS)
        found = found.merge(features[["customer_id"]].assign(value_month=value), on="customer_id")
        found = found[["customer_id", "value_month", "risk", "risk_8w"]]
        found = found.rename(columns={"risk": "risk_0", "risk_8w": "risk_8w_0"})
        again = tables.read(replay / "rescored", made_by="score", part=part)
        for k, (_, rows) in enumerate(again.groupby("snapshot", sort=True), 1):
            before = again["snapshot"].nunique() + 1 - k
            names = {"risk": f"risk_{before}", "risk_8w": f"risk_8w_{before}"}
            rows = rows[["customer_id", "risk", "risk_8w"]].rename(columns=names)
            found = found.merge(rows, on="customer_id", how="left")
        return found

    def judged(self, policy: Policy) -> dict[str, object]:
        before: set[str] = set()
        first_on: dict[str, date] = {}
        precision, turnover = [], []
        for day in self.dates[max(WEEKS) - 1 :]:
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


if __name__ == "__main__":
    place = Path(sys.argv[1])
    main(place, Path(sys.argv[2]) if len(sys.argv) > 2 else place.parent)
