"""Who of those who qualify is left alone, drawn at random, so that the effect of a list can be proved."""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from churn.retention.policy import Policy

BLOCK_DAYS = 26 * 7
EPOCH = date(2018, 1, 1)
"""A Monday from which blocks are counted, so that every log has the same ones."""

CONTACT, HOLDOUT, ALWAYS = "contact", "holdout", "always"
"""The arms. Accounts of `retain.always` are in one of their own, which no figure counts."""


def block_of(day: date) -> date:
    """The first day of the 26-week block that `day` lies in.

    >>> block_of(date(2026, 1, 5)).isoformat()
    '2025-12-22'
    """
    return EPOCH + timedelta(days=(day - EPOCH).days // BLOCK_DAYS * BLOCK_DAYS)


def draws(customers: Sequence[str], *, block: date, key: str) -> np.ndarray:
    """A number in [0, 1) for each customer, the same all through a block: HMAC-SHA256 of both.

    Nobody can tell who is held out without the key, and no list of the draws needs to be kept.
    """
    found = [_hash(f"{block.isoformat()} {customer}", key) for customer in customers]
    return np.array(found, dtype=np.float64)


def _hash(text: str, key: str) -> float:
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def n_qualifying(room: int, policy: Policy) -> tuple[int, int]:
    """How many places are drawn with the share of `retain.holdout`, and how many after them with one
    half (`retain.pilot`), so that as many are listed as there is `room` for, on average.

    >>> n_qualifying(90, Policy(holdout=0.1)), n_qualifying(100, Policy(holdout=0.0, pilot=0.5))
    ((100, 0), (50, 100))
    """
    n_window = 2 * math.floor(room * policy.pilot + 1e-9)
    n_sure = room - n_window // 2
    return math.ceil(n_sure / (1 - policy.holdout) - 1e-9), n_window


def arms(
    qualifying: pd.DataFrame,
    *,
    policy: Policy,
    block: date,
    key: str | None,
    assigned: Mapping[str, tuple[str, float, bool]],
) -> pd.DataFrame:
    """`arm`, `propensity` (of being held out) and `is_pilot` of each row of `qualifying`.

    Rows need `customer_id` and `in_window` (whether the place lies around the cut). Who was
    `assigned` earlier in the block stays there. Without a `key` (and a share of 0) nobody is held out.
    """
    ids = [str(customer) for customer in qualifying["customer_id"]]
    window = qualifying["in_window"].to_numpy(dtype=bool)
    share = np.where(window, 0.5, policy.holdout) if key else np.zeros(len(ids))
    drawn = draws(ids, block=block, key=key) if key else np.ones(len(ids))
    drawn_arms = np.where(drawn < share, HOLDOUT, CONTACT).tolist()
    fresh = zip(ids, drawn_arms, share.tolist(), window.tolist(), strict=True)
    told = [
        (ALWAYS, 0.0, False) if one in policy.always else assigned.get(one, tuple(drawn_arm))
        for one, *drawn_arm in fresh
    ]
    columns = ["arm", "propensity", "is_pilot"]
    return pd.DataFrame(told, columns=columns, index=qualifying.index)
