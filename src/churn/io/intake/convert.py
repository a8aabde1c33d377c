"""Files → something DuckDB reads as declared: Parquet in place, text once to typed Parquet."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.contracts import EVENTS
from churn.errors import InputError
from churn.io import tables
from churn.io.engine import Engine
from churn.io.intake import forgotten, formats, json_lines, steady, weblogs
from churn.io.intake.declared import checked_kind, required_columns
from churn.io.intake.extents import Extent, extents
from churn.io.intake.forgotten import Forgotten
from churn.io.intake.formats import Block, Broken
from churn.settings import SourceSettings
from churn.usage.columns import Column
from churn.usage.reading import TYPED, Reading, stored

EXTRA = ("line", "broken", "raw")
TIMES = ("ts", "loaded_at")
LOGS = {"access_log": weblogs.access_block, "error_log": weblogs.error_block}


@dataclass(frozen=True)
class Readable:
    """A file that `reading.parsed` can read: `signature` tells which files go into one scan, and
    `n_skipped` lines were left out because they are about nobody; `extents` of `ts` and `loaded_at`, as
    far as the file tells them."""

    place: Path
    reading: Reading
    signature: str
    n_rows: int
    n_skipped: int = 0
    extents: Mapping[str, Extent] = field(default_factory=dict)


def readable(
    path: str,
    local: Path,
    *,
    sha256: str,
    target: Path,
    source: SourceSettings,
    engine: Engine,
    is_read_elsewhere: bool = False,
    gone: Forgotten | None = None,
) -> Readable:
    """The file at `local` (called `path` by the source, of content `sha256`) as something to scan.

    Text is converted to `target` by `engine` unless that is there already; so is Parquet that holds
    times or numbers to be parsed if another engine `is_read_elsewhere`. Raises `InputError` for a
    fault of the whole file: damaged, a required column missing, ids that are numbers. What is
    converted has no row of who is `gone`; they count as skipped.
    """
    declared = formats.format_of(path, declared=source.format)
    if declared == "parquet":
        in_place = _in_place(path, local, source=source)
        if not is_read_elsewhere or _is_plain(local, in_place.reading):
            return in_place
    facts_at = target.with_suffix(".parquet.json")
    if not _is_whole(target, facts_at):
        with tables.staging(target.parent) as place:
            made = _converted(path, local, declared, place=place, source=source, engine=engine)
            steady.require_same(path, local, sha256=sha256)
            made = _without(made, gone) if gone else made
            tables.write_sealed(facts_at, made.facts)
            tables.sync(made.typed)
            os.replace(made.typed, target)
    facts = tables.read_json(facts_at)
    reading = Reading(
        tuple((name, Column(name, "typed")) for name in facts["columns"]),
        timezone=source.timezone or "UTC",
        form="typed",
    )
    typed = pq.ParquetFile(target)
    told = extents(typed, {name: name for name in TIMES})
    return Readable(
        target, reading, "typed", typed.metadata.num_rows, facts["n_skipped"], extents=told
    )


def _is_plain(local: Path, reading: Reading) -> bool:
    """Whether a Parquet file says by its types alone what each value is, to every engine.

    Not so: times or values as text, local times, nanoseconds (which Spark cannot read), decimals
    (whose way to a float is each engine's own), and what is shown as text.
    """
    schema = pq.read_schema(local)
    return all(
        _says_itself(schema.field(column.name).type, ours, timezone=reading.timezone)
        for ours, column in reading.columns
    )


def _says_itself(type_: pa.DataType, ours: str, *, timezone: str) -> bool:
    kinds = pa.types
    if ours == "value":
        is_float = kinds.is_float32(type_) or kinds.is_float64(type_)
        return is_float or kinds.is_signed_integer(type_)
    if ours not in ("ts", "loaded_at"):
        is_text = kinds.is_string(type_) or kinds.is_large_string(type_)
        return is_text or kinds.is_signed_integer(type_)
    if kinds.is_timestamp(type_):
        return type_.unit in ("ms", "us") and (type_.tz is not None or timezone == "UTC")
    return kinds.is_date32(type_) and timezone == "UTC"


@dataclass(frozen=True)
class _Made:
    typed: Path
    facts: dict[str, object]


def _is_whole(target: Path, facts_at: Path) -> bool:
    """Whether a converted file is there, is the one that was written, and holds what is read now."""
    if not (target.exists() and facts_at.exists()):
        return False
    try:
        facts = tables.read_json(facts_at)
    except InputError:
        return False
    is_current = facts.get("typed") == list(TYPED)
    return is_current and bool(facts["sha256"] == tables.sha256(target))


def _in_place(path: str, local: Path, *, source: SourceSettings) -> Readable:
    try:
        file = pq.ParquetFile(local)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet",
            got="an empty file" if local.stat().st_size == 0 else str(error).splitlines()[0],
            expected="a whole Parquet file",
            next_step="deliver the file again; was it copied while it was being written?",
        ) from error
    schema = file.schema_arrow
    names = required_columns(
        path, schema.names, "events", mapping=source.columns, key="source.columns"
    )
    columns = tuple(
        (ours, Column(theirs, checked_kind(path, ours, schema.field(theirs), source=source)))
        for ours, theirs in names.items()
    )
    reading = Reading(columns, ts_format=source.ts_format, timezone=source.timezone or "UTC")
    signature = "; ".join(f"{field.name} {field.type}" for field in schema)
    return Readable(
        local, reading, signature, file.metadata.num_rows, extents=_extents(file, reading)
    )


def _extents(file: pq.ParquetFile, reading: Reading) -> dict[str, Extent]:
    """Of the times of `file` that it keeps as they are meant."""
    meant = ("instant", "timestamp") if reading.timezone == "UTC" else ("instant",)
    columns = {ours: column for ours in TIMES if (column := reading.column(ours))}
    return extents(file, {ours: c.name for ours, c in columns.items() if c.kind in meant})


def _converted(
    path: str, local: Path, declared: str, *, place: Path, source: SourceSettings, engine: Engine
) -> _Made:
    """The file as typed Parquet in `place`: text first as text, then read once as declared."""
    if declared == "parquet":
        reading = _in_place(path, local, source=source).reading
        names = [name for name, _ in reading.columns]
        return _typed(reading, local, names, 0, place=place, engine=engine)
    as_text = place / "text.parquet"
    with formats.opened(local, path=path) as stream:
        blocks = event_blocks(stream, path=path, declared=declared, source=source, engine=engine)
        present, skipped = _write_blocks(blocks, as_text, path=path)
    is_log = declared in LOGS
    reading = Reading(
        tuple((name, Column(name, "text")) for name in present),
        ts_format="iso" if is_log else source.ts_format,
        timezone=source.timezone or "UTC",
        form="text",
    )
    return _typed(reading, as_text, present, skipped, place=place, engine=engine)


def _typed(
    reading: Reading, raw: Path, columns: list[str], skipped: int, *, place: Path, engine: Engine
) -> _Made:
    engine.bind("raw", raw, row_numbers=True)
    typed = place / "typed.parquet"
    engine.write(stored(reading), typed)
    facts = {
        "columns": columns,
        "typed": list(TYPED),
        "n_skipped": skipped,
        "sha256": tables.sha256(typed),
    }
    return _Made(typed, facts)


def _without(made: _Made, gone: Forgotten) -> _Made:
    """The same without the rows, and the broken lines, that name somebody who was forgotten."""
    lost = {
        "customer_id": gone.among("customer", _values(made.typed, "customer_id")),
        "user_id": gone.among("user", _values(made.typed, "user_id")),
        "raw": [text for text in _values(made.typed, "raw") if text and gone.is_told_in(text)],
    }
    if not any(lost.values()):
        return made
    kept = made.typed.with_name("kept.parquet")
    n_gone = forgotten.rewritten(made.typed, kept, lost=lost)
    skipped = int(str(made.facts["n_skipped"])) + n_gone
    return _Made(kept, made.facts | {"n_skipped": skipped, "sha256": tables.sha256(kept)})


def _values(path: Path, name: str) -> list[str | None]:
    """The values of a column, each once."""
    found: list[str | None] = compute.unique(pq.read_table(path, columns=[name])[name]).to_pylist()
    return found


def _write_blocks(blocks: Iterator[Block], target: Path, *, path: str) -> tuple[list[str], int]:
    """All blocks in one file: our columns as text, `line`, `broken`, `raw`; and what they have."""
    names = list(EVENTS.columns)
    schema = pa.schema(
        [(name, pa.int64() if name == "line" else pa.string()) for name in (*names, *EXTRA)]
    )
    present: dict[str, None] = {}
    skipped = 0
    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for block in blocks:
            present |= dict.fromkeys(block.rows.column_names)
            skipped += block.n_skipped
            for table in (_sound(block, schema), _unsound(block.broken, schema)):
                if table.num_rows:
                    writer.write_table(table, row_group_size=131_072)
    return [name for name in names if name in present], skipped


def _sound(block: Block, schema: pa.Schema) -> pa.Table:
    n = block.rows.num_rows
    have = {name: block.rows[name] for name in block.rows.column_names}
    have["line"] = pa.array(block.lines, pa.int64())
    return pa.table([have.get(f.name, pa.nulls(n, f.type)) for f in schema], schema=schema)


def _unsound(broken: Sequence[Broken], schema: pa.Schema) -> pa.Table:
    rows = [{"line": b.line, "broken": b.reason, "raw": b.text[:1000]} for b in broken]
    return pa.Table.from_pylist(rows, schema=schema)


def event_blocks(
    stream: IO[bytes], *, path: str, declared: str, source: SourceSettings, engine: Engine
) -> Iterator[Block]:  # fmt: skip
    """The rows of a text file under our own column names."""
    if declared in LOGS:
        for lines, numbers in formats.line_blocks(stream, path=path):
            yield LOGS[declared](lines, numbers)
    elif declared == "jsonl":
        yield from json_lines.blocks(stream, path=path, source=source, engine=engine)
    else:
        for block in formats.csv_blocks(stream, path=path, delimiter=source.delimiter):
            names = required_columns(
                path,
                block.rows.column_names,
                "events",
                mapping=source.columns,
                key="source.columns",
            )
            rows = pa.table({ours: block.rows[theirs] for ours, theirs in names.items()})
            yield Block(rows, block.lines, block.broken)
