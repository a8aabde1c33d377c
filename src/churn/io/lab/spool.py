"""Runs that could not be recorded, kept until a store takes them.

`FOLDER/<number>-<name>/` holds `run.json` and the run's files, complete or not at all (one rename), in
the order in which the runs were made. The model itself stays where every model is.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from churn.io import tables

log = logging.getLogger("churn")

RUN = "run.json"


def keep(folder: Path, name: str, content: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Keep one run behind those that wait already; returns its place."""
    folder.mkdir(parents=True, exist_ok=True)
    with tables.staging(folder) as staged:
        new = staged / "new"
        for file, data in files.items():
            tables.write_bytes(new / file, data)
        tables.write_bytes(new / RUN, json.dumps(content, default=str).encode())
        number = 1 + max([int(path.name.split("-")[0]) for path in waiting(folder)], default=0)
        while True:
            place = folder / f"{number:05d}-{name}"
            try:
                os.rename(new, place)
            except OSError:  # another process has just taken the number
                if not place.exists():
                    raise
                number += 1
            else:
                tables.sync(folder)
                return place


def waiting(folder: Path) -> list[Path]:
    """The places of the runs that wait, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{RUN}"))


def opened(place: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What was kept at `place`: the run and its files."""
    files = {path.name: path.read_bytes() for path in place.iterdir() if path.name != RUN}
    return tables.read_json(place / RUN), files


def deliver(folder: Path, take: Callable[[dict[str, Any], dict[str, bytes]], None]) -> None:
    """Hand each run that waits to `take` and forget it; nothing while another process does so.

    One that is not taken stays and does not hold up those behind it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for place in waiting(folder):
            try:
                take(*opened(place))
            except Exception as error:  # noqa: BLE001 - as in `tracking._or_else`
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning("MLflow does not take %s: %s; delete it to give it up", place, reason)
            else:
                log.info("MLflow has recorded what waited in %s", place)
                shutil.rmtree(place)
