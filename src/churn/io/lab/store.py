"""Where runs are kept: MLflow's store, reached quietly, upgraded alone, and never worth a training.

MLflow takes three seconds to import and calls home by default, so it is imported inside the
functions, after the environment that keeps it quiet, short of patience and free of pickle is set.
"""

import fcntl
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from churn.io import secret
from churn.settings import Settings

logger = logging.getLogger("churn")

T = TypeVar("T")

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

SECRETS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
)
"""What MLflow and its drivers read from the environment; each may stand in a file (`secret`)."""

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


def at(place: Path, *, experiment: str, uri: str = "") -> Store:
    """The store at `uri`, by default SQLite under the workspace `place`."""
    folder = place / "mlflow"
    if uri:
        return Store(uri, None, folder, experiment)
    database, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
    return Store(database, artifacts, folder, experiment)


def of(settings: Settings) -> Store:
    """The store that `train.tracking_uri` and `train.experiment` name."""
    return at(settings.place, experiment=settings.train.experiment, uri=settings.train.tracking_uri)


def experiment(client: Any, where: Store) -> str:
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


def client(where: Store) -> Any:
    """An MLflow client of the store, which is brought up to date first, one process at a time."""
    import mlflow

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # what it says of a store that fails it also raises, and then it is told in one line of ours
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
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


def or_else(action: Callable[[], T], otherwise: T, what: str) -> T:
    """Do `action`; when the store is down say so and go on: tracking must not cost a model.

    Whatever is raised counts: stores and the places of their artifacts raise errors of a dozen
    libraries, and none of them is worth a training. Python warnings are off meanwhile: MLflow and
    SQLAlchemy warn about their own code, and what concerns the user comes as an exception.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in SECRETS:
        secret.exported(name)
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
