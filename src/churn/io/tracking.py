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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from churn.io import bundle, lock, served, spool
from churn.io.served import Served

logger = logging.getLogger("churn")

T = TypeVar("T")

REGISTERED = "churn"
"""The name of the registered model."""

ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PGCONNECT_TIMEOUT": "5",
}

SPOOL, RUNNING = "spool", "running"

TAG_LENGTH = 7900
"""MLflow cuts longer tags without a word."""

REFUSED = (401, 403)
"""What a server answers to a login that it does not know, or that may not."""


@dataclass(frozen=True)
class Store:
    """Where runs go: `uri` of the tracking store and, for our own SQLite, the artifact folder.

    `folder` (WORKSPACE/mlflow) keeps what a store cannot: runs that wait (`spool/`), signs of life
    (`running/`). `run_id` is the run that is open, if any.
    """

    uri: str
    artifacts: str | None
    folder: Path
    experiment: str = "churn"
    run_id: str | None = None


@dataclass(frozen=True)
class Run:
    """What one run leaves: parameters, figures, texts and pictures by file name, perhaps a model."""

    name: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    description: str
    files: Mapping[str, bytes]
    tags: Mapping[str, str] = field(default_factory=dict)
    model: Served | None = None


def store(place: Path, *, experiment: str, uri: str = "") -> Store:
    """The store at `uri`, by default SQLite under the workspace `place`."""
    folder = place / "mlflow"
    if uri:
        return Store(uri, None, folder, experiment)
    database, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
    return Store(database, artifacts, folder, experiment)


@contextmanager
def begun(where: Store, *, name: str, again: str | None = None) -> Iterator[Store]:
    """A run that the store shows as running while the body works; the body ends it by `record`.

    `again` is the run of an earlier start that the body goes on with, where the store has it.

    First everything that earlier runs left is put in order (see `settle`). A body that raises ends
    its run as failed, an interrupted one as killed; what is killed without a word is marked by the
    next start. With a store that is down the body works all the same.
    """
    run_id = _or_else(lambda: _begin(where, name, again), None, f"the start of `churn {name}`")
    if run_id is None:
        yield where
        return
    sign = where.folder / RUNNING / run_id
    with lock.sign_of_life(sign, "KILLED"):
        try:
            yield replace(where, run_id=run_id)
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            sign.write_text(status)
            _or_else(lambda: _client(where).set_terminated(run_id, status), None, f"a {status} run")
            raise


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
    """Log one run (into the one that is open, if any) and register its model as `challenger`.

    Returns MLflow's ids for the model's pointer; nothing when the store cannot be reached: the run
    is then kept in the workspace and delivered by the next start, and a warning says so.
    """
    what = "this training and its model" if run.model else f"this {run.name}"
    ids = _or_else(lambda: _record(where, run), None, what)
    if ids is None:
        _keep(where, run.name, _spelled(where, run), run.files)
    return ids or {}


def note(
    where: Store,
    *,
    name: str,
    parameters: Mapping[str, Any],
    figures: Mapping[str, float],
    description: str,
    files: Mapping[str, bytes],
) -> str | None:
    """Log a run without a model, as `record` does; its id, None where the store cannot be reached."""
    return record(where, Run(name, parameters, figures, description, files)).get("mlflow_run_id")


def below(
    where: Store,
    *,
    name: str,
    parameters: Mapping[str, Any],
    steps: Mapping[str, Sequence[float]],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
) -> bool:
    """Log one finished run below the one that is open, all figures in one call; False if it failed.

    `steps` are the values of each figure, one after another.
    """
    return where.run_id is not None and _or_else(
        lambda: _below(where, name, parameters, steps, tags, files), False, name
    )


def _below(
    where: Store,
    name: str,
    parameters: Mapping[str, Any],
    steps: Mapping[str, Sequence[float]],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
) -> bool:
    client = _client(where)
    from mlflow.entities import Metric, Param

    told, now = {"mlflow.parentRunId": str(where.run_id), **tags}, int(time.time() * 1000)
    run = client.create_run(_experiment(client, where), run_name=name, tags=told).info.run_id
    client.log_batch(
        run,
        params=[Param(key, str(value)[:499]) for key, value in _flat(parameters).items()],
        metrics=[
            Metric(key, value, now, step)
            for key, values in steps.items()
            for step, value in enumerate(values, 1)
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        client.log_artifacts(run, folder)
    client.set_terminated(run)
    return True


def promote(where: Store, *, to_champion: str, to_previous: str | None) -> None:
    """Move the aliases `champion` and `previous` to registered versions, now or by the next start.

    Versions are MLflow's own numbers (`mlflow_model_version` of a pointer).
    """
    aliases = {"champion": to_champion, **({"previous": to_previous} if to_previous else {})}

    def move() -> bool:
        _set_aliases(_client(where), aliases)
        return True

    if not _or_else(move, False, "the champion's new alias"):
        _keep(where, "promote", {"aliases": aliases}, {})


def settle(where: Store) -> None:
    """Deliver the runs that wait and mark those whose process is gone; free where there are none."""
    if spool.waiting(where.folder / SPOOL) or any(lock.dead(where.folder / RUNNING)):
        _or_else(lambda: _settle(where, _client(where)), None, "what earlier runs left")


def _keep(where: Store, name: str, content: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    command = name.partition(":")[0]  # what follows are a person's words, no name for a folder
    place = spool.keep(where.folder / SPOOL, command, content, files)
    logger.warning("it waits in %s for the next run that reaches the store", place)


def _begin(where: Store, name: str, again: str | None) -> str:
    client = _client(where)
    from mlflow.tracking.context.registry import resolve_tags

    experiment = _experiment(client, where)
    _settle(where, client)
    if again is not None and _found(client, again) is not None:
        client.update_run(again, status="RUNNING")
        return again
    made = client.create_run(experiment, run_name=name, tags=resolve_tags())
    return str(made.info.run_id)


def _settle(where: Store, client: Any) -> None:
    """What `settle` does; what waits is delivered first, since a dead process may have left it."""
    if spool.waiting(where.folder / SPOOL):
        _experiment(client, where)  # one question to a store that is down, not one for each run
        spool.deliver(where.folder / SPOOL, lambda kept, files: _deliver(where, kept, files))
    for sign, status in lock.dead(where.folder / RUNNING):
        found = _found(client, sign.name)
        if found is not None and found.info.status == "RUNNING":
            client.set_terminated(sign.name, status)
            said = "MLflow: run %s, whose process is gone, is marked %s"
            logger.info(said, sign.name, status)
        sign.unlink()


def _found(client: Any, run_id: str | None) -> Any:
    """The run, or None where this store has none (another one may have had it)."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return found if found is not None and found.info.lifecycle_stage == "active" else None


def _deliver(where: Store, kept: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Record a run that waited, as if it had been now; its model's pointers learn MLflow's ids."""
    client = _client(where)
    if "aliases" in kept:
        _set_aliases(client, kept["aliases"])
        return
    place = where.folder.parent
    model = kept["model"] and Served(
        kept["model"]["version"],
        place / "models" / kept["model"]["version"],
        [(name, kind) for name, kind in kept["model"]["inputs"]],
    )
    run = Run(**{**kept["run"], "files": files, "model": model})
    is_there = _found(client, kept["run_id"]) is not None
    ids = _record(replace(where, run_id=kept["run_id"] if is_there else None), run)
    for alias in ("challenger", "champion", "previous"):
        entry = bundle.pointer(place, alias)
        if model and entry is not None and entry["version"] == model.version:
            bundle.point(place, alias, {**entry, **ids})
            _set_aliases(client, {alias: ids["mlflow_model_version"]})


def _spelled(where: Store, run: Run) -> dict[str, Any]:
    """`run` as JSON types, without its files; the model by its version in this workspace."""
    told = ("name", "parameters", "figures", "description", "tags")
    model = run.model and {"version": run.model.version, "inputs": list(run.model.inputs)}
    return {
        "run": {name: getattr(run, name) for name in told},
        "model": model,
        "run_id": where.run_id,
    }


def _record(where: Store, run: Run) -> dict[str, str]:
    client = _client(where)
    import mlflow

    about = {"mlflow.note.content": _note_of(run.description)}
    about |= {"model_version": run.model.version} if run.model else {}
    opened: dict[str, Any] = {"run_id": where.run_id} if where.run_id else {
        "experiment_id": _experiment(client, where), "run_name": run.name,
    }  # fmt: skip
    with mlflow.start_run(**opened) as active:
        run_id = str(active.info.run_id)
        # The model first: MLflow would ask for the history of every metric that is there before it.
        number, model_id = _registered(client, run.model, run_id) if run.model else (None, None)
        mlflow.set_tags({**run.tags, **about})
        mlflow.log_params({key: str(value)[:499] for key, value in _flat(run.parameters).items()})
        mlflow.log_metrics(dict(run.figures), model_id=model_id)
        _log_files(run.files)
    if number is None:
        return {"mlflow_run_id": run_id}
    _set_aliases(client, {"challenger": number})
    return {"mlflow_run_id": run_id, "mlflow_model_version": number}


def _registered(client: Any, model: Served, run_id: str) -> tuple[str, str]:
    """The number and id of the run's model: registered before where an earlier attempt came so far."""
    for found in client.search_model_versions(f"run_id = '{run_id}'"):
        return str(found.version), str(found.model_id)
    return served.register(client, model, name=REGISTERED)


def _set_aliases(client: Any, aliases: Mapping[str, str]) -> None:
    for alias, number in aliases.items():
        client.set_registered_model_alias(REGISTERED, alias, number)


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


def _experiment(client: Any, where: Store) -> str:
    """The id of the experiment, which is made where there is none.

    Somebody else may make it at the same moment, or a slow server may have made it by the time that
    we ask again.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(where.experiment)
    if found is None:
        try:
            return str(client.create_experiment(where.experiment, where.artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(where.experiment)
    return str(found.experiment_id)


def _client(where: Store) -> Any:
    """An MLflow client of the store, which is brought up to date first, one process at a time."""
    import mlflow

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scheme = where.uri.split(":")[0].split("+")[0]
    if scheme == "sqlite":
        _upgrade(where)
    elif scheme in ("postgresql", "mysql", "mssql"):
        _require_answer(where)
    mlflow.set_tracking_uri(where.uri)
    return mlflow.MlflowClient(where.uri, where.uri)


def _require_answer(where: Store) -> None:
    """Ask the database once: MLflow would try ten times, for more than a minute and a half."""
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(where.uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _upgrade(where: Store) -> None:
    """`mlflow db upgrade` under a lock: two first users at once would corrupt an empty store."""
    from mlflow.store.db import utils

    where.folder.mkdir(parents=True, exist_ok=True)
    with (where.folder / ".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        engine = utils.create_sqlalchemy_engine(where.uri)
        try:
            utils._initialize_tables(engine) if _is_empty(engine) else utils._upgrade_db(engine)
        finally:
            engine.dispose()


def _is_empty(engine: Any) -> bool:
    from sqlalchemy import inspect

    return not inspect(engine).get_table_names()


def _or_else(action: Callable[[], T], otherwise: T, what: str) -> T:
    """Do `action`; when the store is down say so and go on: tracking must not cost a model.

    Whatever is raised counts: stores and the places of their artifacts raise errors of a dozen
    libraries, and none of them is worth a training. Python warnings are off meanwhile: MLflow and
    SQLAlchemy warn about their own code, and what concerns the user comes as an exception.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - see above
            logger.warning("MLflow did not record %s: %s", what, _reason(error))
            return otherwise


def _reason(error: Exception) -> str:
    """The first line of what a store says; a login that is refused in words of ours."""
    status = getattr(error, "get_http_status_code", lambda: None)()
    if status in REFUSED:
        return (
            f"the tracking server refuses the login (HTTP {status}); it is taken from "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return (str(error).splitlines() or [type(error).__name__])[0]
