"""MLflow, and nothing else here knows it: runs, models by alias, and what to do without them.

MLflow takes three seconds to import and calls home by default, so it is imported inside the
functions, after the environment that keeps it quiet, short of patience and free of pickle is set.
"""

import fcntl
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger("churn")

T = TypeVar("T")

REGISTERED = "churn"
"""The name of the registered model."""

ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scikit-learn")
"""What a served model needs beside this package, which is not listed: a package of the same name
on a public index would be installed in its place."""

TAG_LENGTH = 7900
"""MLflow cuts longer tags without a word."""

SERVED = '''"""The served model: a calibrated risk for each row, read from text and JSON."""

import json
from pathlib import Path

import mlflow
import pandas as pd

from churn.learning import models


class Churn(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        text = Path(context.artifacts["booster"]).read_text()
        spec = json.loads(Path(context.artifacts["spec"]).read_text())
        self.model = models.from_spec(text, spec["model"])

    def predict(self, context, model_input: pd.DataFrame):
        return pd.DataFrame({"risk": models.predict(self.model, model_input)})


mlflow.models.set_model(Churn())
'''


@dataclass(frozen=True)
class Store:
    """Where runs go: `uri` of the tracking store and, for our own SQLite, the artifact folder."""

    uri: str
    artifacts: str | None
    lock: Path
    experiment: str = "churn"


@dataclass(frozen=True)
class Run:
    """What one training leaves: texts and pictures by file name, parameters and figures.

    `inputs` are the model's columns as (name, kind); `model_folder` holds booster.txt and
    spec.json.
    """

    version: str
    model_folder: Path
    inputs: list[tuple[str, str]]
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    tags: Mapping[str, str]
    description: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    name: str = "train"


def store(place: Path, *, experiment: str, uri: str = "") -> Store:
    """The store at `uri`, by default SQLite under the workspace `place`."""
    folder = place / "mlflow"
    if uri:
        return Store(uri, None, folder / ".lock", experiment)
    return Store(
        f"sqlite:///{folder / 'mlflow.db'}",
        (folder / "artifacts").as_uri(),
        folder / ".lock",
        experiment,
    )


QUIET_WORDS = (
    "workspace", "as_of", "known_at", "from_date", "to_date", "source", "sink", "engine", "debug", "name",
    "tune", "promote", "explain", "retain", "weekly",
)  # fmt: skip
"""Where and for when a command ran, and what comes after; a run is about the other words."""


def run_name(command: str, name: str | None, words: Sequence[str]) -> str:
    """What a run is called in MLflow's list: the command, and its name or what was changed.

    >>> run_name("train", None, ["workspace=mine", "train.model=logistic", "seed=3"])
    'train: model=logistic seed=3'
    """
    said = [
        word.removeprefix(f"{command}.").removeprefix("train.")
        for word in words
        if word.partition("=")[0].partition(".")[0] not in QUIET_WORDS
    ]
    about = name or " ".join(said)
    return f"{command}: {about}"[:120] if about else command


def record(where: Store, run: Run) -> dict[str, str]:
    """Log one training and register its model as `challenger`.

    Returns MLflow's ids for the model's pointer; nothing when the store cannot be reached: the
    model is safe in the workspace, and a warning says what was not recorded.
    """
    return _or_warn(lambda: _record(where, run), {}, "this training and its model")


def note(
    where: Store,
    *,
    name: str,
    parameters: Mapping[str, Any],
    figures: Mapping[str, float],
    description: str,
    files: Mapping[str, bytes],
) -> str | None:
    """Log a run without a model and return its id; None, and a warning, when the store is down."""

    def log() -> str:
        client = _client(where)
        import mlflow

        with mlflow.start_run(experiment_id=_experiment(client, where), run_name=name) as active:
            mlflow.set_tag("mlflow.note.content", _note_of(description))
            mlflow.log_params({k: str(v)[:499] for k, v in _flat(parameters).items()})
            mlflow.log_metrics(dict(figures))
            _log_files(files)
        return str(active.info.run_id)

    return _or_warn(log, None, f"this {name}")


def begin(
    where: Store, *, name: str, parameters: Mapping[str, Any], files: Mapping[str, bytes]
) -> str | None:
    """Begin a run that has others below it; its id, or None when the store is down."""

    def start() -> str:
        client = _client(where)
        run = client.create_run(_experiment(client, where), run_name=name)
        _describe(client, run.info.run_id, parameters=parameters, files=files)
        return str(run.info.run_id)

    return _or_warn(start, None, f"this {name}")


def below(
    where: Store,
    parent: str,
    *,
    name: str,
    parameters: Mapping[str, Any],
    steps: Mapping[str, Sequence[float]],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
) -> bool:
    """Log one finished run below `parent`, all figures in one call; False if it failed.

    `steps` are the values of each figure, one after another.
    """

    def log() -> bool:
        client = _client(where)
        told = {"mlflow.parentRunId": parent, **tags}
        run = client.create_run(_experiment(client, where), run_name=name, tags=told)
        _describe(client, run.info.run_id, parameters=parameters, files=files, steps=steps)
        client.set_terminated(run.info.run_id)
        return True

    return _or_warn(log, False, name)


def finish(
    where: Store,
    run: str,
    *,
    figures: Mapping[str, float],
    description: str,
    files: Mapping[str, bytes],
) -> None:
    """End a run that `begin` began."""

    def log() -> None:
        client = _client(where)
        client.set_tag(run, "mlflow.note.content", _note_of(description))
        _describe(client, run, files=files, steps={key: [v] for key, v in figures.items()})
        client.set_terminated(run)

    _or_warn(log, None, "the end of a run")


def _describe(
    client: Any,
    run: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    steps: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Parameters and figures in one call, then the files."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(
        run,
        params=[Param(k, str(v)[:499]) for k, v in _flat(parameters or {}).items()],
        metrics=[
            Metric(key, value, now, step)
            for key, values in (steps or {}).items()
            for step, value in enumerate(values, 1)
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (files or {}).items():
            (Path(folder) / name).write_bytes(content)
        client.log_artifacts(run, folder)


def promote(where: Store, *, to_champion: str, to_previous: str | None) -> bool:
    """Move the aliases `champion` and `previous` to registered versions; False if it failed.

    Versions are MLflow's own numbers (`mlflow_model_version` of a pointer).
    """

    def move() -> bool:
        client = _client(where)
        client.set_registered_model_alias(REGISTERED, "champion", to_champion)
        if to_previous:
            client.set_registered_model_alias(REGISTERED, "previous", to_previous)
        return True

    return _or_warn(move, False, "the champion's new alias")


def _record(where: Store, run: Run) -> dict[str, str]:
    client = _client(where)
    import mlflow

    about = {"model_version": run.version, "mlflow.note.content": _note_of(run.description)}
    with mlflow.start_run(experiment_id=_experiment(client, where), run_name=run.name) as active:
        mlflow.set_tags({**run.tags, **about})
        mlflow.log_params({key: str(value)[:499] for key, value in _flat(run.parameters).items()})
        mlflow.log_metrics(dict(run.figures))
        _log_files(run.files)
        number = _register(client, run)
    client.set_registered_model_alias(REGISTERED, "challenger", number)
    return {"mlflow_run_id": active.info.run_id, "mlflow_model_version": number}


def _note_of(description: str) -> str:
    """As many whole paragraphs as a tag holds; the rest stands in the files of the run."""
    kept = ""
    for part in description.split("\n\n"):
        if len(kept) + len(part) > TAG_LENGTH:
            break
        kept += f"{part}\n\n"
    return kept


def _log_files(files: Mapping[str, bytes]) -> None:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        mlflow.log_artifacts(folder)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted name."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _register(client: Any, run: Run) -> str:
    """Log the model without pickle (code, booster text, JSON) and return its registered number."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"number": "double", "category": "string"}
    inputs = Schema(
        [ColSpec(kinds[kind], name, required=kind == "number") for name, kind in run.inputs]
    )
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "served.py"
        code.write_text(SERVED)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code),
            artifacts={
                "booster": str(run.model_folder / "booster.txt"),
                "spec": str(run.model_folder / "spec.json"),
            },
            signature=ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", "risk")])),
            pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
        )
    if not client.search_registered_models(filter_string=f"name = '{REGISTERED}'"):
        client.create_registered_model(REGISTERED)
    made = client.create_model_version(
        REGISTERED, logged.model_uri, run_id=logged.run_id, model_id=logged.model_id
    )
    return str(made.version)


def _experiment(client: Any, where: Store) -> str:
    found = client.get_experiment_by_name(where.experiment)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(where.experiment, artifact_location=where.artifacts))


def _client(where: Store) -> Any:
    """An MLflow client of the store, which is brought up to date first, one process at a time."""
    import mlflow

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if where.uri.startswith("sqlite:"):
        _upgrade(where)
    mlflow.set_tracking_uri(where.uri)
    return mlflow.MlflowClient(where.uri, where.uri)


def _upgrade(where: Store) -> None:
    """`mlflow db upgrade` under a lock: two first users at once would corrupt an empty store."""
    from mlflow.store.db import utils

    where.lock.parent.mkdir(parents=True, exist_ok=True)
    with where.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = utils.create_sqlalchemy_engine(where.uri)
        try:
            utils._initialize_tables(engine) if _is_empty(engine) else utils._upgrade_db(engine)
        finally:
            engine.dispose()


def _is_empty(engine: Any) -> bool:
    from sqlalchemy import inspect

    return not inspect(engine).get_table_names()


def _or_warn(action: Callable[[], T], otherwise: T, what: str) -> T:
    """Do `action`; when the store is down say so and go on: tracking must not cost a model.

    Python warnings are off meanwhile: MLflow and SQLAlchemy warn about their own code, and what
    concerns the user comes as an exception.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return action()
        except (MlflowException, RequestException, SQLAlchemyError, OSError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("MLflow did not record %s: %s", what, reason)
            return otherwise
