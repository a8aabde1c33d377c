"""The gates on scores and list: indices against hand-made spreads, and against what chance does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from churn.retention import drift
from churn.usage.quality import HELD, PASSED, UNKNOWN, Bands

BANDS = Bands()
RNG = np.random.default_rng(3)


def test_the_index_is_the_sum_over_bins():
    a, b = np.array([20.5, 80.5]) / 101, np.array([50.5, 50.5]) / 101
    assert drift.stability_index([20, 80], [50, 50]) == pytest.approx(
        np.sum((a - b) * np.log(a / b))
    )
    assert drift.stability_index([0, 100], [100, 0]) > 5
    assert drift.stability_index([30, 70], [30, 70]) == 0


def test_by_chance_alone_one_comparison_in_a_thousand_exceeds_it():
    over = 0
    for _ in range(4000):
        old, new = pd.Series(RNG.normal(size=400)), pd.Series(RNG.normal(size=300))
        shape = drift.shape(old)
        counts = drift.counted(new, shape)
        over += drift.stability_index(counts, shape.counts) > drift.chance_index(
            counts, shape.counts
        )
    assert over < 20


def test_shapes_count_what_is_in_no_bin_and_what_is_missing():
    numbers = drift.shape(pd.Series([1.0, 2.0, 3.0, 4.0, None]))
    assert sum(numbers.counts) == 5
    assert numbers.counts[-1] == 1
    assert drift.counted(pd.Series([99.0, None, None]), numbers)[-2:] == [1, 2]
    text = drift.shape(pd.Series(["a", "a", "b", None], dtype="str"))
    assert (text.levels, text.counts) == (["a", "b"], [2, 1, 0, 1])
    assert drift.counted(pd.Series(["b", "new", None], dtype="str"), text) == [0, 1, 1, 1]
    nothing = drift.shape(pd.Series([None, None], dtype="float64"))
    assert drift.counted(pd.Series([None, 1.0]), nothing) == [1, 1]


def test_an_edge_belongs_to_the_bin_below():
    shape = drift.Shape([1.0, 2.0], [], [])
    assert drift.counted(pd.Series([0.5, 1.0, 1.5, 2.0, 2.5]), shape) == [2, 2, 1, 0]


def test_scores_that_shift_are_held():
    old = pd.Series(RNG.beta(1, 20, 3000))
    assert drift.scores(pd.Series(RNG.beta(1, 20, 3000)), old, BANDS).outcome == PASSED
    assert drift.scores(old * 3, old, BANDS).outcome == HELD
    assert drift.scores(old, None, BANDS).outcome == UNKNOWN
    assert drift.scores(old, old.iloc[:0], BANDS).outcome == UNKNOWN
    tiny = pd.Series(RNG.beta(1, 20, 15))
    assert drift.scores(pd.Series(RNG.beta(1, 20, 15)), tiny, BANDS).outcome == PASSED


def test_a_mean_risk_that_jumps_is_held():
    old = pd.Series(RNG.beta(1, 20, 5000))
    assert drift.mean_risk(old * 1.25, old, BANDS).outcome == PASSED
    assert drift.mean_risk(old * 1.5, old, BANDS).outcome == HELD
    assert drift.mean_risk(old / 1.5, old, BANDS).outcome == HELD
    assert drift.mean_risk(old * 1.5, old.iloc[:9], BANDS).outcome == PASSED, (
        "nine customers say little"
    )
    assert drift.mean_risk(old, None, BANDS).outcome == UNKNOWN
    assert drift.mean_risk(old, old.iloc[:0], BANDS).outcome == UNKNOWN
    assert drift.mean_risk(old, old * 0, BANDS).outcome == UNKNOWN


def week(**columns):
    return {name: drift.shape(values) for name, values in columns.items()}


def test_a_feature_is_compared_with_the_nearest_week():
    """Renewals on the first of the month: the week before is unlike, the one four weeks back is not."""
    usual, odd = pd.Series(RNG.normal(size=2000)), pd.Series(RNG.normal(5, size=2000))
    found = drift.shifts(pd.DataFrame({"x": usual}), [(7, week(x=odd)), (28, week(x=usual))])
    assert found["index"].tolist() == [0.0]
    assert drift.features(found, {"x": 1.0}, n_weeks=4, bands=BANDS).outcome == PASSED
    far = drift.shifts(pd.DataFrame({"x": usual, "y": usual}), [(7, week(x=odd, y=odd))])

    def verdict(importance, n_weeks=4, rows=far):
        return drift.features(rows, importance, n_weeks=n_weeks, bands=BANDS)

    held = verdict({"x": 0.01, "y": 0.2, "z": 0.79})
    assert (held.outcome, held.figure, "(y, x)" in held.measured) == (
        HELD,
        pytest.approx(0.21),
        True,
    )
    assert verdict({"y": 0.2, "z": 0.8}).outcome == PASSED
    assert verdict({"y": 1.0}, n_weeks=3).outcome == UNKNOWN
    assert drift.shifts(pd.DataFrame({"new": usual}), [(7, week(x=odd))]).empty
    assert verdict({"y": 1.0}, n_weeks=9, rows=far.iloc[:0]).outcome == UNKNOWN


def test_time_that_passes_is_no_shift():
    """Most customers are as old as the log; everybody grows older by a week."""
    age = pd.Series(np.where(RNG.random(2000) < 0.6, 300, RNG.integers(1, 300, 2000)))
    then = week(first_event_days=age, n_events=age)
    now = pd.DataFrame({"first_event_days": age + 7, "n_events": age + 7})
    found = drift.shifts(now, [(7, then)]).set_index("feature")
    assert found.loc["first_event_days", "index"] == 0
    assert found.loc["n_events", "index"] > 1
    assert drift.shifts(now - 7, [(7, then)])["index"].tolist() == [0, 0]


def test_calibration_is_judged_in_a_band_as_wide_as_chance():
    assert drift.calibration(0.0, 0, BANDS).outcome == UNKNOWN
    assert drift.calibration(1000, 1000, BANDS).outcome == PASSED
    assert drift.calibration(1000, 590, BANDS).outcome == HELD
    assert drift.calibration(1000, 640, BANDS).outcome == PASSED
    assert drift.calibration(1000, 1700, BANDS).outcome == HELD
    assert drift.calibration(3, 0, BANDS).outcome == HELD
    assert drift.calibration(2, 0, BANDS).outcome == PASSED
    assert drift.calibration(1, 3, BANDS).outcome == PASSED


def test_the_expected_auc_is_that_of_labels_drawn_by_the_risks():
    risk = RNG.beta(1, 8, 4000).round(3)
    drawn = [roc_auc_score(RNG.random(4000) < risk, risk) for _ in range(60)]
    assert drift.expected_auc(risk) == pytest.approx(np.mean(drawn), abs=0.005)
    assert drift.expected_auc(np.full(10, 0.2)) == 0.5
    assert drift.expected_auc(np.zeros(5)) is None
    assert drift.expected_auc(np.ones(5)) is None


def test_performance_may_fall_a_little():
    assert drift.performance(0.70, [0.75, 0.8, 0.75], BANDS).outcome == PASSED
    assert drift.performance(0.69, [0.75, 0.8, 0.75], BANDS).outcome == HELD
    assert drift.performance(0.5, [0.75, 0.8], BANDS).outcome == UNKNOWN
    assert drift.performance(0.5, [0.75, 0.8], BANDS).figure == 0.5
    assert drift.performance(None, [], BANDS).outcome == HELD


def test_a_list_without_anybody_is_held_and_one_unlike_those_before():
    assert drift.list_size(0, []).outcome == HELD
    assert drift.list_size(1, []).outcome == PASSED
    assert drift.list_size(0, [100]).outcome == HELD
    found = drift.list_size(100, [100, 144])
    assert (found.low, found.high, found.outcome) == (30, 312, PASSED)
    assert drift.list_size(29, [100, 144]).outcome == HELD
    assert drift.list_size(313, [100, 144]).outcome == HELD
    assert drift.list_size(1, [2]).low == 1
