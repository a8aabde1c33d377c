"""Which files a source has now: globs and URLs → paths, local copies and hashes."""

import glob
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.contracts import SOURCES
from churn.errors import ConfigurationError, InputError, MachineError
from churn.io import tables
from churn.io.intake import journey, landing, steady
from churn.io.intake.formats import SUFFIXES
from churn.settings import SourceSettings

TRUTH = ".truth"
"""A folder that holds a file of this name holds a simulation's truth, which no stage may read."""


@dataclass(frozen=True)
class Delivery:
    """A file of the source: its `path` as listed, the sha256 of its content, where it lies, its
    `steady.stamp_of` from before it was hashed, and whether that stamp `is_settled`: as long as a file
    has it, it has this content."""

    path: str
    sha256: str
    local: Path
    stamp: steady.Stamp = ()
    is_settled: bool = False


def patterns(source: SourceSettings, *, workspace: Path) -> dict[str, str]:
    """The glob or URL of every table that `source` has.

    Raises `ConfigurationError` when there is no pattern for events, or nothing was simulated yet.
    """
    given = {name: getattr(source, name) for name in SOURCES}
    if source.name in ("sql", "spark"):
        given = landing.patterns(source, workspace=workspace)
    elif source.name != "files":
        given = _own_files(source, workspace=workspace) | {k: v for k, v in given.items() if v}
    if not given["events"]:
        raise ConfigurationError(
            "source.events is not set",
            got="no files to read",
            expected="a glob or URL of the usage log",
            next_step="set source.events='logs/*.parquet', or source=demo to see the product work",
        )
    return {name: pattern for name, pattern in given.items() if pattern}


def _own_files(source: SourceSettings, *, workspace: Path) -> dict[str, str | None]:
    """Where a source that brings its own data keeps it in the workspace."""
    folder = workspace / source.name
    if source.name == "complete_journey":
        journey.unpack(folder)
    events = folder / "events"
    if source.name == "demo" and not events.is_dir():
        raise ConfigurationError(
            "there are no logs of the demo product yet",
            got=f"nothing at {events}",
            expected="what `churn simulate` writes",
            next_step="run `churn simulate` with the same workspace first",
        )
    sides = {name: folder / f"{name}.parquet" for name in SOURCES if name != "events"}
    found = {name: glob.escape(str(path)) for name, path in sides.items() if path.exists()}
    return {**dict.fromkeys(SOURCES), **found, "events": f"{glob.escape(str(events))}/*.parquet"}


def listed(
    pattern: str, *, key: str, cache: Path, known: Mapping[str, steady.Settled] | None = None
) -> list[Delivery]:
    """The files that `pattern` matches now, sorted by path; remote ones are copied to `cache`. A file
    that is as it was when it was `known` by its path is not read again.

    Raises `InputError` when nothing matches, or what matches is a simulation's truth.
    """
    found = _remote(pattern, cache=cache) if "://" in pattern else local(pattern)
    if not found:
        raise _nothing(pattern, key=key)
    for path in found.values():
        _refuse_truth(path)
    known = known or {}
    return [_delivery(path, found[path], known.get(path)) for path in sorted(found)]


def _delivery(path: str, local: Path, known: steady.Settled | None) -> Delivery:
    stamp = steady.stamp_of(local)
    if known is not None and known.stamp == stamp:
        return Delivery(path, known.sha256, local, stamp, is_settled=True)
    is_settled = steady.is_settled(stamp)
    return Delivery(path, tables.sha256(local), local, stamp, is_settled)


def local(pattern: str) -> dict[str, Path]:
    """The files of this machine that a glob matches."""
    found = glob.glob(pattern, recursive=True)
    for path in sorted(found):
        _refuse_no_file(Path(path))
    return {path: Path(path) for path in found if os.path.isfile(path)}


def _refuse_no_file(path: Path) -> None:
    """Raise `InputError` for a match that holds rows that nobody would miss: a link to nothing, a
    pipe, a folder named like a file. Other folders are no deliveries."""
    if path.is_file() or (path.is_dir() and path.suffix.lower() not in SUFFIXES):
        return
    got = "a folder" if path.is_dir() else "a pipe, a socket or a device"
    raise InputError(
        f"{path} is no file",
        got=got if path.exists() else "a link that leads nowhere",
        expected="files",
        next_step=f"point the source to {path}/*" if path.is_dir() else "remove it, or restore it",
    )


def _remote(url: str, *, cache: Path) -> dict[str, Path]:
    """Copies of the files behind an fsspec URL; a file whose remote stamp is known is kept."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        system, inside = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{url} cannot be opened",
            got=str(error),
            expected="a URL that fsspec knows, with its driver installed",
            next_step="install the driver (s3fs, gcsfs, adlfs …), or use a local path",
        ) from error
    if isinstance(system, LocalFileSystem):
        return local(inside)
    try:
        return {name: _copied(system, name, cache=cache) for name in _names(system, inside)}
    except OSError as error:
        raise MachineError(
            f"{url} could not be read",
            got=str(error),
            expected="files that can be listed and copied",
            next_step="check network and credentials, then run again",
        ) from error


def _names(system: Any, inside: str) -> list[str]:
    names = [name for name in system.glob(inside) if system.isfile(name)]
    for name in names:
        for depth in range(1, name.count("/") + 1):
            folder = name.rsplit("/", depth)[0]
            if folder and system.exists(f"{folder}/{TRUTH}"):
                raise _truth(name, folder)
    return names


def _copied(system: Any, name: str, *, cache: Path) -> Path:
    stamp = hashlib.sha256(f"{name} {system.ukey(name)}".encode()).hexdigest()[:16]
    target = cache / "remote" / f"{stamp}-{name.rsplit('/', 1)[-1]}"
    if not target.exists():
        with tables.staging(cache) as place:
            system.get_file(name, str(place / "copy"))
            tables.sync(place / "copy")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(place / "copy", target)
    return target


def _refuse_truth(path: Path) -> None:
    for folder in {*path.absolute().parents, *path.resolve().parents}:
        if (folder / TRUTH).exists():
            raise _truth(str(path), str(folder))


def _truth(path: str, folder: str) -> InputError:
    return InputError(
        f"{path} belongs to a simulation's truth, which no stage may read",
        got=f"a file below {folder}, which holds {TRUTH}",
        expected="logs that a real product could have written",
        next_step="point the source to the simulated logs themselves",
    )


def _nothing(pattern: str, *, key: str) -> InputError:
    folder = Path(pattern) if Path(pattern).is_dir() else Path(pattern).parent
    beside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    there = (
        f"{folder} holds {', '.join(beside[:5]) or 'nothing'}"
        if folder.is_dir()
        else (f"there is no folder {folder}")
    )
    suffix = Path(beside[0]).suffix if beside else ".parquet"
    is_folder = Path(pattern).is_dir()
    return InputError(
        f"no file matches {key}={pattern}",
        got="a folder" if is_folder else there,
        expected="at least one file",
        next_step=f"set {key}='{folder}/*{suffix}'" if is_folder or beside else f"correct {key}",
    )


def refuse_vanished(before: Mapping[str, str], now: list[Delivery], *, index: Path) -> None:
    """Raise `InputError` when a path taken in before is no longer there."""
    gone = sorted(set(before) - {delivery.path for delivery in now})
    if gone:
        raise InputError(
            f"{gone[0]} has vanished" + (f", and {len(gone) - 1} more" if len(gone) > 1 else ""),
            got="a file that was taken in before and is not there now",
            expected="every delivery to stay: the log is what the source matches now",
            next_step=f"put it back; if it was removed on purpose, delete {index} to start anew",
        )
