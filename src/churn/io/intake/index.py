"""What is remembered of deliveries: which paths there were, and what became of their rows."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from churn.errors import InputError
from churn.io import tables
from churn.io.intake.convert import Readable
from churn.io.intake.listing import Delivery
from churn.io.intake.steady import Settled
from churn.settings import SourceSettings
from churn.usage import events

VERSION = 2
"""Of what is remembered and how text is converted: another one means that all is read again."""

READING = (
    "name",
    "format",
    "columns",
    "timezone",
    "ts_format",
    "delimiter",
    "integer_ids",
    "exclude",
    "unknown_customers",
)
"""The settings on which it depends what a row says and whether it counts."""


@dataclass(frozen=True)
class Entry:
    """Rows of one content before duplicates: `months` (YYYY-MM) are good rows, `unknown` those
    refused because their customer is not in the customers table."""

    read: int = 0
    excluded: int = 0
    refused: int = 0
    unknown: int = 0
    months: Mapping[str, int] = field(default_factory=dict)
    first_ts: str | None = None
    last_ts: str | None = None

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], *, n_skipped: int) -> "Entry":
        """From the rows of `events.tally` for one file."""
        good = [row for row in rows if row["fault"] == 0]
        excluded = sum(row["n"] for row in rows if row["fault"] == events.EXCLUDED)
        read = sum(row["n"] for row in rows)
        return cls(
            read=read + n_skipped,
            excluded=excluded + n_skipped,
            refused=read - excluded - sum(row["n"] for row in good),
            unknown=sum(row["n"] for row in rows if row["fault"] == events.UNKNOWN_CUSTOMER),
            months={_month(row["month"]): row["n"] for row in good},
            first_ts=_iso(min((row["first_ts"] for row in good), default=None)),
            last_ts=_iso(max((row["last_ts"] for row in good), default=None)),
        )


@dataclass(frozen=True)
class Found:
    """One content among the deliveries: the first path that holds it, and how to scan it."""

    path: str
    sha256: str
    file: Readable


@dataclass(frozen=True)
class Content(Found):
    """A content that was judged, and the rows (from 0) it loses to others with the same event_id;
    `lost_months` counts them by month."""

    entry: Entry
    dropped: tuple[int, ...] = ()
    lost_months: Mapping[str, int] = field(default_factory=dict)
    has_duplicates_only: bool = True

    @property
    def is_spotless(self) -> bool:
        return not (self.dropped or self.entry.refused or self.entry.excluded)


class Index:
    """`folder/index.json` and the files beside it, for one way of reading the source.

    Another way of reading (`reading` is its fingerprint) or another glob starts anew. `forgotten`
    tells who must not come back (`forgotten.digest`): entries were judged with those left out.
    """

    def __init__(
        self, folder: Path, *, pattern: str, source: SourceSettings, forgotten: str = ""
    ) -> None:
        settings = {name: getattr(source, name) for name in READING}
        settings["knows_customers"] = bool(source.customers) or source.name not in (
            "files",
            "sql",
            "spark",
        )
        text = json.dumps([VERSION, settings], sort_keys=True, default=str)
        self.path = folder / "index.json"
        self.reading = hashlib.sha256(text.encode()).hexdigest()
        self.customers = ""
        self._forgotten = forgotten
        self._folder = folder
        self._pattern = pattern
        self._hashes: np.ndarray | None = None
        self._before = _read(self.path)
        self._has_customers_left = False
        self._has_other_customers = False

    @property
    def paths(self) -> dict[str, str]:
        """Path → sha256 of what the same glob matched the last time."""
        return self._before["paths"] if self._before.get("pattern") == self._pattern else {}

    @property
    def settled(self) -> dict[str, Settled]:
        """Path → content and stamp of the files that need not be hashed while they keep it."""
        stamps = self._before.get("stamps", {})
        paths = self.paths
        return {path: Settled(paths[path], tuple(stamps[path])) for path in {*paths} & {*stamps}}

    def meet(self, hashes: pa.Table | None) -> None:
        """Compare the customers table with the one before: entries were judged by that one."""
        if hashes is None:
            return
        self._hashes = hashes["h"].to_numpy()
        self.customers = _digest(self._hashes)
        self._has_other_customers = self.customers != self._before.get("customers")
        if self._has_other_customers:
            stored = self._folder / "customers.npy"
            before = _hashes_in(stored)
            is_the_one = _digest(before) == self._before.get("customers")
            has_left = bool(len(np.setdiff1d(before, self._hashes)))
            self._has_customers_left = has_left or not is_the_one

    def entry(self, sha256: str) -> Entry | None:
        """What is known of a content, if it is still true."""
        if self._before.get("reading") != self.reading or self._has_customers_left:
            return None
        if self._before.get("forgotten", "") != self._forgotten:
            return None
        known = self._before["entries"].get(sha256)
        if known is None or (known["unknown"] and self._has_other_customers):
            return None
        if known["refused"] and _digest_of(self._rejects_path(sha256)) != self._rejected(sha256):
            return None
        return Entry(**known)

    def converted(self, sha256: str) -> Path:
        """Where the typed Parquet of a text file stands."""
        return self._folder / f"{sha256[:16]}.{self.reading[:8]}.parquet"

    def keep_rejects(self, sha256: str, rows: pd.DataFrame) -> None:
        """Keep the refused rows of a content: line, column, value, reason."""
        names = {"bad_column": "column", "bad_value": "value"}
        kept = rows.rename(columns=names)[["line", "column", "value", "reason"]]
        with tables.staging(self._folder) as place:
            pq.write_table(tables.arrow(kept), place / "rejects.parquet")
            (place / "rejects.parquet").replace(self._rejects_path(sha256))

    def rejects(self, sha256: str) -> pd.DataFrame:
        frame: pd.DataFrame = pq.read_table(self._rejects_path(sha256)).to_pandas()
        return frame

    def keep(self, found: Sequence[Delivery], contents: Sequence[Content]) -> None:
        """Remember this intake; files that it does not need any more are deleted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._hashes is not None:
            keep_hashes(self._folder / "customers.npy", self._hashes)
        remembered = {
            "reading": self.reading,
            "pattern": self._pattern,
            "customers": self.customers,
            "forgotten": self._forgotten,
            "paths": {delivery.path: delivery.sha256 for delivery in found},
            "stamps": {delivery.path: delivery.stamp for delivery in found if delivery.is_settled},
            "entries": {content.sha256: asdict(content.entry) for content in contents},
            "rejects": {
                content.sha256: _digest_of(self._rejects_path(content.sha256))
                for content in contents
                if content.entry.refused
            },
        }
        tables.write_sealed(self.path, remembered)
        stems = {content.sha256[:16] for content in contents}
        for stray in [*self._folder.glob("*.parquet"), *self._folder.glob("*.parquet.json")]:
            if stray.name.split(".")[0] not in stems or self.reading[:8] not in stray.name:
                stray.unlink()
        for copy in set((self._folder / "remote").glob("*")) - {d.local for d in found}:
            copy.unlink()

    def _rejected(self, sha256: str) -> str | None:
        """The sha256 of the refused rows of a content, as they were kept."""
        return self._before.get("rejects", {}).get(sha256)

    def _rejects_path(self, sha256: str) -> Path:
        return self._folder / f"{sha256[:16]}.{self.reading[:8]}.rejects.parquet"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = tables.read_json(path)
    except InputError as error:
        error.next_step = f"delete {path}: every delivery is then read again"
        raise
    return found


def keep_hashes(path: Path, hashes: np.ndarray) -> str:
    """Write hashes of customers, and return their digest."""
    content = io.BytesIO()
    np.save(content, hashes)
    tables.write_bytes(path, content.getvalue())
    return _digest(hashes)


def _hashes_in(path: Path) -> np.ndarray:
    """The hashes kept of a customers table; none where the file is gone or damaged."""
    try:
        return np.asarray(np.load(path), dtype=np.uint64)
    except (OSError, ValueError):
        return np.empty(0, dtype=np.uint64)


def _digest_of(path: Path) -> str:
    return tables.sha256(path) if path.exists() else ""


def _digest(hashes: np.ndarray) -> str:
    return hashlib.sha256(hashes.tobytes()).hexdigest()


def _month(number: int) -> str:
    """
    >>> _month(2025 * 12)
    '2025-01'
    """
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="microseconds") if moment else None
