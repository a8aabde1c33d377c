"""Runs in MLflow, models by alias, and what to do while the store is down.

MLflow is imported inside the functions: `store` sets what keeps it quiet first.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from churn.io import bundle, lock
from churn.io.lab import served, spool, store
from churn.io.lab.served import Served
from churn.io.lab.store import Store

logger = logging.getLogger("churn")

REGISTERED = "churn"
"""The name of the registered model."""

SPOOL, RUNNING = "spool", "running"

TAG_LENGTH = 7900
"""MLflow cuts longer tags without a word."""


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


@contextmanager
def begun(where: Store, *, name: str, again: str | None = None) -> Iterator[Store]:
    """A run that the store shows as running while the body works; the body ends it by `record`.

    `again` is the run of an earlier start that the body goes on with, where the store has it.

    First everything that earlier runs left is put in order (see `settle`). A body that raises ends
    its run as failed, an interrupted one as killed; what is killed without a word is marked by the
    next start. With a store that is down the body works all the same.
    """
    run_id = store.or_else(lambda: _begin(where, name, again), None, f"the start of `churn {name}`")
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
            store.or_else(
                lambda: store.client(where).set_terminated(run_id, status), None, f"a {status} run"
            )
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
    ids = store.or_else(lambda: _record(where, run), None, what)
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

    def log() -> bool:
        client = store.client(where)
        from mlflow.entities import Metric, Param

        told, now = {"mlflow.parentRunId": str(where.run_id), **tags}, int(time.time() * 1000)
        run = client.create_run(
            store.experiment(client, where), run_name=name, tags=told
        ).info.run_id
        client.log_batch(
            run,
            params=[Param(key, str(value)[:499]) for key, value in flat(parameters).items()],
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

    return where.run_id is not None and store.or_else(log, False, name)


def promote(where: Store, *, to_champion: str, to_previous: str | None) -> None:
    """Move the aliases `champion` and `previous` to registered versions, now or by the next start.

    Versions are MLflow's own numbers (`mlflow_model_version` of a pointer).
    """
    aliases = {"champion": to_champion, **({"previous": to_previous} if to_previous else {})}

    def move() -> bool:
        _set_aliases(store.client(where), aliases)
        return True

    if not store.or_else(move, False, "the champion's new alias"):
        _keep(where, "promote", {"aliases": aliases}, {})


def settle(where: Store) -> None:
    """Deliver the runs that wait and mark those whose process is gone; free where there are none."""
    if spool.waiting(where.folder / SPOOL) or any(lock.dead(where.folder / RUNNING)):
        store.or_else(lambda: _settle(where, store.client(where)), None, "what earlier runs left")


def _keep(where: Store, name: str, content: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    command = name.partition(":")[0]  # what follows are a person's words, no name for a folder
    place = spool.keep(where.folder / SPOOL, command, content, files)
    logger.warning("it waits in %s for the next run that reaches the store", place)


def _begin(where: Store, name: str, again: str | None) -> str:
    client = store.client(where)
    from mlflow.tracking.context.registry import resolve_tags

    experiment = store.experiment(client, where)
    _settle(where, client)
    if again is not None and _found(client, again) is not None:
        client.update_run(again, status="RUNNING")
        return again
    made = client.create_run(experiment, run_name=name, tags=resolve_tags())
    return str(made.info.run_id)


def _settle(where: Store, client: Any) -> None:
    """What `settle` does; what waits is delivered first, since a dead process may have left it."""
    if spool.waiting(where.folder / SPOOL):
        store.experiment(
            client, where
        )  # one question to a store that is down, not one for each run
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
    client = store.client(where)
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
    client = store.client(where)
    import mlflow

    about = {"mlflow.note.content": _note_of(run.description)}
    about |= {"model_version": run.model.version} if run.model else {}
    opened: dict[str, Any] = {"run_id": where.run_id} if where.run_id else {
        "experiment_id": store.experiment(client, where), "run_name": run.name,
    }  # fmt: skip
    with mlflow.start_run(**opened) as active:
        run_id = str(active.info.run_id)
        # The model first: MLflow would ask for the history of every metric that is there before it.
        number, model_id = _registered(client, run.model, run_id) if run.model else (None, None)
        mlflow.set_tags({**run.tags, **about})
        mlflow.log_params({key: str(value)[:499] for key, value in flat(run.parameters).items()})
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


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted name."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found
