"""Tables as folders of Parquet parts behind one manifest: written whole or not at all.

A table is `<folder>/_manifest.json` and the parts it names, each with its sha256. Readers see the
parts of the manifest and nothing else; a writer adds new files under names nobody knows and renames
the manifest last, so a killed run leaves the old table. What it was writing then is locked by nobody,
and the next run that holds the workspace removes it (`sweep`).

A JSON file that others rely on carries a seal, the sha256 of everything else in it: one flipped bit
is read silently wrong otherwise.

A part that a distributed engine wrote may be several files. They stand in the manifest as parts
`NAME~00000`, `NAME~00001`, …, in the order of their rows, and count as one part NAME.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.errors import ConfigurationError, InputError

MANIFEST = "_manifest.json"
READERS = 2
"""How many files are hashed side by side."""

PIECE = "~"
SEAL = "seal"
UNNAMED = re.compile(r"\.(staging-|.+\.)[0-9a-f]{32}")
"""What nobody knows by name: folders of `staging`, and the files that `write_bytes` renames."""


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`'s files for what is being written; removed afterwards.

    It is locked for as long as this process lives, so that `sweep` can tell what is left of a dead
    one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place, lock = _locked_folder(folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder in `folder` and its lock; another one where `sweep` came before the lock."""
    while True:
        place = folder / f".staging-{uuid.uuid4().hex}"
        place.mkdir()
        with suppress(FileNotFoundError):
            lock = os.open(place, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if place.exists():
                return place, lock
            os.close(lock)


def _locked_file(path: Path) -> IO[bytes]:
    """The same for a file."""
    while True:
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists():
            return file
        file.close()


def sweep(place: Path) -> list[Path]:
    """Remove what killed processes were writing anywhere in `place`, and return what that was.

    What a living process writes is locked and stays.
    """
    swept = []
    for folder, folders, files in os.walk(place):
        for name in [name for name in (*folders, *files) if UNNAMED.fullmatch(name)]:
            with suppress(FileNotFoundError):
                if _removed_if_dead(Path(folder, name)):
                    swept.append(Path(folder, name))
        folders[:] = [name for name in folders if not UNNAMED.fullmatch(name)]
    return swept


def _removed_if_dead(path: Path) -> bool:
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def commit(
    folder: Path, parts: Mapping[str, Path], *, keep: Iterable[str], facts: Mapping[str, Any]
) -> None:
    """Make the finished files in `parts` the table at `folder`, in one rename.

    A path may be a folder, whose Parquet files are the pieces of the part by name. Parts of the
    present table that are named in `keep` and not in `parts` stay. `facts` are stored in the
    manifest (`facts(folder)` reads them back). Files nobody names any more are deleted last.
    """
    kept = set(keep) - set(parts)
    present = _manifest(folder)["parts"] if kept and exists(folder) else {}
    entries = {name: entry for name, entry in present.items() if part_of(name) in kept}
    for name, path in _pieces(parts).items():
        digest = sha256(path)
        final = f"{name}.{digest[:12]}.parquet"
        if not _is_the_one(folder / final, digest):
            sync(path)
            os.replace(path, folder / final)
        rows = pq.ParquetFile(folder / final).metadata.num_rows
        entries[name] = {"file": final, "sha256": digest, "rows": rows}
    ordered = {name: entries[name] for name in sorted(entries)}
    sync(folder)
    write_sealed(folder / MANIFEST, {"parts": ordered, "facts": dict(facts)})
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


def parts(folder: Path, *, made_by: str, only: Collection[str] | None = None) -> dict[str, Path]:
    """The verified files of the table at `folder` by part name (or piece, see `part_of`); of the parts
    `only`, or of all.

    Raises `ConfigurationError` when the table is not there yet, and `InputError` when a file is
    gone or is not the one that was written: one flipped bit is read silently wrong otherwise.
    """
    _require(folder, made_by=made_by)
    entries = _manifest(folder)["parts"]
    asked = [name for name in entries if only is None or part_of(name) in only]

    def verified(name: str) -> Path:
        path, dated = folder / entries[name]["file"], f" as_of={part_of(name)}"
        again = f"churn {made_by}{'' if made_by == 'rollup' else dated}"
        next_step = f"run `{again}` again to rebuild the {folder.name} table"
        verify(path, entries[name]["sha256"], next_step=next_step)
        return path

    with ThreadPoolExecutor(READERS) as pool:  # hashing leaves Python to the others
        return dict(zip(asked, pool.map(verified, asked), strict=True))


def _require(folder: Path, *, made_by: str) -> None:
    if not exists(folder):
        raise ConfigurationError(
            f"there is no {folder.name} table yet",
            got=f"nothing at {folder}",
            expected=f"what `churn {made_by}` writes",
            next_step=f"run `churn {made_by}` with the same workspace first",
        )


def verify(path: Path, expected: str | None, *, next_step: str) -> None:
    """Raise `InputError` when the file at `path` is gone, or its sha256 is not the `expected` one."""
    found = sha256(path) if path.exists() else "no such file"
    require_hash(path, found, expected, next_step=next_step)


def require_hash(path: Path, found: str, expected: str | None, *, next_step: str) -> None:
    """The same where the sha256 `found` is known, that of the very bytes that are to be used."""
    if expected is None or found != expected:
        raise InputError(
            f"{path} is not the file that was written",
            got=found if found == "no such file" else f"another sha256, {found}",
            expected=f"sha256 {expected}",
            next_step=next_step,
        )


def read(
    folder: Path,
    *,
    made_by: str,
    part: str | None = None,
    columns: list[str] | None = None,
    where: compute.Expression | None = None,
) -> pd.DataFrame:
    """The table at `folder` as a DataFrame: all its parts in order, or one; all `columns`, or some; all
    rows, or those for which `where` is true."""
    files = parts(folder, made_by=made_by, only=None if part is None else [part])
    if part is not None and not files:
        raise ConfigurationError(
            f"the {folder.name} table has nothing for {part}",
            got=f"parts {', '.join(names(folder)) or 'none'}",
            expected=part,
            next_step=f"run `churn {made_by} as_of={part}`",
        )
    return pa.concat_tables(
        [pq.read_table(path, columns=columns, filters=where) for path in files.values()],
        promote_options="permissive",  # a text may be of two widths, by what its frame was made from
    ).to_pandas()


def facts(folder: Path, *, made_by: str) -> dict[str, Any]:
    """What the writer of the table at `folder` recorded beside it."""
    _require(folder, made_by=made_by)
    return dict(_manifest(folder)["facts"])


def fingerprint(folder: Path, *, made_by: str) -> str:
    """One sha256 over the content of all parts of the table at `folder`.

    A month of a roll-up has the same rows in one file or in several: it counts by what it was made from
    (`months` of the facts, event types, texts and columns) and how many rows that gave.
    """
    parts(folder, made_by=made_by)
    manifest = _manifest(folder)
    entries, facts = manifest["parts"], manifest["facts"]
    lines = [f"{name} {entry['sha256']}" for name, entry in entries.items()]
    if "months" in facts:
        rows: Counter[str] = Counter()
        for name, entry in entries.items():
            rows[part_of(name)] += entry["rows"]
        lines = [f"{part} {facts['months'].get(part)} {n}" for part, n in rows.items()]
        lines.append(json.dumps([facts.get(name) for name in ("event_types", "texts", "columns")]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON at `path`, in one rename."""
    write_bytes(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON at `path` with a seal that `read_json` checks."""
    plain = json.loads(json.dumps(content))
    write_json(path, {**plain, SEAL: _seal(plain)})


def read_json(path: Path) -> Any:
    """What a JSON file says, without its seal.

    Raises `InputError` when it was cut short, or its seal says that it is another one.
    """
    content = _parsed(path)
    if not (isinstance(content, dict) and SEAL in content):
        return content
    plain = unsealed(content)
    if content[SEAL] != _seal(plain):
        raise _damaged(path, "a seal that does not fit what it says")
    return plain


def is_sealed(path: Path) -> bool:
    content = _parsed(path)
    return isinstance(content, dict) and SEAL in content


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a sealed file says, whatever its seal."""
    return {name: value for name, value in content.items() if name != SEAL}


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _seal(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, got: str) -> InputError:
    what = path.parent if path.name.endswith("manifest.json") else path
    return InputError(
        f"{path} is damaged",
        got=got,
        expected="the JSON that was written",
        next_step=f"restore it from a backup; if there is none, delete {what} and run again",
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` at `path`, in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with _locked_file(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
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


def _is_the_one(path: Path, digest: str) -> bool:
    """Whether a file is there already, and is what its name says: a damaged one is written again."""
    return path.exists() and sha256(path) == digest


def _manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / MANIFEST)
    return found
