"""Which snapshots and customers a model learns from."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from churn.learning import splits
from churn.learning.splits import Split

LAST = date(2026, 1, 5)


def every(n: int, step_days: int = 14) -> list[date]:
    return [LAST - timedelta(days=step_days * k) for k in range(n)]


def rolling(
    snapshots: list[date], *, n_origins: int = 1, n_test: int = 2, gap_days: int = 0
) -> list[Split]:
    return splits.rolling(
        snapshots, n_origins=n_origins, n_test=n_test, gap_days=gap_days, horizon_days=28
    )


def test_a_training_label_window_ends_on_or_before_the_first_test_snapshot() -> None:
    (split,) = rolling(every(12))
    assert split.test == (date(2025, 12, 22), LAST)
    # 28 days before the first test snapshot is in, one step later is out
    assert split.train[-1] == date(2025, 11, 24)
    assert len(split.train) == 9


def test_the_gap_widens_the_embargo() -> None:
    assert rolling(every(12), gap_days=1)[0].train[-1] == date(2025, 11, 10)


def test_a_short_log_gives_one_test_snapshot_back() -> None:
    (split,) = rolling(every(4))
    assert split.test == (LAST,)
    assert split.train == (date(2025, 11, 24), date(2025, 12, 8))


def test_one_training_snapshot_is_better_than_none() -> None:
    (split,) = rolling(every(3), n_origins=4)
    assert (len(split.train), len(split.test)) == (1, 1)


def test_too_short_a_log_has_no_split() -> None:
    assert rolling(every(2)) == rolling([]) == rolling(every(12), n_origins=0) == []


def test_the_order_and_repetition_of_snapshots_do_not_matter() -> None:
    assert rolling(sorted(every(12)), n_origins=4) == rolling(every(12) * 2, n_origins=4)


def test_a_customers_fold_hangs_on_id_and_seed_alone() -> None:
    names = pd.Series(["007", "7", "ünï", "a b"] * 3)
    folds = splits.fold_of(names, n_folds=5, seed=7)
    assert folds[:4].tolist() == folds[4:8].tolist() == [1, 3, 2, 2]
    shuffled = names.sample(frac=1, random_state=0)
    again = pd.Series(splits.fold_of(shuffled, n_folds=5, seed=7), shuffled.index)
    assert again.sort_index().tolist() == folds.tolist()


def test_folds_are_of_like_size_and_move_with_the_seed() -> None:
    names = pd.Series([f"c{k}" for k in range(3000)])
    folds = splits.fold_of(names, n_folds=3, seed=7)
    assert pd.Series(folds).value_counts(normalize=True).between(0.3, 0.37).all()
    assert (folds != splits.fold_of(names, n_folds=3, seed=8)).any()


def test_a_sample_keeps_whole_customers() -> None:
    rows = pd.DataFrame({"customer_id": [f"c{k % 1000}" for k in range(5000)]})
    sample = splits.sample_customers(rows, max_rows=1000, seed=7)
    assert 800 < len(sample) < 1200
    assert sample["customer_id"].value_counts().eq(5).all()
    assert splits.sample_customers(rows, max_rows=5000, seed=7) is rows


def test_as_many_origins_as_asked_for_none_judging_a_row_twice() -> None:
    found = rolling(every(12), n_origins=3)
    assert [split.test for split in found] == [
        (date(2025, 10, 27), date(2025, 11, 10)),
        (date(2025, 11, 24), date(2025, 12, 8)),
        (date(2025, 12, 22), LAST),
    ]
    assert [len(split.train) for split in found] == [5, 7, 9]


def test_smaller_tests_are_taken_only_where_they_give_more_origins() -> None:
    found = rolling(every(8), n_origins=3)
    assert [split.test for split in found] == [
        (date(2025, 12, 8),), (date(2025, 12, 22),), (LAST,)
    ]  # fmt: skip
    assert [len(split.test) for split in rolling(every(8), n_origins=2)] == [2, 2]


def test_a_single_training_snapshot_gives_one_origin_with_one_test() -> None:
    (split,) = rolling(every(3), n_origins=4, n_test=3)
    assert split == Split((date(2025, 12, 8),), (LAST,))


def test_snapshots_become_dates_whatever_they_came_as() -> None:
    texts = pd.Series(["2026-01-05", "2025-12-22"])
    assert splits.days(texts).tolist() == [LAST, date(2025, 12, 22)]
    assert splits.days(pd.Series([LAST])).tolist() == [LAST]


def test_recency_halves_with_every_half_life_and_is_one_on_average() -> None:
    snapshots = pd.Series([LAST, LAST - timedelta(days=30), LAST - timedelta(days=60)])
    weight = splits.recency_weights(snapshots, half_life_days=30)
    assert weight is not None
    assert (weight / weight[0]).tolist() == pytest.approx([1, 0.5, 0.25])
    assert float(np.mean(weight)) == pytest.approx(1)
    assert splits.recency_weights(snapshots, half_life_days=0) is None


def test_folds_are_numbered_from_zero_and_none_is_empty() -> None:
    names = pd.Series([f"c{k}" for k in range(200)])
    assert set(splits.fold_of(names, n_folds=4, seed=7)) == {0, 1, 2, 3}
    assert splits.fold_of(names, n_folds=4, seed=7).dtype == np.int64


def test_a_sample_is_the_same_share_of_customers_and_no_fold_of_the_same_seed() -> None:
    rows = pd.DataFrame({"customer_id": [f"c{k}" for k in range(4000)]})
    part = splits.fold_of(rows["customer_id"], n_folds=10_000, seed=8)
    sample = splits.sample_customers(rows, max_rows=1000, seed=7)
    assert sample.index.tolist() == np.flatnonzero(part < 2500).tolist()
    assert len(splits.sample_customers(rows, max_rows=3999, seed=7)) < 4000
    assert splits.sample_customers(rows, max_rows=4000, seed=7) is rows
