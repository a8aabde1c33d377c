"""A person taken out of everything that the product wrote (`ours`), by the kind of each file.

A new table is reached without anybody thinking of it here, by its manifest: tables are
rewritten without the rows, lists are made again without the customer (`erasure_lists`), what is
remembered of deliveries is put right (`erasure_intake`), and any other text loses the id and the name.
Each step is whole or not at all; after a kill the same call goes on with what is left.
"""

import json
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.io import tables
from churn.io.erasure import ours, search, words
from churn.io.erasure.search import Person
from churn.io.intake import forgotten

log = logging.getLogger("churn")

KEPT_AS_WRITTEN = (tables.MANIFEST, "manifest.json", "index.json")
"""Rewritten with what they describe, and naming nobody themselves."""


class Change(NamedTuple):
    """Of one file or more: the person's `rows` that went, and those of others whose `words` named
    them and do no longer."""

    rows: int = 0
    words: int = 0


@dataclass
class Account:
    """What was done, by the first folder below the workspace: `looked` files, and how many `rows`
    and `documents` were erased in them; in how many rows of others `words` were put right."""

    looked: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, *, rows: int = 0, documents: int = 0, words: int = 0) -> None:
        self.rows[name] += rows
        self.documents[name] += documents
        self.words[name] += words

    def has_changes(self) -> bool:
        return any(count.total() for count in (self.rows, self.documents, self.words))


def folder_of(place: Path, path: Path) -> str:
    """The first folder below the workspace, or the file that stands there itself."""
    first = path.relative_to(place).parts[0]
    return f"{first}/" if (place / first).is_dir() else first


def is_published(place: Path, path: Path) -> bool:
    """Whether a file belongs to a revision, which is changed as a whole (`erasure_lists`)."""
    above = path.relative_to(place).parents
    return any((place / folder / "manifest.json").exists() for folder in above)


def leftovers(place: Path, account: Account) -> None:
    """Delete what killed runs left under names that no reader knows."""
    for path in tables.sweep(place):
        account.note(folder_of(place, path), documents=1)


def in_tables(place: Path, person: Person, account: Account, *, judged: Collection[str]) -> None:
    """Rewrite every table (a folder with a manifest of parts) without the person's rows, and without
    refused rows of files that are not among those `judged` (see `of_intake.judged`)."""
    for manifest in [path for path in ours.files(place) if path.name == tables.MANIFEST]:
        folder = manifest.parent
        content = tables.read_json(manifest)
        present = {name: folder / entry["file"] for name, entry in content["parts"].items()}
        for stray in set(folder.glob("*.parquet")) - set(present.values()):
            if ours.PART.fullmatch(stray.name):
                stray.unlink()
        gone, changed = Change(), {}
        with tables.staging(folder) as staged:
            for name, path in present.items():
                target = staged / f"{name}.parquet"
                one = without(path, target, person, judged=judged) if path.exists() else Change()
                if any(one):
                    gone = Change(gone.rows + one.rows, gone.words + one.words)
                    changed[name] = target
            if changed:
                tables.commit(folder, changed, keep=tables.names(folder), facts=content["facts"])
        account.note(folder_of(place, folder), rows=gone.rows, words=gone.words)


def in_loose_tables(place: Path, person: Person, account: Account) -> None:
    """Rewrite every Parquet file that belongs to no table: logs that landed here, copies, samples."""
    for path in [path for path in ours.files(place) if path.suffix == ".parquet"]:
        if (path.parent / tables.MANIFEST).exists() or is_published(place, path):
            continue
        gone = replaced(path, person)
        account.note(folder_of(place, path), rows=gone.rows, words=gone.words)


def replaced(path: Path, person: Person) -> Change:
    """Put a Parquet file without the person in the place of the one there is."""
    with tables.staging(path.parent) as staged:
        gone = without(path, staged / "kept.parquet", person)
        if any(gone):
            tables.sync(staged / "kept.parquet")
            os.replace(staged / "kept.parquet", path)
            tables.sync(path.parent)
    return gone


def without(
    path: Path, target: Path, person: Person, *, judged: Collection[str] | None = None
) -> Change:
    """Write a Parquet file without the person to `target`, if they stand in it.

    A row is the person's by its id, or (what was refused) by what its `value` or `raw` line says, or
    where it stood in a file that is to be `judged` again.
    """
    names = pq.read_schema(path).names
    lost = {name: [person.who] for name in names if name in person.columns}
    if judged is not None and {"file", "line", "reason"} <= {*names}:
        files = compute.unique(pq.read_table(path, columns=["file"])["file"]).to_pylist()
        lost["file"] = [file for file in files if file not in judged]
    for name in {"value", "raw", "customer_name"} & {*names} if "line" in names else ():
        column = forgotten.as_text(pq.read_table(path, columns=[name])[name])
        said = [text for text in compute.unique(column).to_pylist() if text]
        lost[name] = [text for text in said if text == person.who or person.is_in(text)]
    is_told = any(_has_any(path, name, values) for name, values in lost.items() if values)
    n_gone = forgotten.rewritten(path, target, lost=lost) if is_told else 0
    return Change(n_gone, words.reworded(target if n_gone else path, target, person))


def _has_any(path: Path, name: str, values: Sequence[str]) -> bool:
    """Whether a column has one of the values, group by group."""
    wanted = set(values)
    for batch in pq.ParquetFile(path).iter_batches(columns=[name], batch_size=1 << 20):
        table = batch.column(0)
        found = compute.unique(table.dictionary_decode() if hasattr(table, "dictionary") else table)
        if wanted & {str(one) for one in found.to_pylist() if one is not None}:
            return True
    return False


def in_databases(place: Path, person: Person, account: Account) -> None:
    """Replace the person in every text of a SQLite database, and what stays of it in free pages."""
    for path in ours.files(place):
        with path.open("rb") as file:
            is_one = file.read(len(search.SQLITE)) == search.SQLITE
        if is_one and person.pattern is not None and search.stands_in(path, person, place=place):
            account.note(folder_of(place, path), documents=_cleared(path, person))


def _cleared(path: Path, person: Person) -> int:
    """How many texts of a database were changed."""
    assert person.pattern is not None
    n_changed = 0
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in columns:
                found = connection.execute(f'SELECT rowid, "{column}" FROM "{table}"').fetchall()
                for number, text in found:
                    if isinstance(text, str) and person.is_in(text):
                        value = person.pattern.sub(words.SOMEBODY, text)
                        statement = f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?'
                        connection.execute(statement, (value, number))
                        n_changed += 1
        connection.commit()
        connection.execute("VACUUM")
    return n_changed


def in_texts(place: Path, person: Person, account: Account) -> None:
    """Replace id and names in every other text: logs, notes, configurations that were written down.

    Models are left alone: their hash is what makes them the registered ones.
    """
    if person.pattern is None:
        return
    for path in ours.files(place):
        known = path.suffix in search.TEXTS or path.suffix == ".csv"
        if path.name in (*search.OURS, *KEPT_AS_WRITTEN) or not known:
            continue
        if path.relative_to(place).parts[0] in search.TRAINED or is_published(place, path):
            continue
        text = path.read_bytes().decode(errors="surrogateescape")
        if person.is_in(text):
            changed = person.pattern.sub(words.SOMEBODY, text)
            if path.suffix == ".json" and tables.is_sealed(path):
                tables.write_sealed(path, tables.unsealed(json.loads(changed)))
            else:
                tables.write_bytes(path, changed.encode(errors="surrogateescape"))
            account.note(folder_of(place, path), documents=1)
