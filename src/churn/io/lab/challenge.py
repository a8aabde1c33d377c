"""The uplift challenger of a workspace: judged by `churn impact`, kept only if it has proven itself."""

import logging
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import lightgbm as lgb
import pandas as pd

from churn.errors import HeldBackError, InputError
from churn.features.definitions import Feature
from churn.io import records, tables
from churn.io.modelling import recipes
from churn.io.workspace import Workspace
from churn.learning import columns, uplift
from churn.learning.uplift import Uplift, Verdict
from churn.retention import listing, ranking
from churn.settings import Settings

log = logging.getLogger("churn")

NEAR_DAYS = 13
"""A contact belongs to the snapshot of the panel that is at most so many days before it."""


def judged(settings: Settings, as_of: date) -> Verdict | None:
    """What the panel's customers with contacts of known chance say of an order by effect; None
    without a panel or without such contacts.

    Writes `uplift/uplift.json` (verdict, and segments in which contact raised churn), and the model
    beside it if it passed; an older one is gone if it did not.
    """
    rows, features = _trial(settings, as_of)
    if not len(rows):
        return None
    worth = _worth(rows)
    recipe = recipes.of(settings)
    verdict = uplift.judged(
        rows, features=features, recipe=recipe, worth=worth, list_share=settings.train.list_share
    )
    people = Workspace(settings.place, settings.arrival(as_of)).people(as_of)
    segments = rows["customer_id"].map(people["segment"])
    needed = ["is_treated", "propensity", "left"]
    harmed = uplift.harmed(rows[needed].assign(segment=segments), by="segment")
    found: dict[str, Any] = {
        "as_of": as_of.isoformat(),
        "verdict": {
            name: None if value != value else value for name, value in asdict(verdict).items()
        },
        "harmed": harmed.loc[harmed["is_harmed"], "group"].tolist(),
    }
    folder = settings.place / "uplift"
    if verdict.passed:
        model = uplift.fit(rows, features=features, recipe=recipe)
        text = model.booster.model_to_string().encode()
        tables.write_bytes(folder / "model.txt", text)
        found["columns"] = columns.to_spec(model.columns)
        found["sha256"] = tables.sha256(folder / "model.txt")
    tables.write_sealed(folder / "uplift.json", found)
    return verdict


def effects(place: Path, frame: pd.DataFrame, segment: pd.Series) -> pd.Series:
    """How much less likely each customer of `frame` (features by name) is to leave if contacted, 0 in
    segments (by customer_id) where contact raised churn.

    Raises `HeldBackError` unless `churn impact` has found an order by effect to save more than one by
    risk × value.
    """
    path = place / "uplift" / "uplift.json"
    found = tables.read_json(path) if path.exists() else None
    if found is None or not found["verdict"]["passed"]:
        raise HeldBackError(
            "an order by effect has not proven itself",
            got="nothing judged yet" if found is None else found["verdict"]["why"],
            expected="a list by effect that saves more than one by risk × value, lower bound above 0",
            next_step="choose retain.policy=risk_value; `churn impact` judges again",
        )
    text = place / "uplift" / "model.txt"
    if not text.exists() or tables.sha256(text) != found["sha256"]:
        raise InputError(
            f"{text} is not the model that was judged",
            got="another sha256" if text.exists() else "no such file",
            expected=f"sha256 {found['sha256']}",
            next_step="run `churn impact` again",
        )
    model = Uplift(columns.from_spec(found["columns"]), lgb.Booster(model_str=text.read_text()))
    effect = pd.Series(uplift.effect(model, frame), index=frame.index)
    is_harmed = frame["customer_id"].map(segment).isin(found["harmed"])
    return effect.mask(is_harmed, 0.0)


def _trial(settings: Settings, as_of: date) -> tuple[pd.DataFrame, list[Feature]]:
    """Rows of the panel with `is_treated`, `propensity` and `left`: campaigns, and our own arms."""
    folder = settings.place / "panel"
    if not tables.exists(folder):
        return pd.DataFrame(), []
    days = settings.impact.effect_days
    panel = tables.read(folder, made_by="features")
    settled = panel[panel["known_days"] >= days]
    settled = settled.assign(left=(settled["left_after_days"] < days).astype(int))
    contacts = Workspace(settings.place, settings.arrival(as_of)).contacts(as_of)
    assigned = records.assignments(settings.place)
    parts = [
        uplift.experiment(settled, contacts, days=NEAR_DAYS),
        uplift.assigned(settled, assigned[assigned["as_of"] < as_of], days=NEAR_DAYS),
    ]
    features = [Feature(**entry) for entry in tables.facts(folder, made_by="features")["features"]]
    known = [feature for feature in features if feature.family != "contact"]
    together = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return together.copy(), known  # in one piece: pandas warns of frames in many


def _worth(rows: pd.DataFrame) -> uplift.Array:
    """Currency a year, capped at the 99th percentile; 1 where nothing is known of value."""
    if "first_event_days" not in rows and "price_month" not in rows:
        return pd.Series(1.0, index=rows.index).to_numpy()
    value = 12 * listing.value_month(rows, lookback_days=ranking.LOOKBACK_DAYS)
    if not value.notna().any():
        return pd.Series(1.0, index=rows.index).to_numpy()
    worth: uplift.Array = (
        value.clip(upper=float(value.quantile(0.99))).fillna(0.0).to_numpy(dtype=float)
    )
    return worth
