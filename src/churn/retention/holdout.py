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

Assigned = tuple[str, float, bool]
"""Arm, propensity (of being held out) and whether by the pilot's lot."""

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


def rooms(room: int, policy: Policy) -> tuple[float, int]:
    """How many of `room` places are given in order, and how many customers after those are drawn by
    lot, one half of them listed (`retain.pilot`).

    >>> rooms(90, Policy()), rooms(100, Policy(pilot=0.5))
    ((90, 0), (50, 100))
    """
    n_window = 2 * math.floor(room * policy.pilot + 1e-9)
    return room - n_window // 2, n_window


def seats(
    customers: pd.Series, *, policy: Policy, assigned: Mapping[str, Assigned]
) -> pd.DataFrame:
    """How many places of a list each of `customers` takes, expected: 1 for who was assigned to be
    listed, 0 for who is held out, else the chance to be listed.

    `sure` where the share of `retain.holdout` draws, `by_lot` in the window of the pilot. Held-out
    customers take none: they are never called, so they never rest, and would fill the list in time.
    """
    arm = {one: 0.0 if given[0] == HOLDOUT else 1.0 for one, given in assigned.items()}
    arm |= dict.fromkeys(policy.always, 1.0)
    known = customers.map(arm).astype(float)
    return pd.DataFrame({"sure": known.fillna(1 - policy.holdout), "by_lot": known.fillna(0.5)})


def arms(
    qualifying: pd.DataFrame,
    *,
    policy: Policy,
    block: date,
    key: str | None,
    assigned: Mapping[str, Assigned],
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
