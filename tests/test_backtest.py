"""Rolling origins, intervals and groups: figures that can be checked by hand or by another library."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import panels
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from churn import timeline
from churn.features.labels import Definition
from churn.learning import (
    backtest,
    baselines,
    intervals,
    metrics,
    models,
    reach,
    splits,
    titles,
    trial,
)
from churn.learning.backtest import Backtest, Origin
from churn.learning.baselines import Champion
from churn.learning.intervals import Draws
from churn.learning.models import Recipe

ROWS = backtest.mature(panels.panel(n_snapshots=8))
RECIPE = Recipe(**panels.RECIPE)
DEFINITION = Definition(**panels.churn())


def judged(rows: pd.DataFrame = ROWS, *, n_origins: int = 3, n_test: int = 1, **given) -> Backtest:
    found = trial.run(
        rows,
        definition=DEFINITION,
        features=panels.FEATURES,
        contestants=backtest.contestants(given.pop("recipe", RECIPE), **given),
        n_origins=n_origins,
        n_test=n_test,
        list_share=0.02,
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def found() -> Backtest:
    return judged()


def test_origins_of_the_command_end_with_the_last_mature_snapshot() -> None:
    days = timeline.origins(
        date(2026, 1, 5), gap_days=7, horizon_days=28, n_origins=4, step_days=28, n_tests=4,
        test_step_days=7,
    )  # fmt: skip
    assert [at for at, _ in days] == [date(2025, 8, 18) + timedelta(days=28 * k) for k in range(4)]
    at, tests = days[-1]
    assert tests == [at + timedelta(days=7 * k) for k in range(4)]
    assert tests[-1] + timedelta(days=7 + 28) == date(2026, 1, 5)


def test_an_origin_learns_only_what_was_known_and_judges_no_row_twice() -> None:
    snapshots = [date(2026, 1, 1) + timedelta(days=14 * k) for k in range(12)]
    split = splits.rolling(snapshots, n_origins=4, n_test=2, gap_days=0, horizon_days=28)
    assert len(split) == 4
    for one in split:
        assert len(one.test) == 2
        assert max(one.train) + timedelta(days=28) <= min(one.test)
        assert max(one.train) + timedelta(days=28 + 14) > min(one.test)
    tested = [s for one in split for s in one.test]
    assert tested == sorted(set(tested)) == snapshots[-8:]


@pytest.mark.parametrize(
    ("n", "horizon_days", "n_origins", "n_test"),
    [(12, 60, 4, 1), (5, 28, 2, 1), (4, 28, 1, 1), (3, 28, 1, 1), (2, 28, 0, 0), (0, 28, 0, 0)],
)
def test_short_logs_have_fewer_origins(n, horizon_days, n_origins, n_test) -> None:
    snapshots = [date(2026, 1, 1) + timedelta(days=14 * k) for k in range(n)]
    split = splits.rolling(snapshots, n_origins=4, n_test=2, gap_days=0, horizon_days=horizon_days)
    assert len(split) == n_origins
    assert all(len(one.test) == n_test for one in split)


def test_what_happens_after_an_origin_teaches_it_nothing(found: Backtest) -> None:
    at = found.origins[1].at
    later = ROWS["snapshot"] >= at
    changed = ROWS.assign(
        label=ROWS["label"].where(~later, 1 - ROWS["label"]),
        recency_days=ROWS["recency_days"].where(~(ROWS["snapshot"] > at), 1),
    )
    again = judged(changed)
    early = (found.rows["origin"] <= at).to_numpy()
    for name in found.scores:
        assert (again.scores[name][early] == found.scores[name][early]).all(), name


def test_every_baseline_stands_beside_the_model(found: Backtest) -> None:
    assert set(found.figures) == set(titles.TITLES) - {"champion"}
    assert (
        found.figures["model"]["average_precision"] > found.figures["random"]["average_precision"]
    )
    assert abs(found.figures["random"]["roc_auc"] - 0.5) < 0.06
    assert found.left_out == {"champion": "there is no model in charge"}
    assert set(found.by_origin) == {one.at for one in found.origins}
    assert found.figures["model"]["n_rows"] == len(found.rows) == 3 * 400


def test_the_regression_beside_a_blend_is_the_one_in_it() -> None:
    model = models.fit(ROWS, features=panels.FEATURES, recipe=RECIPE)
    taken = baselines.fit_all(ROWS, features=panels.FEATURES, recipe=RECIPE, model=model)
    fitted = baselines.fit_all(ROWS, features=panels.FEATURES, recipe=RECIPE)
    assert (taken["logistic_all"].risk(ROWS) == fitted["logistic_all"].risk(ROWS)).all()


def test_tenure_and_contract_know_nothing_of_usage() -> None:
    from churn.features.definitions import Feature

    shared = Feature(
        "share", "active days a day", "share", "tenure", "n_active_days_182d / its_plan"
    )
    names = [f.name for f in baselines.tenure_and_contract([*panels.FEATURES, shared])]
    assert names == ["tenure_days", "plan"]


def test_figures_agree_with_scikit_learn_whatever_the_ties(found: Backtest) -> None:
    random = np.random.default_rng(3)
    score = random.integers(0, 30, len(found.rows)) / 30
    draws = Draws.of(found.rows, list_share=0.02, n=0, seed=1)
    whole = {k: v[0] for k, v in intervals.figures(draws, score, score).items()}
    label = found.rows["label"].to_numpy()
    assert whole["average_precision"] == pytest.approx(average_precision_score(label, score))
    assert whole["roc_auc"] == pytest.approx(roc_auc_score(label, score))
    expected = metrics.evaluate(label, score, snapshot=found.rows["snapshot"], list_share=0.02)
    for name in ("precision_at_list", "recall_at_list", "f1_at_list", "lift_at_list", "log_loss_skill",
                 "log_loss", "calibration_ratio", "base_rate"):  # fmt: skip
        assert whole[name] == pytest.approx(expected[name]), name


def test_a_weight_is_as_many_copies_of_a_customer(found: Backtest) -> None:
    draws = Draws.of(found.rows, list_share=0.02, n=3, seed=5)
    weight = np.concatenate(list(draws.weights()), axis=1)
    assert weight.shape == (len(found.rows), 4)
    assert (weight[:, 0] == 1).all()
    assert (pd.DataFrame(weight).groupby(draws.customer).nunique() == 1).all(axis=None)
    risk = found.risk
    figures = intervals.figures(draws, risk, risk)
    copies = np.repeat(np.arange(len(weight)), weight[:, 2].astype(int))
    label = found.rows["label"].to_numpy()[copies]
    assert figures["average_precision"][2] == pytest.approx(
        average_precision_score(label, risk[copies])
    )
    assert figures["roc_auc"][2] == pytest.approx(roc_auc_score(label, risk[copies]))
    assert figures["log_loss"][2] == pytest.approx(metrics.log_loss(label, risk[copies]))


def test_differences_are_paired_and_zero_against_oneself(found: Backtest) -> None:
    by_name = backtest.drawn(found, n=200, seed=7)
    same = intervals.difference(by_name["model"], by_name["model"])
    assert all(one == {"value": 0.0, "low": 0.0, "high": 0.0} for one in same.values())
    minus = backtest.differences(by_name)["random"]["average_precision"]
    assert 0 < minus["low"] < minus["value"] < minus["high"]
    again = backtest.differences(backtest.drawn(found, n=200, seed=7))
    assert again["random"]["average_precision"] == minus


def test_intervals_of_repeated_customers_are_wider_than_those_of_rows() -> None:
    """Four snapshots of one customer that say the same are one observation, not four."""
    random = np.random.default_rng(0)
    risk = random.random(300)
    label = (random.random(300) < risk).astype(float)
    once = pd.DataFrame({"customer_id": np.arange(300), "snapshot": 0, "label": label})
    four = pd.concat([once.assign(snapshot=k) for k in range(4)], ignore_index=True)

    def width(rows: pd.DataFrame, score: np.ndarray) -> float:
        draws = Draws.of(rows, list_share=0.1, n=400, seed=1)
        found = intervals.interval(intervals.figures(draws, score, score)["roc_auc"])
        return found["high"] - found["low"]

    by_row = four.assign(customer_id=np.arange(1200))
    assert width(four, np.tile(risk, 4)) == pytest.approx(width(once, risk), rel=0.15)
    assert width(by_row, np.tile(risk, 4)) == pytest.approx(width(once, risk) / 2, rel=0.25)


def test_an_interval_holds_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(2)
    caught, truth = 0, 0.2
    for k in range(120):
        label = (random.random(400) < truth).astype(float)
        rows = pd.DataFrame({"customer_id": np.arange(400), "snapshot": 0, "label": label})
        draws = Draws.of(rows, list_share=0.1, n=200, seed=k)
        found = intervals.interval(intervals.figures(draws, label, label)["base_rate"])
        caught += found["low"] <= truth <= found["high"]
    assert 106 <= caught <= 120


def test_calibration_slope_finds_what_was_done_to_the_risks() -> None:
    random = np.random.default_rng(0)
    log_odds = random.normal(-1, 1, 40_000)
    label = (random.random(40_000) < models.sigmoid(log_odds)).astype(float)
    assert metrics.calibration_slope(label, models.sigmoid(log_odds)) == pytest.approx(1, abs=0.05)
    extreme = models.sigmoid(2 * log_odds)
    assert metrics.calibration_slope(label, extreme) == pytest.approx(0.5, abs=0.03)
    assert metrics.calibration_slope(label, np.full(len(label), 0.3)) == 0


def test_groups_too_small_to_judge_are_counted_only(found: Backtest) -> None:
    level = np.where(np.arange(len(found.rows)) < 30, "few", "many")
    by = replace(found, rows=found.rows.assign(by_country=level))
    few, many = [g for g in reach.groups(by, min_churned=20) if g["group"] == "country"]
    assert (few["level"], few["n_rows"], few["is_judged"], few["roc_auc"]) == (
        "few",
        30,
        False,
        None,
    )
    assert many["is_judged"]
    assert 0 < many["listed_share"] < 0.1
    assert many["recall_at_list"] <= 1
    tenure = [g["level"] for g in reach.groups(found, min_churned=20) if g["group"] == "tenure"]
    assert set(tenure) == {*reach.TENURE_BANDS, reach.OLDEST}


def test_newcomers_are_those_who_joined_after_training() -> None:
    train = pd.DataFrame({"snapshot": [date(2026, 1, 1)], "customer_id": ["a"]})
    test = pd.DataFrame(
        {"snapshot": [date(2026, 2, 1)] * 2, "customer_id": ["a", "b"], "tenure_days": [31, 30]}
    )
    expected = ["known to training", "joined after training"]
    assert list(reach.grouped(test, train)["by_newcomer"]) == expected
    assert list(reach.grouped(test.drop(columns="tenure_days"), train)["by_newcomer"]) == expected


def test_lead_time_counts_from_the_first_list_to_the_day_of_leaving() -> None:
    """Lists of ten; `early` is listed five weeks before leaving, `late` one, `never` not at all."""
    weeks = [date(2026, 1, 5) + timedelta(days=7 * k) for k in range(6)]
    names = ["early", "late", "never", *(f"c{k:02d}" for k in range(9))]
    rows = pd.DataFrame([(w, n) for w in weeks for n in names], columns=["snapshot", "customer_id"])
    score = rows["customer_id"].map({"never": -1.0}).fillna(1.0).to_numpy()
    hidden = (rows["customer_id"] == "late") & (rows["snapshot"] < weeks[4])
    score = np.where(hidden, -1.0, score)
    rows["label"] = rows["customer_id"].isin(["early", "late", "never"]).astype(float)
    made = Backtest((), rows, {"model": score}, {"model": score}, 0.01, None)  # type: ignore[arg-type]
    left = rows.assign(churned_on=weeks[5])[rows["label"] == 1]
    lead = reach.lead_time(made, left[["snapshot", "customer_id", "churned_on"]])
    assert lead == {"n_left": 3, "n_listed_before": 2, "median_days": 21.0, "warned_share": 1 / 3}
    soon = left.assign(churned_on=weeks[1])
    assert reach.lead_time(made, soon[["snapshot", "customer_id", "churned_on"]])["n_left"] == 0
    assert reach.turnover(made) == pytest.approx(1 / 5 / 10, abs=0.02)


def test_labels_of_chance_give_chance_unless_training_saw_the_test(found: Backtest) -> None:
    honest = backtest.only_model(RECIPE)
    at_chance = backtest.shuffled(found.first, contestants=honest, seed=1)
    assert abs(at_chance["roc_auc"] - 0.5) <= 3 * at_chance["standard_error"]

    deep = {"n_rounds": 200, "num_leaves": 60, "min_data_in_leaf": 2}
    memorising = backtest.only_model(replace(RECIPE, model="lightgbm", lightgbm=deep, n_folds=0))

    def cheating(origin: Origin):
        return memorising(replace(origin, train=pd.concat([origin.train, origin.test])))

    leaky = backtest.shuffled(found.first, contestants=cheating, seed=1)
    assert leaky["roc_auc"] > 0.5 + 3 * leaky["standard_error"]


def test_one_feature_that_tells_all_has_the_largest_share() -> None:
    leak = ROWS.assign(n_events_28d=100 * ROWS["label"])
    model = models.fit(leak, features=panels.FEATURES, recipe=RECIPE)
    found = backtest.largest_share(model, leak)
    assert found["feature"] == "n_events_28d"
    assert found["share"] > 0.6
    fair = models.fit(ROWS, features=panels.FEATURES, recipe=RECIPE)
    assert backtest.largest_share(fair, ROWS)["share"] < 0.6


def test_the_champion_is_scored_only_where_it_learnt_nothing_later(found: Backtest) -> None:
    old = backtest.at(ROWS, sorted(ROWS["snapshot"].unique())[:3])
    recipe = replace(RECIPE, model="logistic")
    model = models.fit(old, features=panels.FEATURES, recipe=recipe)
    known_before = max(old["snapshot"]) + timedelta(days=28)
    champion = Champion(model, panels.FEATURES, recipe, known_before)
    again = judged(champion=champion)
    refitted = judged(champion=replace(champion, known_before=date.max))
    label = (again.rows["origin"] >= known_before).to_numpy()
    as_it_is = models.predict(model, backtest.at(ROWS, again.origins[-1].test_snapshots))
    last = (again.rows["origin"] == again.origins[-1].at).to_numpy()
    assert label[last].all()
    assert (again.scores["champion"][last] == as_it_is).all()
    assert (refitted.scores["champion"][last] != as_it_is).any()
    assert (again.scores["champion"][~label] == refitted.scores["champion"][~label]).all()


def test_the_champions_recipe_is_not_fitted_twice(found: Backtest) -> None:
    model = models.fit(ROWS, features=panels.FEATURES, recipe=RECIPE)
    champion = Champion(model, panels.FEATURES, replace(RECIPE, threads=2), date.max)
    again = judged(champion=champion)
    assert (again.scores["champion"] == again.scores["model"]).all()
    assert trial.against_champion(again)["by_origin"] == [0.0] * 3


@pytest.mark.parametrize(
    "make",
    [lambda: LogisticRegression(max_iter=500), lambda: RandomForestClassifier(20, random_state=0)],
)
def test_anybodys_classifier_takes_part(make) -> None:
    again = judged(guests={"theirs": make})
    assert again.figures["theirs"]["roc_auc"] > 0.6
    assert np.isfinite(again.risks["theirs"]).all()


def test_a_rule_is_a_model_that_scoring_can_open() -> None:
    for rule in baselines.RULES:
        model = baselines.rule_model(rule, ROWS, horizon_days=28)
        text, spec = models.to_spec(model)
        assert text == ""
        risk = models.predict(models.from_spec(text, spec), ROWS)
        score = baselines.rule_score(rule, ROWS)
        assert (pd.Series(risk).rank() == pd.Series(score.round(9)).rank()).mean() > 0.99
        assert risk.mean() == pytest.approx(ROWS["label"].mean(), rel=0.02)
