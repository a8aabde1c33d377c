"""A search: what may be chosen, what is given up, and that chance and a kill change nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import panels
import pytest

from churn.features.definitions import Feature
from churn.io.lab.study import N_RANDOM, N_UNPRUNED, Study
from churn.learning import backtest, baselines, metrics, search, trial
from churn.learning.models import Recipe
from churn.learning.search import Space, Trial
from churn.settings import LightGBMSettings

BASE = Recipe(model="blend", lightgbm=vars(LightGBMSettings()), n_folds=0)
SPACE = Space(
    BASE, ("blend", "lightgbm", "logistic"), {"text": True, "people": True, "season": False}
)
OFF = ["season", "taste"]
ORIGINS = 3


def judge(choice: Mapping[str, Any]) -> Iterator[float]:
    """A figure whose best place is known: few leaves, without people, at every origin."""
    leaves = choice.get("train.lightgbm.num_leaves", 20)
    value = 0.5 - 0.1 * abs(np.log(leaves / 6)) - 0.1 * choice["features.people"]
    for origin in range(ORIGINS):
        yield float(value - 0.05 * origin)


def study(path: Path, *, seed: int = 7, space: Space = SPACE, question: str = "one") -> Study:
    return Study(space, n_origins=ORIGINS, seed=seed, path=path / "trials.json", question=question)


def found(path: Path, n: int = 20, **given: Any) -> list[Trial]:
    return list(study(path, **given).run(judge, n=n))


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return found(tmp_path_factory.mktemp("study"))


def test_the_first_trial_is_the_default_to_the_last_digit(trials: list[Trial]) -> None:
    assert trials[0].choice == SPACE.default()
    assert search.changes(trials[0].choice, base=BASE, off=OFF) == {}
    odd = replace(BASE, lightgbm={**BASE.lightgbm, "num_leaves": 200, "lambda_l2": 0.012345})
    space = replace(SPACE, base=odd)
    assert search.recipe(odd, space.default()) == odd
    leaves = next(k for k in space.knobs("blend") if k.key.endswith("num_leaves"))
    assert (leaves.low, leaves.high) == (4, 200)


def test_the_same_seed_gives_the_same_search(trials: list[Trial], tmp_path: Path) -> None:
    assert found(tmp_path / "again") == trials
    assert found(tmp_path / "other", seed=8) != trials


def test_the_search_finds_what_is_better(trials: list[Trial]) -> None:
    best = search.best(trials)
    assert best.value > trials[0].value + 0.1
    assert best.choice["features.people"] is False
    random, later = trials[1:N_RANDOM], trials[N_RANDOM:]
    assert np.mean([t.value for t in later]) > np.mean([t.value for t in random])


def test_a_trial_below_the_median_ends_early_and_costs_no_more_origins(tmp_path: Path) -> None:
    judged: list[int] = []

    def counting(choice: Mapping[str, Any]) -> Iterator[float]:
        judged.append(0)
        for figure in judge(choice):
            judged[-1] += 1
            yield figure

    trials = list(study(tmp_path).run(counting, n=20))
    assert [len(one.so_far) for one in trials] == judged
    pruned = [one for one in trials if one.is_pruned]
    assert len(pruned) >= 4
    assert all(len(one.so_far) < ORIGINS for one in pruned)
    assert all(len(one.so_far) == ORIGINS for one in trials if not one.is_pruned)
    assert not any(one.is_pruned for one in trials[:N_UNPRUNED])
    for one in pruned:
        n = len(one.so_far)
        before = [t.so_far[n - 1] for t in trials[: one.number] if len(t.so_far) >= n]
        assert one.value < np.median(before)
    assert search.best(trials).number not in {one.number for one in pruned}


def test_a_killed_search_goes_on_as_if_nothing_had_been(
    trials: list[Trial], tmp_path: Path
) -> None:
    def dies(choice: Mapping[str, Any]) -> Iterator[float]:
        if len(json.loads((tmp_path / "trials.json").read_text())["trials"]) == 13:
            raise KeyboardInterrupt
        yield from judge(choice)

    first = study(tmp_path)
    first.keep(mlflow_run_id="abc")
    with pytest.raises(KeyboardInterrupt):
        list(first.run(dies, n=20))
    second = study(tmp_path)
    assert second.facts == {"mlflow_run_id": "abc"}
    assert second.trials == trials[:13]
    assert list(second.run(judge, n=20)) == trials[13:]
    assert second.trials == trials


def test_trials_of_another_question_are_not_taken_over(tmp_path: Path) -> None:
    found(tmp_path, n=2)
    assert len(study(tmp_path).trials) == 2
    assert study(tmp_path, question="two").trials == []


def test_time_ends_a_search_after_a_first_trial(tmp_path: Path) -> None:
    trials = list(study(tmp_path).run(judge, n=20, timeout_minutes=1e-9))
    assert [one.number for one in trials] == [0]


def test_a_trial_is_given_up_by_what_others_had_after_the_same_origin() -> None:
    others = [Trial(k, {}, (0.3 + k / 10, 0.1), False) for k in range(3)]
    pruned = Trial(3, {}, (0.2,), True)
    assert search.is_hopeless([*others, pruned], [0.34], at_least=4)
    assert not search.is_hopeless([*others, pruned], [0.35], at_least=4)
    assert not search.is_hopeless([*others, pruned], [0.34, 0.1], at_least=3)
    assert not search.is_hopeless(others, [0.0], at_least=4)


def test_words_say_only_what_differs() -> None:
    choice = {
        **SPACE.default(), "train.lightgbm.num_leaves": 9, "train.half_life_days": 56.0,
        "features.people": False, "features.season": True,
    }  # fmt: skip
    assert search.changes(choice, base=BASE, off=OFF) == {
        "train.half_life_days": 56.0,
        "train.lightgbm.num_leaves": 9,
        "features.without": ["taste", "people"],
    }
    recipe = search.recipe(BASE, choice)
    assert (recipe.lightgbm["num_leaves"], recipe.half_life_days) == (9, 56.0)
    assert recipe.lightgbm["max_bin"] == BASE.lightgbm["max_bin"]
    assert search.without(OFF, choice) == ["taste", "people"]


def test_a_family_that_others_read_stays() -> None:
    def feature(name: str, family: str, expression: str) -> Feature:
        return Feature(name, "x", "x", family, expression)

    features = [
        feature("a", "volume", "SUM(n)"),
        feature("b", "trend", "b1 / 2"),
        feature("b1", "trend", "SUM(n_use)"),
        feature("c", "peers", "a / peers_a"),
        feature("d", "money", "SUM(n)"),
        feature("e", "peers", "peers_d + 1"),
    ]
    assert search.switchable(features) == ["trend", "peers"]


def test_a_trial_is_judged_as_a_backtest_judges() -> None:
    rows = backtest.mature(panels.panel(n_snapshots=8))
    recipe = Recipe(**panels.RECIPE, model="lightgbm", n_folds=0)
    off = ["contract"]
    kept = search.chosen(panels.FEATURES, off)
    assert [f.name for f in kept] == [f.name for f in panels.FEATURES if f.name != "plan"]
    made = trial._origins(
        rows, trial.Definition(**panels.churn()), panels.FEATURES, n_origins=3, n_test=1
    )
    so_far = list(search.judged(made, recipe, off, figure="average_precision", list_share=0.02))
    alone = []
    for origin in made:
        fitted = baselines.fit_model("model", origin.train, kept, recipe)
        label = origin.test["label"].to_numpy()
        alone.append(
            metrics.evaluate(
                label, fitted.risk(origin.test), snapshot=origin.test["snapshot"], list_share=0.02
            )["average_precision"]
        )
    assert so_far == pytest.approx([np.mean(alone[: k + 1]) for k in range(3)])


def test_only_a_search_pays_for_optuna() -> None:
    words = "import churn.stages.train, churn.stages.tune, sys; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_a_default_that_nothing_beat_is_judged_by_itself() -> None:
    """Where the first trial, the default, is the winner, there is nobody to compare it with."""
    rows = backtest.mature(panels.panel(n_snapshots=8))
    origins = trial._origins(
        rows, trial.Definition(**panels.churn()), panels.FEATURES, n_origins=3, n_test=1
    )
    alone = {search.DEFAULT: (Recipe(**panels.RECIPE, model="logistic", n_folds=0), [])}
    found = search.final(origins[-1], alone, list_share=0.05, draws=50, seed=1)
    assert found is not None
    assert found["differences"] is None
    assert set(found["figures"]) == set(alone)
    assert not search.is_better(found, "average_precision")
