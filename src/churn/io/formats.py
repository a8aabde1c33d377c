"""Text formats → blocks of rows as text, with physical line numbers and the lines that are broken.

Nothing is sniffed and nothing is dropped: delimiter and format are given, every field stays text,
and a line that does not fit is kept with its number. Memory is bounded by the size of a block.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from churn.errors import ConfigurationError, InputError

BLOCK_BYTES = 8 << 20

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}

MAGIC = {
    b"\x1f\x8b": ("gzip bytes", "name it with .gz at the end"),
    b"PAR1": ("a Parquet file", "name it .parquet, or set source.format=parquet"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", "unpack it, or save it as CSV (UTF-8)"),
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
}

MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)


@dataclass(frozen=True)
class Broken:
    """A line that cannot be read, from 1, why, and its text."""

    line: int
    reason: str
    text: str


@dataclass
class Block:
    """Rows under the file's own column names, all text, each with its physical line (from 1);
    `n_skipped` lines are sound but about nobody."""

    rows: pa.Table
    lines: np.ndarray
    broken: list[Broken] = field(default_factory=list)
    n_skipped: int = 0


def format_of(path: str, *, declared: str) -> str:
    """The format of a file: what is declared, else what its name says.

    >>> format_of("logs/week1.csv.gz", declared="auto")
    'csv'
    """
    if declared != "auto":
        return declared
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    raise ConfigurationError(
        f"{path} does not say what it is",
        got=f"a name that ends in {suffix or 'nothing known'}",
        expected=f"one of {', '.join(SUFFIXES)} (text also with .gz)",
        next_step="set source.format=csv, jsonl, parquet, access_log or error_log",
    )


@contextmanager
def opened(local: Path, *, path: str) -> Iterator[IO[bytes]]:
    """The plain bytes of a text file; a `.gz` is unpacked, and its checksum is checked at its end.

    Raises `InputError` for an empty file, a gzip that is cut or changed, and bytes that are not
    text.
    """
    is_gzip = path.endswith(".gz")
    with local.open("rb") as packed:
        head = packed.read(4096)
        packed.seek(0)
        if is_gzip and head and not head.startswith(b"\x1f\x8b"):
            raise _wrong_file(path, "no gzip bytes under .gz", "name it without .gz")
        stream: IO[bytes] = gzip.GzipFile(fileobj=packed) if is_gzip else packed  # type: ignore[assignment]
        try:
            buffered = io.BufferedReader(stream, BLOCK_BYTES)  # type: ignore[type-var]
            _refuse_other_content(buffered.peek(512)[:512], path=path)
            yield buffered
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _wrong_file(
                path, f"a gzip file that is cut or damaged ({error})", "deliver the file again"
            ) from error


def _refuse_other_content(head: bytes, *, path: str) -> None:
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise _wrong_file(path, "an empty file", "deliver the file again")
    for magic, (found, next_step) in MAGIC.items():
        if head.startswith(magic):
            raise _wrong_file(path, found, next_step)
    if MARKUP.match(head):
        raise _wrong_file(
            path, "a web page (HTML or XML)", "check the download: is it a login page?"
        )


def _wrong_file(path: str, got: str, next_step: str, *, line: int = 1) -> InputError:
    return InputError(
        f"{path} line {line}: the file cannot be read",
        got=got,
        expected="text in the declared format (UTF-8)",
        next_step=next_step,
    )


def csv_blocks(stream: IO[bytes], *, path: str, delimiter: str) -> Iterator[Block]:
    """The rows of a CSV file under its own header; lines without any field are no rows.

    Raises `InputError` for a header that names a column twice, text that is not UTF-8 and a quote
    that is never closed.
    """
    rejected: list[pc.InvalidRow] = []

    def keep(row: pc.InvalidRow) -> str:
        rejected.append(row)
        return "skip"

    header = _header(stream, path=path, delimiter=delimiter)
    numbering = _Numbering()
    try:
        reader = pc.open_csv(
            stream,
            read_options=pc.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pc.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=keep,
            ),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=False,
                null_values=[],
            ),
        )
        for batch in reader:
            yield numbering.block(pa.Table.from_batches([batch]), rejected)
        if rejected:
            yield numbering.last_block(reader.schema.empty_table(), rejected)
    except pa.ArrowInvalid as error:
        raise _unreadable_csv(path, str(error), line=numbering.next_line) from error


def _header(stream: IO[bytes], *, path: str, delimiter: str) -> list[str]:
    """The column names, looked at without consuming them."""
    import csv

    first = stream.peek(BLOCK_BYTES)  # type: ignore[attr-defined]
    text = first.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path} line 1: the header names column {twice[0]!r} {names.count(twice[0])} times",
            got=f"columns {', '.join(names)}",
            expected="every column once",
            next_step="rename one of them in the export; which one counts cannot be guessed",
        )
    return names


class _Numbering:
    """Gives rows their physical lines: records are counted, and the line breaks inside quotes.

    The parser runs ahead: rejected records may belong to a later block and wait in their list.
    """

    def __init__(self) -> None:
        self._record = 2
        self._extra_lines = 0

    @property
    def next_line(self) -> int:
        return self._record + self._extra_lines

    def block(self, rows: pa.Table, rejected: list[pc.InvalidRow]) -> Block:
        """`rows` with their lines, and those of `rejected` that stand before the last of them,
        which leave the list."""
        bad = np.array([row.number for row in rejected], dtype=np.int64)
        candidates = np.arange(self._record, self._record + rows.num_rows + len(bad))
        good = candidates[~np.isin(candidates, bad)][: rows.num_rows]
        before = self._record if len(good) == 0 else int(good[-1]) + 1
        fresh = [row for row in rejected if row.number < before]
        rejected[:] = [row for row in rejected if row.number >= before]
        return self._numbered(rows, good, fresh, before=before)

    def last_block(self, empty: pa.Table, rejected: list[pc.InvalidRow]) -> Block:
        """What was rejected after the last row."""
        before = max(row.number for row in rejected) + 1
        return self._numbered(empty, np.empty(0, dtype=np.int64), rejected, before=before)

    def _numbered(
        self, rows: pa.Table, good: np.ndarray, rejected: list[pc.InvalidRow], *, before: int
    ) -> Block:
        bad = np.array([row.number for row in rejected], dtype=np.int64)
        bad_breaks = np.array([row.text.count("\n") for row in rejected], dtype=np.int64)
        records, breaks = np.concatenate([good, bad]), np.concatenate([_breaks(rows), bad_breaks])
        order = np.argsort(records)
        earlier = np.empty(len(records), dtype=np.int64)
        earlier[order] = np.cumsum(breaks[order]) - breaks[order]
        lines = records + self._extra_lines + earlier
        self._record, self._extra_lines = before, self._extra_lines + int(breaks.sum())
        broken = [
            Broken(int(line), _miscounted(row), row.text)
            for line, row in zip(lines[len(good) :], rejected, strict=True)
        ]
        is_row = ~_blank(rows)
        return Block(rows.filter(pa.array(is_row)), lines[: len(good)][is_row], broken)


def _miscounted(row: pc.InvalidRow) -> str:
    return f"{row.actual_columns} fields where the header has {row.expected_columns}"


def _breaks(rows: pa.Table) -> np.ndarray:
    total = np.zeros(rows.num_rows, dtype=np.int64)
    for column in rows.columns:
        total += pa.compute.count_substring(column, "\n").to_numpy()
    return total


def _blank(rows: pa.Table) -> np.ndarray:
    blank = np.ones(rows.num_rows, dtype=bool)
    for column in rows.columns:
        if not blank.any():
            break
        blank &= pa.compute.equal(column, "").to_numpy()
    return blank


def _unreadable_csv(path: str, message: str, *, line: int) -> InputError:
    got = "text that is not UTF-8" if "UTF8" in message else message
    next_step = "save the file as UTF-8" if "UTF8" in message else "look for a quote not closed"
    return InputError(
        f"{path}, at or after line {line}: the file cannot be read as CSV",
        got=got,
        expected="UTF-8 text, every quote closed",
        next_step=f"{next_step}, and deliver the file again",
    )


def line_blocks(stream: IO[bytes], *, path: str) -> Iterator[tuple[list[str], np.ndarray]]:
    """The lines of a text file that are not blank, with their numbers, block by block."""
    number, rest, is_first = 1, b"", True
    while True:
        chunk = stream.read(BLOCK_BYTES)
        body, rest = _whole_lines(rest + chunk, is_last=not chunk)
        if body is not None:
            if is_first:
                body, is_first = body.removeprefix(codecs.BOM_UTF8), False
            lines = _decoded(body, path=path, first_line=number).split("\n")
            numbers = np.arange(number, number + len(lines))
            number += len(lines)
            kept = np.array([bool(line.strip()) for line in lines])
            yield [line.removesuffix("\r") for line in lines if line.strip()], numbers[kept]
        if not chunk:
            return


def _whole_lines(text: bytes, *, is_last: bool) -> tuple[bytes | None, bytes]:
    """`text` up to its last line break (left out; None if there is none), and the rest."""
    if is_last:
        return text or None, b""
    body, found, rest = text.rpartition(b"\n")
    return (body, rest) if found else (None, text)


def _decoded(body: bytes, *, path: str, first_line: int) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + body.count(b"\n", 0, error.start)
        raise _wrong_file(
            path, "text that is not UTF-8", "save the file as UTF-8", line=line
        ) from error
