"""What stages are told of a workspace, and what they refuse."""

from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from reference import World
from world import rolled_up

from churn.errors import ConfigurationError, InputError
from churn.features.labels import Definition
from churn.io import records
from churn.io.modelling import plans
from churn.io.workspace import Workspace
from churn.settings import FeatureSettings, Settings

AS_OF = date(2026, 6, 1)
LOGIN = {"customer_id": "ann", "ts": datetime(2026, 5, 1, 9), "event": "login"}


def test_a_contact_that_is_planned_is_not_the_last_one(tmp_path: Path) -> None:
    contacts = [
        {"customer_id": "ann", "contacted_at": datetime(2026, 5, 20, 9)},
        {"customer_id": "ann", "contacted_at": datetime(2026, 6, 1), "recorded_at": None},
        {
            "customer_id": "ann",
            "contacted_at": datetime(2026, 6, 9, 9),
            "recorded_at": datetime(2026, 5, 25),
        },
        {
            "customer_id": "bob",
            "contacted_at": datetime(2026, 5, 9, 9),
            "recorded_at": datetime(2026, 6, 1, 6),
        },
    ]
    place = rolled_up(World([LOGIN], contacts=contacts), tmp_path)
    found = records.contacts(Workspace(place), AS_OF)
    assert records.last_contacts(found) == {"ann": date(2026, 5, 20)}


def test_who_is_active_cannot_be_asked_further_back_than_features_look() -> None:
    with pytest.raises(ConfigurationError, match="lookback_days"):
        Settings(churn=Definition("inactivity", active_days=366))
    Settings(churn=Definition("cancellation", active_days=366))
    Settings(
        churn=Definition("inactivity", active_days=366), features=FeatureSettings(lookback_days=366)
    )


def test_scoring_without_an_attribute_the_model_looks_at_is_refused() -> None:
    """It was an engine's error with a traceback."""
    vocabulary = {"windows": [7], "static": {"country": "category", "size": "number"}}
    spec = {
        "panel": {"vocabulary": vocabulary, "lookback_days": 182},
        "churn": vars(Definition("inactivity")),
    }
    champion = SimpleNamespace(spec=spec, version="abc", features=[])
    usage = {
        "attributes": {"size": "number"},
        "event_types": ["login"],
        "has_customer_versions": False,
    }
    with pytest.raises(InputError, match="customers table") as refusal:
        plans.plan_of(champion, Settings(), AS_OF, usage)
    assert "country" in str(refusal.value)


def test_what_cs_recorded_is_a_contact_from_the_next_list_on(tmp_path: Path) -> None:
    place = rolled_up(World([LOGIN]), tmp_path)
    said = {"contacted": True, "outcome": "not reached", "verdict": None, "note": None}
    row = {"as_of": date(2026, 5, 25), "customer_id": "ann", "list_id": "x", **said}
    row |= {"family": None, "play": None, "recorded_as_of": AS_OF}
    records.keep_outcomes(place, pd.DataFrame([row]))
    known = records.contacts(Workspace(place), AS_OF)
    assert records.last_contacts(known) == {"ann": date(2026, 5, 25)}
    assert known["result"].tolist() == ["not reached"]
    assert records.contacts(Workspace(place), date(2026, 5, 30)).empty
