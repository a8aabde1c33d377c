"""Models: one predict function, exact contributions, refusals, baselines."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import panels
import pytest

from churn.errors import HeldBackError, InputError
from churn.learning import backtest, baselines, columns, models, shapley, splits, titles
from churn.learning.models import Model, Recipe

ROWS = backtest.mature(panels.panel())
RECIPE = Recipe(**panels.RECIPE)


def fitted(**changes) -> Model:
    return models.fit(ROWS, features=panels.FEATURES, recipe=replace(RECIPE, **changes))


@pytest.fixture(scope="module")
def blend() -> Model:
    return fitted()


def auc(label: pd.Series, risk: np.ndarray) -> float:
    ranks = pd.Series(risk).rank().to_numpy()
    n = label.sum()
    return float((ranks[label == 1].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))


@pytest.mark.parametrize("name", ["blend", "lightgbm", "logistic"])
def test_a_model_learns_and_is_calibrated_on_customers_it_never_saw(name: str) -> None:
    model = fitted(model=name)
    fresh = backtest.mature(panels.panel(seed=2))
    risk = models.predict(model, fresh)
    assert auc(fresh["label"], risk) > 0.68
    assert 0.9 < risk.mean() / fresh["label"].mean() < 1.1


def test_predictions_do_not_hang_on_column_order_row_order_or_company(blend: Model) -> None:
    risk = models.predict(blend, ROWS)
    turned = ROWS[list(reversed(ROWS.columns))].assign(extra=1)
    assert (models.predict(blend, turned) == risk).all()
    assert (models.predict(blend, ROWS.iloc[::-1])[::-1] == risk).all()
    assert (models.predict(blend, ROWS.iloc[[17]]) == risk[17]).all()


def test_a_model_survives_text_and_json_bit_by_bit(blend: Model) -> None:
    text, spec = models.to_spec(blend)
    again = models.from_spec(text, json.loads(json.dumps(spec)))
    assert (models.predict(again, ROWS) == models.predict(blend, ROWS)).all()
    assert models.to_spec(again) == (text, spec)
    assert "parameters" not in text


def test_threads_and_repeats_change_no_bit(blend: Model) -> None:
    assert models.to_spec(fitted(threads=2)) == models.to_spec(blend)


def test_another_seed_is_another_model(blend: Model) -> None:
    assert models.to_spec(fitted(seed=8)) != models.to_spec(blend)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: rows.drop(columns="tenure_days"), "no column tenure_days"),
        (lambda rows: rows.rename(columns={"plan": "Plan"}), "no column plan"),
        (lambda rows: rows.assign(tenure_days="12"), "tenure_days as"),
        (lambda rows: rows.assign(plan=3.0), "plan as float64"),
    ],
)
def test_rows_of_another_shape_are_refused(blend: Model, change, named: str) -> None:
    with pytest.raises(InputError, match=named):
        models.predict(blend, change(ROWS))


def test_missing_infinite_and_unseen_values_are_scored(blend: Model) -> None:
    odd = ROWS.head(4).assign(
        recency_days=[np.nan, np.inf, -5, 1e300], plan=["never seen", None, "", "a"]
    )
    risk = models.predict(blend, odd)
    assert ((risk > 0) & (risk < 1)).all()
    unseen = models.predict(blend, ROWS.head(9).assign(plan="never seen"))
    assert (unseen == models.predict(blend, ROWS.head(9).assign(plan=None))).all()


def test_no_rows_have_no_scores(blend: Model) -> None:
    assert models.predict(blend, ROWS.head(0)).shape == (0,)
    assert shapley.contributions(blend, ROWS.head(0)).shape == (0, 6)


@pytest.mark.parametrize("name", ["blend", "lightgbm", "logistic"])
def test_contributions_sum_to_the_log_odds(name: str) -> None:
    model = fitted(model=name)
    parts = shapley.contributions(model, ROWS)
    assert list(parts.columns) == [f.name for f in panels.FEATURES] + ["base"]
    assert np.abs(parts.sum(axis=1) - models.log_odds(model, ROWS)).max() <= 1e-9
    assert parts["base"].nunique() == 1


def test_families_hold_all_that_the_features_say(blend: Model) -> None:
    parts = shapley.contributions(blend, ROWS)
    families = shapley.by_family(parts, panels.FEATURES)
    assert list(families.columns) == ["recency", "volume", "trend", "tenure", "contract"]
    assert np.allclose(families.sum(axis=1) + parts["base"], models.log_odds(blend, ROWS))
    assert families.abs().mean().idxmax() in ("recency", "trend")


def test_a_longer_silence_is_a_higher_risk(blend: Model) -> None:
    calm, silent = ROWS.assign(recency_days=1), ROWS.assign(recency_days=40)
    assert (models.predict(blend, silent) > models.predict(blend, calm)).mean() > 0.99


def test_calibration_finds_slope_and_intercept() -> None:
    random = np.random.default_rng(0)
    raw = random.normal(0, 2, 50_000)
    label = (random.random(50_000) < models.sigmoid(-1 + 0.5 * raw)).astype(float)
    found = models.fit_calibration(label, raw[:, None])
    assert found.weights == (pytest.approx(0.5, abs=0.03),)
    assert found.intercept == pytest.approx(-1, abs=0.04)


def test_calibration_believes_the_member_that_knows() -> None:
    random = np.random.default_rng(0)
    knows, guesses, contrary = random.normal(0, 1.5, (3, 20_000))
    label = (random.random(20_000) < models.sigmoid(-1 + knows - contrary)).astype(float)
    found = models.fit_calibration(label, np.column_stack([knows, guesses]))
    assert found.weights[0] > 0.6
    assert abs(found.weights[1]) < 0.05
    without = models.fit_calibration(label, np.column_stack([knows, contrary]))
    assert without.weights[0] > 0.6
    assert without.weights[1] == 0


def test_calibration_of_next_to_nothing_stays_near_the_mean() -> None:
    raw = np.array([[0.1, -0.1], [0.2, 0.0], [-0.1, 0.3], [0.0, 0.1]])
    found = models.fit_calibration(np.array([0.0, 1.0, 0.0, 1.0]), raw)
    assert found.weights == pytest.approx((0.5, 0.5), abs=0.1)


def test_calibration_never_turns_the_ranking_round() -> None:
    random = np.random.default_rng(0)
    raw = random.normal(5, 1, 5000)
    label = (random.random(5000) < models.sigmoid(4 - raw)).astype(float)
    found = models.fit_calibration(label, raw[:, None])
    assert found.weights[0] > 0
    risk = models.sigmoid(models.calibrated(found, raw[:, None]))
    assert risk.mean() == pytest.approx(label.mean())


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (ROWS.head(0), "no customer whose outcome is known"),
        (ROWS.assign(label=0.0), "too few customers churn"),
        (ROWS.assign(label=1.0), "too few customers stay"),
        (ROWS.assign(label=(np.arange(len(ROWS)) < 19) * 1.0), "too few customers churn"),
    ],
)
def test_labels_that_teach_nothing_are_held_back(rows: pd.DataFrame, what: str) -> None:
    with pytest.raises(HeldBackError, match=what) as refusal:
        models.fit(rows, features=panels.FEATURES, recipe=RECIPE)
    assert "churn.horizon_days" in refusal.value.next_step
    assert "churned" in refusal.value.got


def test_rare_levels_are_like_unseen_ones() -> None:
    values = ["common"] * 60 + ["rare"] * 49 + [None]
    known = columns.learn(pd.DataFrame({"plan": values}), features=panels.FEATURES[-1:])
    assert known[0].levels == ("common",)


def test_baselines_rank_as_their_names_say() -> None:
    fitted = baselines.fit_all(ROWS, features=panels.FEATURES, recipe=RECIPE)
    assert set(fitted) == set(titles.TITLES) - {"model", "champion"}
    silent = fitted["longest_silent"].score(ROWS.assign(recency_days=ROWS["recency_days"]))
    assert (
        np.argsort(-silent, kind="stable")[:5]
        == ROWS["recency_days"].to_numpy().argsort(kind="stable")[::-1][:5]
    ).any()
    drop = fitted["biggest_drop"].score(pd.DataFrame({"n_events_trend_28d": [0.1, 1.0, 3.0, None]}))
    assert drop[0] > drop[1] == drop[3] > drop[2]
    for baseline in fitted.values():
        assert baseline.risk(ROWS).mean() == pytest.approx(ROWS["label"].mean(), rel=0.02)


def moved(model: Model, name: str) -> np.ndarray:
    """How the risk of every row changes while one column grows, the rest as it is."""
    steps = [models.predict(model, ROWS.assign(**{name: x})) for x in np.linspace(0, 60, 13)]
    return np.diff(np.array(steps), axis=0)


@pytest.mark.parametrize("name", ["blend", "lightgbm", "logistic"])
def test_a_monotone_feature_moves_the_risk_one_way(name: str) -> None:
    """By itself or by its family, the feature's own sign first; against the data too."""
    signs = {"recency": -1, "tenure": -1, "tenure_days": 1, "contract": 1}
    model = fitted(model=name, monotone=signs)
    assert (moved(model, "recency_days") <= 0).all()
    assert (moved(model, "tenure_days") >= 0).all()
    assert (moved(fitted(model=name), "recency_days") > 0).any()


def test_older_rows_count_less_with_a_half_life() -> None:
    """Churn doubles in the second half of the snapshots: the model that forgets sees it."""
    late = sorted(ROWS["snapshot"].unique())[3:]
    quiet = np.random.default_rng(3).random(len(ROWS)) < 0.7
    rows = ROWS.assign(label=ROWS["label"].where(ROWS["snapshot"].isin(late) | ~quiet, 0.0))
    now = rows[rows["snapshot"].isin(late)]

    def level(**changes) -> float:
        recipe = replace(RECIPE, **changes)
        risk = models.predict(models.fit(rows, features=panels.FEATURES, recipe=recipe), now)
        return float(risk.mean() / now["label"].mean())

    assert level() < 0.8
    assert level(half_life_days=10) > 0.9
    assert level(half_life_days=1e9) == pytest.approx(level(), rel=1e-3)


def test_recency_weights_halve_and_average_one() -> None:
    snapshots = pd.Series(["2026-01-01", "2026-01-29", "2026-01-29"])
    weight = splits.recency_weights(snapshots, half_life_days=28)
    assert weight is not None
    assert weight.tolist() == pytest.approx([0.6, 1.2, 1.2])
    assert splits.recency_weights(snapshots, half_life_days=0) is None
