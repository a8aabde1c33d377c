"""A model as it travels to the workers that score: text and specification, no object of ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
from sqlglot import exp, parse_one

from churn.io.bundle import canonical
from churn.learning import hazard, models
from churn.learning.models import Model

RISKS = pa.schema(
    [
        ("customer_id", pa.string()),
        *((name, pa.float64()) for name in ("risk", *hazard.RISKS)),
        ("half_after_days", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Scorer:
    """Rows of features → `RISKS`, by the same function that scores in this process.

    It holds what the bundle holds (LightGBM's text and JSON), so that what workers apply is what
    was hashed and promoted; they need this package, and no access to the workspace.
    """

    booster: str
    spec: str

    @classmethod
    def of(cls, model: Model) -> "Scorer":
        booster, spec = models.to_spec(model)
        return cls(booster, canonical(spec))

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = rows.to_pandas(split_blocks=True)  # which copies no column
        found = models.risks(_model(self.booster, self.spec), frame)
        return pa.table({"customer_id": rows["customer_id"], **found}, schema=RISKS)


@lru_cache(maxsize=2)
def _model(booster: str, spec: str) -> Model:
    """Put together once for all batches that a worker gets."""
    content: Mapping[str, Any] = json.loads(spec)
    return models.from_spec(booster, content)


def scored_rows(model: Model) -> exp.Expr:
    """What the model reads of table `scored`, the features in a file."""
    columns = ", ".join(exp.to_identifier(c.name, quoted=True).sql() for c in model.columns)
    return parse_one(f"SELECT customer_id, {columns} FROM scored", dialect="duckdb")
