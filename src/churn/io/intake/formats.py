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
from typing import IO, Any

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
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet", "save it as CSV (UTF-8)"),
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    b"BZh": ("bzip2 bytes", "unpack it, or pack it with gzip (.gz)"),
    b"\xfd7zXZ": ("xz bytes", "unpack it, or pack it with gzip (.gz)"),
    b"\x28\xb5\x2f\xfd": ("zstd bytes", "unpack it, or pack it with gzip (.gz)"),
    b"%PDF": ("a PDF document", "export the log as CSV (UTF-8)"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV (UTF-8)"),
}

MAX_LINE_BYTES = 32 << 20
"""A line of a log is never longer; what is would have to be held in memory whole."""

SOME_BYTES, MAX_RATIO = 64 << 20, 200
"""A gzip that has given so many bytes, and so many times its own size, is a bomb and no log: the
most repetitive logs shrink to a fiftieth."""

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
    suffix = Path(path.lower().removesuffix(".gz")).suffix
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
    is_gzip = path.lower().endswith(".gz")
    with local.open("rb") as packed:
        head = packed.read(4096)
        packed.seek(0)
        if is_gzip and head and not head.startswith(b"\x1f\x8b"):
            raise _wrong_file(path, "no gzip bytes under .gz", "name it without .gz")
        stream: IO[bytes] = gzip.GzipFile(fileobj=packed) if is_gzip else packed  # type: ignore[assignment]
        try:
            checked = _Checked(stream, path=path, most=_most_bytes(local) if is_gzip else None)
            buffered = io.BufferedReader(checked, BLOCK_BYTES)
            buffered.peek(1)
            yield buffered
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _wrong_file(
                path, f"a gzip file that is cut or damaged ({error})", "deliver the file again"
            ) from error


def _most_bytes(local: Path) -> int:
    return max(SOME_BYTES, MAX_RATIO * local.stat().st_size)


class _Checked(io.RawIOBase):
    """The bytes of `stream`, as long as they are UTF-8 and not more than `most`.

    Raises `InputError` with the line where they are not: a parser that meets them later can only
    say in which block. What is another kind of file altogether is told by its first bytes. `last` is
    the last byte so far that ends no line.
    """

    last = b""

    def __init__(self, stream: IO[bytes], *, path: str, most: int | None) -> None:
        self._stream, self._path, self._most = stream, path, most
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._n_bytes, self._line = 0, 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        if self._n_bytes == 0:
            _refuse_other_content(chunk[:512], path=self._path)
        self._n_bytes += len(chunk)
        if self._most is not None and self._n_bytes > self._most:
            raise _wrong_file(
                self._path,
                f"more than {self._n_bytes:,} bytes from a gzip {MAX_RATIO} times smaller",
                "unpack it and look at it; if it is what it should be, deliver it unpacked",
            )
        if not chunk.isascii() or self._decoder.getstate()[0]:
            self._decode(chunk)
        self._line += chunk.count(b"\n")
        self.last = chunk.rstrip(b"\r\n")[-1:] or self.last
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _decode(self, chunk: bytes) -> None:
        waiting = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = self._line + chunk.count(b"\n", 0, max(0, error.start - waiting))
            raise _wrong_file(
                self._path, "text that is not UTF-8", "save the file as UTF-8", line=line
            ) from error


def _refuse_other_content(head: bytes, *, path: str) -> None:
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise _wrong_file(path, "an empty file", "deliver the file again")
    for magic, (found, next_step) in MAGIC.items():
        if head.startswith(magic):
            raise _wrong_file(path, found, next_step)
    if head[::2].count(0) > len(head) // 4 or head[1::2].count(0) > len(head) // 4:
        raise _wrong_file(
            path, "UTF-16 text without its mark, or no text at all", "save it as UTF-8"
        )
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
        yield numbering.block(reader.schema.empty_table(), [])
        last_cell, line = "", 1
        for batch in reader:
            block = numbering.block(pa.Table.from_batches([batch]), rejected)
            if len(block.lines):
                last_cell, line = batch.column(batch.num_columns - 1)[-1].as_py(), block.lines[-1]
            yield block
        if rejected:
            yield numbering.last_block(reader.schema.empty_table(), rejected)
        elif "\n" in last_cell and stream.raw.last != b'"':  # type: ignore[attr-defined]
            raise _unreadable_csv(path, "a quote that is never closed", line=line)
    except pa.ArrowInvalid as error:
        raise _unreadable_csv(path, str(error), line=numbering.next_line) from error


def _header(stream: IO[bytes], *, path: str, delimiter: str) -> list[str]:
    """The column names, looked at without consuming them."""
    import csv

    first = stream.peek(BLOCK_BYTES)  # type: ignore[attr-defined]
    text = first.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    try:
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error as error:
        raise _unreadable_csv(path, f"a header that has no end ({error})", line=1) from error
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
    is_long = "straddling" in message
    return InputError(
        f"{path}, at or after line {line}: the file cannot be read as CSV",
        got="a row of more than 8 MB" if is_long else message,
        expected="rows of some kilobytes, every quote closed",
        next_step="look for a quote not closed, and deliver the file again",
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
            lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode().split("\n")
            numbers = np.arange(number, number + len(lines))
            number += len(lines)
            kept = np.array([bool(line.strip()) for line in lines])
            yield [line for line in lines if line.strip()], numbers[kept]
        if len(rest) > MAX_LINE_BYTES:
            got, advice = (
                f"a line of more than {MAX_LINE_BYTES:,} bytes",
                "is it one line an event?",
            )
            raise _wrong_file(path, got, f"look at the file: {advice}", line=number)
        if not chunk:
            return


def _whole_lines(text: bytes, *, is_last: bool) -> tuple[bytes | None, bytes]:
    """`text` up to its last line break (left out; None if there is none), and the rest.

    A carriage return alone ends a line too, unless it is the last byte: a line feed may follow.
    """
    if is_last:
        return text or None, b""
    end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1))
    if end < 0:
        return None, text
    return text[:end].removesuffix(b"\r" if text[end : end + 1] == b"\n" else b""), text[end + 1 :]
