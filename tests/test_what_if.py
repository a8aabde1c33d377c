"""What would take a customer off the list."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn.features.definitions import Feature
from churn.retention import ranking, what_if
from churn.retention.policy import Policy
from churn.settings import Settings, spoken

SAID = spoken(Settings())
FACTS = pd.DataFrame({"customer_id": ["a"], "silent_days": [20], "errors": [9.0], "unpaid": [2.0]})
COLUMNS = {"usage": ["silent_days"], "trouble": ["errors"], "money": ["unpaid"]}
WELL = pd.Series({"silent_days": 2.5, "errors": 0.0, "unpaid": 0.0}, dtype=object)


def answer(below: float, score: Any, columns: dict[str, list[str]] = COLUMNS) -> what_if.Answer:
    def risk(rows: pd.DataFrame) -> np.ndarray:
        return score(
            rows["silent_days"].to_numpy(), rows["errors"].to_numpy(), rows["unpaid"].to_numpy()
        )

    return what_if.smallest(FACTS, WELL, columns, risk=risk, below=below)


def added(silent: Any, errors: Any, unpaid: Any) -> Any:
    return 0.01 * silent + 0.02 * errors + 0.05 * unpaid


def test_one_family_is_enough_and_the_one_that_helps_most_is_named() -> None:
    found = answer(0.32, added)
    assert (found.before, found.voices) == (pytest.approx(0.48), ("trouble",))
    assert found.risk == pytest.approx(0.30)
    assert FACTS["errors"].tolist() == [9.0], "the customer's own numbers stay"


def test_two_are_named_where_one_is_not_enough() -> None:
    found = answer(0.2, added)
    assert found.voices == ("usage", "trouble")
    assert found.risk == pytest.approx(0.125)


def test_two_that_only_help_together_are_found() -> None:
    """A greedy search would begin with `money`, which alone helps most and is no part of it."""

    def together(silent: Any, errors: Any, unpaid: Any) -> Any:
        return 0.5 - 0.4 * ((silent < 5) & (errors < 5)) - 0.1 * (unpaid < 1)

    found = answer(0.2, together)
    assert found.voices == ("usage", "trouble")


def test_nothing_is_said_to_help_that_does_not() -> None:
    found = answer(0.01, added)
    assert (found.voices, found.risk) == ((), None)
    assert found.best == pytest.approx(0.025)
    said = what_if.in_words(found, SAID)
    assert said == (
        "No change of what can be acted on takes them off the list: risk 2.5% at best, now 48.0%."
    )


def test_a_family_that_nobody_knows_the_normal_of_is_not_tried() -> None:
    found = answer(0.32, added, {"breadth": ["absent"], **COLUMNS})
    assert found.tried == ("usage", "trouble", "money")
    assert what_if.in_words(answer(0.3, added, {}), SAID) == ""


def test_the_answer_in_words() -> None:
    said = what_if.in_words(answer(0.2, added), SAID)
    assert said == (
        "Off the list if use and errors and requests were normal: risk 12.5%, now 48.0%."
    )
    longest = what_if.Answer(0.9999, 0.1, 0.1, tuple(SAID.names), 0.9999)
    assert not what_if.in_words(longest, SAID).endswith("…")


def test_normal_is_the_customers_own_median_else_that_of_who_stayed() -> None:
    own = pd.DataFrame({"n": [1.0, 3.0, None], "plan": ["x", "x", "y"], "new": [None] * 3})
    stayed = pd.DataFrame({"n": [50.0], "plan": ["z"], "new": [7.0]})
    found = what_if.normal(own, stayed, ["n", "plan", "new", "absent"])
    assert found.to_dict() == {"n": 2.0, "plan": "x", "new": 7.0}
    assert what_if.normal(own.iloc[:0], stayed, ["n"]).to_dict() == {"n": 50.0}


def test_what_would_be_different_leaves_out_what_is_as_it_should_be() -> None:
    features = [Feature(n, f"the {n}", "days", "f", "COUNT(*)") for n in FACTS.columns]
    well = WELL.copy()
    well["unpaid"] = 2.0
    found = what_if.steps(FACTS, well, ["silent_days", "unpaid", "absent"], features)
    assert found == [("the silent_days", "20", "2.5")]


def ranked(*priorities: float, room: int = 2, cost: float = 0.0) -> tuple[pd.DataFrame, Policy]:
    policy = Policy(capacity_per_owner=room, contact_cost=cost, save_rate=0.5)
    value = 100.0
    risk = [(p + cost) / (value * 12 * 0.5) for p in priorities]
    rows = pd.DataFrame(
        {
            "customer_id": [f"{k}" for k in range(len(priorities))], "owner": "ann",
            "risk": risk, "risk_8w": risk, "value_month": value,
        }
    )  # fmt: skip
    return ranking.ranked(rows, policy=policy, as_of=date(2026, 6, 1)), policy


def test_off_the_list_is_below_the_first_who_is_not_on_it() -> None:
    rows, policy = ranked(120.0, 60.0, 30.0, 6.0)
    which, below = what_if.off_below(rows, "0", policy=policy)
    assert (which, below) == ("risk_8w", pytest.approx(30 / 600))


def test_with_a_cost_and_nobody_waiting_it_is_where_a_contact_is_not_worth_it() -> None:
    rows, policy = ranked(120.0, 60.0, cost=12.0)
    assert what_if.off_below(rows, "1", policy=policy)[1] == pytest.approx(12 / 600)


def test_another_owners_customers_do_not_wait_for_this_one() -> None:
    rows, policy = ranked(120.0, 60.0, 30.0)
    rows.loc[rows["customer_id"] == "2", "owner"] = "bob"
    assert what_if.off_below(rows, "0", policy=policy)[1] == 0.0


def test_without_values_the_risk_decides() -> None:
    rows, policy = ranked(120.0, 60.0, 30.0)
    unknown = rows.assign(value_month=np.nan, priority=np.nan)
    assert what_if.off_below(unknown, "0", policy=policy) == ("risk", pytest.approx(30 / 600))
