"""The demo product: its constants, its chance, its clock, and how hard it is to predict."""

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from omegaconf import OmegaConf

from churn import simulate
from churn.simulate import Defects, Week, World

DEMO = Path(__file__).parents[1] / "conf" / "source" / "demo.yaml"

# SIMULATOR.md, copied by hand. A knob changed to meet a figure fails here.
GIVEN = {
    "n_customers": 20_000,
    "n_weeks": 64,
    "segments": {
        "names": ["smb", "mid", "ent"],
        "share": [0.62, 0.28, 0.10],
        "log_seats_mean": [1.0, 2.4, 3.9],
        "log_seats_sd": [0.7, 0.8, 1.0],
        "annual_share": [0.20, 0.50, 0.82],
        "api_share": [0.06, 0.18, 0.35],
        "mood_mean": [0.05, 0.15, 0.25],
        "persuadable_factor": [1.15, 1.0, 0.7],
    },
    "traits": {
        "mood_sd": 0.5,
        "usage_level_sd": 0.9,
        "frailty_sd": 0.5,
        "adoption_cap_alpha": 3,
        "adoption_cap_beta": 2,
        "log_error_sensitivity_sd": 0.6,
        "persuadable_alpha": 1.6,
        "persuadable_beta": 2.2,
        "dog_share": 0.12,
        "dog_factor_low_usage": 2.4,
        "dog_factor_other": 0.45,
        "dog_low_usage_below": -0.4,
    },
    "contract": {
        "before_start_share": 0.48,
        "age_weeks_mean": 55,
        "price_seat_month": [15, 29, 49],
        "log_discount_mean": -0.1,
        "log_discount_sd": 0.2,
    },
    "dynamics": {
        "incident_week": 0.10,
        "burst_per_sensitivity": 0.012,
        "burst_in_incident": 0.30,
        "burst_shape": 2,
        "burst_scale": 0.30,
        "ticket_base": 0.02,
        "ticket_per_root_seat": 0.006,
        "ticket_in_burst": 0.35,
        "ticket_unhappy": 0.035,
        "ticket_bad_share": 0.35,
        "mood_memory": 0.93,
        "mood_bad_ticket": -0.40,
        "mood_good_ticket": 0.08,
        "mood_champion_left": -1.3,
        "mood_noise": 0.22,
        "noise_degrees": 4,
        "champion_leaves_week": 0.003,
        "grievance_memory": 0.82,
        "grievance_bad_ticket": 0.40,
        "adoption_speed": 0.05,
        "adoption_mood_slope": 1.5,
        "adoption_loss": 0.012,
        "adoption_loss_mood_below": -1,
        "outside_on_week": 0.004,
        "outside_off_week": 0.10,
        "payment_failure": 0.025,
        "payment_failure_annual_factor": 0.3,
        "payment_failure_weeks": 2,
    },
    "hazard": {
        "intercept": [-5.65, -6.15, -6.7],
        "satisfaction": -1.6,
        "adoption": -1.2,
        "adoption_centre": 0.4,
        "newcomer": 0.9,
        "newcomer_weeks": 6,
        "outside": 2.8,
        "monthly_billing_week": 0.9,
        "monthly_other": -0.45,
        "annual_renewal_weeks": 2.9,
        "annual_other": -1.3,
        "payment_failed": 1.4,
        "season": 0.12,
        "season_weeks": 52,
    },
    "effect": {
        "weeks": 8,
        "persuasion": -1.7,
        "floor": 0.2,
        "grievance_share": 0.8,
        "grievance_slope": 2.5,
        "grievance_centre": 0.45,
        "outside_damping": 0.9,
        "dog": 0.9,
        "campaign_share": 0.06,
    },
    "usage": {
        "seats_exponent": 0.75,
        "satisfaction": 0.30,
        "adoption": 0.7,
        "noise_memory": 0.5,
        "noise_sd": 0.45,
        "noise_degrees": 4,
        "quiet": -2.4,
        "quiet_week": 0.012,
        "quiet_weeks_max": 3,
        "champion_left": -0.9,
        "newcomer_factor": 1.6,
        "newcomer_weeks": 2,
        "day_shape": 0.9,
        "advanced_exponent": 1.5,
        "holiday_weeks": [0, 30, 31, 32, 51],
    },
}
SMALL = World(n_customers=600, n_weeks=10)


def given_part(world: dict) -> dict:
    """The knobs of `world` that GIVEN names."""
    return {
        name: {knob: world[name][knob] for knob in value}
        if isinstance(value, dict)
        else world[name]
        for name, value in GIVEN.items()
    }


@cache
def small_weeks(seed: int = 1) -> tuple[Week, ...]:
    return tuple(simulate.simulate(SMALL, seed=seed))


@cache
def big_weeks() -> tuple[Week, ...]:
    return tuple(simulate.simulate(World(n_customers=4000, n_weeks=56), seed=5))


def joined(weeks: tuple[Week, ...], name: str) -> pd.DataFrame:
    return pa.concat_tables([getattr(week, name) for week in weeks]).to_pandas()


def damaged(**knobs) -> pd.DataFrame:
    world = replace(SMALL, n_weeks=3, defects=Defects(**knobs))
    return joined(tuple(simulate.simulate(world, seed=1)), "events")


def clean() -> pd.DataFrame:
    return damaged()


# --- constants -------------------------------------------------------------------------------


def test_defaults_are_the_given_constants():
    assert given_part(asdict(World())) == GIVEN


def test_demo_source_is_the_given_constants():
    assert given_part(yaml.safe_load(DEMO.read_text())["world"]) == GIVEN


def test_demo_source_holds_every_knob_and_no_other_value():
    assert yaml.safe_load(DEMO.read_text())["world"] == asdict(World())


def test_six_past_campaigns_and_no_defect():
    assert len(World().effect.campaign_weeks) == 6
    off = {"late_days_max", "outage_event", "skew_hours", "bot_events_day", "tester_events_day"}
    switches = {k: v for k, v in asdict(Defects()).items() if k not in off}
    assert set(switches.values()) == {0, -1}
    assert switches["outage_day"] == -1


def test_world_is_a_structured_config():
    config = OmegaConf.merge(OmegaConf.structured(World), {"n_weeks": 3, "hazard": {"season": 0.2}})
    world = OmegaConf.to_object(config)
    assert isinstance(world, World)
    assert (world.n_weeks, world.hazard.season, world.usage.day_shape) == (3, 0.2, 0.9)


# --- chance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["events", "subscriptions", "contacts", "truth"])
def test_one_seed_one_world(name):
    again = tuple(simulate.simulate(SMALL, seed=1))
    assert all(
        getattr(a, name).equals(getattr(b, name)) for a, b in zip(again, small_weeks(), strict=True)
    )
    if name != "contacts":
        assert not joined(small_weeks(2), name).equals(joined(again, name))


def test_customer_table_depends_on_the_seed():
    one, two = (simulate.customers(SMALL, seed=1) for _ in range(2))
    assert one.equals(two)
    assert not one.equals(simulate.customers(SMALL, seed=2))


def test_weeks_can_be_read_one_at_a_time():
    stream = simulate.simulate(SMALL, seed=1)
    first = next(stream)
    assert first.events.equals(small_weeks()[0].events)
    assert first.monday == np.datetime64("2025-01-06")
    assert next(stream).monday == np.datetime64("2025-01-13")


# --- events ----------------------------------------------------------------------------------


def test_event_columns():
    schema = small_weeks()[0].events.schema
    time, text = pa.timestamp("us"), pa.string()
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "customer_id": text, "ts": time, "event": text, "value": pa.float64(), "event_id": text,
        "loaded_at": time, "user_id": text, "text": text,
    }  # fmt: skip


def test_events_lie_in_their_week_in_order():
    for week in small_weeks():
        events = week.events.to_pandas()
        assert events.ts.min() >= pd.Timestamp(week.monday)
        assert events.ts.max() < pd.Timestamp(week.monday) + pd.Timedelta(days=7)
        assert events[["ts", "event_id"]].equals(
            events[["ts", "event_id"]].sort_values(["ts", "event_id"])
        )
    assert joined(small_weeks(), "events").event_id.is_unique


def test_every_event_type_occurs():
    assert set(joined(big_weeks(), "events").event) == set(simulate.EVENTS)


def test_values_and_texts_stand_where_they_belong():
    events = joined(big_weeks(), "events")
    assert set(events.event[events.value.notna()]) == {"invoice"}
    assert events.value.min() > 0
    assert set(events.event[events.text.notna()]) == {"error", "support_ticket", "payment_failed"}
    automatic = {"api_call", "invoice", "payment_failed", "plan_change", "seat_change"}
    assert set(events.event[events.user_id.isna()]) == automatic


def test_no_event_before_sign_up_nor_from_the_end_date_on():
    weeks = big_weeks()
    events, versions = joined(weeks, "events"), joined(weeks, "subscriptions")
    ends = versions.dropna(subset="end_date").set_index("customer_id").end_date
    starts = versions.groupby("customer_id").start_date.first()
    assert (events.ts >= pd.to_datetime(events.customer_id.map(starts))).all()
    last = pd.to_datetime(events.customer_id.map(ends))
    assert (events.ts[last.notna()] < last.dropna()).all()
    assert len(ends) > 500


def test_nothing_is_known_before_it_happened():
    for name, happened in (("events", "ts"), ("subscriptions", "valid_from")):
        frame = joined(small_weeks(), name)
        delay = frame.loaded_at - pd.to_datetime(frame[happened])
        assert (delay > pd.Timedelta(0)).all()
        assert (delay < pd.Timedelta(hours=6)).all()
    contacts = joined(small_weeks(), "contacts")
    assert (contacts.recorded_at > contacts.contacted_at).all()


def test_several_people_per_account_and_some_leave():
    events = joined(big_weeks(), "events").dropna(subset="user_id")
    assert events.groupby("customer_id").user_id.nunique().median() >= 2
    assert events.groupby("user_id").customer_id.nunique().max() == 1
    versions = joined(big_weeks(), "subscriptions")
    stays = ~events.customer_id.isin(versions.dropna(subset="end_date").customer_id)
    last_seen = events[stays].groupby("user_id").ts.agg(["max", "size"])
    busy = last_seen[last_seen["size"] > 30]
    gone = busy["max"] < pd.Timestamp(big_weeks()[-1].monday) - pd.Timedelta(weeks=10)
    assert 0.02 < gone.mean() < 0.5


def test_api_customers_call_whatever_day_it_is():
    calls = joined(big_weeks(), "events").query("event == 'api_call'")
    assert 0.09 < calls.customer_id.nunique() / 4000 < 0.16
    weekend = calls.ts.dt.day_of_week >= 5
    assert abs(weekend.mean() - 2 / 7) < 0.01


# --- side tables -----------------------------------------------------------------------------


def test_customers_table():
    table = simulate.customers(World(), seed=1).to_pandas()
    assert table.customer_id.is_unique
    assert table.customer_id.str.fullmatch(r"C\d{6}").all()
    assert table.owner.nunique() == 15
    assert 0.60 < (table.segment == "smb").mean() < 0.64
    assert 0.46 < (table.signed_up_at < pd.Timestamp("2025-01-06")).mean() < 0.50
    assert (table.loaded_at > table.signed_up_at).all()
    assert not table.customer_name.str.startswith("=").any()


def test_terms_touch_and_versions_do_not_tie():
    versions = joined(big_weeks(), "subscriptions")
    assert not versions.duplicated(["customer_id", "valid_from"]).any()
    versions = versions.sort_values(["customer_id", "loaded_at"], kind="stable")
    before = versions.groupby("customer_id")[["term_start", "term_end"]].shift()
    same = versions.term_start == before.term_start
    follows = versions.term_start == before.term_end
    assert (same | follows | before.term_start.isna()).all()
    assert (versions.term_start >= versions.start_date).all()
    assert (versions.term_start <= versions.valid_from).all()
    assert (versions.valid_from <= versions.term_end).all()
    assert set(versions.contract) == {"monthly", "annual"}
    ended = versions.dropna(subset="end_date")
    assert (ended.end_date == ended.valid_from).all()
    assert ended.customer_id.is_unique


@pytest.mark.parametrize("week", [1, 30, 55])
def test_latest_versions_say_who_is_subscribed(week):
    """The contract's rule at a Monday finds exactly the customers of the truth."""
    weeks = big_weeks()
    s = weeks[week].monday.item()
    versions = joined(weeks, "subscriptions").query("valid_from <= @s")
    ends_last = versions.assign(is_end=versions.end_date.notna())
    latest = ends_last.sort_values(["valid_from", "is_end"]).groupby("customer_id").tail(1)
    is_open = latest.end_date.isna() | (latest.end_date >= s)
    subscribed = latest[
        is_open & (latest.start_date < s) & (latest.term_start <= s) & (latest.term_end >= s)
    ]
    truth = weeks[week].truth.to_pandas().query("is_subscribed")
    assert set(subscribed.customer_id) == set(truth.customer_id)


def test_campaigns_contact_about_six_in_a_hundred():
    weeks = big_weeks()
    contacts = joined(weeks, "contacts")
    subscribed = sum(
        weeks[w].truth["is_subscribed"].to_numpy().sum() for w in World().effect.campaign_weeks
    )
    assert contacts.campaign.nunique() == 6
    assert abs(len(contacts) / subscribed - 0.06) < 0.006
    assert (contacts.propensity == 0.06).all()


# --- difficulty ------------------------------------------------------------------------------


def soft_auc(score: np.ndarray, p: np.ndarray) -> float:
    """AUC where each customer counts as `p` of a churner and 1 - p of a stayer."""
    p = p[np.argsort(score)]
    stayers_below = np.cumsum(1 - p) - (1 - p) / 2
    return float((p * stayers_below).sum() / (p.sum() * (1 - p).sum()))


def test_churn_of_28_days_is_three_to_five_percent():
    truth = [week.truth.to_pandas() for week in big_weeks()]
    left = pd.Series([week.is_leaving.sum() for week in truth])
    subscribed = pd.Series([week.is_subscribed.sum() for week in truth])
    share = left[::-1].rolling(4).sum()[::-1] / subscribed
    assert 0.03 < share[20:51].mean() < 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_oracle_is_hard_to_beat_and_not_perfect(seed):
    truth = simulate.oracle(World(n_customers=6000), seed=seed, week=50, paths=80)
    assert 0.83 < soft_auc(truth.p_true.to_numpy(), truth.p_true_b.to_numpy()) < 0.87
    assert (truth.p_true_56 >= truth.p_true).all()
    assert truth.p_true_contacted.mean() < truth.p_true.mean()
    assert (truth.p_true_contacted > truth.p_true).any(), "sleeping dogs"
    assert (truth.mrr > 0).all()


def test_oracle_replays_the_world_it_scores():
    world = World(n_customers=4000, n_weeks=56)
    truth = simulate.oracle(world, seed=5, week=30, paths=40).set_index("customer_id")
    week = big_weeks()[30].truth.to_pandas().query("is_subscribed").set_index("customer_id")
    assert list(truth.index) == list(week.index)
    left = pd.concat([w.truth.to_pandas().query("is_leaving") for w in big_weeks()[30:34]])
    is_gone = truth.index.isin(left.customer_id)
    # Enough leave for the sum of probabilities to agree with the count.
    assert abs(is_gone.sum() - truth.p_true.sum()) < 5 * np.sqrt(truth.p_true.sum())
    assert soft_auc(truth.p_true.to_numpy(), is_gone.astype(float)) > 0.75


def test_oracle_of_one_seed_is_one_table():
    tables = [simulate.oracle(SMALL, seed=1, week=5, paths=4) for _ in range(2)]
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(simulate.oracle(SMALL, seed=1, week=5, paths=4, rng_seed=1))


def test_one_step_for_any_leading_shape():
    who, state = simulate.population(SMALL, seed=1)
    when = simulate.calendar(SMALL, who, 0)
    wide = simulate.State(**{k: np.stack([v] * 3) for k, v in vars(state).items()})
    for given, shape in ((state, (600,)), (wide, (3, 600))):
        moved, shocks = simulate.step(given, who, SMALL, when, np.random.default_rng(0))
        assert all(v.shape == shape for v in [*vars(moved).values(), *vars(shocks).values()])
        assert simulate.log_odds(moved, who, SMALL, when).shape == shape


# --- defects ---------------------------------------------------------------------------------


def test_duplicates_are_whole_copies():
    events = damaged(duplicate_share=0.02)
    copies = events[events.duplicated()]
    assert 0.01 < len(copies) / len(events) < 0.03
    assert events.drop_duplicates().reset_index(drop=True).equals(clean())


def test_late_rows_arrive_days_after():
    events = damaged(late_share=0.05)
    late = (events.loaded_at - events.ts) > pd.Timedelta(hours=6)
    assert 0.03 < late.mean() < 0.07
    assert events.drop(columns="loaded_at").equals(clean().drop(columns="loaded_at"))


def test_outage_takes_one_type_of_one_day():
    events, whole = damaged(outage_day=9, outage_event="core_action"), clean()
    lost = (whole.ts.dt.normalize() == pd.Timestamp("2025-01-15")) & (whole.event == "core_action")
    assert lost.sum() > 0
    assert events.equals(whole[~lost].reset_index(drop=True))


def test_fast_clocks_report_events_before_they_arrive():
    events = damaged(skewed_customer_share=0.05)
    assert 0.005 < (events.ts > events.loaded_at).mean() < 0.2
    assert sorted(events.event_id) == sorted(clean().event_id)


def test_bots_and_testers_can_be_told_apart():
    events = damaged(n_bots=2, n_testers=3)
    robots = events.user_id.str.startswith(("bot-", "tester-")).fillna(False).astype(bool)
    assert set(events.user_id[robots]) == {"bot-0", "bot-1", "tester-0", "tester-1", "tester-2"}
    assert events[~robots].reset_index(drop=True).equals(clean())
    assert events.event_id.is_unique


def test_names_like_formulas():
    world = replace(SMALL, defects=Defects(formula_name_share=0.1))
    names = simulate.customers(world, seed=1)["customer_name"].to_pandas()
    assert 0.05 < names.str.startswith("=").mean() < 0.15


def test_broken_lines_are_left_to_the_writer():
    assert damaged(broken_line_share=0.5).equals(clean())


def test_a_team_that_contacts_its_list_changes_hazards_and_nothing_else():
    world, team = World(n_customers=2000, n_weeks=16), simulate.Contacting(8, 14)
    plain = list(simulate.simulate(world, seed=4))
    worked = list(simulate.simulate(world, seed=4, contacting=team))
    for one, other in zip(plain[:8], worked[:8], strict=True):
        assert one.events.equals(other.events)
        assert one.listed.num_rows == other.listed.num_rows == 0
    assert all(
        one.contacts.equals(other.contacts)
        for one, other in zip(plain[:8], worked[:8], strict=True)
    )
    listed = pa.concat_tables([week.listed for week in worked]).to_pandas()
    assert set(listed["week"]) == set(range(8, 14))
    held = listed[listed["arm"] == "holdout"]
    assert 0.05 < len(held.drop_duplicates("customer_id")) / listed["customer_id"].nunique() < 0.2
    assert not held["is_contacted"].any()
    assert set(held["customer_id"]).isdisjoint(
        listed.loc[listed["arm"] == "contact", "customer_id"]
    )
    truth = [pa.concat_tables([w.truth for w in weeks]).to_pandas() for weeks in (plain, worked)]
    both = truth[0].merge(truth[1], on=["customer_id", "week"])
    called = both["is_treated_y"] & ~both["is_treated_x"]
    assert both.loc[called, "hazard_y"].mean() < both.loc[called, "hazard_x"].mean()
    assert both.loc[~called, "hazard_y"].equals(both.loc[~called, "hazard_x"])
    assert both["satisfaction_x"].equals(both["satisfaction_y"])
    rests = listed[listed["is_contacted"]].groupby("customer_id")["week"].apply(np.diff)
    assert min(gap for gaps in rests for gap in gaps) >= team.rest_weeks
    truths = [
        simulate.oracle(world, seed=4, week=14, paths=40, contacting=policy)
        for policy in (None, team)
    ]
    same = truths[0].merge(truths[1], on="customer_id")
    assert same["p_true_y"].mean() < same["p_true_x"].mean(), "contacts still have their effect"
