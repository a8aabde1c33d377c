"""`churn explain` on a small log: reasons with their record, muted families, one customer's what-if."""

import logging
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import panels
import pytest

from churn import contracts
from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature
from churn.features.labels import Definition
from churn.io import bundle, tables
from churn.settings import (
    BacktestSettings,
    EngineSettings,
    ExplainSettings,
    LightGBMSettings,
    Settings,
    TrainSettings,
)
from churn.stages import explain, score, train

PART = panels.AS_OF.isoformat()


def settings(place: Path, *, customer: str | None = None, **explained: Any) -> Settings:
    return Settings(
        workspace=str(place),
        as_of=PART,
        customer=customer,
        engine=EngineSettings(threads=1),
        churn=Definition(**panels.churn()),
        train=TrainSettings(
            tracking_uri="sqlite:////dev/null/none.db",
            lightgbm=LightGBMSettings(n_rounds=20, num_leaves=7, min_data_in_leaf=30),
            list_share=0.05,
        ),
        backtest=BacktestSettings(rebuild_rows=0, draws=100),
        explain=ExplainSettings(**{"min_lift": 1.2, **explained}),  # three in eight churn here
    )


ACTIVE = Feature(
    "n_active_days_28d", "active days", "days", "activity",
    "COUNT(CASE WHEN age_days <= 28 AND n_use > 0 THEN 1 END)", empty=0,
)  # fmt: skip


def write(place: Path, rows: pd.DataFrame) -> None:
    """The panel made by hand, with a feature that a sentence is about."""
    days = (24 / rows["recency_days"]).clip(1, 20).round().astype("int64")
    parts = dict(list(rows.assign(n_active_days_28d=days).groupby("snapshot")))
    facts = panels.facts()
    facts["features"] = [*facts["features"], vars(ACTIVE)]
    tables.write(place / "panel", {str(at): part for at, part in parts.items()}, facts=facts)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the panel made by hand is champion and has scored the customers of a real log."""
    place = panels.rolled_up(tmp_path_factory.mktemp("log"))
    write(place, panels.panel(n_customers=900, n_snapshots=8))
    train.run(settings(place))
    bundle.point(place, "champion", bundle.load(place, "challenger").entry)
    score.run(settings(place))
    return place


@pytest.fixture
def place(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "ws"))


def explained(place: Path, **given: Any) -> pd.DataFrame:
    explain.run(settings(place, **given))
    return tables.read(place / "reasons", made_by="explain", part=PART)


def notes(place: Path) -> list[str]:
    return list(tables.facts(place / "reasons", made_by="explain")["notes"][PART])


def test_reasons_carry_the_record_that_their_family_had_in_the_backtest(place: Path) -> None:
    rows = explained(place)
    assert list(rows.columns) == list(contracts.REASONS.columns)
    kept = {(one["family"], one["direction"]): one for one in bundle.load(place).spec["reasons"]}
    assert all(kept[key]["is_shown"] for key in zip(rows["family"], rows["direction"], strict=True))
    raising = rows[rows["direction"] == "raises"]
    assert len(raising) > 3
    assert set(raising["lift"]) == {kept["usage", "raises"]["lift"]}
    assert raising["evidence"].str.match(r"Customers with this left [\d.]+ times as often").all()
    assert rows["sentence"].str.len().le(140).all()
    assert notes(place) == []


def test_a_model_that_was_not_asked_about_the_end_of_a_term_speaks_as_it_was_judged(
    place: Path,
) -> None:
    """One from before there was a voice for it: the contract's speaks of that, with its own record."""
    champion = bundle.load(place)
    judged = champion.spec["reasons"]
    assert "renewal" in explain._said(settings(place), champion, judged).voices
    assert "renewal" in explain._said(settings(place), champion, None).voices
    before = [one for one in judged if one["family"] != "renewal"]
    said = explain._said(settings(place), champion, before)
    assert "renewal" not in {*said.voices, *(template.voice for template in said.templates)}
    assert "contract" in said.voices


def test_a_stricter_demand_leaves_families_out(place: Path) -> None:
    assert explained(place, min_lift=50.0).empty


def test_everybody_is_explained_on_demand(place: Path) -> None:
    listed = set(explained(place)["customer_id"])
    everybody = set(explained(place, everybody=True)["customer_id"])
    scores = tables.read(place / "scores", made_by="score", part=PART)
    assert listed < everybody <= set(scores["customer_id"])


def test_a_rules_reasons_are_shown_and_said_to_be_without_evidence(place: Path) -> None:
    shutil.copy(place / "rule.json", place / "champion.json")
    score.run(settings(place))
    rows = explained(place)
    assert len(rows)
    assert rows[["lift", "lead_time_days", "coverage", "evidence"]].isna().all().all()
    assert "without evidence" in notes(place)[0]


def outcomes(place: Path, n: int, *, recorded: date = panels.AS_OF) -> None:
    """`n` people said of the family usage that it was the wrong reason."""
    blank = dict.fromkeys(contracts.OUTCOMES.columns)
    told = {"family": "usage", "verdict": "wrong reason", "recorded_as_of": recorded}
    rows = [blank | told | {"as_of": date(2025, 12, 1), "customer_id": f"{k}"} for k in range(n)]
    tables.write(place / "outcomes", {"all": pd.DataFrame(rows)})


def test_a_family_that_people_found_wrong_is_muted_and_that_is_said(place: Path) -> None:
    before = explained(place)
    outcomes(place, 12)
    after = explained(place)
    assert "usage" in set(before.loc[before["direction"] == "raises", "family"])
    assert "usage" not in set(after.loc[after["direction"] == "raises", "family"])
    protecting = before["direction"] == "lowers"
    assert after["sentence"].tolist() == before.loc[protecting, "sentence"].tolist()
    assert notes(place) == [
        "Reasons about usage are not shown: people found them right in 0 of 12 verdicts."
    ]
    assert len(explained(place, min_right=0.0)) == len(before), "no floor"


def test_verdicts_that_came_later_mute_nothing_yet(place: Path) -> None:
    outcomes(place, 12, recorded=date(2026, 1, 12))
    assert "usage" in set(explained(place)["family"])


def test_one_customer_is_told_and_nothing_is_written(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = explained(place)
    before = {path: path.read_bytes() for path in (place / "reasons").iterdir()}
    someone = rows.loc[rows["direction"] == "raises", "customer_id"].iloc[0]
    with caplog.at_level(logging.INFO, "churn"):
        explain.run(settings(place, customer=someone, what_if=True, stays=0.0))
    assert {path: path.read_bytes() for path in (place / "reasons").iterdir()} == before
    mine = rows.loc[rows["customer_id"] == someone, "sentence"]
    assert all(sentence in caplog.text for sentence in mine)
    assert "take" in caplog.text or "Off the list if" in caplog.text


def test_what_if_wants_a_customer_and_families_that_exist(place: Path) -> None:
    with pytest.raises(ConfigurationError, match="about one customer"):
        explain.run(settings(place, what_if=True))
    listed = explained(place)["customer_id"].iloc[0]
    with pytest.raises(ConfigurationError, match="no family of reasons"):
        explain.run(settings(place, customer=listed, what_if=True, actionable=["useage"]))


def test_a_customer_about_whom_nothing_may_be_said_is_told_so(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    someone = explained(place)["customer_id"].iloc[0]
    with caplog.at_level(logging.INFO, "churn"):
        explain.run(settings(place, customer=someone, min_lift=100.0))
    assert f"{someone} has no reasons: no family that may speak" in caplog.text


def test_of_many_known_names_only_some_are_listed() -> None:
    ids = [f"C{k:06d}" for k in range(20_000)]
    assert nearest("NOBODY", ids) == f"one of: {', '.join(ids[:10])}, ... 19,990 more"
    assert nearest("C000523x", ids) == "did you mean C000523?"
    assert nearest("xyz", ids[:50]) == f"one of: {', '.join(ids[:50])}"


def test_an_unknown_customer_is_refused_with_the_nearest_id(place: Path) -> None:
    with pytest.raises(ConfigurationError, match="names nobody"):
        explain.run(settings(place, customer="0000x"))


def test_last_weeks_first_reason_is_read_from_the_part_before(place: Path) -> None:
    """Only the greatest as_of before this one counts."""
    rows = explained(place)
    folder = place / "reasons"
    who = rows["customer_id"].iloc[0]
    for part, family in (("2025-12-22", "early"), ("2025-12-29", "usage"), ("2026-01-12", "late")):
        blank = pd.DataFrame([dict.fromkeys(contracts.REASONS.columns)])
        past = blank.assign(customer_id=who, rank=1, direction="raises", family=family)
        tables.write(folder, {part: past}, keep=True, facts={"notes": {}})
    workspace = explain.Workspace(place)
    assert explain._first_before(workspace, panels.AS_OF) == {who: "usage"}
    assert explain._first_before(workspace, date(2025, 12, 22)) == {}
    assert replace(settings(place)).explain.stays == 0.25
