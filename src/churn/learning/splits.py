"""Which snapshots and customers a model learns from, and on which it is judged: pure functions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from churn.timeline import label_window

Array = np.ndarray[Any, Any]

MIN_TRAIN_SNAPSHOTS = 2
"""With fewer snapshots left to learn from, one test snapshot is given back to training."""


@dataclass(frozen=True)
class Split:
    """Snapshots to learn from and later ones to be judged on, both oldest first."""

    train: tuple[date, ...]
    test: tuple[date, ...]


def latest(
    snapshots: Sequence[date], *, n_test: int, gap_days: int, horizon_days: int
) -> Split | None:
    """Judge on the latest `n_test` of the mature `snapshots`, learn from those known by then.

    A training snapshot's label window ends on or before the first test snapshot (an embargo of
    gap + horizon): what was not yet known on that day teaches nothing. When fewer than two
    training snapshots remain, one test snapshot has to do; when none remains, there is no split.
    """
    ordered = sorted(set(snapshots))
    for n in sorted({n_test, 1}, reverse=True):
        test = ordered[-n:]
        train = [
            s
            for s in ordered
            if label_window(s, gap_days=gap_days, horizon_days=horizon_days).before <= test[0]
        ]
        if len(train) >= MIN_TRAIN_SNAPSHOTS or (n == 1 and train):
            return Split(tuple(train), tuple(test))
    return None


def days(snapshots: pd.Series) -> pd.Series:
    """Snapshots as `datetime.date`, whatever date type the table came with."""
    return pd.to_datetime(snapshots).dt.date


def recency_weights(snapshots: pd.Series, *, half_life_days: float) -> Array | None:
    """How much each row counts: half as much for every `half_life_days` that its snapshot is older
    than the latest, 1 on average. None (all alike) for 0.
    """
    if not half_life_days:
        return None
    moments = pd.to_datetime(snapshots)
    age_days = (moments.max() - moments).dt.days.to_numpy(dtype=float)
    weight = 0.5 ** (age_days / half_life_days)
    counted: Array = weight / weight.mean()
    return counted


def fold_of(customers: pd.Series, *, n_folds: int, seed: int) -> Array:
    """The fold (0 .. n_folds - 1) of each row's customer.

    All rows of a customer share one fold. It hangs on the id and the seed alone, so a new customer
    or another row order moves nobody else.
    """
    codes, uniques = pd.factorize(customers)
    folds = np.array([_hash(str(name), seed) % n_folds for name in uniques], dtype=np.int64)
    return folds[codes]


def sample_customers(rows: pd.DataFrame, *, max_rows: int, seed: int) -> pd.DataFrame:
    """At most about `max_rows` rows: all rows of a share of the customers, drawn by hash.

    Whole customers are kept or left, whatever their labels, so the base rate needs no correction.
    """
    if len(rows) <= max_rows:
        return rows
    n_parts = 10_000
    part = fold_of(rows["customer_id"], n_folds=n_parts, seed=seed + 1)
    return rows[part < n_parts * max_rows / len(rows)]


def _hash(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8])
