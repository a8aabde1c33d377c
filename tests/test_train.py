"""`train` and `promote` end to end on a small panel, with a real MLflow store."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import panels
import pytest

from churn import contracts
from churn.errors import ConfigurationError, HeldBackError
from churn.features.labels import Definition
from churn.io import bundle, tables
from churn.io.lab import plots
from churn.io.modelling.panels import to_learn_from
from churn.learning import models
from churn.retention import evidence
from churn.settings import (
    BacktestSettings,
    EngineSettings,
    LightGBMSettings,
    Settings,
    TrainSettings,
)
from churn.stages import promote, train

ROWS = panels.panel(n_customers=1000, n_snapshots=8)
QUICK = LightGBMSettings(n_rounds=20, num_leaves=7, min_data_in_leaf=30)


def settings(place: Path, *, seed: int = 7, **changes) -> Settings:
    """`tracking_uri` defaults to a store that cannot be reached: MLflow costs seconds a run."""
    given = {
        "tracking_uri": "sqlite:////dev/null/none.db",
        "lightgbm": QUICK,
        "list_share": 0.05,
        **changes,
    }
    engine = EngineSettings(threads=1)  # beside other work, more threads only wait for each other
    churn = Definition(**panels.churn())
    return Settings(
        workspace=str(place), seed=seed, engine=engine, churn=churn, train=TrainSettings(**given),
        backtest=BacktestSettings(rebuild_rows=0, draws=200),
    )  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return panels.rolled_up(tmp_path_factory.mktemp("log"))


@pytest.fixture
def place(log: Path, tmp_path: Path) -> Path:
    return with_panel(log, tmp_path / "ws")


def with_panel(log: Path, place: Path) -> Path:
    """A workspace with a real roll-up, for whether scores see the future, and a panel made by hand."""
    shutil.copytree(log, place)
    panels.write(place, ROWS)
    return place


@pytest.fixture(scope="module")
def tracked(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a champion whose training MLflow recorded."""
    place = with_panel(log, tmp_path_factory.mktemp("tracked") / "ws")
    train.run(settings(place, tracking_uri=""))
    promote.run(settings(place, tracking_uri=""))
    return place


@pytest.fixture(scope="module")
def store(tracked: Path):
    import mlflow

    uri = f"sqlite:///{tracked / 'mlflow' / 'mlflow.db'}"
    return mlflow.MlflowClient(uri, uri)


def test_the_run_says_what_was_done_and_how_well_it_went(tracked: Path, store) -> None:
    champion = bundle.load(tracked)
    run = store.get_run(champion.entry["mlflow_run_id"])
    assert run.info.run_name == "train"
    assert run.info.status == "FINISHED"
    assert run.data.params["lightgbm.num_leaves"] == "7"
    assert (
        run.data.metrics["model.log_loss"] == champion.spec["test"]["figures"]["model"]["log_loss"]
    )
    assert run.data.metrics["longest_silent.roc_auc"] > 0.5
    assert run.data.tags["panel_sha256"] == tables.fingerprint(
        tracked / "panel", made_by="features"
    )
    assert run.data.tags["model_version"] == champion.version
    assert "nats per customer" in run.data.tags["mlflow.note.content"]
    names = {f.path for f in store.list_artifacts(run.info.run_id)}
    assert names == {
        "calibration.png",
        "config.yaml",
        "feature_families.png",
        "gain.png",
        "model_card.html",
        "model_card.md",
    }


def test_predictions_of_later_rows_are_kept_for_comparisons(tracked: Path) -> None:
    champion = bundle.load(tracked)
    folder = tracked / "runs" / champion.version
    kept = tables.read(folder, made_by="train")
    assert len(kept) == champion.spec["test"]["figures"]["model"]["n_rows"]
    facts = tables.facts(folder, made_by="train")
    assert facts["mlflow_run_id"] == champion.entry["mlflow_run_id"]
    assert facts["configuration"]["train.lightgbm.num_leaves"] == 7
    assert facts["against"] is None


def test_what_became_of_those_for_whom_a_family_spoke_is_kept_with_the_model(
    tracked: Path,
) -> None:
    champion = bundle.load(tracked)
    rows = tables.read(tracked / "backtest_reasons", made_by="train", part=champion.version)
    assert list(rows.columns) == list(contracts.BACKTEST_REASONS.columns)
    assert rows["weight"].groupby(rows["family"]).sum().eq(
        champion.spec["test"]["figures"]["model"]["n_rows"]
    ).all()  # fmt: skip
    kept = champion.spec["reasons"]
    assert [one["lift"] for one in kept] == [
        one["lift"] for one in evidence.weighed(rows, min_lift=1.5)
    ]
    usage = next(one for one in kept if (one["family"], one["direction"]) == ("usage", "raises"))
    assert usage["is_shown"]
    assert usage["lift"] > 1.5


def test_aliases_and_everything_else_stay_in_the_workspace(tracked: Path, store) -> None:
    entry = bundle.load(tracked).entry
    for alias in ("challenger", "champion"):
        found = store.get_model_version_by_alias("churn", alias)
        assert str(found.version) == entry["mlflow_model_version"]
    experiment = store.get_experiment_by_name("churn")
    assert experiment.artifact_location.startswith((tracked / "mlflow").as_uri())


def test_the_registered_model_predicts_the_same_without_pickle(tracked: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tracked / 'mlflow' / 'mlflow.db'}")
    served = mlflow.pyfunc.load_model("models:/churn@champion")
    rows = ROWS.head(50)
    numbers = {f.name: "float64" for f in panels.FEATURES if f.kind == "number"}
    found = served.predict(rows[[f.name for f in panels.FEATURES]].astype(numbers))
    assert (found["risk"] == models.predict(bundle.load(tracked).model, rows)).all()
    stored = [p.suffix for p in (tracked / "mlflow" / "artifacts").rglob("*") if p.is_file()]
    assert not {".pkl", ".pickle", ".cloudpickle", ".skops"} & set(stored)


def test_a_store_that_is_down_costs_no_model(place: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="churn"):
        train.run(settings(place))
    assert "MLflow did not record this training" in caplog.text
    assert bundle.load(place, "challenger").spec["base_rate"] > 0


def test_training_twice_gives_the_same_bytes(log: Path, place: Path, tmp_path: Path) -> None:
    other = with_panel(log, tmp_path / "other")
    train.run(settings(place))
    train.run(replace(settings(other), engine=EngineSettings(threads=2)))
    assert bundle.pointer(place, "challenger") == bundle.pointer(other, "challenger")


def test_the_specification_knows_all_that_scoring_needs(place: Path) -> None:
    train.run(settings(place))
    spec = bundle.load(place, "challenger").spec
    assert spec["panel"] == {k: v for k, v in panels.facts().items() if k not in ("as_of", "asked")}
    assert spec["churn"] == panels.churn()
    assert spec["as_of"] == "2026-01-05"
    assert len(spec["training_snapshots"]) == 8
    last = spec["test"]["origins"][-1]
    assert last["test_snapshots"] == ["2025-12-08"]
    assert last["training_snapshots"][-1] == "2025-11-10"
    assert len(spec["test"]["origins"]) == 4


def test_the_log_shows_the_model_and_its_rivals(place: Path, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="churn"):
        train.run(settings(place))
    for title in (
        "| model",
        "| longest silent",
        "| biggest drop",
        "| tenure and contract",
        "| logistic",
    ):
        assert title in caplog.text


def test_the_card_tells_what_a_family_is_worth_to_who_asks(place: Path) -> None:
    """Recency and trend carry the risk of this panel, tenure carries nothing."""
    train.run(settings(place, model="logistic", ablation=True))
    spec = bundle.load(place, "challenger").spec
    worth = {name: one["average_precision"] for name, one in spec["ablation"].items()}
    assert set(worth) == {feature.family for feature in panels.FEATURES}
    assert min(worth["recency"]["low"], worth["trend"]["low"]) > 0.02
    assert worth["tenure"]["low"] < 0 < worth["tenure"]["high"]
    card = (place / "cards" / f"{spec['version']}.html").read_text()
    assert "What each family of features is worth" in card
    assert f">{worth['recency']['value']:+.3f} (" in card

    train.run(settings(place, model="logistic"))
    quiet = bundle.load(place, "challenger").spec
    assert quiet["version"] == spec["version"]
    assert quiet["ablation"] is None
    assert "train.ablation=true" in (place / "cards" / f"{spec['version']}.html").read_text()


def test_the_card_has_everything_a_page_must_have(place: Path) -> None:
    few = ROWS["customer_id"] < "00005"
    panels.write(place, ROWS.assign(plan=ROWS["plan"].mask(few, "rare")))
    train.run(settings(place, model="logistic"))
    spec = bundle.load(place, "challenger").spec
    card = (place / "cards" / f"{spec['version']}.html").read_text()
    for said in (
        "What counts as churn", "What it learnt from", "How well it did on later snapshots",
        "The gate", "The model by origin", "Lead time", "What each family of features is worth",
        "Who gets help, by group", "too few to judge", "Known limits and harms", "Run it again",
        f"panel_sha256: {tables.fingerprint(place / 'panel', made_by='features')}",
        f"daily_sha256: {tables.fingerprint(place / 'daily', made_by='rollup')}",
        f"churn run params=WORKSPACE/cards/{spec['version']}.yaml", "longest silent",
    ):  # fmt: skip
        assert said in card, said
    assert card.count("data:image/png") == 3
    for name in ("model", "longest_silent", "tenure_contract"):
        found = spec["evidence"]["intervals"][name]["average_precision"]
        assert f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" in card


def test_too_short_a_log_trains_and_says_that_nothing_was_tested(tmp_path: Path, caplog) -> None:
    panels.write(tmp_path, panels.panel(n_snapshots=2))
    with caplog.at_level(logging.INFO, logger="churn"):
        train.run(settings(tmp_path))
    assert "No test figures" in caplog.text
    assert bundle.load(tmp_path, "challenger").spec["test"] is None
    assert bundle.load(tmp_path, "challenger").spec["reasons"] is None
    assert tables.read(tmp_path / "backtest_reasons", made_by="train").empty


def test_without_a_panel_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="churn features"):
        train.run(settings(tmp_path))


@pytest.mark.parametrize("change", [{"label": 0.0}, {"label": 1.0}, {"label_mature": False}])
def test_a_panel_that_teaches_nothing_is_held_back(tmp_path: Path, change: dict) -> None:
    panels.write(tmp_path, panels.panel().assign(**change))
    with pytest.raises(HeldBackError) as refusal:
        train.run(settings(tmp_path))
    assert refusal.value.exit_code == 4
    assert bundle.pointer(tmp_path, "challenger") is None


def test_promote_needs_a_challenger(tmp_path: Path) -> None:
    with pytest.raises(HeldBackError, match="no challenger model yet"):
        promote.run(settings(tmp_path))


def test_pictures_are_the_same_bytes_every_time() -> None:
    random = np.random.default_rng(0)
    risk = random.random(500)
    label = (random.random(500) < risk).astype(float)
    scores = {"model": risk, "longest silent": random.random(500)}
    first, second = (
        [plots.calibration(label, risk), plots.gain(label, scores, list_share=0.02)]
        for _ in range(2)
    )
    assert first == second
    assert all(picture.startswith(b"\x89PNG") and b"matplotlib" not in picture for picture in first)


def test_a_panel_for_another_question_is_refused(place):
    other = replace(settings(place), churn=Definition(**panels.churn(horizon_days=7)))
    with pytest.raises(ConfigurationError, match="another churn"):
        train.run(other)
    with pytest.raises(ConfigurationError, match="another as_of"):
        train.run(replace(settings(place), as_of="2020-01-01"))


def test_a_monotone_word_that_names_nothing_is_refused(place: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"train\.monotone") as refusal:
        train.run(settings(place, monotone={"recensy": 1}))
    assert "recency" in refusal.value.expected
    with pytest.raises(ConfigurationError, match=r"train\.monotone"):
        settings(place, monotone={"recency": 2})


def test_of_a_panel_too_large_to_learn_from_whole_customers_are_read(place: Path) -> None:
    folder = place / "panel"
    everything = to_learn_from(folder, max_rows=8000, seed=7)
    few = to_learn_from(folder, max_rows=7000, seed=7)
    fewer = to_learn_from(folder, max_rows=2000, seed=7)
    assert len(everything) == len(ROWS) == 9000
    assert 6500 < few["label_mature"].sum() < 7500
    assert 1600 < fewer["label_mature"].sum() < 2400
    assert fewer["customer_id"].value_counts().eq(9).all()
    assert set(fewer["customer_id"]) < set(few["customer_id"])
