"""Logistic regression on log-scaled features, kept as plain numbers.

Small logs have more to gain from it than from trees; on large ones it makes the blend steadier.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from churn.learning.columns import Column

Array = np.ndarray[Any, Any]

Z_LIMIT = 4.0
"""Standardised values are cut here, so that one wild value cannot decide a score alone."""


MAX_FIT_ROWS = 300_000
"""Weights are fitted on an evenly spaced sample of this size: a few hundred numbers do not need
more, and the design matrix of millions of rows would not fit into memory."""


@dataclass(frozen=True)
class Term:
    """What one column adds to the log-odds.

    A number adds `weight` × its standardised log (0 where missing, plus `missing_weight`), a
    category the weight of its level (0 for a missing or unseen one). `centre` is the mean of the
    term over the training rows.
    """

    mean: float = 0.0
    scale: float = 0.0
    weight: float = 0.0
    missing_weight: float = 0.0
    level_weights: tuple[float, ...] = ()
    centre: float = 0.0


@dataclass(frozen=True)
class Logistic:
    """Log-odds = `intercept` + the sum of one term per column."""

    intercept: float
    terms: tuple[Term, ...]


def fit(
    columns: Sequence[Column],
    values: Array,
    label: Array,
    *,
    c: float,
    rows: Array | None = None,
    weight: Array | None = None,
    signs: Sequence[int] = (),
) -> Logistic:
    """L2 logistic regression on the `rows` (places; None: all) of `values` (rows × columns, see
    `columns.matrix`), of which nothing as large is made beside the design matrix.

    `label` and `weight`, how much each counts, are those of `rows`. `c` is scikit-learn's inverse
    strength: the prior variance of a standardised weight. Where `signs` has 1 for a column its weight
    is not negative, with -1 not positive: columns of the wrong sign are left out and the rest is fitted
    again. BLAS runs on one thread: on more, the last bits of the weights depend on how many there are.
    """
    rows = np.arange(len(values)) if rows is None else rows
    scaled = [_scaling(column, values[rows, place]) for place, column in enumerate(columns)]
    sample = slice(None, None, -(-len(rows) // MAX_FIT_ROWS))
    few, counts = rows[sample], None if weight is None else weight[sample]
    gaps = [bool(np.isnan(values[few, place]).any()) for place in range(len(columns))]
    while True:
        design = _design(columns, scaled, values, few, gaps)
        with threadpool_limits(limits=1, user_api="blas"):
            found = LogisticRegression(C=c, solver="newton-cholesky", max_iter=100, tol=1e-6)
            found.fit(design, label[sample], sample_weight=counts)
        weights = iter(found.coef_[0].tolist())
        terms = [_weighted(col, scaled[k], weights, gaps[k]) for k, col in enumerate(columns)]
        wrong = [k for k, sign in enumerate(signs) if sign * terms[k].weight < 0]
        if not wrong:
            break
        scaled = [Term() if k in wrong else term for k, term in enumerate(scaled)]
    centres = [float(_added(t, values[rows, k]).mean()) for k, t in enumerate(terms)]
    centred = [Term(**{**asdict(t), "centre": m}) for t, m in zip(terms, centres, strict=True)]
    return Logistic(float(found.intercept_[0]), tuple(centred))


def log_odds(logistic: Logistic, values: Array) -> Array:
    """The log-odds of each row: summed column by column, so that nothing as large as `values` is made
    and a row scores the same alone and among a million."""
    total = np.full(len(values), logistic.intercept)
    for place, term in enumerate(logistic.terms):
        total += _added(term, values[:, place])
    return total


def added(logistic: Logistic, values: Array) -> Array:
    """What each column adds to each row's log-odds: rows × columns, without the intercept."""
    result = np.empty_like(values)
    for place, term in enumerate(logistic.terms):
        result[:, place] = _added(term, values[:, place])
    return result


def to_spec(logistic: Logistic) -> dict[str, Any]:
    return asdict(logistic)


def from_spec(spec: Mapping[str, Any]) -> Logistic:
    terms = [Term(**{**t, "level_weights": tuple(t["level_weights"])}) for t in spec["terms"]]
    return Logistic(spec["intercept"], tuple(terms))


def _added(term: Term, values: Array) -> Array:
    if term.level_weights:
        known = ~np.isnan(values)
        weights = np.array(term.level_weights)
        return np.where(known, weights[np.where(known, values, 0).astype(int)], 0.0)
    missing = np.isnan(values)
    return term.weight * _standardised(term, values) + term.missing_weight * missing


def _standardised(term: Term, values: Array) -> Array:
    z = (_log_scaled(values) - term.mean) * term.scale
    return np.clip(np.where(np.isnan(z), 0.0, z), -Z_LIMIT, Z_LIMIT)


def _log_scaled(values: Array) -> Array:
    return np.sign(values) * np.log1p(np.abs(values))


def _scaling(column: Column, values: Array) -> Term:
    """Mean and 1 / deviation of the log-scaled values that are there; 0 for a constant."""
    logs = _log_scaled(values[~np.isnan(values)])
    if column.kind == "category" or len(logs) == 0:
        return Term()
    deviation = float(logs.std())
    return Term(mean=float(logs.mean()), scale=1 / deviation if deviation > 1e-9 else 0.0)


def _design(
    columns: Sequence[Column],
    terms: Sequence[Term],
    values: Array,
    rows: Array,
    gaps: Sequence[bool],
) -> Array:
    """The columns of the regression, of `rows`: of a category one per level, of a number z and, where it
    has gaps, a flag for what is missing."""
    widths = [_width(column, has_gaps) for column, has_gaps in zip(columns, gaps, strict=True)]
    design = np.zeros((len(rows), sum(widths)))
    for k, column in enumerate(columns):
        first, one = sum(widths[:k]), values[rows, k]
        if column.kind == "category":
            design[:, first : first + widths[k]] = one[:, None] == np.arange(widths[k])
        else:
            design[:, first] = _standardised(terms[k], one)
            if gaps[k]:
                design[:, first + 1] = np.isnan(one)
    return design


def _width(column: Column, has_gaps: bool) -> int:
    return len(column.levels) if column.kind == "category" else 1 + has_gaps


def _weighted(column: Column, term: Term, weights: Iterator[float], has_gaps: bool) -> Term:
    """`term` with the next of the fitted `weights`, as many as `_width` says."""
    if column.kind == "category":
        return Term(level_weights=tuple(itertools.islice(weights, len(column.levels))))
    return Term(term.mean, term.scale, next(weights), next(weights) if has_gaps else 0.0)
