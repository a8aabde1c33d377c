"""What somebody wrote about others that names a person: the words lose the name, the row stays.

Feedback is nowhere else: a note of one customer that names another is put right, never deleted.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from churn.io.erasure.search import Person
from churn.io.intake import forgotten

SOMEBODY = "(forgotten)"
"""What stands in a text instead of an id or a name."""

NO_WORDS = ("customer_id", "text")
"""Ids are compared whole, and messages come back with the log that they stand in: both stay."""


def unnamed(content: Any, person: Person, *, spared: Collection[str] = ()) -> Any:
    """JSON content in which no text names the person, but those `spared`: ids of others."""
    if isinstance(content, dict):
        return {
            unnamed(key, person, spared=spared): unnamed(value, person, spared=spared)
            for key, value in content.items()
        }
    if isinstance(content, list):
        return [unnamed(value, person, spared=spared) for value in content]
    if isinstance(content, str) and person.pattern is not None and content not in spared:
        return person.pattern.sub(SOMEBODY, content)
    return content


def unnamed_rows(rows: pd.DataFrame, person: Person) -> pd.DataFrame:
    """`rows` in which no text but an id names the person."""
    changed = {}
    for name in rows.columns.difference([*NO_WORDS, *person.columns]):
        if any(isinstance(one, str) and person.is_in(one) for one in rows[name]):
            changed[name] = (
                rows[name].map(lambda one: unnamed(one, person)).astype(rows[name].dtype)
            )
    return rows.assign(**changed)


def reworded(path: Path, target: Path, person: Person) -> int:
    """Write Parquet file `path` to `target` with no text that names the person, if one does; the
    number of its rows that did. `target` may be `path` itself."""
    file = pq.ParquetFile(path)
    names = [
        field.name
        for field in file.schema_arrow
        if _is_text(field.type) and field.name not in (*NO_WORDS, *person.columns)
    ]
    said = {name: found for name in names if (found := _said(path, name, person))}
    if not said:
        return 0
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    codec, n_rows = groups[0].column(0).compression.lower(), 0
    stated = [field.name for field in file.schema_arrow if not pa.types.is_floating(field.type)]
    options: dict[str, Any] = {"compression": "none" if codec == "uncompressed" else codec}
    new = target.with_suffix(".words")
    # As `forgotten.rewritten`: statistics of numbers leave NaN out, and DuckDB believes them.
    with pq.ParquetWriter(new, file.schema_arrow, write_statistics=stated, **options) as writer:
        for number in range(len(groups)):
            rows, n_said = _put_right(file.read_row_group(number), said, person)
            n_rows += n_said
            writer.write_table(rows, row_group_size=max(1, rows.num_rows))
    os.replace(new, target)
    return n_rows


def _put_right(rows: pa.Table, said: dict[str, list[str]], person: Person) -> tuple[pa.Table, int]:
    """A group without the texts in `said`, by column, and how many of its rows had one."""
    hits = pa.array([False] * rows.num_rows)
    for name, texts in said.items():
        column = forgotten.as_text(rows[name])
        named = compute.is_in(column, value_set=pa.array(texts, pa.string()))
        hits = compute.or_(hits, named.combine_chunks())
        values = [unnamed(one, person) for one in column.to_pylist()]
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        right = pa.array(values, pa.string())
        if pa.types.is_dictionary(field.type):
            right = right.dictionary_encode()
        rows = rows.set_column(place, field, right.cast(field.type))
    return rows, compute.sum(hits).as_py() or 0


def _said(path: Path, name: str, person: Person) -> list[str]:
    """The texts of a column that name the person, each once."""
    found: set[str] = set()
    if person.pattern is None:
        return []
    for batch in pq.ParquetFile(path).iter_batches(columns=[name], batch_size=1 << 20):
        texts = compute.unique(forgotten.as_text(pa.chunked_array([batch.column(0)])))
        found |= {one for one in texts.to_pylist() if one and person.is_in(one)}
    return sorted(found)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
