"""Honest figures for predictions: how well they rank, and how true their probabilities are."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

Array = np.ndarray[Any, Any]

LIST_MIN = 10
"""The shortest list that precision and recall are quoted at, in customers per snapshot."""


def evaluate(
    label: Array, score: Array, *, snapshot: pd.Series, list_share: float, risk: Array | None = None
) -> dict[str, float]:
    """Every figure of `UNITS` for one set of predictions; a figure that is undefined is absent.

    `label` is 0/1, `score` ranks (higher = likelier to churn), `risk` is the probability and
    defaults to `score`. The list takes `list_share` of each snapshot, at least 10; ties go by row
    order (the panel's: by customer).
    """
    probability = score if risk is None else risk
    churned = np.asarray(label, dtype=float)
    figures = {
        "n_rows": float(len(churned)),
        "n_churned": float(churned.sum()),
        "base_rate": float(churned.mean()),
        "accuracy_at_half": float(((probability >= 0.5) == (churned == 1)).mean()),
        "log_loss": log_loss(churned, probability),
        **_at_list(churned, on_list(score, snapshot=snapshot, list_share=list_share)),
    }
    if 0 < churned.sum() < len(churned):
        figures["average_precision"] = float(average_precision_score(churned, score))
        figures["roc_auc"] = float(roc_auc_score(churned, score))
        figures["lift_at_list"] = figures["precision_at_list"] / figures["base_rate"]
        figures["log_loss_skill"] = 1 - figures["log_loss"] / entropy(figures["base_rate"])
        figures["calibration_slope"] = calibration_slope(churned, probability)
    if churned.sum() > 0:
        figures["calibration_ratio"] = float(probability.mean() / churned.mean())
    return figures


def log_loss(label: Array, risk: Array) -> float:
    """Mean of -log of the probability given to what happened, in nats per row."""
    p = np.clip(risk, 1e-15, 1 - 1e-15)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log1p(-p)))


def calibration_slope(label: Array, risk: Array) -> float:
    """The weight of the risk's log-odds in a logistic regression of the label on them (Cox 1958).

    0 where all risks are equal: they say nothing.
    """
    p = np.clip(risk, 1e-9, 1 - 1e-9)
    design = np.column_stack([np.ones(len(p)), np.log(p / (1 - p))])
    beta = np.array([0.0, 1.0])
    if np.ptp(design[:, 1]) < 1e-9:
        return 0.0
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, design.T @ (label - fitted)), -1, 1)
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[1])


def entropy(base_rate: float) -> float:
    """The log loss of giving everyone the base rate, in nats per row.

    >>> round(entropy(0.5), 3)
    0.693
    """
    chances = np.array([base_rate, 1 - base_rate])
    return float(-np.sum(chances * np.log(np.clip(chances, 1e-15, 1))))


def on_list(score: Array, *, snapshot: pd.Series, list_share: float) -> Array:
    """Which rows are on their snapshot's list: the top `list_share` by score, at least 10."""
    frame = pd.DataFrame({"snapshot": snapshot.to_numpy(), "score": score})
    by_snapshot = frame.groupby("snapshot")["score"]
    place = by_snapshot.rank(method="first", ascending=False)
    size = np.maximum(np.ceil(by_snapshot.transform("size") * list_share), LIST_MIN)
    return (place <= size).to_numpy()


def gain(label: Array, score: Array) -> tuple[Array, Array]:
    """Share contacted and share of the churned caught, from nobody to everybody, by score."""
    order = np.argsort(-score, kind="stable")
    caught = np.concatenate([[0.0], np.cumsum(np.asarray(label, dtype=float)[order])])
    return np.arange(len(caught)) / len(order), caught / max(caught[-1], 1.0)


def calibration_bins(label: Array, risk: Array, *, n_bins: int = 10) -> pd.DataFrame:
    """Mean predicted and observed churn in `n_bins` groups of equal size by risk.

    One row per group: `predicted`, `observed` (shares), `n_rows`.
    """
    group = pd.Series(risk).rank(method="first").sub(1).floordiv(len(risk) / n_bins)
    frame = pd.DataFrame({"risk": risk, "label": label, "group": group.to_numpy()})
    return (
        frame.groupby("group")
        .agg(predicted=("risk", "mean"), observed=("label", "mean"), n_rows=("risk", "size"))
        .reset_index(drop=True)
    )


def _at_list(churned: Array, chosen: Array) -> dict[str, float]:
    hits = float(churned[chosen].sum())
    precision = hits / max(float(chosen.sum()), 1.0)
    recall = hits / max(float(churned.sum()), 1.0)
    both = precision + recall
    return {
        "n_list": float(chosen.sum()),
        "precision_at_list": precision,
        "recall_at_list": recall,
        "f1_at_list": 2 * precision * recall / both if both else 0.0,
    }
