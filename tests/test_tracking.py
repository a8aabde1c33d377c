"""MLflow's run of a training: who is alive, what waits for a store that is down, a server with login."""

import logging
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import panels
import pytest
import requests
import yaml

from churn.errors import ConfigurationError
from churn.features.labels import Definition
from churn.io import bundle, lock
from churn.io.lab import spool, store, tracking
from churn.settings import (
    BacktestSettings,
    EngineSettings,
    LightGBMSettings,
    Settings,
    TrainSettings,
)
from churn.stages import promote, train

NOBODY = "http://127.0.0.1:9"
"""The port `discard`: nothing listens there."""


def settings(place: Path, *, seed: int = 7, **changes: Any) -> Settings:
    quick = LightGBMSettings(n_rounds=20, num_leaves=7, min_data_in_leaf=30)
    return Settings(
        workspace=str(place), seed=seed, engine=EngineSettings(threads=1),
        churn=Definition(**panels.churn()),
        train=TrainSettings(**{"lightgbm": quick, "list_share": 0.05, "model": "logistic", **changes}),
        backtest=BacktestSettings(rebuild_rows=0, draws=200),
    )  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them: making them takes seconds."""
    place = tmp_path_factory.mktemp("empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store._upgrade(store_of(place))
    return place / "mlflow" / "mlflow.db"


@pytest.fixture
def empty(tables: Path, tmp_path: Path) -> Path:
    """A workspace with nothing but an empty store."""
    (tmp_path / "empty" / "mlflow").mkdir(parents=True)
    shutil.copy(tables, tmp_path / "empty" / "mlflow" / "mlflow.db")
    return tmp_path / "empty"


@pytest.fixture
def place(tables: Path, tmp_path: Path) -> Path:
    """A workspace with a real roll-up, a panel from which much can be learnt, and an empty store."""
    place = panels.rolled_up(tmp_path)
    panels.write(place, panels.panel(n_customers=1000, n_snapshots=8))
    (place / "mlflow").mkdir()
    shutil.copy(tables, place / "mlflow" / "mlflow.db")
    return place


def store_of(place: Path) -> store.Store:
    return store.at(place, experiment="churn")


def client_of(place: Path) -> Any:
    import mlflow

    uri = store_of(place).uri
    return mlflow.MlflowClient(uri, uri)


def runs(client: Any) -> list[Any]:
    """All runs of the experiment, the oldest first."""
    experiment = client.get_experiment_by_name("churn")
    return client.search_runs([experiment.experiment_id], order_by=["attribute.start_time"])


def waiting(place: Path) -> list[str]:
    return [path.name for path in spool.waiting(place / "mlflow" / tracking.SPOOL)]


# Who is alive?


LIVING = """
import sys, time
from pathlib import Path
from churn.io import lock
with lock.sign_of_life(Path(sys.argv[1]), "KILLED"):
    print("alive", flush=True)
    time.sleep(60)
"""


def test_a_sign_of_life_dies_with_its_process(tmp_path: Path) -> None:
    with lock.sign_of_life(tmp_path / "ended", "KILLED"):
        assert list(lock.dead(tmp_path)) == []
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING, tmp_path / "a"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "alive\n"
        assert list(lock.dead(tmp_path)) == []
        process.kill()
        process.wait(10)
    assert list(lock.dead(tmp_path)) == [(tmp_path / "a", "KILLED")]


def test_a_run_ends_as_its_body_does(empty: Path) -> None:
    where = store_of(empty)
    seen = []

    def fail(error: type[BaseException]) -> None:
        with tracking.begun(where, name="train") as store:
            seen.append(store.run_id)
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            fail(error)
    client = client_of(empty)
    assert [client.get_run(run).info.status for run in seen] == ["FAILED", "KILLED"]


def test_the_next_start_marks_what_died_and_leaves_what_lives(empty: Path) -> None:
    where = store_of(empty)
    with tracking.begun(where, name="train") as dead:
        pass
    # as a killed process leaves it: not ended, and its sign not locked
    sign = empty / "mlflow" / tracking.RUNNING / str(dead.run_id)
    sign.write_text("KILLED")
    with tracking.begun(where, name="train") as living:
        client = client_of(empty)
        assert client.get_run(dead.run_id).info.status == "KILLED"
        assert not sign.exists()
        tracking.settle(where)
        with tracking.begun(where, name="backtest"):
            assert client.get_run(living.run_id).info.status == "RUNNING"


def begin(place: Path, *, seed: int) -> subprocess.Popen[str]:
    """A real `churn train`."""
    params = place.parent / f"{seed}.yaml"
    params.write_text(yaml.safe_dump(asdict(settings(place, seed=seed))))
    return subprocess.Popen(
        [sys.executable, "-m", "churn", "train", f"params={params}"],
        stderr=subprocess.PIPE,
        text=True,
    )


def _until_running(client: Any, n: int, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()[1]
        if len(runs(client)) == n:
            return
        time.sleep(0.1)
    raise AssertionError("no run has begun")


@pytest.mark.slow
def test_a_killed_training_is_marked_by_the_next_and_a_living_one_is_not(place: Path) -> None:
    """Three processes: one killed with SIGKILL, one stopped in the middle, one that starts then."""
    with tracking.begun(store_of(place), name="backtest"):  # makes the experiment
        pass
    client = client_of(place)
    killed = begin(place, seed=1)
    _until_running(client, 2, killed)
    killed.kill()
    killed.communicate()
    stopped = begin(place, seed=2)
    _until_running(client, 3, stopped)
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        assert [run.info.status for run in runs(client)[1:]] == ["KILLED", "RUNNING"]
        said = begin(place, seed=3).communicate()[1]
        assert [run.info.status for run in runs(client)[1:]] == ["KILLED", "RUNNING", "FINISHED"], (
            said
        )
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.communicate()[1].count("challenger") == 1
    assert [run.info.status for run in runs(client)[1:]] == ["KILLED", "FINISHED", "FINISHED"]


# A store that is down


def test_what_no_store_took_is_delivered_by_the_next_start(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down = settings(place, tracking_uri=NOBODY)
    with caplog.at_level(logging.WARNING, logger="churn"):
        train.run(down)
        promote.run(down)
    assert "MLflow did not record this training and its model" in caplog.text
    assert waiting(place) == ["00001-train"]
    assert "mlflow_run_id" not in bundle.load(place).entry

    first = bundle.load(place).version
    train.run(settings(place, tracking_uri="", logistic_c=0.01))
    assert waiting(place) == []
    client, entry = client_of(place), bundle.load(place).entry
    run = client.get_run(entry["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["model_version"] == entry["version"] == first
    assert run.data.params["logistic_c"] == str(TrainSettings().logistic_c)
    assert run.data.metrics["model.roc_auc"] > 0.6
    assert {"model_card.html", "config.yaml"} <= {
        f.path for f in client.list_artifacts(run.info.run_id)
    }
    aliases = {
        alias: client.get_model_version_by_alias("churn", alias).tags
        for alias in ("champion", "challenger")
    }
    assert client.get_model_version_by_alias("churn", "champion").run_id == run.info.run_id
    assert client.get_model_version_by_alias("churn", "challenger").run_id != run.info.run_id, (
        aliases
    )


def test_a_store_that_goes_down_in_the_middle_gets_the_rest_into_the_same_run(
    empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = store_of(empty)
    database = empty / "mlflow" / "mlflow.db"
    with tracking.begun(where, name="backtest") as store:
        database.rename(empty.parent / "elsewhere")
        database.mkdir()
        given: dict[str, Any] = {
            "name": "backtest", "parameters": {"a": 1}, "figures": {"b": 2.5},
            "description": "words", "files": {"report.md": b"text"},
        }  # fmt: skip
        with caplog.at_level(logging.WARNING, logger="churn"):
            tracking.note(store, **given)
    assert "it waits in" in caplog.text
    database.rmdir()
    (empty.parent / "elsewhere").rename(database)
    tracking.settle(where)
    (run,) = runs(client_of(empty))
    assert run.info.run_id == store.run_id
    assert (run.info.status, run.data.params, run.data.metrics) == (
        "FINISHED",
        {"a": "1"},
        {"b": 2.5},
    )
    assert waiting(empty) == []


@pytest.mark.slow
def test_an_alias_that_could_not_be_moved_is_moved_later(place: Path) -> None:
    train.run(settings(place))
    promote.run(settings(place))
    train.run(settings(place, logistic_c=0.01))
    challenger = bundle.pointer(place, "challenger")
    down = store.at(place, experiment="churn", uri=NOBODY)
    number = challenger["mlflow_model_version"]
    tracking.promote(down, to_champion=number, to_previous="1")
    assert waiting(place) == ["00001-promote"]
    assert client_of(place).get_model_version_by_alias("churn", "champion").version == 1
    tracking.settle(store_of(place))
    assert str(client_of(place).get_model_version_by_alias("churn", "champion").version) == number


def test_a_run_waits_whatever_words_it_is_called_by(empty: Path) -> None:
    """A name says what was changed: paths, brackets, a line's end."""
    where = store.at(empty, experiment="churn", uri=NOBODY)
    name = tracking.run_name("backtest", None, ["features.more=[my/own.yaml]", "train.model=a\nb"])
    told = {"parameters": {}, "figures": {"roc_auc": 0.7}, "description": "", "files": {}}
    assert tracking.note(where, name=name, **told) is None
    assert waiting(empty) == ["00001-backtest"]
    tracking.settle(store_of(empty))
    assert waiting(empty) == []
    assert [run.info.run_name for run in runs(client_of(empty))] == [name]


def test_what_is_not_taken_does_not_hold_up_the_rest(
    empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = store.at(empty, experiment="churn", uri=NOBODY)
    tracking.promote(where, to_champion="99", to_previous=None)  # a version that nobody registered
    tracking.note(where, name="backtest", parameters={}, figures={}, description="", files={})
    with caplog.at_level(logging.WARNING, logger="churn"):
        tracking.settle(store_of(empty))
    assert waiting(empty) == ["00001-promote"]
    assert "delete it to give it up" in caplog.text
    assert [run.info.run_name for run in runs(client_of(empty))] == ["backtest"]


@pytest.mark.parametrize("harm", [pytest.param("locked", marks=pytest.mark.slow), "corrupt"])
def test_a_database_that_cannot_be_used_stops_no_training(
    place: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = place / "mlflow" / "mlflow.db"
    other = sqlite3.connect(database)
    if harm == "locked":
        other.execute("BEGIN EXCLUSIVE")
    else:
        database.write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.WARNING, logger="churn"):
        train.run(settings(place))
    other.close()
    assert "MLflow did not record" in caplog.text
    assert ("database is locked" if harm == "locked" else "not a database") in caplog.text
    assert bundle.load(place, "challenger").spec["base_rate"] > 0
    assert waiting(place) == ["00001-train"]


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    for uri in ("http://anna:canary@host:5000", "postgresql+psycopg://churn:canary@h/d"):
        with pytest.raises(ConfigurationError, match="no password") as refusal:
            TrainSettings(tracking_uri=uri)
        assert "canary" not in str(refusal.value)
    for uri in ("", "http://host:5000/a@b", "postgresql://churn@h/d", "sqlite:////tmp/a:b@c.db"):
        assert TrainSettings(tracking_uri=uri).tracking_uri == uri


# A tracking server with login, on PostgreSQL


@dataclass
class Login:
    """A user of a running tracking server."""

    uri: str
    name: str
    password: str


@pytest.fixture(scope="module")
def login(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    if find_spec("flask_wtf") is None:
        pytest.skip("the extra tracking (mlflow[auth]) is not installed")
    home = tmp_path_factory.mktemp("server")
    for database in ("mlflow", "users"):
        server.run(f"CREATE DATABASE {database}")
    (home / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"database_uri = {server.url('users').replace('%', '%%')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    admin = secrets.token_hex(12)
    given = {
        "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": admin,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(12), "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": server.url("mlflow"),
    }  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1",
             "--artifacts-destination", home / "artifacts", "--host", "127.0.0.1", "--port", str(port),
             "--allowed-hosts", f"127.0.0.1:{port}"],
            cwd=home, stdout=log, stderr=log, env={**os.environ, **given}, start_new_session=True,
        )  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    try:
        _until_up(uri, process, home / "log")
        user = Login(uri, "anna", secrets.token_hex(12))
        made = requests.post(
            f"{uri}/api/2.0/mlflow/users/create", auth=("admin", admin), timeout=30,
            json={"username": user.name, "password": user.password},
        )  # fmt: skip
        assert made.status_code == 200, made.text
        yield user
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # nothing here is worth an orderly end
        process.wait(30)


def _until_up(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{uri}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.mark.slow
def test_a_training_is_recorded_by_a_server_with_login(
    login: Login, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", login.name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary of a wrong one")
    given = settings(place, tracking_uri=login.uri)
    with caplog.at_level(logging.WARNING, logger="churn"):
        train.run(given)
    assert "refuses the login (HTTP 401)" in caplog.text
    assert "MLFLOW_TRACKING_PASSWORD" in caplog.text
    assert "canary" not in caplog.text
    assert waiting(place) == ["00001-train"]
    assert bundle.load(place, "challenger").spec["base_rate"] > 0

    caplog.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login.password)
    with caplog.at_level(logging.WARNING, logger="churn"):
        train.run(replace(given, train=replace(given.train, logistic_c=0.02)))
        promote.run(given)
    assert caplog.text == ""
    assert waiting(place) == []
    client, entry = mlflow.MlflowClient(login.uri, login.uri), bundle.load(place).entry
    assert [run.info.status for run in runs(client)] == ["FINISHED", "FINISHED"]
    run = client.get_run(entry["mlflow_run_id"])
    assert run.data.params["logistic_c"] == "0.02"
    assert run.data.metrics["model.roc_auc"] == pytest.approx(
        bundle.load(place).spec["test"]["figures"]["model"]["roc_auc"]
    )
    assert {"model_card.html", "gain.png"} <= {
        f.path for f in client.list_artifacts(run.info.run_id)
    }
    card = client.download_artifacts(run.info.run_id, "model_card.md", str(place.parent))
    assert entry["version"] in Path(card).read_text()
    found = client.get_model_version_by_alias("churn", "champion")
    assert (str(found.version), found.run_id) == (entry["mlflow_model_version"], run.info.run_id)


@pytest.mark.slow
def test_a_stranger_and_a_strange_host_are_turned_away(login: Login) -> None:
    question = f"{login.uri}/api/2.0/mlflow/experiments/get-by-name?experiment_name=churn"
    assert requests.get(question, timeout=30).status_code == 401
    known = (login.name, login.password)
    assert requests.get(question, auth=known, timeout=30).status_code in (200, 404)
    strange = requests.get(question, auth=known, headers={"Host": "10.evil.com"}, timeout=30)
    assert strange.status_code == 403
