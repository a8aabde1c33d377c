"""What a Parquet file itself says of the times in it, for which none of its rows need be read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

Extent = tuple[datetime, datetime]
"""The first and the last time (UTC) of a column."""


def extents(file: pq.ParquetFile, columns: Mapping[str, str]) -> dict[str, Extent]:
    """Our name of each of `columns` (ours → the file's) → its extent, where every group of rows tells it in
    a unit that loses nothing."""
    told = {}
    paths = [file.metadata.schema.column(n).path for n in range(file.metadata.num_columns)]
    for ours, theirs in columns.items():
        kind = file.schema_arrow.field(theirs).type
        is_it = paths.count(theirs) == 1  # "a.b" may be inside "a" as well
        if is_it and pa.types.is_timestamp(kind) and kind.unit != "ns":
            extent = _extent(file.metadata, paths.index(theirs))
            if extent:
                told[ours] = extent
    return told


def _extent(metadata: pq.FileMetaData, place: int) -> Extent | None:
    firsts, lasts = [], []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        try:
            firsts.append(_in_utc(statistics.min))
            lasts.append(_in_utc(statistics.max))
        except (OverflowError, ValueError):  # a year that Python does not know
            return None
    return (min(firsts), max(lasts)) if firsts else None


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


class Scanned(Protocol):
    """A file and what it tells (`convert.Readable`)."""

    @property
    def n_rows(self) -> int: ...
    @property
    def extents(self) -> Mapping[str, Extent]: ...


def tallied(files: Sequence[Scanned]) -> dict[int, dict[str, Any]]:
    """Place among `files`, all of whose rows are good → the only row of `events.tally`, for those that lie
    in one month and say so."""
    rows = {}
    for place, file in enumerate(files):
        if "ts" not in file.extents:
            continue
        first, last = file.extents["ts"]
        month, last_month = (moment.year * 12 + moment.month - 1 for moment in (first, last))
        if month == last_month:
            rows[place] = {
                "file_no": place, "fault": 0, "month": month, "n": file.n_rows, "first_ts": first,
                "last_ts": last,
            }  # fmt: skip
    return rows
