"""What contacting has changed: intervals that hold every week, and what the report says."""

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import world as worlds
from commandline import exit_code
from reference import World

from churn import contracts
from churn.errors import HeldBackError
from churn.io import records, tables
from churn.io.documents import impact_report, track
from churn.proof import effects, impact, sequences
from churn.proof.effects import Arms
from churn.retention import holdout
from churn.retention.policy import Policy
from churn.settings import Settings
from churn.stages import impact as stage

START = date(2026, 1, 5)


def rows(
    n: int = 400, *, held: float = 0.1, base: float = 0.25, saved: float = 0.0, seed: int = 1,
    weeks: int = 10, reach: float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """Rows as `followed` gives them: who is listed stays more often by `saved`."""
    random = np.random.default_rng(seed)
    is_held = random.random(n) < held
    reached = ~is_held & (random.random(n) < reach)
    as_of = [START + timedelta(weeks=int(w)) for w in np.sort(random.integers(0, weeks, n))]
    return pd.DataFrame(
        {
            "customer_id": [f"{k:05d}" for k in range(n)],
            "as_of": as_of,
            "arm": np.where(is_held, "holdout", "contact"),
            "propensity": held,
            "risk_8w": base,
            "value_month": 100.0,
            "settled_on": [day + timedelta(days=56) for day in as_of],
            "left": (random.random(n) < base - saved / reach * reached).astype(int),
            "is_contacted": reached,
            "is_recorded": ~is_held,
            "segment": random.choice(["small", "big"], n),
        }
    )


LATER = START + timedelta(weeks=30)


def test_the_multiplier_is_that_of_the_mixture_boundary():
    """Crossing probability: a random walk stays within the boundary at all steps in 95 of 100 cases."""
    random = np.random.default_rng(3)
    steps = np.arange(1, 401)
    walks = np.abs(np.cumsum(random.normal(size=(2000, 400)), axis=1)) / np.sqrt(steps)
    bounds = np.array([sequences.multiplier(n / 200) for n in steps])
    assert (walks > bounds).any(axis=1).mean() <= 0.05
    fixed = (walks[:, 20:] > 1.96).any(axis=1).mean()
    assert fixed > 0.2, "an interval for one look would be wrong at some look far more often"
    assert sequences.multiplier(1.0) / 1.96 == pytest.approx(1.55, abs=0.01)


def test_the_sample_ratio_rings_for_wrong_shares_alone():
    random = np.random.default_rng(4)
    right = random.binomial(1, 0.1, (1000, 300)).cumsum(axis=1)
    looks = range(9, 300, 10)
    rang = [
        any(sequences.arms_e_value([h[k]], [k + 1], [0.1]) >= 1000 for k in looks) for h in right
    ]
    assert np.mean(rang) <= 0.005
    assert sequences.arms_e_value([60], [300], [0.1]) > 1000
    assert sequences.arms_e_value([0], [300], [0.1]) > 1000


def test_the_effect_of_listing_is_the_difference_of_the_arms():
    there = rows()
    found = effects.of_listing(Arms.of(there), planned=0.004)
    share = there.groupby("arm")["left"].mean()
    assert found.value == pytest.approx(share["holdout"] - share["contact"])
    assert found.low < found.value < found.high
    worth = np.full(len(there), 1200.0)
    money = effects.of_listing(Arms.of(there, worth=worth), planned=0.004 * 1200**2)
    assert money.value == pytest.approx(1200 * found.value)
    assert money.high == pytest.approx(1200 * found.high)


def test_chances_of_being_held_out_are_weighed():
    """Who is held out more often is another kind of customer: a plain difference would be wrong."""
    safe, risky = rows(3000, held=0.1, base=0.1, seed=2), rows(3000, held=0.5, base=0.5, seed=3)
    both = pd.concat([safe, risky], ignore_index=True).assign(risk_8w=0.3)
    plain = both.groupby("arm")["left"].mean()
    assert plain["holdout"] - plain["contact"] > 0.1
    found = effects.of_listing(Arms.of(both), planned=0.001)
    assert abs(found.value) < 2.5 * found.standard_error


def test_a_handful_of_the_held_out_is_no_certainty():
    few = rows(20, seed=5).assign(left=0)
    few.loc[:1, "arm"] = "holdout"
    found = effects.of_listing(Arms.of(few), planned=0.004)
    assert found.standard_error > 0.1
    assert found.low < -0.4


def test_the_effect_of_contact_is_that_of_listing_by_the_contact_rate():
    there = rows(4000, saved=0.06, reach=0.6, seed=6)
    arms = Arms.of(there)
    listing = effects.of_listing(arms, planned=0.0005)
    contact = effects.of_contact(arms, planned=0.0005)
    rate = there.loc[there["arm"] == "contact", "is_contacted"].mean()
    assert contact.value == pytest.approx(listing.value / rate)
    assert contact.low < 0.1 < contact.high
    assert (contact.claims != 0) == (listing.claims != 0)
    nobody = Arms.of(there.assign(is_contacted=False))
    assert effects.of_contact(nobody, planned=0.0005) is None


def test_an_assignment_is_followed_for_its_window():
    arms = pd.DataFrame(
        {
            "customer_id": list("abcd"), "as_of": START, "arm": ["contact", "holdout", "contact", "always"],
            "propensity": [0.1, 0.1, 0.1, 0.0],
        }
    )  # fmt: skip
    left = pd.DataFrame(
        {"customer_id": list("abcd"), "as_of": START, "left_after_days": [55, 56, None, 1]}
    )
    said = pd.DataFrame(
        [
            ("a", START, True), ("a", START + timedelta(7), False), ("b", START + timedelta(55), True),
            ("c", START + timedelta(56), True), ("c", START, None),
        ],
        columns=["customer_id", "as_of", "contacted"],
    )  # fmt: skip
    found = impact.followed(arms, left, said, effect_days=56).set_index("customer_id")
    assert list(found.index) == ["a", "b", "c"], "who is always listed cannot be compared"
    assert found["left"].tolist() == [1, 0, 0]
    assert found["is_contacted"].tolist() == [True, True, False]
    assert found["is_recorded"].tolist() == [True, True, False]
    assert set(found["settled_on"]) == {START + timedelta(56)}


def test_only_what_is_settled_on_the_day_counts():
    there = rows()
    days = impact.look_days(there, as_of=LATER)
    assert days[-1] == LATER
    assert there["settled_on"].min() <= days[0] < there["settled_on"].min() + timedelta(days=7)
    first = impact.look(there, on=days[0])
    later = there.assign(left=there["left"].where(there["settled_on"] <= days[0], 1))
    assert impact.look(later, on=days[0]) == first, "what comes later changes nothing"
    assert first.n_listed + first.n_held_out == (there["settled_on"] <= days[0]).sum()
    assert impact.look(there, on=START).listing is None


@pytest.mark.slow
def test_every_look_covers_the_truth_in_small_histories():
    """Lists of seven a week, one of them held out at times: honest from the first look on."""
    covered = []
    for seed in range(60):
        there = rows(140, seed=seed, weeks=20, saved=0.05, base=0.2)
        looks = [impact.look(there, on=on) for on in impact.look_days(there, as_of=LATER)]
        seen = [one.listing for one in looks if one.listing is not None]
        covered.append(all(one.low <= 0.05 <= one.high for one in seen))
    assert np.mean(covered) >= 0.93


def test_the_date_of_a_visible_effect_comes_sooner_with_more_held_out():
    slow, fast = rows(seed=7), rows(seed=7, held=0.5)
    dates = []
    for there in (slow, fast):
        now = impact.look(there, on=START + timedelta(weeks=10))
        dates.append(impact.prospect(there, now, target=0.05).visible_on)
    assert START + timedelta(weeks=10) < dates[1] < dates[0]
    now = impact.look(slow, on=START + timedelta(weeks=10))
    assert dates[1] <= impact.prospect(slow, now, target=0.05).with_pilot_on < dates[0]
    tiny = impact.prospect(slow, impact.look(slow, on=LATER), target=0.0001)
    assert tiny.visible_on is None
    assert 0 < tiny.smallest < 1


def test_expected_is_reconciled_with_lost():
    there = rows(50)
    found = impact.reconciled(there, on=LATER).set_index("arm")
    assert found["expected"].sum() == pytest.approx(12.5)
    assert found["lost"].sum() == pytest.approx(1200 * there["left"].sum())
    assert found["at_risk"].sum() == pytest.approx(1200 * 12.5)


def test_a_segment_in_which_contact_drives_customers_away_is_named():
    there = rows(6000, held=0.5, saved=-0.15, seed=8)
    there.loc[there["segment"] == "big", "left"] = rows(6000, held=0.5, saved=0.0, seed=9)["left"]
    found = dict(impact.by_segment(there, on=LATER))
    assert found["small"].listing.claims == -1
    assert found["big"].listing.claims == 0


ENDS = "customer_id | start_date | end_date | valid_from\n" + "\n".join(
    f"{k:03d} | 2024-01-01 | | 2024-01-01" for k in range(60)
)
"""Sixty subscribers; every seventh leaves three weeks after the first list."""


@pytest.fixture
def place(tmp_path) -> Path:
    left = [k for k in range(60) if k % 7 == 0]
    day = START + timedelta(days=21)
    ends = "\n".join(f"{k:03d} | 2024-01-01 | {day} | {day}" for k in left)
    log = "customer_id | ts | event\n" + "\n".join(
        f"{k:03d} | {START + timedelta(days=d)} 10:00:00 | login"
        for k in range(60)
        for d in (-3, 70)
    )
    world = World(
        events=worlds.rows_of("events", log),
        subscriptions=worlds.rows_of("subscriptions", f"{ENDS}\n{ends}"),
    )
    return worlds.rolled_up(world, tmp_path)


def assign(place: Path) -> None:
    members = pd.DataFrame(
        {
            "customer_id": [f"{k:03d}" for k in range(60)],
            "block": START,
            "as_of": START,
            "arm": ["holdout" if k % 10 == 0 else "contact" for k in range(60)],
            "propensity": 0.1,
            "is_pilot": False,
            "risk": 0.1,
            "risk_8w": 0.15,
            "value_month": 10.0,
            "owner": None,
            "model_version": "0123456789ab",
        }
    )
    tables.write(
        place / "assignments", {"assignments": members[list(contracts.ASSIGNMENTS.columns)]}
    )


def settings(place: Path, as_of: date) -> Settings:
    given = Settings(workspace=str(place), as_of=as_of.isoformat())
    given.churn.name = "cancellation"
    given.engine.threads = 1
    return given


def test_the_command_says_when_it_is_too_early_and_what_it_found(place, caplog):
    with pytest.raises(HeldBackError, match="nobody was held out yet") as refused:
        stage.run(settings(place, START + timedelta(days=63)))
    assert refused.value.exit_code == 4
    assert "first answer possible on 2026-05-04" in refused.value.next_step
    words = (f"workspace={place}", "churn=cancellation", "engine.threads=1", "as_of=2026-03-09")
    assert exit_code("impact", *words) == 4
    assign(place)
    assert exit_code("impact", *words) == 0
    caplog.set_level("INFO", logger="churn")
    stage.run(settings(place, START + timedelta(days=28)))
    assert "Too early: first answer possible on 2 Mar 2026" in caplog.text
    assert tables.read(place / "impact", made_by="impact").empty
    stage.run(settings(place, START + timedelta(days=63)))
    looks = tables.read(place / "impact", made_by="impact")
    assert looks["look"].nunique() == 2
    row = looks[(looks["effect"] == "listing")].iloc[-1]
    held, listed = [k for k in range(60) if k % 10 == 0], [k for k in range(60) if k % 10]
    share = [np.mean([k % 7 == 0 for k in arm]) for arm in (held, listed)]
    assert row["value"] == pytest.approx(share[0] - share[1])
    text = (place / "impact" / "impact.md").read_text()
    assert "nobody has recorded one" in text
    assert "of 60 settled customers 9 were expected to leave and 9 left" in text.lower()
    assert "| held out |" in text
    assert (place / "impact" / "impact.html").read_text().startswith("<!doctype html>")


def test_the_report_rings_when_the_arms_are_not_what_was_planned():
    there = rows(300).assign(arm="contact")
    there.loc[:2, "arm"] = "holdout"
    look = impact.look(there, on=LATER)
    found = impact_report.Findings(
        LATER, 56, "EUR", [look], LATER, impact.prospect(there, look, target=0.05),
        impact.reconciled(there, on=LATER), [], 300, 0, 1.0, 1.0,
    )  # fmt: skip
    assert look.arms_e_value > 1000
    assert "ALARM" in impact_report.lines(found)[0]
    assert math.isfinite(look.arms_e_value)


def test_the_record_of_earlier_lists_comes_from_what_the_workspace_kept(place):
    later = START + timedelta(days=42)
    for day, members in ((START, ["000", "001", "007"]), (later, ["002"])):
        rows = pd.DataFrame({"as_of": day, "customer_id": members, "risk": 0.5})
        tables.write(place / "retention", {day.isoformat(): rows}, keep=True)
    silence = pd.DataFrame(
        {"customer_id": [f"{k:03d}" for k in range(60)], "recency_days": range(60)}
    )
    tables.write(place / "scored", {START.isoformat(): silence})
    found = track.record(settings(place, START + timedelta(days=63)), START + timedelta(days=63))
    assert found["as_of"].tolist() == [later, START]
    assert found["left"].tolist() == [None, 2]
    assert found.loc[1, "silent_left"] == 0, "customers 57 to 59 stayed"
    assert found.loc[1, "random_left"] == pytest.approx(3 * 9 / 60)


def test_without_a_key_nobody_could_be_held_out_and_nobody_is_counted():
    qualifying = pd.DataFrame({"customer_id": ["a", "b"], "in_window": [False, True]})
    block = holdout.block_of(START)
    given = {"policy": Policy(), "block": block, "assigned": {}}
    assert holdout.arms(qualifying, key=None, **given)["propensity"].tolist() == [0, 0]
    assert holdout.arms(qualifying, key="k", **given)["propensity"].tolist() == [0.1, 0.5]


def test_nobody_is_counted_twice_in_a_workspace_of_an_older_version(tmp_path: Path):
    """It may hold two rows of a customer and block: a missed week was made late."""
    first = {"customer_id": "a", "block": holdout.block_of(START), "as_of": START, "arm": "holdout"}
    second = {**first, "as_of": START + timedelta(days=7), "arm": "contact"}
    later = START + timedelta(days=holdout.BLOCK_DAYS)
    again = {**second, "block": holdout.block_of(later), "as_of": later}
    for row in (again, second, first):
        part = {row["as_of"].isoformat(): pd.DataFrame([row])}
        tables.write(tmp_path / "assignments", part, keep=True)
    found = records.assignments(tmp_path)
    assert found[["as_of", "arm"]].values.tolist() == [[START, "holdout"], [later, "contact"]]
