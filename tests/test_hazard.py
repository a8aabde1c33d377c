"""When customers leave: monotone, through the risk, calibrated, and blind to what is not known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import panels
import pytest

from churn.errors import InputError
from churn.features.definitions import Feature
from churn.learning import backtest, columns, hazard, models
from churn.learning.hazard import RISKS, Hazard
from churn.learning.models import Recipe, sigmoid

FEATURES = [
    Feature("to_renewal_days", "days to the end of the term", "days", "contract", "x"),
    Feature("term_length_days", "length of the term", "days", "contract", "x"),
    Feature("mood", "how happy", "points", "x", "x"),
]
N = 12_000


def chance(rows: pd.DataFrame, week: int) -> np.ndarray:
    """The true hazard of a week: higher in the week in which a term of 8 or 26 weeks ends."""
    to_end = np.mod(rows["to_renewal_days"] - 7 * week, rows["term_length_days"])
    return sigmoid((-4.0 - rows["mood"] + 2.5 * (to_end < 7)).to_numpy())


def world(*, seed: int) -> pd.DataFrame:
    """Customers of known hazards, followed for 40 weeks."""
    random = np.random.default_rng(seed)
    term = random.choice([56.0, 182.0], N)
    rows = pd.DataFrame(
        {
            "to_renewal_days": np.floor(random.random(N) * term),
            "term_length_days": term,
            "mood": random.normal(0, 1, N),
        }
    )
    left = np.full(N, np.nan)
    for week in range(40):
        leaves = np.isnan(left) & (random.random(N) < chance(rows, week))
        left[leaves] = 7 * week + random.integers(0, 7, N)[leaves]
    return rows.assign(left_after_days=left, known_days=280)


def learnt(
    rows: pd.DataFrame, *, horizon_days: int = 28, seed: int = 1, threads: int = 1
) -> Hazard:
    known = columns.learn(rows, features=FEATURES)
    return hazard.fit(
        known,
        columns.matrix(known, rows),
        log_odds(rows),
        rows[["left_after_days", "known_days"]],
        horizon_days=horizon_days,
        seed=seed,
        threads=threads,
    )


def log_odds(rows: pd.DataFrame) -> np.ndarray:
    """Those of the true risk of four weeks."""
    stays = np.prod([1 - chance(rows, week) for week in range(4)], axis=0)
    return np.log((1 - stays) / stays)


def answered(found: Hazard, rows: pd.DataFrame) -> pd.DataFrame:
    known = columns.learn(rows, features=FEATURES)
    return hazard.risks(found, columns.matrix(known, rows), log_odds(rows))


ROWS, FRESH = world(seed=1), world(seed=2)


@pytest.fixture(scope="module")
def fitted() -> Hazard:
    return learnt(ROWS)


def test_risks_are_monotone_and_pass_through_the_risk_of_the_horizon(fitted: Hazard) -> None:
    found = answered(fitted, FRESH)
    assert (found["risk"] == sigmoid(log_odds(FRESH))).all()
    assert (found["risk_4w"] == found["risk"]).all()
    assert (np.diff(found[list(RISKS)].to_numpy(), axis=1) > 0).all()
    assert found[list(RISKS)].to_numpy().max() < 1


@pytest.mark.parametrize("horizon_days", [1, 13, 30, 60, 100, 400])
def test_any_horizon_is_passed_through_in_order(horizon_days: int) -> None:
    found = answered(learnt(ROWS, horizon_days=horizon_days), FRESH)
    curve = found[list(RISKS)].assign(own=found["risk"])
    ordered = [
        n for _, n in sorted([*zip((14, 28, 56, 84), RISKS, strict=True), (horizon_days, "own")])
    ]
    assert (np.diff(curve[ordered].to_numpy(), axis=1) >= 0).all()
    assert found["half_after_days"].between(0, horizon_days).all()


def left_in_eight_weeks(rows: pd.DataFrame) -> np.ndarray:
    """The true log-odds."""
    stays = np.prod([1 - chance(rows, week) for week in range(8)], axis=0)
    return np.log((1 - stays) / stays)


@pytest.mark.parametrize(("first", "last"), [(28, 34), (35, 41), (42, 48), (49, 55)])
def test_what_it_adds_that_a_term_ends_after_the_horizon(
    fitted: Hazard, first: int, last: int
) -> None:
    """As much as it does in truth, whether that is a few days later or a few weeks."""
    known = columns.learn(FRESH, features=FEATURES)
    ends = FRESH[FRESH["to_renewal_days"].between(first, last) & FRESH["term_length_days"].eq(182)]
    goes_on = hazard.with_longer_terms(ends)
    found = [
        hazard.log_odds_of_list(fitted, columns.matrix(known, rows), log_odds(rows))
        for rows in (ends, goes_on)
    ]
    added, true = found[0] - found[1], left_in_eight_weeks(ends) - left_in_eight_weeks(goes_on)
    assert added.min() > 0
    assert 0.7 < added.mean() / true.mean() < 1.3, (added.mean(), true.mean())


def test_every_column_moves_with_the_end_of_a_term() -> None:
    rows = pd.DataFrame({"to_renewal_days": [40.0], "long_term_renewal_days": [40.0], "seats": [3]})
    assert hazard.with_longer_terms(rows).iloc[0].tolist() == [96, 96, 3]
    assert hazard.with_longer_terms(rows[["seats"]]).equals(rows[["seats"]])


def test_a_term_ends_in_the_label_window_after_it_or_not_at_all() -> None:
    """A term of eight weeks or less ends whatever is asked, and what is not known does not end."""
    rows = pd.DataFrame(
        {
            "to_renewal_days": [0, 27, 28, 55, 56, 20, 40, np.nan, 40],
            "term_length_days": [365, 365, 57, 365, 365, 28, 56, 365, np.nan],
        }
    )

    def ends(horizon_days: int, gap_days: int = 0) -> tuple[list[int], list[int]]:
        soon, later = hazard.term_ends(rows, horizon_days=horizon_days, gap_days=gap_days)
        return np.flatnonzero(soon).tolist(), np.flatnonzero(later).tolist()

    assert ends(28) == ([0, 1], [2, 3])
    assert ends(90) == ([0, 1, 2, 3], [])
    assert ends(28, gap_days=1) == ([1, 2], [3, 4]), "days 1 to 28, and up to 56"
    nobody = hazard.term_ends(rows[["to_renewal_days"]], horizon_days=28, gap_days=0)
    assert not np.any(nobody)


def test_each_horizon_is_calibrated_for_terms_that_end_soon_and_late(fitted: Hazard) -> None:
    found = answered(fitted, FRESH)
    left = FRESH["left_after_days"]
    for name, days in zip(RISKS, (14, 28, 56, 84), strict=True):
        for soon in (FRESH["to_renewal_days"] < 28, FRESH["to_renewal_days"] >= 56):
            ratio = found.loc[soon, name].mean() / (left[soon] < days).mean()
            assert 0.75 < ratio < 1.33, (name, ratio)
        assert 0.85 < found[name].mean() / (left < days).mean() < 1.18


def test_a_term_that_ends_says_when(fitted: Hazard) -> None:
    """Of customers who renew in the fourth week half the risk has accrued later than of others."""
    found = answered(fitted, FRESH)["half_after_days"]
    late = FRESH["to_renewal_days"].between(22, 26)
    early = FRESH["to_renewal_days"].between(1, 5)
    assert found[late].median() > 19
    assert found[early].median() < 10


def test_it_beats_a_constant_hazard_where_the_calendar_matters(fitted: Hazard) -> None:
    def loss(found: pd.DataFrame) -> float:
        p, label = found["risk_12w"], FRESH["left_after_days"] < 84
        return float(-np.where(label, np.log(p), np.log1p(-p)).mean())

    assert loss(answered(fitted, FRESH)) < loss(answered(Hazard(28), FRESH)) - 0.005


def test_what_is_not_known_yet_teaches_nothing() -> None:
    """Followed for 28 days, later leavers may be whatever they like; the curve goes on as it was."""
    short = ROWS.assign(known_days=28)
    hidden = short["left_after_days"] >= 28
    assert hidden.sum() > 500
    one = learnt(short.assign(left_after_days=short["left_after_days"].mask(hidden)))
    other = learnt(short.assign(left_after_days=short["left_after_days"].mask(hidden, 30.0)))
    assert hazard.to_spec(one) == hazard.to_spec(other)
    assert one.levels[3:] == one.levels[3:4] * 9
    ratio = answered(one, FRESH)["risk_12w"].mean() / (FRESH["left_after_days"] < 84).mean()
    assert 0.7 < ratio < 1.4


def test_too_few_leavers_make_a_constant_hazard() -> None:
    few = ROWS.head(200)
    assert learnt(few.assign(left_after_days=np.nan)) == Hazard(28)
    found = hazard.risks(Hazard(28), np.zeros((2, 0)), np.array([0.0, -4.0]))
    assert found["risk_8w"].round(12).tolist() == [0.75, round(1 - sigmoid(4.0) ** 2, 12)]
    assert found["half_after_days"].tolist() == [12, 14]


def test_a_week_without_a_leaver_has_hardly_any_hazard() -> None:
    """Silences of 28 days are complete after three weeks at the earliest, say."""
    found = learnt(ROWS.assign(left_after_days=ROWS["left_after_days"] + 21))
    risks = answered(found, FRESH)
    assert risks["risk_2w"].max() < 0.1 * risks["risk"].max()
    assert risks["half_after_days"].min() > 20


def test_threads_and_repeats_change_no_bit_and_a_row_scores_alone_as_among_others(fitted) -> None:
    assert hazard.to_spec(learnt(ROWS, threads=2)) == hazard.to_spec(fitted)
    assert hazard.to_spec(learnt(ROWS, seed=2)) != hazard.to_spec(fitted)
    alone = answered(fitted, FRESH.iloc[[17]])
    assert (alone.iloc[0] == answered(fitted, FRESH).iloc[17]).all()


def test_it_survives_json_bit_by_bit(fitted: Hazard) -> None:
    again = hazard.from_spec(json.loads(json.dumps(hazard.to_spec(fitted))))
    pd.testing.assert_frame_equal(answered(again, FRESH), answered(fitted, FRESH), check_exact=True)
    assert hazard.to_spec(again) == hazard.to_spec(fitted)


def test_a_model_holds_its_hazard_and_one_without_is_refused() -> None:
    rows = backtest.mature(panels.panel()).assign(known_days=200)
    weeks = np.random.default_rng(5).integers(0, 28, len(rows))
    rows["left_after_days"] = np.where(rows["label"] == 1, weeks, np.nan)
    model = models.fit(rows, features=panels.FEATURES, recipe=Recipe(**panels.RECIPE))
    assert len(model.hazard.levels) == 12
    found = models.risks(model, rows)
    assert (found["risk"] == models.predict(model, rows)).all()
    text, spec = models.to_spec(model)
    assert "num_threads" not in json.dumps(spec)
    again = models.from_spec(text, json.loads(json.dumps(spec)))
    pd.testing.assert_frame_equal(models.risks(again, rows), found, check_exact=True)
    with pytest.raises(InputError, match="when customers leave"):
        models.from_spec(text, {name: x for name, x in spec.items() if name != "hazard"})
    plain = models.fit(
        rows.drop(columns=["left_after_days", "known_days"]),
        features=panels.FEATURES,
        recipe=replace(Recipe(**panels.RECIPE), horizon_days=14),
    )
    assert plain.hazard == Hazard(14)
