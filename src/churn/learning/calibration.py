"""Raw log-odds → calibrated log-odds: a weight for each member of a model, and an intercept."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Calibration:
    """log-odds = `intercept` + the members' raw log-odds, each times its weight."""

    weights: tuple[float, ...]
    intercept: float = 0.0

    @classmethod
    def equal(cls, n_members: int) -> "Calibration":
        """The mean of the members, as they are."""
        return cls((1 / n_members,) * n_members)


def calibrated(calibration: Calibration, raw: Array) -> Array:
    """Calibrated log-odds of `raw` (rows × members)."""
    total = np.full(len(raw), calibration.intercept)
    for place, weight in enumerate(calibration.weights):
        total += weight * raw[:, place]
    return total


def sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(values, -700, 700)))


def fit_calibration(label: Array, raw: Array, weight: Array | None = None) -> Calibration:
    """Weights and intercept by maximum likelihood, from `raw` (rows × members), by Newton's method.

    With one member this is Platt's sigmoid (1999), with two the stacking of Wolpert (1992): how much
    either is believed is learnt from rows that neither has seen. One observation's worth of prior
    holds the weights near those of the mean, which matters only when there is next to nothing to
    learn from. A member whose weight is not positive is left out, since believing its contrary would
    turn its ranking round; if none is left only the intercept is fitted. `weight` is how much each
    row counts, 1 by default.
    """
    n_members = raw.shape[1]
    believed = list(range(n_members))
    while believed:
        found = newton(label, raw[:, believed], weight=weight)
        kept = [k for k, factor in zip(believed, found.weights, strict=True) if factor > 0]
        if kept == believed:
            weights = dict(zip(believed, found.weights, strict=True))
            return Calibration(
                tuple(weights.get(k, 0.0) for k in range(n_members)), found.intercept
            )
        believed = kept
    mean = Calibration.equal(n_members)
    shift = newton(label, calibrated(mean, raw)[:, None], weight=weight, stiffness=1e12)
    return replace(mean, intercept=shift.intercept)


def newton(
    label: Array, raw: Array, *, weight: Array | None = None, stiffness: float = 1.0
) -> Calibration:
    """Newton's method with step halving: without it a start far off the mark oscillates."""
    counts = np.ones(len(raw)) if weight is None else weight
    design = np.column_stack([np.ones(len(raw)), raw])
    start = np.array([0.0, *Calibration.equal(raw.shape[1]).weights])
    stiff = np.array([1e-6, *[stiffness] * raw.shape[1]])

    def loss(beta: Array) -> float:
        z = design @ beta
        misfit = (counts * (np.logaddexp(0, z) - label * z)).sum()
        return float(misfit + 0.5 * (stiff * (beta - start) ** 2).sum())

    beta = start
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(100):
            p = sigmoid(design @ beta)
            gradient = design.T @ (counts * (p - label)) + stiff * (beta - start)
            hessian = (design * (counts * p * (1 - p))[:, None]).T @ design + np.diag(stiff)
            step = np.linalg.solve(hessian, gradient)
            while loss(beta - step) > loss(beta) and np.abs(step).max() > 1e-9:
                step = step / 2
            beta = beta - step
            if np.abs(step).max() < 1e-9:
                break
    return Calibration(tuple(beta[1:].tolist()), float(beta[0]))
