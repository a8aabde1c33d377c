"""Intervals and alarms that hold at every look: confidence sequences and e-values.

An interval for one look (estimate ± 1.96 standard errors) that is read every week is wrong at some
week far more often than in 5 of 100 histories. Those here hold at all weeks together.
"""

import math
from collections.abc import Sequence

ALPHA = 0.05

Z_POWER = 0.8416
"""The standard normal quantile of 80 %: how much further an effect must lie to be seen that often."""

SRM_LEVEL = 0.001
PRIOR_CUSTOMERS = 50.0
"""How sure the alternative of `arms_e_value` is of the planned share: as if seen on so many."""


def multiplier(information: float, *, alpha: float = ALPHA) -> float:
    """How many standard errors to either side hold at every look, with `information` of what is
    planned gathered (1 = all of it: there the sequence is tightest).

    The mixture boundary of Robbins (1970) in the asymptotic confidence sequence of Waudby-Smith,
    Arbour, Sinha, Kennedy & Ramdas (2021, theorem 2.2), with rho² = (-2 log α + log(1 - 2 log α)) /
    planned information (their appendix on tuning; Howard et al. 2021, section 3.5).

    >>> round(multiplier(1.0), 2), round(multiplier(0.1), 2)
    (3.04, 4.13)
    """
    tuned = (-2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))) * information
    return math.sqrt(2 * (tuned + 1) / tuned * (0.5 * math.log1p(tuned) - math.log(alpha)))


def arms_e_value(held_out: Sequence[int], listed: Sequence[int], share: Sequence[float]) -> float:
    """The evidence that customers were not held out with the planned chances, as an e-value.

    For each group that shares one chance: how many of those `listed` were `held_out`, and the planned
    `share`. Under the plan it exceeds 1000 at any week of a whole history with a chance of at most
    .001 (Ville's inequality). Beta-binomial mixture over other shares, around the planned one
    (Lindon & Malek 2022, "Anytime-valid inference for multinomial count data").

    >>> round(arms_e_value([10], [100], [0.1]), 2)
    0.58
    """
    logs = [
        _log_beta(PRIOR_CUSTOMERS * p + h, PRIOR_CUSTOMERS * (1 - p) + n - h)
        - _log_beta(PRIOR_CUSTOMERS * p, PRIOR_CUSTOMERS * (1 - p))
        - h * math.log(p)
        - (n - h) * math.log1p(-p)
        for h, n, p in zip(held_out, listed, share, strict=True)
    ]
    return math.exp(min(sum(logs), 700.0))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
