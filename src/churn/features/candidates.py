"""Which silence means gone: candidate definitions of churn by inactivity, judged on a log's past."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
from sqlglot import exp, parse_one

from churn.timeline import midnight

MOST_RETURN = 0.5
"""A customer counts as active for as long as at least half of those who are silent that long return."""

MIN_SILENCES = 50
"""A share of fewer silences than this is not judged by."""


@dataclass(frozen=True)
class Candidates:
    """`active_days` × `horizon_days` to choose from, with `gap_days`. Somebody came back who has a
    qualifying event within `return_days` after the silence; `max_returning` of them is too many."""

    active_days: Sequence[int]
    horizon_days: Sequence[int]
    gap_days: int = 0
    return_days: int = 84
    max_returning: float = 0.2


@dataclass(frozen=True)
class Choice:
    """The recommended definition, and the reasons in words, one sentence each."""

    active_days: int
    horizon_days: int
    reasons: tuple[str, ...]


def steps(*, qualifying: str, known_on: date) -> exp.Expr:
    """Every day with a qualifying event and the next one, as known at `known_on`.

    Reads `daily` and `late`; `qualifying` is SQL for the qualifying events of a day (see
    `panel.qualifying`). Grain: silent_days (days without between the two, up to `known_on` where
    there is no next day), `is_over` (there is one), `known_days` (how long after the first of the two
    days the log goes on) → n.
    """
    known = _date(known_on)
    return _sql(f"""
        WITH {_steps(qualifying, known)}
        SELECT DATE_DIFF('day', day, COALESCE(next_day, {known})) - 1 AS silent_days,
               CASE WHEN next_day IS NULL THEN 0 ELSE 1 END AS is_over,
               DATE_DIFF('day', day, {known}) - 1 AS known_days, COUNT(*) AS n
        FROM steps GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """)


def around(
    snapshots: Sequence[date], *, qualifying: str, known_on: date, asked: Candidates
) -> exp.Expr:
    """How long customers had been silent at each snapshot, and when they were seen again.

    Reads `daily` and `late`. Grain: snapshot, `since_days` (1 = seen the day before), `until_days`
    (from s + gap on, 0 = seen on that day; null: not as far as is known) → n customers. Only those
    are counted who are active for the widest candidate.
    """
    known, widest = _date(known_on), max(asked.active_days)
    listed = ", ".join(
        f"({_date(s)}, {_date(s - timedelta(days=widest))}, {_date(s + timedelta(days=asked.gap_days))})"
        for s in snapshots
    )
    columns = "snapshot, first_day, label_first"
    return _sql(f"""
        WITH {_steps(qualifying, known)},
        snapshots AS (SELECT {columns} FROM (VALUES {listed}) AS s({columns})),
        before AS (
            SELECT s.snapshot, s.label_first, d.customer_id, MAX(d.day) AS day
            FROM steps AS d JOIN snapshots AS s ON d.day < s.snapshot AND d.day >= s.first_day
                AND (d.next_day IS NULL OR d.next_day >= s.snapshot)
            GROUP BY s.snapshot, s.label_first, d.customer_id
        ), afterwards AS (
            SELECT s.snapshot, d.customer_id, MIN(d.next_day) AS day
            FROM steps AS d JOIN snapshots AS s ON d.day < s.label_first AND d.next_day >= s.label_first
            GROUP BY s.snapshot, d.customer_id
        )
        SELECT b.snapshot, DATE_DIFF('day', b.day, b.snapshot) AS since_days,
               DATE_DIFF('day', b.label_first, a.day) AS until_days, COUNT(*) AS n
        FROM before AS b LEFT JOIN afterwards AS a
            ON a.snapshot = b.snapshot AND a.customer_id = b.customer_id
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """)


def returning(found: pd.DataFrame, *, days: Sequence[int], return_days: int) -> pd.DataFrame:
    """Of the silences that reached so many `days`, the share that ended within `return_days` more.

    `found` are rows of `steps`; silences whose `return_days` are not over yet are left out. One row
    per day: silent_days, n, share (null without a silence).
    """
    rows = []
    for reached in days:
        seen = found[
            (found["silent_days"] >= reached) & (found["known_days"] >= reached + return_days)
        ]
        back = seen[(seen["is_over"] == 1) & (seen["silent_days"] < reached + return_days)]
        n = int(seen["n"].sum())
        rows.append((reached, n, back["n"].sum() / n if n else None))
    frame = pd.DataFrame(rows, columns=["silent_days", "n", "share"])
    return frame.astype({"share": "float64"})


def rates(
    counts: pd.DataFrame, asked: Candidates, *, first_day: date, known_on: date
) -> pd.DataFrame:
    """Base rate by candidate and snapshot, of the rows of `around`.

    Columns: active_days, horizon_days, snapshot, n_active, n_churned and, where `return_days` after
    the horizon are known, n_followed (of those who churned) and n_back. A snapshot counts once the
    log reaches back for `active_days` and the label is mature.
    """
    rows = []
    days = pd.to_datetime(counts["snapshot"]).dt.date
    for snapshot, part in counts.groupby(days, sort=True):
        history = (snapshot - first_day).days
        known = (known_on - snapshot).days - asked.gap_days
        until = part["until_days"].astype(float).fillna(float("inf"))
        for active in asked.active_days:
            for horizon in asked.horizon_days:
                if history < active or known < horizon:
                    continue
                is_active = part["since_days"] <= active
                is_gone = is_active & (until >= horizon)
                n_gone = int(part["n"][is_gone].sum())
                is_followed = known >= horizon + asked.return_days
                back = is_gone & (until < horizon + asked.return_days)
                rows.append(
                    (
                        active, horizon, snapshot, int(part["n"][is_active].sum()), n_gone,
                        n_gone if is_followed else 0,
                        int(part["n"][back].sum()) if is_followed else 0,
                    )
                )  # fmt: skip
    columns = [
        "active_days",
        "horizon_days",
        "snapshot",
        "n_active",
        "n_churned",
        "n_followed",
        "n_back",
    ]
    return pd.DataFrame(rows, columns=columns)


def table(by_snapshot: pd.DataFrame, asked: Candidates) -> pd.DataFrame:
    """One row per candidate, of the rows of `rates`.

    n_snapshots, n_active (mean per snapshot), churn (pooled share), `lowest` and `highest` share of a
    snapshot (seasonality), `back` (share of those who churned and came back; null unless
    `MIN_SILENCES` could be followed) and known_after_days (how long a label takes to be known).
    """
    shares = by_snapshot.assign(
        share=by_snapshot["n_churned"] / by_snapshot["n_active"].clip(lower=1)
    )
    keys = ["active_days", "horizon_days"]
    groups = shares.groupby(keys)
    sums = groups[["n_active", "n_churned", "n_followed", "n_back"]].sum()
    found = pd.DataFrame(
        {
            "n_snapshots": groups.size(),
            "n_active": groups["n_active"].mean(),
            "churn": sums["n_churned"] / sums["n_active"].clip(lower=1),
            "lowest": groups["share"].min(),
            "highest": groups["share"].max(),
            "back": (sums["n_back"] / sums["n_followed"].clip(lower=1)).where(
                sums["n_followed"] >= MIN_SILENCES
            ),
        }
    ).reset_index()
    found["known_after_days"] = found["horizon_days"] + asked.gap_days
    return found


def chosen(found: pd.DataFrame, curve: pd.DataFrame, asked: Candidates) -> Choice | None:
    """The recommended candidate of `table`; `curve` are the `returning` of `active_days`.

    Active: the longest silence after which at least half still return, since who is silent for longer
    is mostly gone already. Horizon: the shortest after which at most `max_returning` of those called
    churned come back, since a shorter one is known sooner. None when no candidate can be judged.
    """
    judged = found[found["back"].notna()]
    if judged.empty:
        return None
    alive = curve[(curve["n"] >= MIN_SILENCES) & (curve["share"] >= MOST_RETURN)]["silent_days"]
    widths = sorted(judged["active_days"].unique())
    active = max((a for a in widths if a in set(alive)), default=widths[0])
    rows = judged[judged["active_days"] == active].sort_values("horizon_days")
    sure = rows[rows["back"] <= asked.max_returning]
    best = sure.iloc[0] if len(sure) else rows.sort_values(["back", "horizon_days"]).iloc[0]
    return Choice(int(active), int(best["horizon_days"]), _reasons(best, rows, curve, asked))


def _reasons(
    best: pd.Series, rows: pd.DataFrame, curve: pd.DataFrame, asked: Candidates
) -> tuple[str, ...]:
    shares = curve.set_index("silent_days")["share"]
    active, horizon = int(best["active_days"]), int(best["horizon_days"])
    longer = [a for a in sorted(shares.index) if a > active and pd.notna(shares[a])]
    said = [f"{shares[active]:.0%} of those who are silent for {active} days come back"]
    said += [f"after {longer[0]} days {shares[longer[0]]:.0%}"] if longer else []
    shorter = rows[rows["horizon_days"] < horizon]
    limit = f"the {asked.max_returning:.0%} asked for"
    how = f"at most {limit}"
    if best["back"] > asked.max_returning:
        how = f"more than {limit}, and no candidate does better: here a silence is often a pause"
    before = shorter.iloc[-1] if len(shorter) else None
    return (
        f"active_days={active}: {', '.join(said)} (within {asked.return_days} days).",
        f"horizon_days={horizon}: {best['back']:.0%} of those it calls churned come back, {how}"
        + (
            f"; with {before['horizon_days']:.0f} days it is {before['back']:.0%}."
            if before is not None
            else "; it is the shortest candidate."
        ),
        f"{best['churn']:.1%} of {best['n_active']:,.0f} active customers churn at a snapshot, from "
        f"{best['lowest']:.1%} to {best['highest']:.1%} over {best['n_snapshots']:.0f} snapshots.",
        f"A label is known {best['known_after_days']:.0f} days after its snapshot.",
    )


def _steps(qualifying: str, known: str) -> str:
    return f"""
        seen AS (
            SELECT DISTINCT customer_id, day FROM (
                SELECT customer_id, day, {qualifying} AS n_qualifying FROM daily
                WHERE last_known_on <= {known} AND day < {known}
                UNION ALL
                SELECT customer_id, day, {qualifying} AS n_qualifying FROM late
                WHERE known_on <= {known} AND last_known_on > {known} AND day < {known}
            ) AS known_days WHERE n_qualifying > 0
        ), steps AS (
            SELECT customer_id, day,
                   LEAD(day) OVER (PARTITION BY customer_id ORDER BY day) AS next_day FROM seen
        )
    """


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
