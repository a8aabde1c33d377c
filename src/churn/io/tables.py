"""Tables as folders of Parquet parts behind one manifest: written whole or not at all.

A table is `<folder>/_manifest.json` and the parts it names, each with its sha256. Readers see the
parts of the manifest and nothing else; a writer adds new files under names nobody knows and renames
the manifest last, so a killed run leaves the old table.

A part that a distributed engine wrote may be several files. They stand in the manifest as parts
`NAME~00000`, `NAME~00001`, …, in the order of their rows, and count as one part NAME.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from churn.errors import ConfigurationError, InputError

MANIFEST = "_manifest.json"
PIECE = "~"


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`'s files for what is being written; removed afterwards."""
    place = folder / f".staging-{uuid.uuid4().hex}"
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def commit(
    folder: Path, parts: Mapping[str, Path], *, keep: Iterable[str], facts: Mapping[str, Any]
) -> None:
    """Make the finished files in `parts` the table at `folder`, in one rename.

    A path may be a folder, whose Parquet files are the pieces of the part by name. Parts of the
    present table that are named in `keep` and not in `parts` stay. `facts` are stored in the
    manifest (`facts(folder)` reads them back). Files nobody names any more are deleted last.
    """
    present = _manifest(folder)["parts"] if exists(folder) else {}
    kept = set(keep) - set(parts)
    entries = {name: entry for name, entry in present.items() if part_of(name) in kept}
    for name, path in _pieces(parts).items():
        digest = sha256(path)
        final = f"{name}.{digest[:12]}.parquet"
        if not (folder / final).exists():
            sync(path)
            os.replace(path, folder / final)
        rows = pq.ParquetFile(folder / final).metadata.num_rows
        entries[name] = {"file": final, "sha256": digest, "rows": rows}
    ordered = {name: entries[name] for name in sorted(entries)}
    write_json(folder / MANIFEST, {"parts": ordered, "facts": dict(facts)})
    named = {entry["file"] for entry in ordered.values()}
    for stray in folder.glob("*.parquet"):
        if stray.name not in named:
            stray.unlink()
    for emptied in parts.values():
        if emptied.is_dir():
            shutil.rmtree(emptied)


def part_of(name: str) -> str:
    """The part that a file of the manifest belongs to.

    >>> part_of("2025-11"), part_of("2025-11~00001")
    ('2025-11', '2025-11')
    """
    return name.split(PIECE)[0]


def _pieces(parts: Mapping[str, Path]) -> dict[str, Path]:
    """`parts` with a name of its own for each file, where a part has more than one."""
    pieces = {}
    for name, path in parts.items():
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        is_one = len(files) == 1
        for place, file in enumerate(files):
            pieces[name if is_one else f"{name}{PIECE}{place:05d}"] = file
    return pieces


def write(
    folder: Path,
    parts: Mapping[str, pd.DataFrame | pa.Table],
    *,
    keep: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write frames as the parts of the table at `folder` (see `commit`)."""
    folder.mkdir(parents=True, exist_ok=True)
    with staging(folder) as place:
        written = {}
        for name, frame in parts.items():
            rows = frame if isinstance(frame, pa.Table) else arrow(frame)
            pq.write_table(rows, place / f"{name}.parquet", compression="zstd")
            written[name] = place / f"{name}.parquet"
        commit(folder, written, keep=names(folder) if keep else [], facts=facts or {})


def arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame` as an Arrow table that carries nothing but its columns."""
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def exists(folder: Path) -> bool:
    return (folder / MANIFEST).exists()


def names(folder: Path) -> list[str]:
    """The parts of the table at `folder`, which may not be there yet."""
    return [*dict.fromkeys(map(part_of, _manifest(folder)["parts"]))] if exists(folder) else []


def parts(folder: Path, *, made_by: str) -> dict[str, Path]:
    """The verified files of the table at `folder` by part name (or piece, see `part_of`).

    Raises `ConfigurationError` when the table is not there yet, and `InputError` when a file is
    gone or is not the one that was written: one flipped bit is read silently wrong otherwise.
    """
    if not exists(folder):
        raise ConfigurationError(
            f"there is no {folder.name} table yet",
            got=f"nothing at {folder}",
            expected=f"what `churn {made_by}` writes",
            next_step=f"run `churn {made_by}` with the same workspace first",
        )
    verified = {}
    for name, entry in _manifest(folder)["parts"].items():
        path = folder / entry["file"]
        if not path.exists() or sha256(path) != entry["sha256"]:
            raise InputError(
                f"{path} is not the file that was written",
                got="another sha256" if path.exists() else "no such file",
                expected=f"sha256 {entry['sha256']}",
                next_step=f"run `churn {made_by}` again to rebuild the {folder.name} table",
            )
        verified[name] = path
    return verified


def read(
    folder: Path, *, made_by: str, part: str | None = None, columns: list[str] | None = None
) -> pd.DataFrame:
    """The table at `folder` as a DataFrame: all its parts in order, or one; all `columns`, or some."""
    files = parts(folder, made_by=made_by)
    if part is not None and part not in map(part_of, files):
        raise ConfigurationError(
            f"the {folder.name} table has nothing for {part}",
            got=f"parts {', '.join(files) or 'none'}",
            expected=part,
            next_step=f"run `churn {made_by} as_of={part}`",
        )
    chosen = [path for name, path in files.items() if part in (None, part_of(name))]
    return pa.concat_tables(
        [pq.read_table(path, columns=columns) for path in chosen], promote_options="default"
    ).to_pandas()


def facts(folder: Path, *, made_by: str) -> dict[str, Any]:
    """What the writer of the table at `folder` recorded beside it."""
    parts(folder, made_by=made_by)
    return _manifest(folder)["facts"]


def fingerprint(folder: Path, *, made_by: str) -> str:
    """One sha256 over the content of all parts of the table at `folder`."""
    parts(folder, made_by=made_by)
    entries = _manifest(folder)["parts"]
    text = "\n".join(f"{name} {entry['sha256']}" for name, entry in entries.items())
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON at `path`, in one rename."""
    write_bytes(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` at `path`, in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    return read_json(folder / MANIFEST)
