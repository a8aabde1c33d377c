"""Figures with intervals: a bootstrap over customers, all rows of one customer drawn together.

Rows of one customer at several snapshots say nearly the same, so rows are not drawn one by one.
Each draw gives every customer a weight from Poisson(1) (Hanley & MacGibbon 2006, the usual stand-in
for drawing with replacement) and every figure is computed with these weights, for many draws at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn.learning.metrics import LIST_MIN

Array = np.ndarray[Any, Any]

CELLS_AT_ONCE = 4_000_000
"""Rows × draws that are in memory at a time."""

LEVEL = 0.95

HIGHER_IS_BETTER = ("average_precision", "roc_auc", "log_loss_skill", "lift_at_list")


@dataclass(frozen=True)
class Draws:
    """Judged rows and how they are drawn: `label` 0/1, and the `customer` and `snapshot` of each.

    The list takes `list_share` of each snapshot, at least 10. The same `seed` gives every
    contestant the same draws, so that their differences are paired.
    """

    label: Array
    customer: Array
    snapshot: Array
    list_share: float
    n: int
    seed: int

    @classmethod
    def of(cls, rows: pd.DataFrame, *, list_share: float, n: int, seed: int) -> "Draws":
        return cls(
            rows["label"].to_numpy(dtype=float),
            pd.factorize(rows["customer_id"])[0],
            pd.factorize(rows["snapshot"], sort=True)[0],
            list_share,
            n,
            seed,
        )

    def weights(self) -> Iterator[Array]:
        """Weights as rows × draws, in blocks; the very first draw is the sample as it is."""
        n_customers = int(self.customer.max(initial=-1)) + 1
        block = max(1, CELLS_AT_ONCE // max(len(self.label), 1))
        for first in range(0, self.n + 1, block):
            random = np.random.default_rng([self.seed, first])
            size = (n_customers, min(block, self.n + 1 - first))
            drawn = random.poisson(1.0, size).astype(float)
            if first == 0:
                drawn[:, 0] = 1.0
            yield drawn[self.customer]


def figures(draws: Draws, score: Array, risk: Array) -> dict[str, Array]:
    """Every figure of one contestant in every draw; the first value is that of the sample itself.

    `score` ranks (higher = likelier to churn), `risk` is a probability. Names as in
    `titles.UNITS`; NaN where a draw holds no churned customer, or only such.
    """
    by_score = _Ranking.of(score)
    by_list = np.lexsort((np.arange(len(score)), -score, draws.snapshot))
    p = np.clip(risk, 1e-15, 1 - 1e-15)
    loss = -(draws.label * np.log(p) + (1 - draws.label) * np.log1p(-p))
    blocks = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for weight in draws.weights():
            total, churned = weight.sum(axis=0), draws.label @ weight
            base = churned / total
            log_loss = (loss @ weight) / total
            blocks.append(
                {
                    "base_rate": base,
                    "log_loss": log_loss,
                    "log_loss_skill": 1 - log_loss / _entropy(base),
                    "calibration_ratio": (risk @ weight) / churned,
                    **by_score.figures(draws.label, weight),
                    **_at_list(draws, by_list, weight),
                }
            )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def interval(values: Array) -> dict[str, float | None]:
    """`value` of the sample and the percentile interval of the draws; None where undefined."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]):
        return {"value": None, "low": None, "high": None}
    if not len(drawn):
        return {"value": float(values[0]), "low": None, "high": None}
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def difference(
    mine: Mapping[str, Array], other: Mapping[str, Array]
) -> dict[str, dict[str, float | None]]:
    """Mine minus the other's, paired draw by draw, for each figure of which more is better."""
    return {name: interval(mine[name] - other[name]) for name in HIGHER_IS_BETTER}


@dataclass(frozen=True)
class _Ranking:
    """Rows by falling score; `ends` are the last places of groups with one score."""

    order: Array
    ends: Array

    @classmethod
    def of(cls, score: Array) -> "_Ranking":
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)
        return cls(order, ends)

    def figures(self, label: Array, weight: Array) -> dict[str, Array]:
        """Average precision and ROC AUC with weights; rows with one score count as one group."""
        drawn = weight[self.order]
        contacted = np.cumsum(drawn, axis=0)[self.ends]
        caught = np.cumsum(drawn * label[self.order, None], axis=0)[self.ends]
        missed = contacted - caught
        new = np.diff(caught, axis=0, prepend=0.0)
        precision = caught / np.where(contacted > 0, contacted, 1.0)
        spared = np.diff(missed, axis=0, prepend=0.0)
        pairs = (spared * (caught - new / 2)).sum(axis=0)
        return {
            "average_precision": (new * precision).sum(axis=0) / caught[-1],
            "roc_auc": pairs / (caught[-1] * missed[-1]),
        }


def _at_list(draws: Draws, order: Array, weight: Array) -> dict[str, Array]:
    """What the list of each snapshot holds; a customer drawn twice takes two places."""
    drawn, snapshot = weight[order], draws.snapshot[order]
    on_list = np.zeros_like(drawn)
    for rows in _runs(snapshot):
        part = drawn[rows]
        before = np.cumsum(part, axis=0) - part
        room = np.maximum(np.ceil(part.sum(axis=0) * draws.list_share), LIST_MIN)
        on_list[rows] = np.clip(room - before, 0.0, part)
    label = draws.label[order]
    hits, listed = label @ on_list, on_list.sum(axis=0)
    precision, recall = hits / listed, hits / (label @ drawn)
    return {
        "precision_at_list": precision,
        "recall_at_list": recall,
        "f1_at_list": 2 * hits / (listed + label @ drawn),
        "lift_at_list": precision / ((label @ drawn) / drawn.sum(axis=0)),
    }


def _runs(values: Array) -> list[slice]:
    """Where each stretch of equal values begins and ends."""
    starts = np.flatnonzero(np.diff(values, prepend=-1) != 0)
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(values)], strict=True)]


def _entropy(base: Array) -> Array:
    p = np.clip(base, 1e-15, 1 - 1e-15)
    return -(base * np.log(p) + (1 - base) * np.log(1 - p))
