"""`churn compare`: the same rows or a refusal, paired figures, and which words name a run."""

import dataclasses
import json
import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import panels
import pytest

from churn.errors import ConfigurationError
from churn.features.labels import Definition
from churn.io import bundle
from churn.io.lab import comparing, runs
from churn.learning import backtest, comparison, trial
from churn.learning.backtest import Backtest
from churn.learning.baselines import Champion
from churn.learning.models import Recipe
from churn.settings import BacktestSettings, CompareSettings, Settings, TrainSettings
from churn.stages import compare

ROWS = backtest.mature(panels.panel(n_customers=600, n_snapshots=8))
TREES = Recipe(**panels.RECIPE, model="lightgbm", n_folds=2)
LINE = dataclasses.replace(TREES, model="logistic")
BASE, LEAN, OLD, LATER = "0a1b2c3d4e5f", "1a1b2c3d4e5f", "2a1b2c3d4e5f", "3a1b2c3d4e5f"
RUN_ID = "f" * 32


def judged(rows: pd.DataFrame = ROWS, recipe: Recipe = TREES, **given) -> Backtest:
    found = trial.run(
        rows,
        definition=Definition(**panels.churn()),
        features=panels.FEATURES,
        contestants=backtest.contestants(recipe, **given),
        n_origins=3,
        n_test=1,
        list_share=0.05,
    )
    assert found is not None
    return found


def settings(place: Path, *words: str, name: str | None = None, **train) -> Settings:
    return Settings(
        workspace=str(place),
        name=name,
        churn=Definition(**panels.churn()),
        train=TrainSettings(
            **{"list_share": 0.05, "tracking_uri": "sqlite:////dev/null/none.db", **train}
        ),
        backtest=BacktestSettings(draws=200),
        compare=CompareSettings(list(words)),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the same rows, one of an earlier training on others, and a champion."""
    place = tmp_path_factory.mktemp("runs")
    base = judged()
    told = settings(place, name="base", model="lightgbm")
    runs.keep(told, base, kind="train", version=BASE, run_id=RUN_ID)
    told = settings(place, name="lean", model="logistic")
    runs.keep(told, judged(recipe=LINE), kind="train", version=LEAN)
    early = judged(ROWS[ROWS["snapshot"] < ROWS["snapshot"].max()])
    runs.keep(settings(place), early, kind="train", version=OLD)
    bundle.point(place, "champion", {"version": OLD})
    bundle.point(place, "challenger", {"version": LATER})
    return place


def rows_of(place: Path, word: str) -> pd.DataFrame:
    return runs.chosen(place, [word, "base" if word != "base" else "lean"])[0].rows


def test_a_run_is_found_by_its_name_version_beginning_and_tracker(place: Path) -> None:
    for word in ("base", BASE, BASE[:6], RUN_ID):
        pd.testing.assert_frame_equal(rows_of(place, word), rows_of(place, "base"))
    assert not (rows_of(place, "lean")["score"] == rows_of(place, "base")["score"]).all()


def test_a_name_goes_to_its_latest_run(place: Path, tmp_path: Path) -> None:
    for version, recipe in ((BASE, TREES), (LEAN, LINE)):
        runs.keep(
            settings(tmp_path, name="mine"), judged(recipe=recipe), kind="train", version=version
        )
    found = runs.chosen(tmp_path, ["mine", BASE])
    assert found[0].facts["key"] == LEAN


def test_differences_are_those_of_the_figures_on_the_same_rows(place: Path) -> None:
    compare.run(settings(place, "base", "lean", "base:longest_silent"))
    said = json.loads((place / "compare" / "compare.json").read_text())
    whole = {"base": judged(), "lean": judged(recipe=LINE)}
    pooled = said["pooled"]
    assert pooled["n_rows"] == 3 * 600
    for name, found in whole.items():
        for key in ("average_precision", "roc_auc", "lift_at_list", "log_loss_skill"):
            assert pooled["figures"][name][key]["value"] == pytest.approx(
                found.figures["model"][key]
            )
    silent = whole["base"].figures["longest_silent"]["average_precision"]
    assert pooled["figures"]["base:longest_silent"]["average_precision"]["value"] == pytest.approx(
        silent
    )
    for name in ("lean", "base:longest_silent"):
        minus = pooled["differences"][name]["average_precision"]
        values = [pooled["figures"][n]["average_precision"]["value"] for n in (name, "base")]
        assert minus["value"] == pytest.approx(values[0] - values[1])
        assert minus["low"] < minus["value"] < minus["high"]
    by_day = {name: list(found.by_origin.values()) for name, found in whole.items()}
    won = [
        lean["model"]["average_precision"] > base["model"]["average_precision"]
        for base, lean in zip(by_day["base"], by_day["lean"], strict=True)
    ]
    assert said["won"]["lean"] == sum(won)
    assert [one["n_rows"] for one in said["by_origin"]] == [600] * 3


def test_pairs_make_intervals_narrow(place: Path) -> None:
    """A run and nearly itself: each has a wide interval, their difference has nearly none."""
    rows = rows_of(place, "base")
    random = np.random.default_rng(1)
    nearly = rows.assign(score=rows["score"] + random.normal(0, 1e-3, len(rows)))
    found = comparison.compared({"a": rows, "b": nearly}, list_share=0.05, draws=200, seed=1)
    own, minus = (
        found["pooled"]["figures"]["a"]["average_precision"],
        found["pooled"]["differences"]["b"]["average_precision"],
    )
    assert minus["high"] - minus["low"] < (own["high"] - own["low"]) / 5


def test_calibration_counts_nearness_to_one_from_both_sides(place: Path) -> None:
    rows = rows_of(place, "base")
    exact = rows["risk"] * rows["label"].mean() / rows["risk"].mean()
    worlds = {
        "true": rows.assign(risk=exact),
        "twice": rows.assign(risk=np.minimum(2 * exact, 1)),
        "half": rows.assign(risk=exact / 2),
    }
    found = comparison.compared(worlds, list_share=0.05, draws=100, seed=1)["pooled"]["differences"]
    assert found["half"]["calibration"]["value"] == pytest.approx(np.log(0.5))
    assert found["twice"]["calibration"]["value"] < -0.3


def test_the_page_says_who_is_better_where_and_what_was_set(place: Path) -> None:
    compare.run(settings(place, "base:random", "base", "lean"))
    text = (place / "compare" / "compare.md").read_text()
    assert re.search(r"\*\*base is better than base:random: average precision \+0\.\d", text)
    assert re.search(r"\| train.model +\| +lightgbm \| +lightgbm \| +logistic \|", text)
    assert re.search(r"\(contestant\) +\| +random \| +model \| +model", text)
    page = (place / "compare" / "compare.html").read_text()
    assert "data:image/png;base64," in page
    before = (place / "compare" / "compare.png").read_bytes()
    compare.run(settings(place, "base:random", "base", "lean"))
    assert (place / "compare" / "compare.png").read_bytes() == before
    found = json.loads((place / "compare" / "compare.json").read_text())
    found["pooled"]["differences"]["lean"]["average_precision"] = {
        "value": -0.1,
        "low": -0.2,
        "high": -0.01,
    }
    assert "lean is worse than base:random" in comparing.verdict(found, "lean")
    found["pooled"]["differences"]["lean"]["average_precision"]["high"] = 0.01
    assert "cannot decide" in comparing.verdict(found, "lean")


@pytest.mark.parametrize(
    ("words", "what", "next_step"),
    [
        (["base"], "needs two", "base"),
        (["base", "base"], "needs two", "lean"),
        (["base", "leen"], "no such run", "churn backtest name=NAME"),
        (["base", OLD], "not judged on the same customers", "churn backtest name=NAME"),
        (["base", "champion"], "not judged on the same customers", "same as_of"),
        (["base", "challenger"], "no such run", "keeps the predictions"),
        (["base", "base:logistic"], "no such contestant", "logistic_all"),
    ],
)
def test_what_cannot_be_compared_is_refused(place: Path, words, what: str, next_step: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as refusal:
        compare.run(settings(place, *words))
    assert next_step in refusal.value.next_step + refusal.value.expected
    if "same customers" in what:
        assert "1,800 rows of 3 origins" in refusal.value.got


def test_other_outcomes_are_other_rows(place: Path) -> None:
    rows = rows_of(place, "base")
    assert comparison.are_same(rows, rows.copy())
    assert not comparison.are_same(rows, rows.assign(label=1 - rows["label"]))
    assert not comparison.are_same(rows, rows.iloc[1:].reset_index(drop=True))


def test_the_champion_of_an_earlier_training_is_taken_as_judged_beside_the_challenger(
    place: Path, tmp_path: Path, caplog
) -> None:
    champion = Champion(None, panels.FEATURES, LINE, date.max)  # type: ignore[arg-type]
    bundle.point(tmp_path, "champion", {"version": OLD})
    bundle.point(tmp_path, "challenger", {"version": LATER})
    both = judged(champion=champion)
    early = judged(ROWS[ROWS["snapshot"] < ROWS["snapshot"].max()])
    runs.keep(settings(tmp_path), early, kind="train", version=OLD)
    runs.keep(settings(tmp_path), both, kind="train", version=LATER)
    with caplog.at_level("INFO", logger="churn"):
        compare.run(settings(tmp_path, "champion", "challenger"))
    assert "champion is taken as it was judged beside challenger" in caplog.text
    said = json.loads((tmp_path / "compare" / "compare.json").read_text())
    for word, name in (("champion", "champion"), ("challenger", "model")):
        found = said["pooled"]["figures"][word]["average_precision"]["value"]
        assert found == pytest.approx(both.figures[name]["average_precision"])


def test_a_rule_in_charge_is_taken_from_the_run_beside(tmp_path: Path) -> None:
    runs.keep(settings(tmp_path, name="base"), judged(), kind="train", version=BASE)
    bundle.point(tmp_path, "champion", {"version": OLD, "rule": "biggest_drop"})
    rule, base = runs.chosen(tmp_path, ["champion", "base"])
    found = judged().figures["biggest_drop"]["average_precision"]
    figures = comparison.compared(
        {"rule": rule.rows, "base": base.rows}, list_share=0.05, draws=100, seed=1
    )["pooled"]["figures"]
    assert figures["rule"]["average_precision"]["value"] == pytest.approx(found)


def test_mlflow_has_the_comparison(place: Path) -> None:
    import mlflow

    compare.run(settings(place, "base", "lean", tracking_uri=""))
    uri = f"sqlite:///{place / 'mlflow' / 'mlflow.db'}"
    store = mlflow.MlflowClient(uri, uri)
    (run,) = store.search_runs([store.get_experiment_by_name("churn").experiment_id])
    assert run.info.run_name == "compare: lean against base"
    assert "lean.average_precision_low" in run.data.metrics
    names = {f.path for f in store.list_artifacts(run.info.run_id)}
    assert names == {"compare.md", "compare.html", "compare.png", "compare.json"}
