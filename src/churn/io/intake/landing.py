"""Where rows of a database or of Spark land as Parquet files, and which have not landed yet.

A landed file never changes, and the files themselves are the only memory: how far a table was read
is what stands in them, so a run that dies between landing and recording forgets nothing. From here
on they are deliveries like any other.
"""

import glob
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as pq

from churn.contracts import REQUIRED, SOURCES
from churn.errors import InputError, nearest
from churn.io import tables
from churn.io.engine import Engine, Resources, near, opened
from churn.io.intake import forgotten
from churn.io.intake.forgotten import Forgotten
from churn.settings import SourceSettings
from churn.usage.columns import identifier, parsed_query

log = logging.getLogger("churn")

NTH, PLACE, AT, GONE = "churn nth", "churn place", "churn at", "churn gone"
"""Columns beside those of the table. `NTH` numbers equal rows: two clicks in one second are two
clicks, also when they are read again."""


@dataclass(frozen=True)
class Reach:
    """How far a table was read: `floor` is where the next increment begins, `last` the greatest
    watermark that has landed. The rows from `floor` to `last` are read again and compared."""

    floor: pa.Scalar
    last: pa.Scalar


def folder(source: SourceSettings, *, workspace: Path) -> Path:
    """Where the rows land. Another table, watermark or column is another log: it starts anew."""
    asked = {"events": source.events, "watermark": source.watermark, "columns": source.columns}
    text = json.dumps(asked, sort_keys=True, default=str)
    return workspace / source.name / hashlib.sha256(text.encode()).hexdigest()[:12]


def patterns(source: SourceSettings, *, workspace: Path) -> dict[str, str | None]:
    """The globs of what has landed, for each table that the source names."""
    place = glob.escape(str(folder(source, workspace=workspace)))
    found: dict[str, str | None] = {
        name: f"{place}/{name}.parquet" if getattr(source, name) else None for name in SOURCES
    }
    return {**found, "events": f"{place}/events/*.parquet" if source.events else None}


def wanted(
    name: str, label: str, there: Sequence[str], *, source: SourceSettings
) -> dict[str, str]:
    """Our column names → theirs, for the columns `there` of the table that `source.<name>` names.

    Raises `InputError` for one that is required or mapped and missing.
    """
    mapping = dict(source.columns if name == "events" else source.side_columns.get(name, {}))
    shared = source.columns.get("customer_id", "")
    if shared in there and name != "events" and "customer_id" in SOURCES[name].columns:
        mapping.setdefault("customer_id", shared)
    key = "source.columns" if name == "events" else f"source.side_columns.{name}"
    names = {ours: mapping.get(ours, ours) for ours in SOURCES[name].columns}
    names = {ours: theirs for ours, theirs in names.items() if theirs or ours in REQUIRED[name]}
    for ours, theirs in names.items():
        if theirs not in there and (ours in REQUIRED[name] or ours in mapping):
            raise no_column(label, theirs, there, key=f"{key}.{ours}")
    return {ours: theirs for ours, theirs in names.items() if theirs in there}


def no_column(label: str, name: str, there: Sequence[str], *, key: str) -> InputError:
    return InputError(
        f"{label} has no column {name!r} ({key})",
        got=f"columns {', '.join(there) or 'none'}",
        expected=nearest(name, list(there)) if there else "a column",
        next_step=f"set {key}=NAME",
    )


def landed(place: Path) -> list[Path]:
    """The landed files of a table, the oldest first."""
    return sorted(place.glob("*.parquet"))


def reach(files: Sequence[Path], watermark: str, *, reread_rows: int) -> Reach | None:
    """How far `files` reach, None where there are none; memory is bounded by `reread_rows`.

    `floor` is the watermark of the row that `reread_rows` have landed from on. Raises `InputError`
    for a file that is damaged.
    """
    values: list[pa.ChunkedArray] = []
    for path in reversed(files):
        try:
            values.append(_last_values(path, watermark, n_rows=max(reread_rows, 1)))
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise _damaged(path, error) from error
        if sum(map(len, values)) >= reread_rows:
            break
    if not sum(map(len, values)):
        return None
    every = pa.chunked_array([chunk.cast(values[0].type) for v in values for chunk in v.chunks])
    ordered = every.combine_chunks().sort("descending")
    return Reach(ordered[min(max(reread_rows, 1), len(ordered)) - 1], ordered[0])


def _last_values(path: Path, watermark: str, *, n_rows: int) -> pa.ChunkedArray:
    """The last `n_rows` watermarks of a file, which is sorted by them."""
    file = pq.ParquetFile(path)
    chunks: list[pa.Array] = []
    for place in reversed(range(file.num_row_groups)):
        column = file.read_row_group(place, columns=[watermark]).column(0)
        chunks = [*column.chunks, *chunks]
        if sum(map(len, chunks)) >= n_rows:
            break
    whole = pa.chunked_array(chunks, type=file.schema_arrow.field(watermark).type)
    return whole.slice(max(0, len(whole) - n_rows))


def land(fetched: Path, place: Path, watermark: str) -> Path:
    """Give the finished file `fetched`, sorted by `watermark`, its name among the landed ones."""
    column = pq.read_table(fetched, columns=[watermark]).column(0)
    numbers = [int(path.name.split("_")[0]) for path in landed(place)]
    span = f"{_in_a_name(column[0])}..{_in_a_name(column[-1])}"
    return put(fetched, place / f"{max(numbers, default=0) + 1:06d}_{span}.parquet")


def strip(fetched: Path, *, source: SourceSettings, gone: Forgotten) -> int:
    """Take everybody who was forgotten out of a file that is about to land; how many rows."""
    kept = fetched.with_suffix(".kept")
    n_gone = forgotten.without(fetched, kept, gone=gone, columns=id_columns(source))
    if n_gone:
        os.replace(kept, fetched)
        log.info("%s rows of who was forgotten do not land", f"{n_gone:,}")
    return n_gone


def id_columns(source: SourceSettings) -> dict[str, set[str]]:
    """How the columns with ids of customers and of people are called, here and in the source."""
    sides = [mapping.get("customer_id", "customer_id") for mapping in source.side_columns.values()]
    return {
        "customer": {"customer_id", source.columns.get("customer_id", "customer_id"), *sides},
        "user": {"user_id", source.columns.get("user_id", "user_id")},
    }


def put(finished: Path, target: Path) -> Path:
    """Make the file `finished` the one at `target`, in one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    tables.sync(finished)
    os.replace(finished, target)
    tables.sync(target.parent)
    return target


def _in_a_name(value: pa.Scalar) -> str:
    """
    >>> _in_a_name(pa.scalar(datetime(2026, 1, 5, 9, 30)))
    '2026-01-05T093000'
    """
    plain = value.as_py()
    text = plain.isoformat() if hasattr(plain, "isoformat") else str(plain)
    return re.sub(r"[^0-9A-Za-z.T-]", "", text.replace("+00:00", ""))


def fresh(
    fetched: Path, target: Path, files: Sequence[Path], *, watermark: str, reach: Reach,
    resources: Resources,
) -> int:  # fmt: skip
    """Write to `target` the rows of `fetched` that are not in `files`; returns how many.

    Equal rows are counted, not merged. A fetched row that has not landed, beside a landed row of
    the same watermark that is no longer there, is a row that was changed: as taken in it stays.
    Raises `InputError` when none of the rows that were read again is known: another table, or one
    that was filled anew.
    """
    names = pq.read_schema(fetched).names
    overlapping, common = _overlap(files, names, watermark=watermark, reach=reach)
    with opened(near(resources)) as engine:
        _bind(engine, fetched, overlapping, common, watermark=watermark, reach=reach)
        counted = engine.table(parsed_query(_counts())).to_pylist()[0]
        if counted["n_again"] == counted["n_unknown"]:
            raise _not_the_same(overlapping[-1], watermark, reach)
        engine.write(parsed_query(_fresh(names, watermark, _literal(reach.last))), target)
    n_fresh = int(pq.read_metadata(target).num_rows)
    n_fetched = int(pq.read_metadata(fetched).num_rows)
    n_changed = counted["n_unknown"] - (n_fresh - (n_fetched - counted["n_again"]))
    if n_changed:
        log.info(
            "%s of the rows read again were changed in the table since: as taken in they stay",
            f"{n_changed:,}",
        )
    return n_fresh


def _overlap(
    files: Sequence[Path], names: Sequence[str], *, watermark: str, reach: Reach
) -> tuple[list[Path], list[str]]:
    """The files with rows from the floor on, and the columns by which rows can be compared."""
    found, common = [], list(names)
    for path in files:
        try:
            rows = dataset.dataset(path, format="parquet")
            if rows.count_rows(filter=dataset.field(watermark) >= reach.floor):
                found.append(path)
                common = [name for name in common if name in rows.schema.names]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise _damaged(path, error) from error
    return found, common


def _bind(
    engine: Engine, fetched: Path, files: Sequence[Path], common: Sequence[str], *,
    watermark: str, reach: Reach,
) -> None:  # fmt: skip
    """Tables `again` (fetched rows up to the last landed watermark) and `before` (landed rows from
    the floor on), equal rows numbered, and `unknown`, the rows of `again` that are not in it."""
    columns, by = ", ".join(map(identifier, common)), identifier(watermark)
    number = f"ROW_NUMBER() OVER (PARTITION BY {columns}) AS {identifier(NTH)}"
    engine.bind("fetched", fetched)
    for place, path in enumerate(files):
        engine.bind(f"landed_{place}", path)
    every = " UNION ALL ".join(
        f"SELECT {columns} FROM landed_{place} WHERE {by} >= {_literal(reach.floor)}"
        for place in range(len(files))
    )
    engine.materialise(
        "again",
        parsed_query(f"SELECT *, {number} FROM fetched WHERE {by} <= {_literal(reach.last)}"),
    )
    engine.materialise("before", parsed_query(f"SELECT {columns}, {number} FROM ({every}) AS e"))
    same = " AND ".join(
        f"a.{identifier(name)} IS NOT DISTINCT FROM b.{identifier(name)}" for name in (*common, NTH)
    )
    engine.materialise(
        "unknown",
        parsed_query(
            f"SELECT a.* FROM again AS a LEFT JOIN before AS b ON {same} "
            f"WHERE b.{identifier(NTH)} IS NULL"
        ),
    )
    engine.materialise(
        "gone",
        parsed_query(
            f"SELECT b.{by} AS {identifier(AT)}, COUNT(*) AS {identifier(GONE)} "
            f"FROM before AS b LEFT JOIN again AS a ON {same} "
            f"WHERE a.{identifier(NTH)} IS NULL GROUP BY 1"
        ),
    )


def _counts() -> str:
    return (
        "SELECT (SELECT COUNT(*) FROM again) AS n_again, "
        "(SELECT COUNT(*) FROM unknown) AS n_unknown"
    )


def _fresh(names: Sequence[str], watermark: str, last: str) -> str:
    """SQL for what is to land: unknown rows beyond those that only changed, and all rows after."""
    columns, by = ", ".join(map(identifier, names)), identifier(watermark)
    at, gone, place = (identifier(name) for name in (AT, GONE, PLACE))
    return f"""
        SELECT {columns} FROM (
            SELECT {columns} FROM (
                SELECT *, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {columns}) AS {place}
                FROM unknown
            ) AS u
            LEFT JOIN gone AS g ON g.{at} = u.{by}
            WHERE u.{place} > COALESCE(g.{gone}, 0)
            UNION ALL SELECT {columns} FROM fetched WHERE {by} > {last}
        ) AS f ORDER BY {by}, {columns}
    """


def _literal(value: pa.Scalar) -> str:
    plain = value.as_py()
    if isinstance(plain, datetime):
        kind = "TIMESTAMPTZ" if plain.tzinfo else "TIMESTAMP"
        return f"CAST('{plain.isoformat(sep=' ')}' AS {kind})"
    return str(plain) if isinstance(plain, int) else f"DATE '{plain.isoformat()}'"


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read",
        got=str(error).splitlines()[0],
        expected="a landed file as it was written, with the types that the table has now",
        next_step=f"restore it, or move {path.parent} away: the table is then read from its start",
    )


def _not_the_same(path: Path, watermark: str, reach: Reach) -> InputError:
    return InputError(
        "the table does not hold what was taken in from it last",
        got=f"no row of {path.name} with {watermark} from {reach.floor} to {reach.last} is there",
        expected="the table that was read before, with rows added",
        next_step="check that this is the right database; if old rows were removed on purpose, "
        "run once with source.reread_rows=0, which compares nothing",
    )
