"""Whom to contact: order, room, rest, stability and the hold-out, on tables small enough to see."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from churn.errors import ConfigurationError, HeldBackError
from churn.io.documents.roster import Roster
from churn.retention import holdout, policies, ranking, states
from churn.retention.policy import Policy
from churn.stages import retain

AS_OF = date(2026, 6, 1)
NOBODY = pd.DataFrame(
    columns=["customer_id", "as_of", "outcome", "recorded_as_of", "contacted"], dtype=object
)


def customers(**columns: object) -> pd.DataFrame:
    """Ten customers, the first with the greatest risk; every value is 10 a month."""
    rows = pd.DataFrame(
        {
            "customer_id": [f"c{k}" for k in range(10)],
            "risk": [0.5 - 0.04 * k for k in range(10)],
            "owner": None,
            "value_month": 10.0,
        }
    )
    rows = rows.assign(**columns)
    return rows if "risk_8w" in rows else rows.assign(risk_8w=rows["risk"])


def listed(
    rows: pd.DataFrame, *, before=(), key=None, assigned=None, **policy: object
) -> list[str]:
    given = Policy(**{"capacity_min": 3, **policy})
    found = ranking.ranked(
        rows, policy=given, as_of=AS_OF, before=before, key=key, assigned=assigned
    )
    return found.loc[found["is_listed"], "customer_id"].tolist()


def test_the_list_holds_the_best_by_value_at_stake_within_capacity():
    rows = customers(value_month=[1.0] * 7 + [100.0] * 3)
    found = ranking.ranked(
        rows, policy=Policy(capacity_min=2, save_rate=0.3, contact_cost=5), as_of=AS_OF
    )
    assert found.loc[found["is_listed"], "customer_id"].tolist() == ["c7", "c8"]
    first = found.iloc[0]
    assert first["at_stake"] == pytest.approx(first["risk_8w"] * 100 * 12)
    assert first["priority"] == pytest.approx(first["at_stake"] * 0.3 - 5)
    assert found["rank"].tolist() == [1, 2] + [0] * 8


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("risk", ["c0", "c1"]), ("value", ["c9", "c8"]), ("risk_value", ["c5", "c6"])],
)
def test_policies_order_by_what_they_say(policy, expected):
    rows = customers(value_month=[10.0] * 5 + [50.0] * 2 + [13.0, 52.0, 53.0])
    assert listed(rows, policy=policy, capacity_min=2) == expected


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("risk", "The order is by the risk of leaving,"),
        ("value", "The order is by value,"),
        ("risk_value", "The order is by what is at stake"),
        ("risk_value_effect", "The order is by what a contact is expected to save,"),
    ],
)
def test_the_list_says_what_it_is_ordered_by(policy: str, said: str) -> None:
    """Each policy in its own words; without values all but the first fall back to the risk."""
    rows = customers(value_month=[1.0] * 7 + [100.0] * 3, effect=0.1)
    given = Policy(policy=policy, capacity_min=3)
    found = Roster(ranking.ranked(rows, policy=given, as_of=AS_OF), None, is_random=True)
    (note,) = retain._notes(found, policy)
    assert note.startswith(said)
    poor = ranking.ranked(rows.assign(value_month=np.nan), policy=given, as_of=AS_OF)
    (note,) = retain._notes(Roster(poor, None, is_random=True), policy)
    assert note.startswith(said if policy == "risk" else "Value unknown: the order is by risk.")


def test_by_effect_nothing_is_ordered_without_a_proven_model():
    with pytest.raises(HeldBackError, match="risk_value_effect"):
        listed(customers(), policy="risk_value_effect")
    effect = [0.0] * 8 + [0.1, 0.2]
    assert listed(customers(effect=effect), policy="risk_value_effect") == ["c9", "c8"]


def test_an_unknown_policy_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigurationError, match=r"retain\.policy"):
        Policy(policy="risk_valu")


def test_each_owner_has_room_of_their_own():
    rows = customers(owner=["ann"] * 5 + ["bob"] * 5)
    assert listed(rows, capacity_per_owner=1, capacities={"bob": 2}) == ["c0", "c5", "c6"]


def test_one_typo_in_a_value_does_not_count_whole():
    n = 300
    rows = pd.DataFrame(
        {"customer_id": [f"c{k:03d}" for k in range(n)], "risk": 0.1, "risk_8w": 0.2, "owner": None}
    ).assign(value_month=[1e9] + [10.0] * (n - 1))
    found = ranking.valued(rows, policy=Policy())
    assert found["value_counted"].max() == pytest.approx(100.0)
    assert found["value_month"].max() == 1e9
    large = ranking.valued(rows.assign(value_month=[60.0] + [10.0] * (n - 1)), policy=Policy())
    assert large["value_counted"].max() == 60.0


def test_a_dip_takes_nobody_off_the_list_and_a_jump_does_not_wait():
    """The cut is by the mean of the weeks or by today, whichever is higher; the place by today."""
    rows = customers(mean_risk_8w=[0.1] * 7 + [0.5, 0.6, 0.7], mean_risk=0.2)
    assert listed(rows, capacity_min=4) == ["c0", "c7", "c8", "c9"]


def test_who_is_listed_stays_until_half_as_many_again_come_before():
    assert listed(customers(), before=["c3"]) == ["c0", "c1", "c3"]
    assert listed(customers(), before=["c4"]) == ["c0", "c1", "c2"]
    assert listed(customers(), before=["c4"], leave_at=2.0) == ["c0", "c1", "c4"]


def test_nobody_is_listed_whose_contact_costs_more_than_it_saves():
    assert listed(customers(), contact_cost=1000) == []
    rows = customers(owner="ann").astype({"owner": "str", "customer_id": "str"})
    found = ranking.ranked(rows, policy=Policy(contact_cost=1000), as_of=AS_OF)
    with pytest.raises(HeldBackError, match="nobody is worth contacting"):
        ranking.listed(found)


# --- hold-out --------------------------------------------------------------------------------


def crowd(n: int) -> pd.DataFrame:
    ids = [f"c{k:05d}" for k in range(n)]
    return pd.DataFrame(
        {"customer_id": ids, "risk": np.linspace(0.9, 0.1, n), "owner": None, "value_month": 10.0}
    ).assign(risk_8w=lambda rows: rows["risk"])


def test_blocks_of_26_weeks_follow_each_other():
    first = holdout.block_of(AS_OF)
    assert holdout.block_of(first) == first
    assert holdout.block_of(first + timedelta(days=181)) == first
    assert holdout.block_of(first + timedelta(days=182)) == first + timedelta(days=182)


def test_a_share_of_those_who_qualify_is_held_out_and_as_many_are_listed_as_there_is_room():
    policy = Policy(capacity_min=900, holdout=0.1)
    found = ranking.ranked(crowd(5000), policy=policy, as_of=AS_OF, key="secret")
    qualified = found[found["qualifies"]]
    assert len(qualified) == 1000
    assert set(qualified["customer_id"]) == {f"c{k:05d}" for k in range(1000)}
    held = qualified[qualified["arm"] == holdout.HOLDOUT]
    assert 60 <= len(held) <= 140
    assert not held["is_listed"].any()
    assert (qualified["propensity"] == 0.1).all()


def test_the_draw_is_the_same_all_through_a_block_and_another_with_another_key():
    ids = [f"c{k}" for k in range(2000)]
    block = holdout.block_of(AS_OF)
    drawn = holdout.draws(ids, block=block, key="a")
    assert (drawn == holdout.draws(ids, block=block, key="a")).all()
    assert abs(np.corrcoef(drawn, holdout.draws(ids, block=block, key="b"))[0, 1]) < 0.1
    other = holdout.draws(ids, block=block + timedelta(days=182), key="a")
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.1
    assert 0.08 < (drawn < 0.1).mean() < 0.12


def test_without_a_key_nobody_is_held_out():
    found = ranking.ranked(crowd(500), policy=Policy(capacity_min=90), as_of=AS_OF, key=None)
    assert found["is_listed"].sum() == 90
    assert (found.loc[found["qualifies"], "propensity"] == 0).all()


def test_who_is_held_out_takes_no_place_of_those_who_are_listed():
    """They are never called and never rest: week by week they would fill the list."""
    policy, everybody = Policy(capacity_min=90), crowd(4000)
    assigned: dict[str, holdout.Assigned] = {}
    called: list[set[str]] = []
    sizes = []
    for _ in range(12):
        resting = everybody["customer_id"].isin(set().union(*called[-4:]))
        found = ranking.ranked(
            everybody.assign(state=resting.map({True: "resting", False: ""})),
            policy=policy, as_of=AS_OF, key="secret", assigned=assigned, before=list(assigned),
        )  # fmt: skip
        now = found[found["qualifies"]]
        sizes.append(int(now["is_listed"].sum()))
        called.append(set(now.loc[now["is_listed"], "customer_id"]))
        arms = zip(now["arm"], now["propensity"], now["is_pilot"], strict=True)
        assigned |= dict(zip(now["customer_id"], arms, strict=True))
    assert sum(arm[0] == holdout.HOLDOUT for arm in assigned.values()) > 40
    assert min(sizes) > 75
    assert 85 < sum(sizes) / len(sizes) < 95


def test_an_account_that_is_always_listed_is_in_no_arm_that_counts():
    policy = Policy(capacity_min=900, holdout=0.5, always=["c00000", "c00001", "c00002"])
    found = ranking.ranked(crowd(5000), policy=policy, as_of=AS_OF, key="secret")
    always = found[found["arm"] == holdout.ALWAYS]
    assert sorted(always["customer_id"]) == policy.always
    assert always["is_listed"].all()


def test_who_was_assigned_in_this_block_keeps_the_arm():
    policy = Policy(capacity_min=90)
    fresh = ranking.ranked(crowd(500), policy=policy, as_of=AS_OF, key="secret")
    one = fresh.loc[fresh["arm"] == holdout.CONTACT, "customer_id"].iloc[0]
    kept = ranking.ranked(
        crowd(500), policy=policy, as_of=AS_OF, key="secret",
        assigned={one: (holdout.HOLDOUT, 0.5, True)},
    ).set_index("customer_id")  # fmt: skip
    assert kept.at[one, "arm"] == holdout.HOLDOUT
    assert kept.at[one, "propensity"] == 0.5
    assert not kept.at[one, "is_listed"]


def test_a_pilot_draws_half_of_the_room_around_the_cut():
    policy = Policy(capacity_min=100, holdout=0.0, pilot=0.5)
    found = ranking.ranked(crowd(2000), policy=policy, as_of=AS_OF, key="secret")
    window = found[found["qualifies"] & found["is_pilot"].eq(True)]
    assert len(window) == 100
    assert set(window["customer_id"]) == {f"c{k:05d}" for k in range(50, 150)}
    assert (window["propensity"] == 0.5).all()
    assert 30 <= window["is_listed"].sum() <= 70


# --- who cannot be listed now ----------------------------------------------------------------


def known(**given: object) -> states.Known:
    nothing = pd.Series(dtype=object)
    found = {"ends": nothing, "talked": nothing, "outcomes": NOBODY}
    return states.Known(**{**found, "seen_days": pd.Series({"ann": 400.0}), **given})


def state_of(policy: Policy | None = None, **given: object) -> tuple[str, str, object]:
    found = states.states(
        pd.Series(["ann"]), known(**given), as_of=AS_OF, policy=policy or Policy()
    )
    return tuple(found.iloc[0])


def said(outcome: str, *, days_ago: int) -> pd.DataFrame:
    day = AS_OF - timedelta(days=days_ago)
    row = {"customer_id": "ann", "as_of": day, "outcome": outcome, "recorded_as_of": day}
    return pd.DataFrame([row], dtype=object)


def test_nothing_stands_in_the_way_of_most():
    assert state_of() == ("", "", None)


def test_a_subscription_that_ends_is_a_customer_already_leaving():
    end = AS_OF + timedelta(days=20)
    assert state_of(ends=pd.Series({"ann": end})) == ("leaving", "notice", end)


def test_a_contact_gives_rest_to_the_day():
    last = AS_OF - timedelta(days=27)
    assert state_of(talked=pd.Series({"ann": last})) == (
        "resting", "contacted", AS_OF + timedelta(days=1),
    )  # fmt: skip
    assert state_of(talked=pd.Series({"ann": AS_OF - timedelta(days=28)}))[0] == ""


def test_not_now_snoozes_and_do_not_contact_never_ends():
    assert state_of(outcomes=said("not now", days_ago=10))[:2] == ("resting", "not_now")
    assert state_of(outcomes=said("not now", days_ago=28))[0] == ""
    assert state_of(outcomes=said("do not contact", days_ago=900))[:2] == (
        "resting",
        "do_not_contact",
    )
    assert state_of(Policy(do_not_contact=["ann"]))[:2] == ("resting", "do_not_contact")
    assert state_of(outcomes=said("already leaving", days_ago=3))[:2] == ("leaving", "said_leaving")
    assert state_of(outcomes=said("will stay", days_ago=3))[0] == ""


def test_the_newest_outcome_counts():
    both = pd.concat([said("do not contact", days_ago=20), said("will stay", days_ago=2)])
    assert state_of(outcomes=both)[0] == ""


def test_who_is_too_new_cannot_be_judged_yet():
    assert state_of(seen_days=pd.Series({"ann": 13.0}))[:2] == ("unjudged", "too_new")
    assert state_of(seen_days=pd.Series({"ann": 14.0}))[0] == ""


def test_who_cannot_be_listed_makes_room_for_the_next():
    rows = customers(state=["leaving", "", "resting"] + [""] * 7)
    assert listed(rows) == ["c1", "c3", "c4"]


# --- policies on days whose outcome is known -------------------------------------------------


def test_policies_are_compared_by_value_and_by_customers_saved():
    rows = pd.DataFrame(
        {
            "snapshot": [AS_OF] * 20,
            "customer_id": [f"c{k:02d}" for k in range(20)],
            "risk": [0.9] * 10 + [0.3] * 10,
            "value_month": [1.0] * 10 + [100.0] * 10,
            "label": [1] * 9 + [0] + [1] * 3 + [0] * 7,
        }
    )
    found = policies.compared(rows, policy=Policy(save_rate=0.5), list_share=0.5, horizon_days=28)
    by_name = {one["policy"]: one for one in found}
    assert by_name["risk"]["n_left"] == 9
    assert by_name["risk"]["customers_saved"] == 4.5
    assert by_name["value"]["value_saved"] == pytest.approx(0.5 * 3 * 100 * 12)
    assert by_name["risk_value"]["value_saved"] > by_name["risk"]["value_saved"]
    unknown = rows.assign(value_month=float("nan"))
    assert not policies.compared(unknown, policy=Policy(), list_share=0.5, horizon_days=28)
