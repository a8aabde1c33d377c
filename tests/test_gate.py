"""The gate: who passes, who is refused and why, and who ranks the list meanwhile."""

import copy
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panels
import pytest

from churn.errors import HeldBackError, InputError
from churn.features import running
from churn.features.labels import Definition
from churn.features.spans import Span
from churn.io import bundle
from churn.io.bundle import Bundle
from churn.io.modelling import probe
from churn.io.workspace import Workspace
from churn.learning import backtest, baselines, gate, models, trial
from churn.learning.baselines import Baseline
from churn.learning.models import Recipe
from churn.settings import (
    BacktestSettings,
    EngineSettings,
    LightGBMSettings,
    PromoteSettings,
    Settings,
    TrainSettings,
)
from churn.stages import promote, train
from churn.usage import daily

PANEL = panels.panel(n_customers=1000, n_snapshots=8)
ROWS = backtest.mature(PANEL)
RECIPE = Recipe(**panels.RECIPE)
DEFINITION = Definition(**panels.churn())


def evidence(
    rows: pd.DataFrame = ROWS,
    change: Callable[[Baseline], Baseline] = lambda model: model,
    **given: Any,
) -> dict[str, Any]:
    """What a training on `rows` would leave for the gate, with the model replaced by `change`."""
    recipe, draws = replace(RECIPE, **given), 200
    plain = backtest.contestants(recipe)

    def fitted(origin: backtest.Origin) -> dict[str, Baseline]:
        found = dict(plain(origin))
        return found | {"model": change(found["model"])}

    judged = trial.run(
        rows, definition=DEFINITION, features=panels.FEATURES, contestants=fitted, n_origins=4,
        n_test=2, list_share=0.05,
    )  # fmt: skip
    model = models.fit(rows, features=panels.FEATURES, recipe=recipe)
    found = trial.evidence(judged, model, rows, contestants=fitted, draws=draws, seed=1)
    assert found is not None
    return found | {"unchanged": True, "against": None}


def refused(found: dict[str, Any] | None, **given: Any) -> list[str]:
    return [verdict.rule for verdict in gate.judge(found, **given) if not verdict.passed]


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return evidence()


def test_a_real_model_passes_every_rule(good: dict[str, Any]) -> None:
    verdicts = gate.judge(good)
    assert refused(good) == []
    assert len(verdicts) == 10
    assert gate.in_words(verdicts) == "The model passed every rule of the gate."


def test_without_evidence_there_is_nothing_to_judge(good: dict[str, Any]) -> None:
    assert refused(None) == ["there is something to judge"]
    assert "there is something to judge" in refused(good | {"differences": {}})
    assert "there is something to judge" in refused(good | {"n_churned": 0.0})


def test_labels_of_chance_are_refused() -> None:
    """What was logged says nothing about who leaves: neither rule nor model is better."""
    random = np.random.default_rng(1)
    found = evidence(ROWS.assign(label=random.permutation(ROWS["label"])))
    rules = refused(found)
    assert "average precision minus calling the longest silent" in rules
    assert "no better than calling the longest silent" in gate.in_words(gate.judge(found))


def test_a_random_model_is_refused() -> None:
    def guessing(model: Baseline) -> Baseline:
        def risk(frame: pd.DataFrame) -> np.ndarray:
            return np.random.default_rng(len(frame)).random(len(frame))

        return Baseline("model", risk, risk)

    rules = refused(evidence(change=guessing))
    assert "log-loss skill against the base rate" in rules
    assert "average precision minus tenure and contract" in rules


def test_weighted_classes_ruin_the_probabilities_and_are_refused() -> None:
    """What `scale_pos_weight` = stayed / churned does: the order stays, the odds are multiplied."""
    weight = float((1 - ROWS["label"]).sum() / ROWS["label"].sum())
    parameters = {**panels.RECIPE["lightgbm"], "scale_pos_weight": weight}
    found = evidence(model="lightgbm", lightgbm=parameters, n_folds=0)
    assert "predicted / actual" in refused(found)
    assert found["calibration_ratio"] > 1.25


def test_a_model_equal_to_the_recency_rule_is_refused() -> None:
    rule = baselines.RULES[0]

    def as_the_rule(model: Baseline) -> Baseline:
        def score(frame: pd.DataFrame) -> np.ndarray:
            return baselines.rule_score(rule, frame)

        return Baseline("model", score, model.risk)

    found = evidence(change=as_the_rule)
    verdicts = gate.judge(found)
    assert found["differences"]["longest_silent"]["average_precision"] == {
        "value": 0.0, "low": 0.0, "high": 0.0,
    }  # fmt: skip
    assert "average precision minus calling the longest silent" in refused(found)
    assert gate.in_words(verdicts) == "This model is no better than calling the longest silent."


def test_a_planted_feature_of_the_future_is_refused_unless_a_person_allows_it() -> None:
    random = np.random.default_rng(1)
    planted = 50 * ROWS["label"] + random.integers(0, 3, len(ROWS))
    found = evidence(ROWS.assign(n_events_28d=planted))
    assert refused(found) == ["share of the contributions in one feature"]
    assert refused(found, allowed=["n_events_28d"]) == []


def test_scores_that_move_with_the_future_are_refused(good: dict[str, Any]) -> None:
    rule = ["events after the snapshot, or arriving after it"]
    assert refused(good | {"unchanged": False}) == rule
    assert refused(good | {"unchanged": None}) == rule


def test_better_than_chance_at_labels_of_chance_is_refused(good: dict[str, Any]) -> None:
    rule = ["the same training on shuffled labels"]
    assert refused(good | {"shuffled": {"roc_auc": 0.56, "standard_error": 0.015}}) == rule
    assert refused(good | {"shuffled": {"roc_auc": 0.44, "standard_error": 0.015}}) == rule
    assert refused(good | {"shuffled": {"roc_auc": 0.54, "standard_error": 0.015}}) == []
    assert refused(good | {"shuffled": None}) == rule


@pytest.mark.parametrize(
    ("difference", "by_origin", "rules"),
    [
        (0.01, [0.01, 0.02, 0.03, -0.01], []),
        (-0.003, [0.01, 0.01, 0.01, -0.04], []),
        (-0.005, [0.01, 0.01, 0.01, -0.05], ["average precision minus the champion's"]),
        (0.01, [0.05, 0.01, -0.01, -0.01], ["better than the champion in most origins"]),
        (0.0, [0.0, 0.0, 0.0, 0.0], []),
    ],
    ids=["better", "within the margin", "worse", "better in two of four", "a renewal"],
)
def test_a_champion_is_replaced_by_what_is_not_worse_and_mostly_better(
    good: dict[str, Any], difference: float, by_origin: list[float], rules: list[str]
) -> None:
    against = {"average_precision": 0.4, "difference": difference, "by_origin": by_origin}
    assert refused(good | {"champion": against}) == rules


def test_every_refusal_says_what_would_have_to_be_true(good: dict[str, Any]) -> None:
    worst = copy.deepcopy(good)
    worst |= {
        "log_loss_skill": -0.1,
        "calibration_ratio": None,
        "shuffled": None,
        "unchanged": None,
    }
    for rival in gate.RIVALS:
        for figure in gate.FIGURES:
            worst["differences"][rival][figure] = {"value": None, "low": None, "high": None}
    for verdict in gate.judge(worst):
        assert verdict.needed
        assert verdict.found


@pytest.mark.parametrize("seed", [1, pytest.param(range(2, 21), marks=pytest.mark.slow)])
def test_in_a_null_world_nothing_is_promoted(seed: int | range) -> None:
    """Churn independent of everything logged, 20 worlds."""
    for one in seed if isinstance(seed, range) else [seed]:
        random = np.random.default_rng(one)
        rows = backtest.mature(panels.panel(n_customers=500, n_snapshots=7, seed=one))
        found = evidence(rows.assign(label=(random.random(len(rows)) < 0.15).astype(float)))
        verdicts = gate.judge(found)
        assert not gate.passed(verdicts), one
        assert "is no better than" in gate.in_words(verdicts), one


# The commands


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return panels.rolled_up(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def trained(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a challenger that is good enough."""
    place = tmp_path_factory.mktemp("trained") / "ws"
    shutil.copytree(log, place)
    panels.write(place, PANEL)
    train.run(settings(place, model="logistic"))
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "ws")
    return tmp_path / "ws"


def settings(place: Path, **changes: Any) -> Settings:
    quick = LightGBMSettings(n_rounds=20, num_leaves=7, min_data_in_leaf=30)
    given = {"tracking_uri": "sqlite:////dev/null/none.db", "lightgbm": quick, "list_share": 0.05}
    return Settings(
        workspace=str(place),
        engine=EngineSettings(threads=1),
        churn=Definition(**panels.churn()),
        train=TrainSettings(**{**given, **changes}),
        backtest=BacktestSettings(rebuild_rows=0, draws=200),
    )


NOTHING_LEARNT = LightGBMSettings(n_rounds=1, learning_rate=0.001)


def test_promote_moves_the_champion_only_to_what_passed(place: Path) -> None:
    promote.run(settings(place))
    first = bundle.pointer(place, "champion")
    assert first["version"] == bundle.pointer(place, "challenger")["version"]
    assert all(verdict["passed"] for verdict in first["gate"])
    promote.run(settings(place))
    assert bundle.pointer(place, "champion") == first
    assert bundle.pointer(place, "previous") is None

    train.run(settings(place, model="lightgbm", lightgbm=NOTHING_LEARNT))
    assert bundle.load(place, "challenger").spec["evidence"]["against"] == first["version"]
    with pytest.raises(HeldBackError, match="does not pass the gate") as refusal:
        promote.run(settings(place))
    assert refusal.value.exit_code == 4
    assert "better than the champion in most origins: better in 0 of 4" in refusal.value.got
    assert "better in 3 of 4" in refusal.value.expected
    assert bundle.pointer(place, "champion") == first


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_champion_whose_files_are_lost_is_renewed_by_the_same_model(
    place: Path, is_gone: bool
) -> None:
    """The advised way out: train gives the same version with a record of another name, promote takes it."""
    promote.run(settings(place))
    first = bundle.pointer(place, "champion")
    shutil.rmtree(place / "models")
    train.run(settings(place, model="logistic"))
    challenger = bundle.pointer(place, "challenger")
    assert challenger["version"] == first["version"]
    assert challenger["sha256"] != first["sha256"], "the record says against whom: another file"
    if not is_gone:
        (record,) = set(first["sha256"]) - set(challenger["sha256"])
        (place / "models" / first["version"] / record).write_text("{}")
    with pytest.raises(InputError, match="record"):
        bundle.load(place, "champion")
    promote.run(settings(place))
    renewed = bundle.load(place, "champion").entry
    assert renewed["sha256"] == challenger["sha256"]
    assert all(verdict["passed"] for verdict in renewed["gate"])
    assert bundle.pointer(place, "previous") is None, "nobody returns to what is lost"
    promote.run(settings(place))
    assert bundle.pointer(place, "champion") == renewed


def test_champion_and_previous_change_places(place: Path) -> None:
    promote.run(settings(place))
    first = bundle.pointer(place, "champion")
    second = {**first, "version": first["version"], "note": "another promotion"}
    bundle.point(place, "previous", first)
    bundle.point(place, "champion", second)
    back = replace(settings(place), promote=PromoteSettings(back=True))
    promote.run(back)
    assert bundle.pointer(place, "champion") == first
    assert bundle.pointer(place, "previous") == second


def test_a_challenger_that_met_another_champion_is_sent_back(place: Path) -> None:
    challenger = bundle.pointer(place, "challenger")
    bundle.point(place, "champion", {**challenger, "version": "0" * 12})
    with pytest.raises(HeldBackError, match="another champion") as refusal:
        promote.run(settings(place))
    assert "churn train" in refusal.value.next_step


def test_until_a_model_passes_the_best_rule_is_in_charge(place: Path) -> None:
    random = np.random.default_rng(2)
    rows = panels.panel(n_customers=300, n_snapshots=7)
    rows["label"] = np.where(rows["label"].isna(), np.nan, random.permutation(len(rows)) % 5 == 0)
    panels.write(place, rows)
    train.run(settings(place))
    with pytest.raises(HeldBackError, match="no better than"):
        promote.run(settings(place))
    rule = bundle.load(place, "champion")
    assert rule.entry["rule"] == rule.spec["rule"] in ("longest_silent", "biggest_drop")
    assert len(rule.model.columns) == 1
    assert any(not verdict["passed"] for verdict in rule.entry["gate"])
    # a model that passes replaces it
    panels.write(place, PANEL)
    train.run(settings(place, model="logistic"))
    assert bundle.load(place, "challenger").spec["evidence"]["against"] is None
    promote.run(settings(place))
    assert "rule" not in bundle.pointer(place, "champion")


def test_the_card_says_what_the_gate_found(place: Path) -> None:
    version = bundle.pointer(place, "challenger")["version"]
    page = (place / "cards" / f"{version}.html").read_text()
    for part in ("The gate", "Who gets help, by group", "Known limits and harms", "Run it again",
                 "The model by origin", "The model passed every rule", "data:image/png"):  # fmt: skip
        assert part in page, part
    assert (place / "cards" / f"{version}.yaml").exists()


# Does the future show?


def candidate(place: Path) -> Bundle:
    return bundle.load(place, "challenger")


def test_events_of_the_future_and_late_ones_change_no_byte(place: Path) -> None:
    assert probe.unchanged(settings(place), candidate(place)) is True


def test_a_log_without_times_of_arrival_is_tried_with_what_may_happen_to_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Workspace.usage_facts
    monkeypatch.setattr(
        Workspace, "usage_facts", lambda place: {**known(place), "has_loaded_at": False}
    )
    assert probe.unchanged(settings(place), candidate(place)) is True
    look_past_the_snapshot(monkeypatch)
    assert probe.unchanged(settings(place), candidate(place)) is False


def look_past_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days after the snapshot are read, and count in windows that should end at it."""
    read, keys = daily.days_once, running.Places.keys

    def reading(*arguments: Any, **named: Any) -> str:
        sql = read(*arguments, **named)
        assert re.search(r"AND day < DATE '[^']+'", sql)
        return re.sub(r"AND day < DATE '[^']+'", "", sql)

    def counting(places: running.Places, span: Span) -> tuple[running.Key, running.Key]:
        first, (kind, over) = keys(places, span)
        return first, (kind, over - 14)

    monkeypatch.setattr(daily, "days_once", reading)
    monkeypatch.setattr(running.Places, "keys", counting)


def take_in_what_arrives_late(monkeypatch: pytest.MonkeyPatch) -> None:
    known, honest = daily.rebuilt, "AND l.known_on <= s.known_on"

    def leaking(*arguments: Any, **named: Any) -> str:
        sql = known(*arguments, **named)
        assert honest in sql
        return sql.replace(honest, "")

    monkeypatch.setattr(daily, "rebuilt", leaking)


@pytest.mark.parametrize("leak", [look_past_the_snapshot, take_in_what_arrives_late])
def test_a_panel_that_leaks_is_found_out(
    place: Path, monkeypatch: pytest.MonkeyPatch, leak: Callable[[pytest.MonkeyPatch], None]
) -> None:
    found = candidate(place)
    leak(monkeypatch)
    assert probe.unchanged(settings(place), found) is False


def test_without_a_rollup_nothing_can_be_tried(tmp_path: Path, place: Path) -> None:
    assert probe.unchanged(settings(tmp_path), candidate(place)) is None
