"""Where somebody still stands: every file of a workspace, decoded as its reader would see it.

Written apart from what erases, so that one does not share the other's mistakes: ids are looked for in
the columns that hold ids and, where they are long enough not to be a word or a figure, in every text.
"""

import csv
import email
import email.policy
import gzip
import html
import io
import json
import os
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.io.documents import export
from churn.io.erasure import ours
from churn.io.intake import forgotten

OURS = (forgotten.FILE, forgotten.KEY_FILE, ".lock")
"""What names nobody: keyed hashes, their key, and who works here."""

TRAINED = ("models", "uplift", "truth")
"""What was learnt from everybody holds numbers and words, and may hold a figure that looks like an id."""

SQLITE = b"SQLite format 3\x00"

PICTURES = (".png",)
"""Drawn from sums; nobody's name or id is written in one."""

TEXTS = {
    ".json", ".jsonl", ".yaml", ".yml", ".md", ".txt", ".csv", ".html", ".eml", ".log", ".prom", ".svg",
    ".toml", ".py", "",
}  # fmt: skip

_LONG = 4


@dataclass(frozen=True)
class Person:
    """Whom to forget: `who` is a customer's id or, with `kind` user, that of a person inside an
    account; `columns` hold such ids, here or under the source's names; `names` are what a customer
    is called, and nobody else."""

    kind: str
    who: str
    columns: frozenset[str]
    names: frozenset[str] = frozenset()

    @property
    def is_distinctive(self) -> bool:
        """Whether the id can be looked for in running text: no word, no figure of anything else."""
        if len(self.who) < _LONG:
            return False
        return not self.who.isalpha() and (not self.who.isdigit() or len(self.who) >= 2 * _LONG)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """Finds the id and the names in running text, whole; None where none is distinctive."""
        words = [self.who] if self.is_distinctive else []
        words += [name for name in self.names if len(name) > _LONG]
        if not words:
            return None
        spelled = sorted({form for word in words for form in _spelled(word)}, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spelled))})(?!\w)")

    def is_in(self, text: str) -> bool:
        return self.pattern is not None and self.pattern.search(text) is not None


def _spelled(word: str) -> set[str]:
    """`word` as it stands in text, in markup and in JSON."""
    return {word, html.escape(word), json.dumps(word)[1:-1]}


def files(place: Path) -> list[Path]:
    """Every file below `place` that is not a link to another place."""
    found = []
    for folder, _, names in os.walk(place):
        found += [Path(folder) / name for name in names]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def remaining(place: Path, person: Person) -> tuple[list[Path], list[Path], int]:
    """The files below `place` in which `person` stands, those of a kind that nobody can read, and
    how many were searched."""
    left, unknown, n_read, written = [], [], 0, {*ours.files(place)}
    for path in files(place):
        if path.name in OURS or path.suffix in PICTURES:
            continue
        try:
            within = place if path in written else path.parent  # a stranger's `models` is searched
            is_left = stands_in(path, person, place=within)
        except (OSError, ValueError, sqlite3.Error, zipfile.BadZipFile, pa.ArrowInvalid):
            unknown.append(path)
            continue
        n_read += 1
        if is_left is None:
            unknown.append(path)
        elif is_left:
            left.append(path)
    return left, unknown, n_read


def stands_in(path: Path, person: Person, *, place: Path) -> bool | None:
    """Whether `person` stands in a file; None for a kind of file that is not known here."""
    if path.suffix == ".parquet":
        return _in_parquet(path, person)
    if _is_trained(path.relative_to(place)):
        return False
    if path.suffix == ".xlsx":
        return any(person.is_in(text) or text == person.who for text in _workbook(path))
    with path.open("rb") as file:
        if file.read(len(SQLITE)) == SQLITE:
            return any(person.is_in(text) for text in _database(path))
    if path.suffix == ".npy":
        return False  # hashes; `erasure_intake` takes theirs out
    if path.suffix == ".gz":
        return person.is_in(gzip.decompress(path.read_bytes()).decode(errors="replace"))
    if path.suffix not in TEXTS and not _is_text(path):
        return None
    return any(person.is_in(text) for text in _texts(path)) or _has_row(path, person)


def _is_trained(path: Path) -> bool:
    """Whether a file, by its path below the workspace, holds what was learnt: models of it, of its
    replay, and those that MLflow keeps."""
    first, *between = path.parent.parts or ("",)
    return first in TRAINED or (first in ("mlflow", "replay") and "models" in between)


def _in_parquet(path: Path, person: Person) -> bool:
    file = pq.ParquetFile(path)
    for field in file.schema_arrow:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        holds_ids = field.name in person.columns
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        is_said = is_text and field.name not in (*person.columns, "customer_id", "text")
        if not (holds_ids or (is_said and person.pattern)):
            continue
        for batch in file.iter_batches(columns=[field.name]):
            values = compute.unique(forgotten.as_text(pa.chunked_array([batch.column(0)])))
            if holds_ids and person.who in values.to_pylist():
                return True
            if is_said and any(one and person.is_in(one) for one in values.to_pylist()):
                return True
    return False


def _workbook(path: Path) -> Iterator[str]:
    """The texts of a workbook: its cells' (numbers stand elsewhere), and what is said of it."""
    with zipfile.ZipFile(path) as book:
        for name in book.namelist():
            if "sheet" not in name:
                content = book.read(name).decode(errors="replace")
                yield from (html.unescape(text) for text in re.findall(r">([^<]+)<", content))


def _database(path: Path) -> Iterator[str]:
    """Every text in a SQLite database."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (cell for cell in row if isinstance(cell, str))


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\x00" not in file.read(8192)


def _texts(path: Path) -> Iterator[str]:
    """A text file as it is, and as mail programs and browsers show what is in it."""
    text = path.read_bytes().decode(errors="replace")
    yield text
    if path.suffix in (".html", ".svg"):
        yield html.unescape(text)
    if path.suffix == ".eml":
        yield from _mail(text)
    if path.suffix == ".json":
        for said in _strings(json.loads(text)):
            yield said
            if "Content-Type:" in said[:2000]:
                yield from _mail(said)


def is_told_in(text: str, person: Person) -> bool:
    """Whether a mail, or a notice, names the person."""
    return person.is_in(text) or any(person.is_in(part) for part in _mail(text))


def _mail(text: str) -> Iterator[str]:
    mail = email.message_from_string(text, policy=email.policy.SMTP)
    yield str(mail["Subject"])
    for part in mail.walk():
        if isinstance(part, EmailMessage) and part.get_content_maintype() == "text":
            yield html.unescape(part.get_content())


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(content, list):
        for value in content:
            yield from _strings(value)


def _has_row(path: Path, person: Person) -> bool:
    """Whether a CSV of ours, or what a list was made from, has a row of the customer: for short ids."""
    if path.suffix == ".csv":
        rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig", errors="replace")))
        head = next(rows, [])
        places = [n for n, name in enumerate(head) if name in person.columns]
        return any(
            export.unguard(row[n]) == person.who for row in rows for n in places if n < len(row)
        )
    if path.name == "listing.json":
        told = json.loads(path.read_bytes().decode(errors="surrogatepass"))
        asides = [
            one["customer_id"] for name in ("leaving", "unjudged", "gone") for one in told[name]
        ]
        return person.kind == "customer" and person.who in {*told["details"], *asides}
    return False
