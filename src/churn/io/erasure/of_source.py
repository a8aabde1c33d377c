"""Files that belong to the user: in how many of their rows a person stands. Read, never written."""

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.contracts import SOURCES
from churn.io.erasure import search
from churn.io.erasure.search import Person
from churn.io.intake import forgotten, formats, listing
from churn.settings import SourceSettings


def matched(source: SourceSettings) -> dict[str, str]:
    """The files of this machine that the globs of `source` match now: absolute path → its table."""
    given = {name: getattr(source, name) for name in SOURCES}
    if source.name in ("sql", "spark"):
        return {}
    return {
        str(Path(path).absolute()): name
        for name, pattern in given.items()
        if pattern and "://" not in pattern
        for path in listing.local(pattern)
    }


def n_rows(path: Path, person: Person, source: SourceSettings) -> int | None:
    """In how many rows of a file the person stands; None where they are named, or may be, and rows
    cannot be told apart."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    kind = formats.SUFFIXES.get(plain.suffix, "") if source.format == "auto" else source.format
    try:
        if kind == "parquet":
            return in_parquet(path, person)
        if kind in ("csv", "jsonl"):
            with _opened(path) as file:
                rows = _of_csv(file, source.delimiter) if kind == "csv" else map(json.loads, file)
                n_found = sum(
                    any(_id(row, c) == person.who for c in person.columns) for row in rows
                )
            return n_found or _if_named(path, person)
        return _if_named(path, person)
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowInvalid):
        return None


def in_parquet(path: Path, person: Person) -> int:
    """In how many rows of a Parquet file the person stands."""
    file = pq.ParquetFile(path)
    names = sorted(person.columns & {*file.schema_arrow.names})
    n_found = 0
    for batch in file.iter_batches(columns=names, batch_size=1 << 20) if names else ():
        is_about = np.zeros(batch.num_rows, dtype=bool)
        for name in names:
            ids = forgotten.as_text(pa.chunked_array([batch.column(name)]))
            is_about |= compute.fill_null(compute.equal(ids, person.who), False).to_numpy()
        n_found += int(is_about.sum())
    return n_found


def is_named(path: Path, person: Person) -> bool:
    """Whether the person stands in a file, or may: what cannot be read is not cleared of it."""
    try:
        return bool(search.stands_in(path, person, place=path.parent))
    except (OSError, ValueError, sqlite3.Error, zipfile.BadZipFile, pa.ArrowInvalid):
        return True


def _if_named(path: Path, person: Person) -> int | None:
    return None if is_named(path, person) else 0


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as file:
        raw: Any = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        yield io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")


def _of_csv(file: IO[str], delimiter: str) -> Iterator[Mapping[str, Any]]:
    return csv.DictReader(file, delimiter=delimiter)


def _id(row: Any, column: str) -> str | None:
    """An id as the text that it is everywhere else."""
    value = row.get(column) if isinstance(row, Mapping) else None
    return None if value is None else str(value)
