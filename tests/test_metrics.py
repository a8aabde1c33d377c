"""Figures against hand-made cases and scikit-learn's own."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from churn.learning import metrics, titles


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, pd.Series]:
    random = np.random.default_rng(3)
    risk = random.random(2000)
    label = (random.random(2000) < risk).astype(float)
    return label, risk, pd.Series(np.repeat(["s1", "s2"], 1000))


def test_figures_agree_with_scikit_learn(case) -> None:
    label, risk, snapshot = case
    found = metrics.evaluate(label, risk, snapshot=snapshot, list_share=0.02)
    assert set(found) == set(titles.UNITS)
    assert found["log_loss"] == pytest.approx(reference.log_loss(label, risk))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(label, risk))
    assert found["average_precision"] == pytest.approx(
        reference.average_precision_score(label, risk)
    )
    chosen = metrics.on_list(risk, snapshot=snapshot, list_share=0.02)
    assert chosen.sum() == 40
    assert found["precision_at_list"] == pytest.approx(reference.precision_score(label, chosen))
    assert found["recall_at_list"] == pytest.approx(reference.recall_score(label, chosen))
    assert found["f1_at_list"] == pytest.approx(reference.f1_score(label, chosen))
    assert found["accuracy_at_half"] == pytest.approx(reference.accuracy_score(label, risk >= 0.5))
    assert found["calibration_ratio"] == pytest.approx(risk.mean() / label.mean())


def test_the_list_is_cut_per_snapshot_and_holds_at_least_ten() -> None:
    score = np.concatenate([np.ones(30), np.zeros(30)])
    snapshot = pd.Series(["s1"] * 30 + ["s2"] * 30)
    chosen = metrics.on_list(score, snapshot=snapshot, list_share=0.02)
    # ties go by row order
    assert np.flatnonzero(chosen).tolist() == [*range(10), *range(30, 40)]


def test_fewer_rows_than_places_are_all_on_the_list() -> None:
    chosen = metrics.on_list(np.array([1.0, 2.0]), snapshot=pd.Series([1, 1]), list_share=0.02)
    assert chosen.all()


@pytest.mark.parametrize("label", [np.zeros(30), np.ones(30)])
def test_a_figure_that_is_undefined_is_absent(label: np.ndarray) -> None:
    found = metrics.evaluate(
        label, np.linspace(0.1, 0.9, 30), snapshot=pd.Series([1] * 30), list_share=0.02
    )
    assert "roc_auc" not in found
    assert ("calibration_ratio" in found) == bool(label.any())
    assert np.isfinite(list(found.values())).all()


def test_ranking_and_probabilities_are_judged_apart(case) -> None:
    label, risk, snapshot = case
    rank_only = metrics.evaluate(
        label, 1000 * risk, snapshot=snapshot, list_share=0.02, risk=np.full(2000, label.mean())
    )
    assert rank_only["roc_auc"] == pytest.approx(reference.roc_auc_score(label, risk))
    assert rank_only["log_loss"] == pytest.approx(metrics.entropy(label.mean()))
    assert rank_only["calibration_ratio"] == pytest.approx(1)


def test_certainty_that_fails_costs_much_but_not_everything() -> None:
    assert 30 < metrics.log_loss(np.array([1.0]), np.array([0.0])) < 40


def test_gain_runs_from_nobody_to_everybody() -> None:
    contacted, caught = metrics.gain(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.5, 0.4]))
    assert contacted.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert caught.tolist() == [0, 0.5, 0.5, 1, 1]


def test_calibration_bins_are_of_equal_size(case) -> None:
    label, risk, _ = case
    bins = metrics.calibration_bins(label, risk, n_bins=10)
    assert bins["n_rows"].tolist() == [200] * 10
    assert bins["predicted"].is_monotonic_increasing
    assert (bins["predicted"] - bins["observed"]).abs().max() < 0.1
