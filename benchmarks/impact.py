"""Do the intervals of `churn impact` hold at every weekly look, and how wide are they?

    python benchmarks/impact.py [HISTORIES]

Simulated histories of 26 weeks: 60 places a week, all of them new in the first week and 20 to 40
later, 10 % of those who qualify held out, 15 to 30 % of whom leave within eight weeks without a
contact; the risks that were known before are noisy and too high or too low by up to a third on the
odds. CS reaches 60 to 90 %. Values are lognormal with a heavy tail. The truth is the average effect on
those who are settled at the look. One line per effect: how many histories are covered at every look,
by the effect of being listed and of being contacted, on churn and on revenue; in how many an effect
is claimed at some look; and the width at week 26 against an interval for that look alone.
"""

import sys
from datetime import date, timedelta

import numpy as np
import pandas as pd
from measure import show

from churn.proof import impact

WEEKS = 26
EFFECT_DAYS = 56
START = date(2026, 1, 5)
EFFECTS = (0.0, 0.05, 0.1)


def main(n_histories: int) -> None:
    heads = ["effect (points)", "listed covered", "contacted covered", "revenue covered", "revenue of contact covered",
             "claimed", "of contact claimed", "width / fixed", "median width (points)", "sample-ratio alarms"]  # fmt: skip
    show(heads, (_line(effect, n_histories) for effect in EFFECTS))


def _line(effect: float, n_histories: int) -> list[str]:
    found = [_judged(effect, seed) for seed in range(n_histories)]
    table = pd.DataFrame(found)
    shares = [
        "listing",
        "contact",
        "revenue_listing",
        "revenue_contact",
        "claimed",
        "claimed_contact",
    ]
    return [
        f"{100 * effect:.0f}",
        *(f"{100 * table[name].mean():.1f} %" for name in shares),
        f"{table['ratio'].median():.2f}",
        f"{100 * table['width'].median():.1f}",
        f"{100 * table['alarm'].mean():.1f} %",
    ]


def _judged(effect: float, seed: int) -> dict[str, float]:
    """One history: whether every look covers, and what the last one is like."""
    rows = history(effect, seed)
    covered = dict.fromkeys(["listing", "contact", "revenue_listing", "revenue_contact"], True)
    claimed, claimed_contact, alarm = False, False, False
    cap = impact.value_cap(rows)
    for on in impact.look_days(rows, as_of=START + timedelta(weeks=WEEKS)):
        one = impact.look(rows, on=on)
        for name, truth in truths(rows[rows["settled_on"] <= on], cap).items():
            said = getattr(one, name)
            if said is not None and said.low is not None:
                covered[name] &= said.low <= truth <= said.high
        claimed |= one.listing is not None and one.listing.claims != 0
        claimed_contact |= one.contact is not None and one.contact.claims != 0
        alarm |= one.arms_e_value >= 1000
    width = one.listing.high - one.listing.low
    there = rows[rows["settled_on"] <= on]
    return {
        **covered,
        "claimed": claimed,
        "claimed_contact": claimed_contact,
        "alarm": alarm,
        "width": width,
        "ratio": width / fixed_width(there),
    }


def truths(there: pd.DataFrame, cap: float) -> dict[str, float]:
    """The average effects on those who are settled: of listing, and on those whom CS would reach."""
    money, reached = impact.yearly(there, cap=cap), there["reach"]
    saved = there["saved"]
    return {
        "listing": (saved * reached).mean(),
        "contact": (saved * reached).sum() / reached.sum(),
        "revenue_listing": (money * saved * reached).mean(),
        "revenue_contact": (money * saved * reached).sum() / reached.sum(),
    }


def fixed_width(there: pd.DataFrame) -> float:
    """± 1.96 standard errors of the plain difference of two shares."""
    arms = [there.loc[there["arm"] == arm, "left"] for arm in ("holdout", "contact")]
    return 2 * 1.96 * float(np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms)))


def history(effect: float, seed: int) -> pd.DataFrame:
    """26 weeks of lists, as `impact.followed` gives them, with what is true in `saved` and `reach`."""
    random = np.random.default_rng([seed, round(1000 * effect)])
    base, reach = random.uniform(0.15, 0.3), random.uniform(0.6, 0.9)
    new = [60, *random.integers(20, 41, WEEKS - 1)]
    week = np.repeat(np.arange(WEEKS), np.ceil(np.array(new) / 0.9).astype(int))
    n = len(week)
    odds = np.log(base / (1 - base)) + random.normal(0, 0.8, n)
    risk = _sigmoid(odds - 0.15)
    said = _sigmoid(odds + random.normal(0, 0.5, n) + random.uniform(-0.3, 0.3))
    held_out = random.random(n) < 0.1
    saved = np.minimum(effect / reach, risk)
    contacted = ~held_out & (random.random(n) < reach)
    left = random.random(n) < risk - saved * contacted
    as_of = np.array([START + timedelta(weeks=int(w)) for w in week])
    return pd.DataFrame(
        {
            "customer_id": [f"{k:05d}" for k in range(n)],
            "as_of": as_of,
            "arm": np.where(held_out, "holdout", "contact"),
            "propensity": 0.1,
            "risk_8w": said,
            "value_month": random.lognormal(4, 1.2, n),
            "settled_on": as_of + timedelta(days=EFFECT_DAYS),
            "left": left.astype(int),
            "is_contacted": contacted,
            "saved": saved,
            "reach": reach,
        }
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
