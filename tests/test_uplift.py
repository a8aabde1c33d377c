"""Whom a contact would keep: learnt from known chances, and judged before it may order anything."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from churn.features.definitions import Feature
from churn.learning import uplift
from churn.learning.models import Recipe

FEATURES = [
    Feature("mood", "m", "", "mood", "x"),
    Feature("noise", "n", "", "noise", "x"),
]
RECIPE = Recipe(lightgbm={"n_rounds": 60, "num_leaves": 7, "min_data_in_leaf": 100}, n_folds=2)
MONDAY = date(2026, 1, 5)


def trial(n: int = 20_000, *, saved: float, seed: int = 1, propensity: float = 0.5) -> pd.DataFrame:
    """Half of the customers can be kept, the other half leave more often when they are contacted;
    risk alone does not tell them apart."""
    random = np.random.default_rng(seed)
    mood = random.choice([0.0, 1.0], n)
    treated = (random.random(n) < propensity).astype(int)
    change = np.where(mood == 1, -saved, saved / 2) * treated
    return pd.DataFrame(
        {
            "snapshot": random.choice([MONDAY, MONDAY + timedelta(14)], n),
            "customer_id": [f"{k:05d}" for k in range(n)],
            "mood": mood,
            "noise": random.normal(size=n),
            "is_treated": treated,
            "propensity": propensity,
            "left": (random.random(n) < 0.4 + change).astype(int),
        }
    )


def test_the_effect_is_what_a_contact_would_change():
    rows = trial(saved=0.2)
    found = uplift.effect(uplift.fit(rows, features=FEATURES, recipe=RECIPE), rows)
    assert found[rows["mood"] == 1].mean() == pytest.approx(0.2, abs=0.03)
    assert found[rows["mood"] == 0].mean() == pytest.approx(-0.1, abs=0.03)


def judged(rows: pd.DataFrame) -> uplift.Verdict:
    worth = np.full(len(rows), 10.0)
    return uplift.judged(rows, features=FEATURES, recipe=RECIPE, worth=worth, list_share=0.2)


def test_a_real_difference_is_proven_and_none_is_not():
    found = judged(trial(saved=0.2))
    assert found.passed
    assert 0 < found.low < found.difference < found.high
    assert found.by_effect == pytest.approx(0.2 * 0.2 * 10, abs=0.1), (
        "the share listed × saved × worth"
    )
    nothing = [judged(trial(4000, saved=0.0, seed=seed)) for seed in range(12)]
    assert sum(one.passed for one in nothing) <= 1


def test_too_few_contacts_prove_nothing():
    found = judged(trial(1000, saved=0.2, propensity=0.05))
    assert not found.passed
    assert "not proven" in found.why
    assert found.n_treated < 200


def test_segments_in_which_contact_raised_leaving_are_left_alone():
    rows = trial(saved=0.2).assign(
        segment=lambda frame: np.where(frame["mood"] == 1, "kept", "dogs")
    )
    found = uplift.harmed(rows, by="segment").set_index("group")
    assert found.loc["dogs", "is_harmed"]
    assert found.loc["dogs", "value"] == pytest.approx(-0.1, abs=0.04)
    assert not found.loc["kept", "is_harmed"]


def test_a_campaign_meets_the_snapshot_before_it():
    rows = pd.DataFrame(
        [(MONDAY + timedelta(days), who) for days in (-14, 0, 14) for who in "abc"],
        columns=["snapshot", "customer_id"],
    )
    contacts = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "contacted_at": pd.Timestamp(MONDAY) + pd.to_timedelta([9, 33, 9], unit="h"),
            "campaign": ["spring", "spring", "our own"],
            "propensity": [0.06, 0.06, np.nan],
        }
    )
    found = uplift.experiment(rows, contacts, days=6)
    assert set(found["snapshot"]) == {MONDAY}
    assert found["is_treated"].tolist() == [1, 1, 0]
    assert set(found["propensity"]) == {0.06}
    assert uplift.experiment(rows, contacts.iloc[2:], days=6).empty
