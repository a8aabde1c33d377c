"""`churn tune` on a real small log: the held-back origin, what is written, and what MLflow has."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from commandline import composed
from test_backtest_command import AS_OF, place, settings  # noqa: F401 - a fixture

from churn.errors import ConfigurationError, HeldBackError
from churn.io import tables
from churn.io.engine import opened, resources
from churn.io.modelling import origins
from churn.io.workspace import SIDES, USAGE, Workspace
from churn.learning import search
from churn.settings import BacktestSettings, FeatureSettings, Settings, TrainSettings, TuneSettings
from churn.stages import tune

HELD_AT = "2025-09-01"
OFF = [
    "season",
    "text",
    "breadth",
    "first_use",
    "sequence",
    "trend",
    "trouble",
    "money",
    "peers",
    "return",
]
TUNE = TuneSettings(trials=7, models=["logistic"], families=["people", "season", "contact"])


def asked(place: Path, **changes) -> Settings:  # noqa: F811
    """Regressions alone and two families: a trial takes a tenth of a second."""
    given = settings(place)
    return dataclasses.replace(
        given,
        **{
            "tune": TUNE,
            "train": dataclasses.replace(given.train, model="logistic"),
            "features": FeatureSettings(
                lookback_days=182, n_event_types=2, n_topics=0, without=OFF
            ),
            **changes,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def searched(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A workspace of its own with a search that MLflow has recorded."""
    mine = copied(place, tmp_path_factory.mktemp("searched"))
    told = asked(mine)
    told.train.tracking_uri = ""
    told.config.overrides = ["tune.trials=7", "train.model=logistic", "source.events=my logs/*.csv"]
    tune.run(told)
    return mine


def copied(place: Path, folder: Path) -> Path:  # noqa: F811
    for name in (*USAGE, *SIDES):
        shutil.copytree(place / name, folder / name)
    return folder


def written(place: Path) -> dict:  # noqa: F811
    return json.loads((place / "tune" / "tune.json").read_text())


def test_the_search_ends_before_the_day_that_it_is_judged_on(searched: Path) -> None:
    said = written(searched)
    assert said["origins"] == ["2025-07-28"]  # its last outcome is known on the day held back
    assert said["final"]["at"] == HELD_AT
    assert said["final"]["n_train"] > 500
    assert len(said["trials"]) == 7
    assert said["trials"][0]["choice"]["train.model"] == "logistic"
    families = {
        tuple(v for k, v in t["choice"].items() if "features." in k) for t in said["trials"]
    }
    assert len(families) > 1


def test_what_happens_from_that_day_on_changes_no_trial(searched: Path, tmp_path: Path) -> None:
    """Half of those who left from then on did not leave: another final figure, the same search."""
    other = copied(searched, tmp_path / "other")
    rows = tables.read(other / "subscriptions", made_by="rollup")
    ended = pd.to_datetime(rows["end_date"]) >= HELD_AT
    kept = ended & (rows["customer_id"].str[-1].isin(list("02468")))
    assert kept.sum() > 5
    rows.loc[kept, "end_date"] = None
    facts = tables.facts(other / "subscriptions", made_by="rollup")
    parts = tables.names(other / "subscriptions")
    tables.write(other / "subscriptions", {parts[0]: rows}, facts=facts)
    tune.run(asked(other))
    before, after = written(searched), written(other)
    assert after["trials"] == before["trials"]
    assert after["changes"] == before["changes"]
    assert after["final"]["figures"] != before["final"]["figures"]


@pytest.mark.slow
def test_the_same_words_give_the_same_search(searched: Path, tmp_path: Path) -> None:
    again = copied(searched, tmp_path / "again")
    tune.run(asked(again))
    assert written(again)["trials"] == written(searched)["trials"]
    assert written(again)["final"] == written(searched)["final"]


def test_the_page_says_whether_the_winner_earned_its_place(searched: Path) -> None:
    said, text = written(searched), (searched / "tune" / "tune.md").read_text()
    assert ("The winner is better" in text) == said["is_better"]
    assert ("The default stays" in text) != said["is_better"]
    for head in ("which the search never saw", "## The best trials", "## What was searched"):
        assert head in text
    page = (searched / "tune" / "tune.html").read_text()
    assert "data:image/png;base64," in page
    assert (searched / "tune" / "trials.png").read_bytes()[:4] == b"\x89PNG"


def test_the_printed_words_and_the_preset_train_with_the_winner(searched: Path) -> None:
    said = written(searched)
    assert said["best"] != 0  # or there is nothing to say
    *_, line = said["command"].split(" && ")
    program, command, *words = shlex.split(line)
    assert (program, command) == ("churn", "train")
    assert "source.events=my logs/*.csv" in words
    assert "name=tuned" in words
    assert not [word for word in words if word.startswith("tune.")]
    own = ["train.model=logistic", f"features.without=[{','.join(OFF)}]"]
    by_words = composed(*[w for w in own if w.partition("=")[0] not in said["changes"]], *words)
    preset = composed("--config-dir", str(searched / "tune"), "experiment=tuned", *own[:1],
                      *([] if "features.without" in said["changes"] else own[1:]))  # fmt: skip
    for key, value in said["changes"].items():
        for given in (by_words, preset):
            found = given
            for part in key.split("."):
                found = getattr(found, part)
            assert found == value, key


def test_mlflow_has_a_run_for_each_trial_below_one(searched: Path) -> None:
    import mlflow

    uri = f"sqlite:///{searched / 'mlflow' / 'mlflow.db'}"
    store = mlflow.MlflowClient(uri, uri)
    experiment = store.get_experiment_by_name("churn").experiment_id
    every = store.search_runs([experiment], max_results=100)
    (parent,) = [run for run in every if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in every if run is not parent}
    assert parent.info.run_name == "tune: model=logistic"
    assert parent.info.status == "FINISHED"
    said = written(searched)
    assert parent.data.metrics["best.average_precision"] == max(
        t["so_far"][-1] for t in said["trials"] if not t["is_pruned"]
    )
    assert "held_out.default.average_precision" in parent.data.metrics
    assert len(children) == 7
    first = children["trial 00 logistic"]
    assert first.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert first.info.status == "FINISHED"
    assert first.data.metrics["average_precision"] == said["trials"][0]["so_far"][-1]
    assert first.data.params["train.logistic_c"] == str(TrainSettings().logistic_c)
    assert {f.path for f in store.list_artifacts(first.info.run_id)} == {"config.yaml"}
    names = {f.path for f in store.list_artifacts(parent.info.run_id)}
    assert {"tune.html", "tune.json", "tuned.yaml", "trials.png", "config.yaml"} <= names


def test_a_search_again_goes_on_in_the_same_run(searched: Path, caplog) -> None:
    import mlflow

    told = asked(searched, tune=dataclasses.replace(TUNE, trials=8))
    told.train.tracking_uri = ""
    with caplog.at_level("INFO", logger="churn"):
        tune.run(told)
    assert "7 trials of the same search are taken over" in caplog.text
    uri = f"sqlite:///{searched / 'mlflow' / 'mlflow.db'}"
    store = mlflow.MlflowClient(uri, uri)
    runs = store.search_runs([store.get_experiment_by_name("churn").experiment_id])
    assert len(runs) == 9


@pytest.mark.slow
def test_a_killed_command_goes_on_in_its_own_run(searched: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the trials; the next start ends as the search that was left alone."""
    mine = copied(searched, tmp_path / "killed")
    script = (
        "import sys; from pathlib import Path; from test_tune import asked; from churn.stages import tune;"
        "told = asked(Path(sys.argv[1])); told.train.tracking_uri = ''; tune.run(told)"
    )
    search_path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": search_path}
    running = subprocess.Popen([sys.executable, "-c", script, str(mine)], env=env)
    path = mine / "tune" / "trials.json"
    while running.poll() is None and (
        not path.exists() or len(json.loads(path.read_text())["trials"]) < 3
    ):
        time.sleep(0.01)
    running.kill()
    running.wait()
    before = json.loads(path.read_text())
    assert 3 <= len(before["trials"]) < 7
    told = asked(mine)
    told.train.tracking_uri = ""
    tune.run(told)
    assert written(mine)["trials"] == written(searched)["trials"][:7]

    import mlflow

    uri = f"sqlite:///{mine / 'mlflow' / 'mlflow.db'}"
    store = mlflow.MlflowClient(uri, uri)
    runs = store.search_runs([store.get_experiment_by_name("churn").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_id == before["facts"]["mlflow_run_id"]
    assert parent.info.status == "FINISHED"


def test_a_trial_without_a_family_has_the_columns_that_training_will_have(place: Path) -> None:  # noqa: F811
    workspace, found = Workspace(place), []
    for off in ([], ["people", "contact"]):
        told = asked(place, backtest=BacktestSettings(origins=1, test_snapshots=1))
        told.features.without = [*OFF[1:], *off]
        with opened(resources(told.engine), workspace.usage()) as engine:
            found += origins.rebuilt(
                engine, told, date.fromisoformat(AS_OF), workspace.usage_facts(), []
            )
    whole, without = found
    features = search.chosen(whole.features, ["people", "contact"])
    assert features == list(without.features)
    names = [f.name for f in features]
    pd.testing.assert_frame_equal(whole.train[names], without.train[names])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backtest": BacktestSettings(origins=1)}, "one that it never sees"),
        ({"tune": TuneSettings(families=["activity"])}, "that other families read"),
        ({"tune": TuneSettings(families=["peoples"])}, "no features of"),
    ],
)
def test_what_cannot_be_searched_is_refused(place: Path, changes: dict, named: str) -> None:  # noqa: F811
    with pytest.raises(ConfigurationError, match=named):
        tune.run(asked(place, **changes))


def test_too_short_a_log_is_held_back(place: Path) -> None:  # noqa: F811
    with pytest.raises(HeldBackError, match="too short for a search"):
        tune.run(asked(place, as_of="2025-04-01"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("trials", 0), ("figure", "accuracy"), ("models", []), ("models", ["cat"]), ("name", "../x")],
)
def test_settings_of_a_search_are_checked(key: str, value) -> None:
    with pytest.raises(ConfigurationError, match=rf"tune\.{key}"):
        TuneSettings(**{key: value})
