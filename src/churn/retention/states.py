"""Who cannot be on the list now, and until when: notice given, asked not to be, at rest, too new."""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from churn.retention.policy import Policy
from churn.retention.ranking import LEAVING, RESTING, UNJUDGED

NOT_NOW, DO_NOT_CONTACT, ALREADY_LEAVING = "not now", "do not contact", "already leaving"
"""What CS can record as an outcome that keeps a customer off later lists."""


@dataclass(frozen=True)
class Known:
    """What is known of customers at a snapshot, by customer_id: `ends` the day on which a terminated
    subscription ends, `talked` the last contact by a person, `seen_days` for how long the customer has
    been known, `outcomes` what CS recorded (contracts.OUTCOMES)."""

    ends: pd.Series
    talked: pd.Series
    seen_days: pd.Series
    outcomes: pd.DataFrame


def states(customers: pd.Series, known: Known, *, as_of: date, policy: Policy) -> pd.DataFrame:
    """`state` ("" where nothing stands in the way), `cause` and `until` (a date, or None) of each of
    `customers` (ids), in their order.

    Causes: notice, said_leaving, do_not_contact, not_now, contacted, too_new; the first that holds.
    """
    ids = [str(customer) for customer in customers]
    said, noted_on = _latest(known.outcomes)
    talked, ends = known.talked.to_dict(), known.ends.to_dict()
    seen = known.seen_days.to_dict()
    until = {
        "notice": [ends.get(one) for one in ids],
        "not_now": [_later(noted_on.get(one), policy.snooze_days) for one in ids],
        "contacted": [_later(talked.get(one), policy.cool_down_days) for one in ids],
    }
    noted = [said.get(one) for one in ids]
    never = set(policy.do_not_contact)
    rests = [
        (LEAVING, "notice", [day is not None for day in until["notice"]]),
        (LEAVING, "said_leaving", [what == ALREADY_LEAVING for what in noted]),
        (
            RESTING,
            "do_not_contact",
            [what == DO_NOT_CONTACT or one in never for one, what in zip(ids, noted, strict=True)],
        ),
        (
            RESTING,
            "not_now",
            [
                what == NOT_NOW and _is_after(day, as_of)
                for what, day in zip(noted, until["not_now"], strict=True)
            ],
        ),
        (RESTING, "contacted", [_is_after(day, as_of) for day in until["contacted"]]),
        (UNJUDGED, "too_new", [seen.get(one, math.inf) < policy.judge_after_days for one in ids]),
    ]
    found = pd.DataFrame({"state": "", "cause": "", "until": None}, index=customers.index)
    found = found.astype({"state": "str", "cause": "str", "until": object})
    for state, cause, holds in reversed(rests):
        found.loc[holds, ["state", "cause"]] = [state, cause]
        days = pd.Series(until.get(cause, [None] * len(ids)), customers.index, dtype=object)
        found.loc[holds, "until"] = days[holds]
    return found


def _latest(outcomes: pd.DataFrame) -> tuple[dict[Any, str], dict[Any, date]]:
    """The newest outcome that CS recorded of each customer, and when."""
    told = outcomes[outcomes["outcome"].notna()].sort_values(["recorded_as_of", "as_of"])
    newest = told.drop_duplicates("customer_id", keep="last").set_index("customer_id")
    return newest["outcome"].to_dict(), newest["recorded_as_of"].to_dict()


def _later(day: date | None, n: int) -> date | None:
    return None if day is None else day + timedelta(days=n)


def _is_after(day: date | None, as_of: date) -> bool:
    return day is not None and day > as_of
