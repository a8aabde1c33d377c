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
"""With fewer snapshots left to learn from, an origin is not worth judging."""


@dataclass(frozen=True)
class Split:
    """Snapshots to learn from and later ones to be judged on, both oldest first."""

    train: tuple[date, ...]
    test: tuple[date, ...]


def rolling(
    snapshots: Sequence[date], *, n_origins: int, n_test: int, gap_days: int, horizon_days: int
) -> list[Split]:
    """Up to `n_origins` splits of the mature `snapshots`, oldest first, none judging a row twice.

    Each is judged on `n_test` snapshots in a row and learns from those known at the first of them:
    label windows end on or before it (an embargo of gap + horizon). Where `n_test` leaves fewer
    origins than a smaller number would, the smaller one is taken. One training snapshot is enough
    only when there is no origin with two; with none there is no split.
    """
    ordered = sorted(set(snapshots))

    def found(n: int, n_train: int) -> list[Split]:
        tests = [ordered[len(ordered) - n * k :][:n] for k in range(1, n_origins + 1)]
        splits = [_known_before(ordered, t, gap_days, horizon_days) for t in tests if len(t) == n]
        return [split for split in splits if len(split.train) >= n_train]

    several = [found(n, MIN_TRAIN_SNAPSHOTS) for n in range(n_test, 0, -1)]
    best = max(several, key=len, default=[]) or found(1, 1)[:1]
    return sorted(best, key=lambda split: split.test)


def _known_before(
    ordered: Sequence[date], test: Sequence[date], gap_days: int, horizon_days: int
) -> Split:
    windows = {s: label_window(s, gap_days=gap_days, horizon_days=horizon_days) for s in ordered}
    return Split(tuple(s for s in ordered if windows[s].before <= test[0]), tuple(test))


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
    return rows[in_share(rows["customer_id"], share=max_rows / len(rows), seed=seed)]


def in_share(customers: pd.Series, *, share: float, seed: int) -> Array:
    """Whether each row's customer is in a `share` of all customers, drawn by hash: it hangs on nothing
    but the id, and a smaller share of the same `seed` is part of a larger one."""
    n_parts = 10_000
    return np.asarray(fold_of(customers, n_folds=n_parts, seed=seed + 1) < n_parts * share)


def _hash(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8])
