"""A panel on its way to disk: as many customers at a time as fit into memory with ease."""

from itertools import pairwise
from pathlib import Path

from sqlglot import exp

from churn.features import panel
from churn.features.plan import Plan
from churn.io.engine import Engine

CELLS_AT_ONCE = 60_000_000
"""Snapshots x customers x columns of one file. It hangs on nothing but the panel, so that the same
panel has the same files on every machine."""


def write(engine: Engine, plan: Plan, statement: exp.Expr, path: Path) -> None:
    """The rows of the panel `statement` of `plan` as files of folder `path`, in its order.

    Each file has the customers of a range of ids. An engine that spreads the work itself gets the
    whole statement.
    """
    if engine.is_distributed:
        engine.write(statement, path)
        return
    path.mkdir(parents=True)
    cells = len(plan.snapshots) * (len(plan.features) + 4)
    query = panel.every_so_many_customers(max(1, CELLS_AT_ONCE // cells))
    inner = engine.table(query)["customer_id"].to_pylist()
    means = panel.means_of_peers(plan) if inner else None
    if means is not None:
        engine.materialise("known_peers", means)
    for number, (first, before) in enumerate(pairwise([None, *inner, None])):
        part = panel.of_customers(statement, first=first, before=before)
        engine.write(part, path / f"{number:05d}.parquet")
