"""Rows of several deliveries with one event_id: which of them lose it, in bounded memory."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from churn.io.engine import Engine
from churn.io.intake.index import Content, Found
from churn.timeline import Arrival
from churn.usage import duplicates
from churn.usage.events import Rules
from churn.usage.reading import Reading

T = TypeVar("T", bound=Found)

HASHES_AT_ONCE = 1 << 26

LOSERS = ["path", "row", "line", "day", "event_id", "is_duplicate"]

PATHS = pa.schema([("file_no", pa.int64()), ("path", pa.string())])


def groups_of(files: Sequence[T]) -> list[tuple[Reading, list[T]]]:
    """Files that one scan can read together."""
    groups: dict[str, list[T]] = {}
    for file in files:
        groups.setdefault(f"{file.file.signature} {file.file.reading}", []).append(file)
    return [(group[0].file.reading, group) for group in groups.values()]


def losers(
    contents: Sequence[Content], *, rules: Rules, arrival: Arrival, engine: Engine
) -> pd.DataFrame:
    """Rows that lose their event_id to another row (see `duplicates.resolved`)."""
    with_ids = [content for content in contents if content.file.reading.column("event_id")]
    groups = groups_of(with_ids)
    if engine.is_distributed:
        return _losers_elsewhere(groups, rules=rules, arrival=arrival, engine=engine)
    hashes = _repeated_hashes(groups, engine)
    if not len(hashes):
        return pd.DataFrame(columns=LOSERS)
    engine.bind("repeated", pa.table({"h": hashes}))
    found = []
    for reading, group in groups:
        engine.bind("raw", [content.file.place for content in group], row_numbers=True)
        rows = engine.table(duplicates.rivals(reading, rules, arrival=arrival))
        paths = pa.array([content.path for content in group], pa.string())
        found.append(rows.append_column("path", paths.take(rows["file_no"])))
    engine.bind("rivals", pa.concat_tables(found))
    return engine.table(duplicates.resolved()).to_pandas()


def _losers_elsewhere(
    groups: Sequence[tuple[Reading, Sequence[Content]]],
    *,
    rules: Rules,
    arrival: Arrival,
    engine: Engine,
) -> pd.DataFrame:
    """The same, with only the losers coming here: ids and rivals stay where the rows are."""
    if not groups:
        return pd.DataFrame(columns=LOSERS)
    hashes, rivals = [], []
    for place, (reading, group) in enumerate(groups):
        raw, paths = f"ids_{place}", f"paths_{place}"
        engine.bind(raw, [content.file.place for content in group], row_numbers=True)
        named = {"file_no": range(len(group)), "path": [content.path for content in group]}
        engine.bind(paths, pa.table(named, schema=PATHS))
        hashes.append(duplicates.id_hashes(reading, raw=raw))
        found = duplicates.rivals(reading, rules, arrival=arrival, raw=raw)
        rivals.append(duplicates.with_path(found, paths))
    engine.materialise("repeated", duplicates.repeated_among(hashes))
    engine.view("rivals", duplicates.all_of(rivals))
    return engine.table(duplicates.resolved()).to_pandas()


def _repeated_hashes(
    groups: Sequence[tuple[Reading, Sequence[Content]]], engine: Engine
) -> np.ndarray:
    """Hashes of event ids that occur more than once over all groups, in bounded memory."""
    n_rows = sum(content.file.n_rows for _, group in groups for content in group)
    n_parts = 1 + n_rows // HASHES_AT_ONCE
    repeated = []
    for part in range(n_parts):
        some = [np.empty(0, dtype=np.uint64)]
        for reading, group in groups:
            engine.bind("raw", [content.file.place for content in group], row_numbers=True)
            some.append(
                engine.table(duplicates.id_hashes(reading, part=part, n_parts=n_parts))[
                    "h"
                ].to_numpy()
            )
        repeated.append(duplicates.repeated(np.concatenate(some)))
    return np.concatenate(repeated)
