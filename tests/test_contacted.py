"""Rows whose outcome a contact changed: which they are, and what they count."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from panels import AS_OF, FEATURES, RECIPE, panel

from churn import contracts
from churn.io import records, tables
from churn.io.modelling import contacts
from churn.learning import backtest, contacted, models
from churn.learning.contacted import Treated
from churn.learning.models import Recipe
from churn.settings import Settings

S = date(2026, 1, 5)
DAYS = {"effect_days": 56, "gap_days": 0, "horizon_days": 28}
NOBODY = pd.DataFrame({"customer_id": [], "as_of": [], "arm": []})


def rows(*snapshots: date) -> pd.DataFrame:
    return pd.DataFrame({"snapshot": list(snapshots), "customer_id": "a"})


def called(*ages: int) -> pd.DataFrame:
    """Contacts so many days before `S` (negative: after it)."""
    days = [pd.Timestamp(S) - pd.Timedelta(days=age, hours=-9) for age in ages]
    return pd.DataFrame({"customer_id": "a", "contacted_at": days})


@pytest.mark.parametrize(
    ("ages", "share"),
    [
        ((56,), 0.0),  # its effect ended the day before the window
        ((55,), 1 / 28),
        ((28,), 1.0),
        ((0,), 1.0),
        ((-27,), 1 / 28),  # the last day of the window
        ((-28,), 0.0),
        ((42, 7), 1.0),  # two contacts count their days once
        ((55, -27), 2 / 28),
        ((), 0.0),
    ],
)
def test_the_share_of_the_window_under_the_effect_of_a_contact(ages, share):
    found = contacted.treated(rows(S), called(*ages), NOBODY, **DAYS)
    assert found.share == pytest.approx([share])


def test_a_row_belongs_to_the_arm_whose_effect_window_it_meets():
    ass = pd.DataFrame(
        {"customer_id": "a", "as_of": [S, S + timedelta(182)], "arm": ["holdout", "contact"]}
    )
    before, first, last, after, second = (S + timedelta(days) for days in (-28, -27, 55, 56, 182))
    found = contacted.treated(rows(before, first, last, after, second), called(), ass, **DAYS)
    assert found.arm.tolist() == [None, "holdout", "holdout", None, "contact"]


def simulated(saved: float, *, n: int = 40_000, seed: int = 1):
    """Leaving in two arms: a contact over the whole window keeps `saved` of the leavers."""
    random = np.random.default_rng(seed)
    arm = np.where(random.random(n) < 0.1, "holdout", "contact").astype(object)
    share = np.where(arm == "contact", random.choice([0.0, 0.5, 1.0], n), 0.0)
    label = (random.random(n) < 0.2 * (1 - saved * share)).astype(float)
    return label, Treated(share, arm)


@pytest.mark.parametrize("saved", [0.0, 0.3])
def test_the_hold_out_says_what_a_contact_keeps_and_weights_undo_it(saved):
    label, found = simulated(saved)
    estimate = contacted.saved_share(label, found, assumed=0.2)
    assert estimate == pytest.approx(saved, abs=0.1)
    weight = contacted.weights(label, found, saved=saved)
    touched = found.share > 0
    assert np.average(label[touched], weights=weight[touched]) == pytest.approx(0.2, abs=0.01)
    assert (weight[~touched] == 1).all()
    assert weight.sum() == pytest.approx(len(label))


def test_without_anybody_held_out_the_assumption_stands():
    label, found = simulated(0.3)
    alone = Treated(found.share, np.full(len(label), None, dtype=object))
    assert contacted.saved_share(label, alone, assumed=0.2) == 0.2
    few = Treated(found.share, np.where(found.arm == "holdout", None, found.arm))
    assert contacted.saved_share(label, few, assumed=0.2) == pytest.approx(0.2, abs=0.01)
    nobody_left = contacted.saved_share(np.zeros(len(label)), found, assumed=0.2)
    assert nobody_left == pytest.approx(0.2, abs=0.01)


def test_a_row_that_counts_twice_is_a_row_that_stands_there_twice():
    seen = backtest.mature(panel(n_customers=300))
    recipe = Recipe(model="logistic", n_folds=0, **RECIPE)
    twice = pd.concat([seen, seen[seen["label"] == 1]])
    one = models.fit(seen.assign(weight=1.0 + seen["label"]), features=FEATURES, recipe=recipe)
    other = models.fit(twice, features=FEATURES, recipe=recipe)
    gap = models.predict(one, seen) - models.predict(other, seen)
    assert np.abs(gap).max() < 0.02
    plain = models.fit(seen, features=FEATURES, recipe=recipe)
    assert (models.predict(one, seen).mean() - models.predict(plain, seen).mean()) > 0.05


def test_a_model_still_knows_the_risk_of_who_is_left_alone():
    """Whoever is likeliest to leave is called, a third of them stay because of it: counted as they
    are, the rows say that the greatest risks are smaller than they are."""
    random = np.random.default_rng(11)
    feature, n = FEATURES[1], 30_000
    seen = pd.DataFrame({feature.name: random.normal(size=n), "snapshot": AS_OF})
    seen["customer_id"] = [f"{k:05d}" for k in range(n)]
    risk = 1 / (1 + np.exp(3 - 1.2 * seen[feature.name]))
    qualifies = (risk > np.quantile(risk, 0.9)).to_numpy()
    arm = np.where(random.random(n) < 0.1, "holdout", "contact").astype(object)
    arm[~qualifies] = None
    share = np.where(arm == "contact", 1.0, 0.0)
    drawn = random.random(n)
    alone = seen.assign(label=(drawn < risk).astype(float))
    called = seen.assign(label=(drawn < risk * (1 - share / 3)).astype(float))
    found = Treated(share, arm)
    label = called["label"].to_numpy()
    saved = contacted.saved_share(label, found, assumed=0.2)
    weighted = called.assign(weight=contacted.weights(label, found, saved=saved))
    recipe = Recipe(model="logistic", n_folds=0, **RECIPE)
    top = {
        name: models.predict(models.fit(rows, features=[feature], recipe=recipe), seen)[
            qualifies
        ].mean()
        for name, rows in (("alone", alone), ("called", called), ("weighted", weighted))
    }
    assert top["called"] < 0.85 * top["alone"]
    assert top["weighted"] == pytest.approx(top["alone"], rel=0.07)


@pytest.fixture
def place(tmp_path):
    """Customers 00000 to 00099 were contacted from the lists of the last snapshot but one."""
    day = AS_OF - timedelta(days=42)
    said = pd.DataFrame(
        {
            "as_of": day, "customer_id": [f"{k:05d}" for k in range(100)], "list_id": "aaa",
            "contacted": True, "recorded_as_of": day + timedelta(days=7),
        }
    ).reindex(columns=list(contracts.OUTCOMES.columns))  # fmt: skip
    records.keep_outcomes(tmp_path, said.astype(object).where(said.notna(), None))
    campaign = pd.DataFrame(
        {"customer_id": ["00200"], "contacted_at": [pd.Timestamp(day)], "recorded_at": [pd.NaT]}
    ).astype({"recorded_at": "datetime64[us]"})
    tables.write(tmp_path / "contacts", {"contacts": campaign})
    return tmp_path


def test_training_takes_in_what_was_recorded_by_then(place):
    seen = backtest.mature(panel())
    given = Settings(workspace=str(place))
    found = contacts.weighted(given, seen, AS_OF)
    assert found.drop(columns="weight").equals(seen)
    counts = found.loc[found["weight"] != 1, "customer_id"]
    assert set(counts) == {f"{k:05d}" for k in range(100)}
    early = contacts.weighted(given, seen, AS_OF - timedelta(days=36))
    assert early is seen, "not recorded yet"
    given.train.contacted = "all"
    assert "00200" in set(contacts.weighted(given, seen, AS_OF).query("weight != 1")["customer_id"])
    given.train.contacted = "ignore"
    assert contacts.weighted(given, seen, AS_OF) is seen
