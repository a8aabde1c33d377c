"""Whom a contact would keep: learnt from known chances, and judged before it may order anything."""

from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from churn.errors import HeldBackError, InputError
from churn.features.definitions import Feature
from churn.io import tables
from churn.io.lab import challenge
from churn.learning import uplift
from churn.learning.models import Recipe
from churn.settings import Settings

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


def test_a_dozen_contacts_of_whom_nobody_left_are_no_proof():
    """Chances of 6 % and values with a heavy tail: the list holds hardly any contacted customer."""
    passed = 0
    for seed in range(20):
        rows = trial(6000, saved=0.0, seed=seed, propensity=0.06)
        worth = np.random.default_rng(seed).lognormal(4, 1.2, len(rows))
        found = uplift.judged(rows, features=FEATURES, recipe=RECIPE, worth=worth, list_share=0.02)
        passed += found.passed
    assert passed <= 2


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


def test_our_own_arms_meet_the_last_snapshot_before_the_list():
    rows = pd.DataFrame(
        [(MONDAY + timedelta(days), who) for days in (-14, 0) for who in "abc"],
        columns=["snapshot", "customer_id"],
    )
    arms = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "as_of": [MONDAY + timedelta(7), MONDAY, MONDAY],
            "arm": ["contact", "holdout", "always"],
            "propensity": [0.1, 0.5, 0.0],
        }
    )
    found = uplift.assigned(rows, arms, days=13).sort_values("customer_id")
    assert set(found["snapshot"]) == {MONDAY}
    assert found["is_treated"].tolist() == [1, 0]
    assert found["propensity"].tolist() == [0.9, 0.5]


@pytest.mark.parametrize("saved", [0.0, 0.2])
def test_only_a_model_that_has_proven_itself_orders_a_list(tmp_path, saved):
    rows = trial(6000, saved=saved).assign(recency_days=1)
    left = np.where(rows["left"] == 1, 10.0, np.nan)
    panel = rows.drop(columns=["is_treated", "propensity", "left"]).assign(
        left_after_days=left, known_days=100
    )
    facts = {"features": [asdict(feature) for feature in FEATURES]}
    tables.write(tmp_path / "panel", {"panel": panel}, facts=facts)
    called = rows[rows["is_treated"] == 1]
    days = pd.to_datetime(called["snapshot"])
    contacts = pd.DataFrame(
        {
            "customer_id": called["customer_id"], "contacted_at": days.astype("datetime64[us]"),
            "recorded_at": days.astype("datetime64[us]"), "campaign": days.astype(str), "propensity": 0.5,
        }
    )  # fmt: skip
    tables.write(tmp_path / "contacts", {"contacts": contacts})
    moods = rows[["customer_id"]].assign(segment=np.where(rows["mood"] == 1, "kept", "dogs"))
    people = moods.assign(valid_from=pd.NaT, loaded_at=pd.NaT).astype(
        dict.fromkeys(["valid_from", "loaded_at"], "datetime64[us]")
    )
    tables.write(tmp_path / "customers", {"customers": people})
    given = Settings(workspace=str(tmp_path))
    given.train.n_folds, given.train.lightgbm.n_rounds, given.train.list_share = 2, 60, 0.2
    given.engine.threads = 1
    verdict = challenge.judged(given, MONDAY + timedelta(100))
    assert verdict is not None
    assert verdict.n_treated == len(called)
    segment = people.set_index("customer_id")["segment"]
    if not saved:
        assert not verdict.passed
        with pytest.raises(HeldBackError, match="not proven itself"):
            challenge.effects(tmp_path, rows, segment)
        return
    assert verdict.passed
    effect = challenge.effects(tmp_path, rows, segment)
    assert effect[rows["mood"] == 1].mean() == pytest.approx(0.2, abs=0.06)
    assert (effect[rows["mood"] == 0] == 0).all(), "whom contact drives away is left alone"
    (tmp_path / "uplift" / "model.txt").write_text("another")
    with pytest.raises(InputError, match="not the model that was judged"):
        challenge.effects(tmp_path, rows, segment)
