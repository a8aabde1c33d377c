"""Why this week's list differs from the last one."""

import pandas as pd
import pytest

from churn.retention import changes, listing


def before(*rows: tuple[str, float, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["customer_id", "risk", "at_stake"])
    return frame.assign(customer_name=frame["customer_id"].str.upper(), owner="all")


def now(*rows: tuple[str, float, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["customer_id", "risk", "at_stake", "cause"])
    return frame.assign(until=None)


def test_everybody_who_left_the_list_has_a_cause():
    old = before(
        ("a", 0.5, 100), ("b", 0.5, 100), ("c", 0.5, 100), ("d", 0.5, 100), ("e", 0.5, 100)
    )
    new = now(
        ("a", 0.6, 120, ""), ("b", 0.2, 40, ""), ("c", 0.5, 95, ""), ("d", 0.5, 100, "contacted")
    )
    found = changes.gone(old, new, {"a"}).set_index("customer_id")["cause"]
    assert found.to_dict() == {"b": "fell", "c": "others", "d": "contacted", "e": "churned"}


def test_without_a_value_it_is_the_risk_that_falls():
    nothing = float("nan")
    old = before(("b", 0.5, nothing), ("c", 0.5, nothing))
    new = now(("b", 0.2, nothing, ""), ("c", 0.49, nothing, ""))
    assert changes.gone(old, new, set())["cause"].tolist() == ["fell", "others"]


def test_the_parts_of_a_move_add_up():
    risk = pd.Series({"a": 0.5, "b": 0.3})
    found = changes.split(
        risk,
        was=pd.Series({"a": 0.2}),
        again=pd.Series({"a": 0.25, "b": 0.1}),
        known_by_now=pd.Series({"a": 0.35, "b": 0.1}),
    )
    assert found.loc["a"].to_dict() == pytest.approx(
        {"model": 0.05, "late": 0.1, "behaviour": 0.15}
    )
    assert found.loc["a"].sum() == pytest.approx(0.3)
    assert pd.isna(found.at["b", "model"])


def test_episodes_count_weeks_and_remember_who_returns():
    last = pd.DataFrame({"customer_id": ["a"], "weeks_on_list": [3]})
    found = listing.episodes(["a", "b", "c"], last, weeks_since=2, ever={"a", "b"})
    assert found["status"].to_dict() == {"a": "still", "b": "back", "c": "new"}
    assert found["weeks_on_list"].to_dict() == {"a": 5, "b": 1, "c": 1}
    first = listing.episodes(["a"], None, weeks_since=0, ever=set())
    assert first["status"].tolist() == ["new"]
