"""Which snapshots and customers a model learns from."""

from datetime import date, timedelta

import pandas as pd

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
