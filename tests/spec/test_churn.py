"""Who could churn at a date, and who did: the two definitions, gap, maturity, what was known."""

from datetime import date, timedelta

import pytest
import world as worlds

from churn.errors import ConfigurationError
from churn.features.labels import Definition

S = date(2026, 6, 1)
SETTLED = S + timedelta(days=60)


def labels(tables, definition, *, as_of=SETTLED):
    """customer → label, of everyone who could churn at S; labels as known at `as_of`."""
    found = worlds.answer(
        tables, snapshot=S, names=("n_events_28d",), definition=definition, as_of=as_of
    )
    assert {row["label_mature"] for row in found.values()} <= {
        as_of >= S + mature_after(definition)
    }
    return {who: row["label"] for who, row in found.items()}


def mature_after(definition):
    return timedelta(days=definition.gap_days + definition.horizon_days)


EVENTS = """
    customer_id | ts                         | event  | user_id
    ann         | 2026-05-31 23:59:59.999999 | login  | u1
    ann         | 2026-06-01 00:00           | login  | u1
    bob         | 2026-05-04 00:00           | login  | u1
    bob         | 2026-06-28 23:59:59.999999 | login  | u1
    cid         | 2026-05-03 23:59:59.999999 | login  | u1
    cid         | 2026-06-02 09:00           | login  | u1
    dan         | 2026-05-20 09:00           | login  | u1
    dan         | 2026-06-29 00:00           | login  | u1
    eve         | 2026-05-20 09:00           | export | u1
    eve         | 2026-06-10 09:00           | export |
    fay         | 2026-06-01 00:00           | login  | u1
"""
"""Active in the 28 days before S: not cid (one microsecond short) and not fay (from S on). ann and
bob come back on the first and in the last microsecond of 28 days, dan just after."""


def test_inactivity():
    assert labels({"events": EVENTS}, Definition("inactivity")) == {
        "ann": 0,
        "bob": 0,
        "dan": 1,
        "eve": 0,
    }


def test_inactivity_after_a_gap():
    """[s + 7, s + 7 + 28): ann's event on the day of the list is too early, dan's is in time."""
    definition = Definition("inactivity", gap_days=7)
    assert labels({"events": EVENTS}, definition) == {"ann": 1, "bob": 0, "dan": 0, "eve": 0}


def test_inactivity_by_qualifying_events():
    definition = Definition("inactivity", qualifying_events=["login"])
    assert labels({"events": EVENTS}, definition) == {"ann": 0, "bob": 0, "dan": 1}


def test_inactivity_over_another_span():
    """A week of activity, a fortnight of silence."""
    definition = Definition("inactivity", active_days=12, horizon_days=14)
    assert labels({"events": EVENTS}, definition) == {"ann": 0, "dan": 1, "eve": 0}


def test_a_qualifying_event_that_the_log_does_not_have_is_refused():
    with pytest.raises(ConfigurationError, match="qualifying_events"):
        labels({"events": EVENTS}, Definition("inactivity", qualifying_events=["purchase"]))


def test_a_sign_of_life_that_arrives_after_the_labels_were_settled_does_not_count():
    tables = {
        "events": """
            customer_id | ts               | event | user_id | loaded_at
            ann         | 2026-05-20 09:00 | login | u1      |
            ann         | 2026-06-10 09:00 | login | u1      | 2026-07-31 05:59
            bob         | 2026-05-20 09:00 | login | u1      |
            bob         | 2026-06-10 09:00 | login | u1      | 2026-07-31 06:00
            cid         | 2026-05-20 09:00 | login | u1      | 2026-06-01 06:00
        """
    }
    assert labels(tables, Definition("inactivity"), as_of=SETTLED) == {"ann": 0, "bob": 1}


SUBSCRIPTIONS = """
    customer_id | start_date | term_start | term_end   | end_date   | valid_from
    ann         | 2026-05-31 |            |            |            | 2026-05-31
    bob         | 2026-06-01 |            |            |            | 2026-05-01
    cid         | 2025-01-01 |            |            | 2026-06-01 | 2026-05-01
    dan         | 2025-01-01 |            |            | 2026-05-31 | 2026-05-01
    eve         | 2025-01-01 | 2025-06-01 | 2026-06-01 |            | 2025-06-01
    fay         | 2025-01-01 | 2025-05-31 | 2026-05-31 |            | 2025-05-31
    gus         | 2025-01-01 | 2026-06-01 | 2027-06-01 |            | 2026-05-31
    hal         | 2025-01-01 | 2026-06-02 | 2027-06-01 |            | 2026-05-31
    ida         | 2025-01-01 |            |            |            | 2026-06-01
    jim         | 2025-01-01 |            |            |            | 2025-01-01
    jim         | 2025-01-01 |            |            | 2026-06-28 | 2026-06-20
    kai         | 2025-01-01 |            |            |            | 2025-01-01
    kai         | 2025-01-01 |            |            | 2026-06-29 | 2026-06-20
    leo         | 2025-01-01 |            |            |            | 2025-01-01
    leo         | 2025-01-01 |            |            | 2026-06-10 | 2026-08-05
"""
"""Subscribed at S: start_date < S (not bob), end_date null or >= S (cid, not dan), term_end null or
>= S (eve, not fay), term_start null or <= S (gus, not hal), in force before S (not ida). jim leaves
on the last day of 28, kai on the day after, leo's notice is not known on the day labels are."""

STREAM = {"events": "customer_id | ts | event\nzoe | 2026-01-01 | login"}


def test_cancellation():
    tables = {**STREAM, "subscriptions": SUBSCRIPTIONS}
    assert labels(tables, Definition("cancellation")) == {
        "ann": 0,
        "cid": 1,
        "eve": 0,
        "gus": 0,
        "jim": 1,
        "kai": 0,
        "leo": 0,
    }


def test_cancellation_after_a_gap():
    """[s + 1, s + 1 + 28): cid's end on the day of the list is too early, kai's is in time."""
    tables = {**STREAM, "subscriptions": SUBSCRIPTIONS}
    found = labels(tables, Definition("cancellation", gap_days=1))
    assert {who: found[who] for who in ("cid", "jim", "kai")} == {"cid": 0, "jim": 1, "kai": 1}


@pytest.mark.parametrize("name", ["inactivity", "cancellation"])
@pytest.mark.parametrize(("days", "is_mature"), [(34, False), (35, True)])
def test_a_label_is_there_when_its_window_is_over(name, days, is_mature):
    """The window [s + 7, s + 35) lies wholly before s + 35."""
    definition = Definition(name, gap_days=7)
    tables = {"events": EVENTS, "subscriptions": SUBSCRIPTIONS}
    found = labels(tables, definition, as_of=S + timedelta(days=days))
    assert {label is not None for label in found.values()} == {is_mature}


def test_the_subscription_held_at_the_date_must_end_not_an_older_one():
    """The end of ann's old subscription became known late; the one she holds goes on."""
    tables = {
        **STREAM,
        "subscriptions": """
            customer_id | start_date | end_date   | seats | valid_from
            ann         | 2025-01-01 |            | 1     | 2025-01-01
            ann         | 2025-01-01 | 2026-06-10 | 1     | 2026-06-10
            ann         | 2026-03-01 |            | 5     | 2026-03-01
            bob         | 2025-01-01 |            | 1     | 2025-01-01
            bob         | 2026-03-01 |            | 5     | 2026-03-01
            bob         | 2026-03-01 | 2026-06-10 | 5     | 2026-06-10
        """,
    }
    assert labels(tables, Definition("cancellation")) == {"ann": 0, "bob": 1}


def test_a_register_of_terms_needs_no_versions():
    """One row per term: ann renewed, bob did not, cid's next term had not begun."""
    tables = {
        **STREAM,
        "subscriptions": """
            customer_id | start_date | term_start | term_end   | end_date   | plan
            ann         | 2025-06-15 | 2025-06-15 | 2026-06-15 |            | basic
            ann         | 2025-06-15 | 2026-06-15 | 2027-06-15 |            | pro
            bob         | 2025-06-15 | 2025-06-15 | 2026-06-15 | 2026-06-15 | basic
            cid         | 2025-06-01 | 2025-06-01 | 2026-05-31 |            | basic
            cid         | 2025-06-01 | 2026-06-02 | 2027-06-02 |            | basic
        """,
    }
    assert labels(tables, Definition("cancellation")) == {"ann": 0, "bob": 1}


def test_a_subscriber_without_a_single_event_is_there():
    tables = {**STREAM, "subscriptions": "customer_id | start_date\nann | 2025-01-01"}
    found = worlds.answer(tables, snapshot=S, definition=Definition("cancellation"))
    assert [*found] == ["ann"]
    assert (found["ann"]["n_events_28d"], found["ann"]["recency_days"]) == (0, None)


def left_after(tables, definition, *, as_of=SETTLED):
    """customer → on which day of the label window they left, as known at `as_of`."""
    found = worlds.answer(
        tables, snapshot=S, names=("n_events_28d",), definition=definition, as_of=as_of
    )
    known = (as_of - S).days - definition.gap_days
    assert {row["known_days"] for row in found.values()} == {max(0, known)}
    return {who: row["left_after_days"] for who, row in found.items()}


SILENCES = """
    customer_id | ts               | event  | user_id
    ann         | 2026-05-31 09:00 | login  | u1
    bob         | 2026-05-05 09:00 | login  | u1
    cid         | 2026-05-20 09:00 | login  | u1
    cid         | 2026-06-28 09:00 | login  | u1
    dan         | 2026-05-20 09:00 | login  | u1
    dan         | 2026-06-29 09:00 | login  | u1
    eve         | 2026-05-31 09:00 | login  | u1
    eve         | 2026-06-10 09:00 | login  | u1
    eve         | 2026-07-08 09:00 | login  | u1
    fay         | 2026-05-31 09:00 | login  | u1
    fay         | 2026-06-10 09:00 | login  | u1
    fay         | 2026-07-09 09:00 | login  | u1
    gus         | 2026-05-31 09:00 | login  | u1
    gus         | 2026-07-02 09:00 | login  | u1
    gus         | 2026-06-01 09:00 | login  | u1
"""
"""A silence of 28 days is complete: ann's on the 28th day, bob's on the first (his last day with an
event is 27 days back), dan's on the 17th; cid's is interrupted on the last day of 28. eve's second
one is a day short, fay's is complete on the day before she returns, gus's begins on the second
day and lasts 30."""


def test_the_day_on_which_a_silence_is_complete():
    assert left_after({"events": SILENCES}, Definition("inactivity")) == {
        "ann": 27,
        "bob": 1,
        "cid": 55,
        "dan": 16,
        "eve": None,
        "fay": 37,
        "gus": 28,
    }


@pytest.mark.parametrize(("days", "found"), [(37, None), (38, 37), (39, 37)])
def test_a_silence_counts_when_its_last_day_is_over(days, found):
    as_of = S + timedelta(days=days)
    assert left_after({"events": SILENCES}, Definition("inactivity"), as_of=as_of)["fay"] == found


def test_a_silence_after_a_gap():
    """From s + 7 on: ann's silence is three weeks from complete, eve's event comes in time."""
    found = left_after({"events": SILENCES}, Definition("inactivity", gap_days=7))
    assert {who: found[who] for who in ("ann", "bob", "eve")} == {"ann": 20, "bob": 0, "eve": None}


def test_the_day_of_a_cancellation():
    """Days from s + 1 on; kai's end is after 28 days and known, leo's notice is not."""
    tables = {**STREAM, "subscriptions": SUBSCRIPTIONS}
    found = left_after(tables, Definition("cancellation", gap_days=1))
    wanted = {"ann": None, "cid": None, "jim": 26, "kai": 27, "leo": None}
    assert {who: found[who] for who in wanted} == wanted


@pytest.mark.parametrize(("days", "found"), [(27, None), (28, 27)])
def test_an_end_that_is_announced_is_not_yet_one(days, found):
    """jim's notice of 20 June names 28 June."""
    tables = {**STREAM, "subscriptions": SUBSCRIPTIONS}
    as_of = S + timedelta(days=days)
    assert left_after(tables, Definition("cancellation"), as_of=as_of)["jim"] == found


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ("2026-05-31 23:59", 0),
        ("2026-06-01 00:00", 1),
        ("2026-06-29 23:59", 1),
        ("2026-06-30 00:00", 0),
        ("2026-04-01 09:00", 0),
    ],
)
def test_a_failed_payment_before_the_end_is_no_decision_to_leave(failed, expected):
    """kai's subscription ends on 29 June: a payment that failed from 1 to 29 June tells why. jim
    decides, ann stays."""
    tables = {
        "events": f"""
            customer_id | ts        | event
            kai         | {failed}  | card_declined
            ann         | {failed}  | card_declined
            jim         | {failed}  | login
        """,
        "subscriptions": SUBSCRIPTIONS,
    }
    for name, wanted in (("cancellation", expected), ("inactivity", None)):
        definition = Definition(name, active_days=90, horizon_days=30)
        found = worlds.answer(
            tables, snapshot=S, names=("n_events_28d",), definition=definition, as_of=SETTLED
        )
        assert found.get("kai", {}).get("is_involuntary") == wanted
        if name == "cancellation":
            assert (found["jim"]["is_involuntary"], found["ann"]["is_involuntary"]) == (0, None)
