"""Are the scores of this week plausible: shifts of score and features, performance before and after
labels, size of the list.

The population stability index of two weeks with shares a and b of each bin is the sum of
(a - b) ln(a / b). Where nothing has changed it is about chi-square with bins - 1 degrees of freedom
times (1/n + 1/m), n and m the numbers of customers (Yurdakul and Naranjo 2020), which is added to
what counts as a shift: else every small list would be one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from churn.usage.quality import HELD, MIN_WEEKS, Bands, Verdict, judged, unknown

N_BINS = 10
MIN_PROFILES = 4
"""A feature such as the days to the next renewal comes round once a month: with fewer earlier weeks
a shift cannot be told from that."""


@dataclass(frozen=True)
class Shape:
    """How a column is spread: `edges` of bins (x <= edge falls below; numbers) or `levels` (text),
    and the counts of each bin, then of what is in none (greater, other), then of what is missing."""

    edges: list[float]
    levels: list[str]
    counts: list[int]


def shape(values: pd.Series) -> Shape:
    """The shape of a column in bins of its own: deciles, or its ten commonest levels."""
    there = values.dropna()
    if _is_number(values):
        quantiles = np.linspace(0, 1, N_BINS + 1)[1:-1]
        cuts = np.quantile(there.to_numpy(float), quantiles) if len(there) else np.array([])
        own = Shape([float(edge) for edge in np.unique(cuts)], [], [])
    else:
        common = there.astype(str).value_counts()
        names = sorted(common.index, key=lambda name: (-common[name], name))
        own = Shape([], names[:N_BINS], [])
    return Shape(own.edges, own.levels, counted(values, own))


def counted(values: pd.Series, like: Shape) -> list[int]:
    """How many of `values` fall into each bin of `like`."""
    there = values.dropna()
    if like.edges or _is_number(values):
        numbers = pd.to_numeric(there, errors="coerce").to_numpy(float)
        bins, n_bins = np.digitize(numbers, like.edges, right=True), len(like.edges) + 1
    else:
        known = {name: place for place, name in enumerate(like.levels)}
        bins, n_bins = there.astype(str).map(known).fillna(len(known)), len(known) + 1
    counts = np.bincount(np.asarray(bins, dtype=np.int64), minlength=n_bins)
    return [*counts.tolist(), len(values) - len(there)]


def stability_index(now: Sequence[int], before: Sequence[int]) -> float:
    """The population stability index of two weeks' counts of the same bins; half a customer is added
    to each, so that an empty bin has a logarithm."""
    a, b = np.array(now, dtype=float) + 0.5, np.array(before, dtype=float) + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(np.sum((a - b) * np.log(a / b)))


def chance_index(now: Sequence[int], before: Sequence[int]) -> float:
    """What the index exceeds by chance alone in one comparison of a thousand.

    The quantile of chi-square is that of Wilson and Hilferty (1931).
    """
    n_bins = sum(1 for a, b in zip(now, before, strict=True) if a or b)
    freedom, n, m = max(n_bins - 1, 1), sum(now), sum(before)
    if not n or not m:
        return 0.0
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + 3.09 * math.sqrt(spread)) ** 3
    return float(quantile * (1 / n + 1 / m))


def scores(now: pd.Series, before: pd.Series | None, bands: Bands) -> Verdict:
    """Whether the risks are spread like those that the same model gave a week before."""
    gate, measured = "scores", "PSI of the risks against the week before"
    if before is None or before.empty:
        return unknown(gate, f"{measured}: nothing scored then")
    old = shape(before)
    new = counted(now, old)
    return judged(
        gate, measured, stability_index(new, old.counts),
        high=bands.psi + chance_index(new, old.counts),
        next_step="look at the features gate and at the log: did customers, or what is logged, change?",
    )  # fmt: skip


def mean_risk(now: pd.Series, before: pd.Series | None, bands: Bands) -> Verdict:
    """Whether the mean risk is near that which the same model gave a week before: a part of the
    customers that falls silent at once is rather a part of the log that is missing."""
    gate, measured = "mean_risk", "mean risk / that of the week before"
    if before is None or before.empty or before.mean() <= 0:
        return unknown(gate, f"{measured}: nothing scored then")
    noise = 4 * float(before.std(ddof=0)) / float(before.mean()) / math.sqrt(len(before))
    return judged(
        gate, measured, float(now.mean() / before.mean()),
        low=1 / (bands.jump + noise), high=bands.jump + noise,
        next_step="look who became silent this week: a part of the log may be missing",
    )  # fmt: skip


def shifts(now: pd.DataFrame, before: Sequence[tuple[int, Mapping[str, Shape]]]) -> pd.DataFrame:
    """Each feature of `now` with the least index against any of the weeks `before` (`index`) and what
    of it is chance (`chance`); features that no earlier week has are left out.

    A week comes with how many days it lies back. What counts days since something long ago (`…_days`)
    grows by as many for everybody, which is time and no shift: it may be as it was, or older by that.
    """
    rows = []
    for name in now.columns:
        compared = []
        for days_back, week in before:
            if name not in week:
                continue
            aged = [now[name] - days_back] if name.endswith("_days") and week[name].edges else []
            for values in (now[name], *aged):
                new, old = counted(values, week[name]), week[name].counts
                compared.append((stability_index(new, old), chance_index(new, old)))
        if compared:
            index, chance = min(compared, key=lambda pair: pair[0] - pair[1])
            rows.append({"feature": name, "index": index, "chance": chance})
    return pd.DataFrame(rows, columns=["feature", "index", "chance"])


def features(
    found: pd.DataFrame, importance: Mapping[str, float], *, n_weeks: int, bands: Bands
) -> Verdict:
    """Whether what the model listens to is spread as in one of the last `n_weeks` weeks.

    The figure is the share of the model's contributions (`importance`, adding up to 1) that comes from
    features which have shifted (see `shifts`): among hundreds of features some always do, and a list
    only changes with those that count.
    """
    gate, measured = "features", "share of the contributions that comes from features that shifted"
    if n_weeks < MIN_PROFILES or found.empty:
        return unknown(gate, f"{measured}: fewer than {MIN_PROFILES} earlier weeks")
    moved = found.loc[found["index"] - found["chance"] > bands.psi, "feature"].tolist()
    moved.sort(key=lambda name: (-importance.get(name, 0.0), name))
    named = f" ({', '.join(moved[:3])})" if moved else ""
    return judged(
        gate, f"{measured}{named}", sum(importance.get(name, 0.0) for name in moved),
        high=bands.shifted,
        next_step=f"look at {' and '.join(moved[:3])}: what they count has changed",
    )  # fmt: skip


def calibration(expected: float, happened: int, bands: Bands) -> Verdict:
    """Whether as many left as the scores that have matured said: predicted over actual, in a band
    widened by two standard deviations of a count as large as the prediction."""
    gate, measured = "calibration", "predicted / actual churn of the scores that have matured"
    if expected <= 0:
        return unknown(gate, f"{measured}: none yet")
    noise = math.exp(2 / math.sqrt(max(expected, 1)))
    return judged(
        gate, f"{measured} ({expected:,.1f} / {happened:,})", expected / max(happened, 0.5),
        low=1 / (bands.calibration * noise), high=bands.calibration * noise,
        next_step="train again on what has happened since (`churn train`, `churn promote`)",
    )  # fmt: skip


def expected_auc(risk: np.ndarray) -> float | None:
    """The ROC AUC to expect of calibrated risks before anybody knows the labels: the chance that of a
    leaver and a stayer drawn by these risks the leaver has the higher one, ties half.

    Confidence-based performance estimation (NannyML 2022). None where nobody can leave or stay.
    """
    order = np.sort(np.asarray(risk, dtype=float))
    leaves, stays = order, 1 - order
    if leaves.sum() <= 0 or stays.sum() <= 0:
        return None
    values, first = np.unique(order, return_index=True)
    left, stayed = np.add.reduceat(leaves, first), np.add.reduceat(stays, first)
    below = np.cumsum(stayed) - stayed
    pairs = left.sum() * stayed.sum()
    return float((left * (below + stayed / 2)).sum() / pairs) if len(values) else None


def performance(now: float | None, before: Sequence[float], bands: Bands) -> Verdict:
    """Whether the model still tells customers apart: the expected ROC AUC, against the least of the
    weeks `before`."""
    gate, measured = "expected_performance", "ROC AUC to expect of these risks"
    if now is None:
        return Verdict(
            gate, measured, None, None, None, HELD, "look at the scores: all are equal to 0 or 1"
        )
    if len(before) < MIN_WEEKS:
        return Verdict(gate, measured, now, None, None, unknown(gate, "").outcome)
    return judged(
        gate, measured, now, low=min(before) - bands.fall,
        next_step="look at the features gate; a model that sees nothing new gives everybody one risk",
    )  # fmt: skip


def list_size(n_listed: int, before: Sequence[int]) -> Verdict:
    """Whether there is a list at all, and one like those before it."""
    gate, measured = "list_size", "customers on the list"
    if n_listed == 0 or not before:
        return judged(
            gate, measured, n_listed, low=1,
            next_step="look who qualified: a room of nobody, or everybody contacted lately?",
        )  # fmt: skip
    low, high = min(before), max(before)
    return judged(
        gate, measured, n_listed,
        low=max(1, math.floor(0.5 * low - 2 * math.sqrt(low))),
        high=math.ceil(2 * high + 2 * math.sqrt(high)),
        next_step="look at retain.capacity_* and at how many customers there are now",
    )  # fmt: skip


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
