"""A log on disk for a test: write files, take them in, look at what counts."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import parse_one

from churn.io.engine import Resources, opened
from churn.io.intake import sources
from churn.io.intake.sources import Intake
from churn.settings import SourceSettings
from churn.timeline import Arrival

KINDS = {"ts": pa.timestamp("us"), "loaded_at": pa.timestamp("us"), "value": pa.float64()}


@dataclass
class Logbook:
    """`place/logs` holds the deliveries, `place/data` is the workspace."""

    place: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        folder = self.place / "logs"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def workspace(self) -> Path:
        return self.place / "data"

    def text(self, name: str, content: str | bytes) -> Path:
        path = self.logs / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def parquet(self, name: str, rows: list[dict[str, Any]], **kinds: pa.DataType) -> Path:
        names = list(rows[0])
        types = KINDS | kinds
        schema = pa.schema([(n, types.get(n, pa.string())) for n in names])
        path = self.logs / name
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        return path

    def source(self, **changes: Any) -> SourceSettings:
        return SourceSettings(**({"events": f"{self.logs}/*"} | self.settings | changes))

    def take_in(
        self, *, share: float = 1.0, arrival: Arrival | None = None, **changes: Any
    ) -> Intake:
        return sources.take_in(
            self.source(**changes),
            workspace=self.workspace,
            arrival=arrival or Arrival(),
            resources=Resources(),
            max_rejected_share=share,
        )

    def sides(self, **changes: Any) -> dict[str, pa.Table]:
        return sources.side_tables(self.source(**changes), workspace=self.workspace)


def events(intake: Intake, month: str | None = None) -> list[dict[str, Any]]:
    """`clean_events` as rows in a total order."""
    with opened(Resources()) as engine, intake.explained(engine):
        intake.bind(engine, month)
        query = parse_one("SELECT * FROM clean_events", dialect="duckdb")
        rows = engine.table(query).to_pylist()
    return sorted(rows, key=lambda row: [(row[n] is not None, str(row[n])) for n in row])


def totals(intake: Intake) -> tuple[int, int, int, int, int]:
    """read, used, duplicate, excluded, refused over all deliveries."""
    rows = [(a.read, a.used, a.duplicate, a.excluded, a.refused) for a in intake.accounts]
    read, used, duplicate, excluded, refused = (sum(column) for column in zip(*rows, strict=True))
    assert read == used + duplicate + excluded + refused
    return read, used, duplicate, excluded, refused


def row(
    customer: str = "a", ts: str = "2026-01-05 10:00:00", event: str = "login", **more: Any
) -> dict[str, Any]:
    """One event for `Logbook.parquet`."""
    moments = {k: datetime.fromisoformat(v) for k, v in more.items() if k == "loaded_at" and v}
    return (
        {"customer_id": customer, "ts": datetime.fromisoformat(ts), "event": event} | more | moments
    )


def day(text: str) -> date:
    return date.fromisoformat(text)
