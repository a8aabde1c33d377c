"""What a hold-out shows at one look: the effect of being listed, and of being contacted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from churn.proof import sequences

Array = np.ndarray[Any, Any]

PRIOR_CUSTOMERS = 20
"""For how many customers' worth the noise is taken to be what the risks say, beside what was seen:
a handful of customers of whom nobody left must not look like certainty."""


@dataclass(frozen=True)
class Arms:
    """Customers whose effect window is over, one per row.

    `is_held_out` with the planned chance `propensity`; `left` is 1 for who left in the window; `risk`
    is the probability that the model gave it before (an adjustment: it need not be right); `worth`
    what a leaver costs (1: customers); `is_contacted` by whom it may concern.
    """

    is_held_out: Array
    propensity: Array
    left: Array
    risk: Array
    worth: Array
    is_contacted: Array

    @classmethod
    def of(cls, rows: pd.DataFrame, *, worth: Array | None = None) -> "Arms":
        """From `arm`, `propensity`, `left`, `risk_8w`, `is_contacted`."""
        return cls(
            rows["arm"].eq("holdout").to_numpy(),
            rows["propensity"].to_numpy(dtype=float),
            rows["left"].to_numpy(dtype=float),
            rows["risk_8w"].to_numpy(dtype=float).clip(0.01, 0.99),
            np.ones(len(rows)) if worth is None else worth,
            rows["is_contacted"].to_numpy(dtype=float),
        )

    @property
    def can_be_compared(self) -> bool:
        return bool(self.is_held_out.any() and not self.is_held_out.all())


@dataclass(frozen=True)
class Effect:
    """What is saved per customer, in units of `worth`; the interval holds at every look.

    `low` and `high` are None where the data put no bound.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float

    @property
    def claims(self) -> int:
        """1: it helps, -1: it harms, 0: neither is proven."""
        if self.low is not None and self.low > 0:
            return 1
        return -1 if self.high is not None and self.high < 0 else 0


def of_listing(arms: Arms, *, planned: float, alpha: float = sequences.ALPHA) -> Effect:
    """The effect of being listed: what the held-out lost minus what the others lost, per customer.

    Means within arms weighted by inverse chances (Hájek 1971) of what the risk at entry did not
    expect, worth × (left - risk), which takes out the variance that was foreseeable (Lin 2013; the
    risk was known before, so it adds no bias). `planned` is the variance of the estimate that the plan
    foresees for its end (see `planned_variance`): there the sequence is tightest.
    """
    held, others = _means(arms)
    variance = held.variance + others.variance
    value, error = held.mean - others.mean, float(np.sqrt(variance))
    reach = sequences.multiplier(planned / variance, alpha=alpha) * error
    return Effect(value, value - reach, value + reach, error)


def of_contact(arms: Arms, *, planned: float, alpha: float = sequences.ALPHA) -> Effect | None:
    """The effect of being contacted on those who were because they were listed (Imbens & Angrist
    1994): the effect of being listed / the difference in contact rates. None without contacts.

    The interval are all effects θ for which worth × (left - risk) + θ × contacted shows no difference
    between the arms (Fieller 1954; Anderson & Rubin 1949), so it holds at every look as well, and
    has no bounds while the contact rates cannot be told apart.
    """
    held, others = _means(arms)
    rate = others.rate - held.rate
    if rate <= 0:
        return None
    value, variance = held.mean - others.mean, held.variance + others.variance
    b2 = sequences.multiplier(planned / variance, alpha=alpha) ** 2
    a = rate**2 - b2 * (held.rate_variance + others.rate_variance)
    b = value * rate + b2 * (held.covariance + others.covariance)
    c = value**2 - b2 * variance
    error = float(np.sqrt(variance)) / rate
    inner = b**2 - a * c
    if a <= 0 or inner < 0:
        return Effect(value / rate, None, None, error)
    root = np.sqrt(inner)
    return Effect(value / rate, float((b - root) / a), float((b + root) / a), error)


def planned_variance(rows: pd.DataFrame, worth: Array, *, n_planned: float) -> float:
    """The variance of the effect of being listed once `n_planned` customers like `rows` are settled,
    as the risks and the chances of being held out make one expect it before anybody has left."""
    risk = rows["risk_8w"].to_numpy(dtype=float).clip(0.01, 0.99)
    share = rows["propensity"].to_numpy(dtype=float)
    noise = (worth**2 * risk * (1 - risk)).mean()
    return float(noise * (1 / share + 1 / (1 - share)).mean() / n_planned)


@dataclass(frozen=True)
class _Mean:
    mean: float
    variance: float
    rate: float
    rate_variance: float
    covariance: float


def _means(arms: Arms) -> tuple[_Mean, _Mean]:
    """Both arms: the held-out, then the others."""
    held = np.where(arms.is_held_out, 1 / arms.propensity, 0.0)
    others = np.where(arms.is_held_out, 0.0, 1 / (1 - arms.propensity))
    foreseen = arms.worth**2 * arms.risk * (1 - arms.risk)
    noise = foreseen.mean() * _noise(arms, held, others)
    return _mean(arms, held, noise), _mean(arms, others, noise)


def _noise(arms: Arms, held: Array, others: Array) -> float:
    """How much more leaving varies than the risks say, both arms together (1: as they say)."""
    surprise = arms.left - arms.risk
    for weight in (held, others):
        within = weight > 0
        surprise = np.where(within, surprise - np.average(surprise, weights=weight), surprise)
    seen, said = float((surprise**2).sum()), arms.risk * (1 - arms.risk)
    prior = PRIOR_CUSTOMERS * said.mean()
    return float((seen + prior) / (said.sum() + prior))


def _mean(arms: Arms, weight: Array, noise: float) -> _Mean:
    """One arm's weighted mean, with a variance that is never below what both arms together foresee."""
    lost, share = arms.worth * (arms.left - arms.risk), weight / weight.sum()
    mean, rate = float(share @ lost), float(share @ arms.is_contacted)
    off, apart = lost - mean, arms.is_contacted - rate
    seen = float((share**2) @ (off**2))
    return _Mean(
        mean,
        max(seen, noise * float((share**2).sum())),
        rate,
        float((share**2) @ (apart**2)),
        float((share**2) @ (off * apart)),
    )
