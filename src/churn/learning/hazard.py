"""When customers leave: a hazard for each week after the snapshot, in line with the model's risk.

Discrete-time survival analysis (Allison 1982; Singer and Willett 1993) on rows of a customer and a
week. The log-odds of leaving in a week are a level and a weight on the model's own log-odds, both of
that week, and what a few small trees add that look at the week, at the term that ends in it and at
the columns that tell early leavers from late ones. The curve that results is bent, in log-survival,
so that it passes through the model's risk at the horizon: one truth, and monotone by construction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from churn.learning.calibration import newton, sigmoid
from churn.learning.columns import Column

Array = np.ndarray[Any, Any]

WEEK_DAYS = 7
RISK_WEEKS = (2, 4, 8, 12)
"""The horizons that every score answers beside the configured one."""

RISKS = tuple(f"risk_{n}w" for n in RISK_WEEKS)

LIST_WEEKS = 8
"""A list is ordered by the risk of so many weeks, in which a contact has its effect."""

MAX_WEEKS = 26
"""Later weeks are like the last one that was learnt: a horizon of a year does not need 52 of them."""

MIN_LEFT = 20
"""With fewer leavers in a week its level hangs on the rate alone; with fewer in all the hazard is
taken as constant."""

MAX_WEEK_ROWS = 8_000
STAYERS = 6
"""Of each week so many rows teach the trees, with at most so many who stay for one who leaves,
weighted back. More moved no figure of the simulated product."""

N_COLUMNS = 24
"""The trees read the columns that mattered most in a first fit on all: with 12 to 237 of them the
figures are alike, and fewer are quicker to read in twelve weeks of a million customers."""

ROUNDS = 30
TREES = {
    "objective": "binary",
    "learning_rate": 0.2,
    "num_leaves": 7,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "enable_bundle": False,
    "verbosity": -1,
}

RENEWAL, TERM, SILENT = "to_renewal_days", "term_length_days", "recency_days"
"""The columns that move with the calendar: a term that ends in 20 days ends in 6 two weeks later."""

MOVED = (RENEWAL, "long_term_renewal_days")
"""The columns that would be others if a term ended later."""


@dataclass(frozen=True)
class Hazard:
    """The hazard of each week, of the customers of a model.

    `levels` are (intercept, weight on the model's log-odds) by week, none for a constant hazard;
    `trees` add to them what `places` (of the model's columns) and the calendar say. `calendar` are
    the places of `RENEWAL`, `TERM` and `SILENT`, -1 for one that the model does not have.
    """

    horizon_days: int
    levels: tuple[tuple[float, float], ...] = ()
    places: tuple[int, ...] = ()
    calendar: tuple[int, ...] = (-1, -1, -1)
    trees: lgb.Booster | None = None


def fit(
    columns: Sequence[Column],
    values: Array,
    log_odds: Array,
    times: pd.DataFrame,
    *,
    horizon_days: int,
    seed: int,
    threads: int,
) -> Hazard:
    """Learn from rows of customers (`values`, see `columns.matrix`) with `log_odds` of a model that
    did not learn from them, and `times`: `left_after_days` (null: not left) and `known_days`.

    A row is at risk in a week that is known whole and in which, or after which, it left or stays:
    what is not known yet (censored) teaches nothing.
    """
    left, known = _weeks(times)
    n_weeks = min(_n_weeks(horizon_days), MAX_WEEKS)
    if (left < np.minimum(known, n_weeks)).sum() < MIN_LEFT:
        return Hazard(horizon_days)
    levels = _levels(left, known, log_odds, n_weeks)
    names = [column.name for column in columns]
    calendar = tuple(names.index(n) if n in names else -1 for n in (RENEWAL, TERM, SILENT))
    found = Hazard(horizon_days, levels, tuple(range(len(columns))), calendar)
    sample = _sample(left, known, n_weeks, seed=seed)
    first = _grown(found, values, log_odds, sample, seed=seed, threads=threads)
    gain = first.feature_importance("gain")[-len(columns) :]
    chosen = np.sort(np.argsort(-gain, kind="stable")[:N_COLUMNS])
    few = Hazard(horizon_days, levels, tuple(int(k) for k in chosen), found.calendar)
    trees = _grown(few, values, log_odds, sample, seed=seed, threads=threads)
    return Hazard(few.horizon_days, levels, few.places, few.calendar, trees)


def risks(hazard: Hazard, values: Array, log_odds: Array) -> pd.DataFrame:
    """`risk`, `RISKS` (monotone) and `half_after_days` of each row.

    `risk` is the sigmoid of `log_odds`, the chance of leaving within the horizon. `half_after_days`
    is the day by which half of it has accrued, counted from the first day of the label window.
    """
    total = cumulative(hazard, values, log_odds)
    risk = sigmoid(log_odds)
    found = pd.DataFrame({"risk": risk})
    for name, weeks in zip(RISKS, RISK_WEEKS, strict=True):
        days = weeks * WEEK_DAYS
        there = -np.expm1(-_at(total, days))
        if days <= hazard.horizon_days:
            there = np.minimum(there, risk)
        if days >= hazard.horizon_days:
            there = np.maximum(there, risk)
        found[name] = there
    found["half_after_days"] = _reached(total, -np.log1p(-risk / 2))
    return found


def log_odds_of_list(hazard: Hazard, values: Array, log_odds: Array) -> Array:
    """The log-odds of leaving within `LIST_WEEKS`, where those of the horizon are `log_odds`."""
    total = _at(cumulative(hazard, values, log_odds), LIST_WEEKS * WEEK_DAYS)
    found: Array = np.log(np.expm1(total))
    return found


def with_longer_terms(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` as they would be if their terms went on for `LIST_WEEKS` more."""
    moved = {name: rows[name] + LIST_WEEKS * WEEK_DAYS for name in MOVED if name in rows}
    return rows.assign(**moved)


def term_ends(rows: pd.DataFrame, *, horizon_days: int, gap_days: int) -> tuple[Array, Array]:
    """Whose term, one longer than `LIST_WEEKS`, ends in the label window, and whose after it but within
    `LIST_WEEKS` of its first day; nobody's where the rows do not say."""
    if not {RENEWAL, TERM} <= set(rows.columns):
        return np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    to_end, days = rows[RENEWAL].to_numpy(float) - gap_days, LIST_WEEKS * WEEK_DAYS
    ends = (to_end >= 0) & (to_end < days) & (rows[TERM].to_numpy(float) > days)
    return ends & (to_end < horizon_days), ends & (to_end >= horizon_days)


def cumulative(hazard: Hazard, values: Array, log_odds: Array) -> Array:
    """The cumulative hazard, -log of the share that stays, at the end of week 0 (0), 1, 2 …

    At the horizon it is that of the model's risk, -log(1 - risk).
    """
    target = np.logaddexp(0, log_odds)
    n_weeks = _n_weeks(hazard.horizon_days)
    if not hazard.levels:
        ends = np.arange(n_weeks + 1) * WEEK_DAYS / hazard.horizon_days
        return target[:, None] * ends[None, :]
    weekly = np.zeros((len(values), n_weeks + 1))
    seen = _seen(hazard, values, log_odds)
    for week in range(len(hazard.levels)):
        weekly[:, week + 1] = np.logaddexp(0, _log_odds(hazard, values, log_odds, week, seen))
    weekly[:, len(hazard.levels) + 1 :] = weekly[:, [len(hazard.levels)]]
    total = np.cumsum(weekly, axis=1)
    return total * (target / _at(total, hazard.horizon_days))[:, None]


def to_spec(hazard: Hazard) -> dict[str, Any]:
    """`hazard` as JSON types; the trees without the parameters, which hold a number of threads."""
    return {
        "horizon_days": hazard.horizon_days,
        "levels": [list(level) for level in hazard.levels],
        "places": list(hazard.places),
        "calendar": list(hazard.calendar),
        "trees": hazard.trees.model_to_string() if hazard.trees else "",
    }


def from_spec(spec: Mapping[str, Any]) -> Hazard:
    return Hazard(
        spec["horizon_days"],
        tuple((level, weight) for level, weight in spec["levels"]),
        tuple(spec["places"]),
        tuple(spec["calendar"]),
        lgb.Booster(model_str=spec["trees"]) if spec["trees"] else None,
    )


def _n_weeks(horizon_days: int) -> int:
    return max(RISK_WEEKS[-1], -(-horizon_days // WEEK_DAYS))


def _weeks(times: pd.DataFrame) -> tuple[Array, Array]:
    """The week in which each row left (far away where it did not), and how many are known whole."""
    days = times.astype(float).fillna(np.inf).to_numpy()
    weeks = np.floor(days / WEEK_DAYS)
    return weeks[:, 0], weeks[:, 1]


def _levels(left: Array, known: Array, log_odds: Array, n_weeks: int) -> tuple[Any, ...]:
    """Intercept and weight of each week; a week that nobody has seen yet is like the one before."""
    levels: list[tuple[float, float]] = []
    for week in range(n_weeks):
        at_risk = (left >= week) & (known > week)
        leaves = (left[at_risk] == week).astype(float)
        if leaves.sum() >= MIN_LEFT:
            found = newton(leaves, log_odds[at_risk][:, None])
            levels.append((found.intercept, found.weights[0]))
        elif len(leaves) >= MIN_LEFT or not levels:
            odds = (leaves.sum() + 0.5) / (len(leaves) - leaves.sum() + 0.5)
            levels.append((float(np.log(odds)), 0.0))
        else:
            levels.append(levels[-1])
    return tuple(levels)


@dataclass(frozen=True)
class _Sample:
    """Rows by place, the week that each stands for, whether it left in it, and its weight."""

    rows: Array
    weeks: Array
    leaves: Array
    weight: Array


def _sample(left: Array, known: Array, n_weeks: int, *, seed: int) -> _Sample:
    """Of each week leavers and some of those who stay, each weighted by how many it stands for."""
    random = np.random.default_rng(seed)
    parts = []
    for week in range(n_weeks):
        at_risk = np.flatnonzero((left >= week) & (known > week))
        leaves = left[at_risk] == week
        gone, there = at_risk[leaves], at_risk[~leaves]
        n_gone = min(len(gone), MAX_WEEK_ROWS // (1 + STAYERS))
        n_there = min(len(there), STAYERS * max(n_gone, 1))
        for some, n, label in ((gone, n_gone, 1.0), (there, n_there, 0.0)):
            chosen = np.sort(random.choice(some, n, replace=False))
            one = np.ones(n)
            parts.append((chosen, one * week, one * label, one * (len(some) / max(n, 1))))
    return _Sample(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _grown(
    hazard: Hazard, values: Array, log_odds: Array, sample: _Sample, *, seed: int, threads: int
) -> lgb.Booster:
    """Trees on top of the levels of `hazard`, on the columns that it names."""
    levels = np.array(hazard.levels)[sample.weeks.astype(int)]
    start = levels[:, 0] + levels[:, 1] * log_odds[sample.rows]
    few = values[sample.rows]
    seen = _seen(hazard, few, log_odds[sample.rows])
    _turn_to(hazard, few, seen, sample.weeks, start)
    parameters = {**TREES, "seed": seed, "num_threads": threads}
    data = lgb.Dataset(
        seen, sample.leaves, weight=sample.weight, init_score=start, params=parameters
    )
    trained = lgb.train(parameters, data, num_boost_round=ROUNDS)
    text: str = trained.model_to_string()
    return lgb.Booster(model_str=text.split("\nparameters:", 1)[0] + "\n")


def _log_odds(hazard: Hazard, values: Array, log_odds: Array, week: int, seen: Array) -> Array:
    """Log-odds of leaving in `week` for who is still there; `seen`, what the trees look at, is turned
    to that week."""
    intercept, weight = hazard.levels[week]
    level: Array = intercept + weight * log_odds
    if hazard.trees is None:
        return level
    _turn_to(hazard, values, seen, float(week), level)
    return level + np.asarray(hazard.trees.predict(seen, raw_score=True))


def _seen(hazard: Hazard, values: Array, log_odds: Array) -> Array:
    """What the trees look at: the week, the calendar then, the log-odds, the chosen columns. The first
    three and the fifth are those of a week (`_turn_to`)."""
    seen = np.empty((len(values), 5 + len(hazard.places)), order="F")
    seen[:, 3] = log_odds
    for column, place in enumerate(hazard.places, start=5):
        seen[:, column] = values[:, place]
    return seen


def _turn_to(
    hazard: Hazard, values: Array, seen: Array, weeks: Array | float, level: Array
) -> None:
    """Put `weeks`, the days to the end of the term and of silence then, and `level` into `seen`."""
    renewal, term, silent = (
        values[:, k] if k >= 0 else np.full(len(values), np.nan) for k in hazard.calendar
    )
    ahead = weeks * WEEK_DAYS
    to_end = renewal - ahead
    length = np.where(term > 0, term, np.nan)
    seen[:, 0] = weeks
    seen[:, 1] = np.where(to_end < 0, np.mod(to_end, length), to_end)
    seen[:, 2] = silent + ahead
    seen[:, 4] = level


def _at(total: Array, days: float) -> Array:
    """A cumulative hazard after `days`; within a week it grows evenly."""
    week, rest = divmod(days / WEEK_DAYS, 1)
    here = total[:, int(week)]
    return here + rest * (total[:, int(week) + 1] - here) if rest else here


def _reached(total: Array, target: Array) -> Array:
    """The first whole day on which the cumulative hazard of each row is at its `target`."""
    week = np.minimum((total < target[:, None]).sum(axis=1), total.shape[1] - 1)
    rows = np.arange(len(total))
    before, after = total[rows, week - 1], total[rows, week]
    step = np.where(after > before, after - before, 1.0)
    days = (week - 1 + np.clip((target - before) / step, 0, 1)) * WEEK_DAYS
    return np.ceil(np.round(days, 9)).astype("int64")
