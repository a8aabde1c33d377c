"""The rows of a panel: by one statement where work is spread, else customers by customers.

Of as many customers as fit into memory with ease the days are read once, in order; running totals
over them make every aggregate of every window and snapshot (`features.running`), and one statement
joins what else is known.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from churn.features import panel, ranges, windows
from churn.features.plan import Plan
from churn.features.spans import Apart
from churn.io import tables
from churn.io.engine import Engine
from churn.io.engine.together import side_by_side
from churn.io.modelling.spans import Spans, epoch_days
from churn.learning import splits

log = logging.getLogger("churn")

Bound = tuple[str | None, str | None]
"""A range of customer ids: the first, and the one behind the last; None where there is no bound."""

CELLS_AT_ONCE = 20_000_000
"""Numbers of days and of the panel that are held at a time, 8 bytes each. It hangs on nothing but the
roll-up and the plan, so that the same panel has the same files on every machine."""


def write(engine: Engine, plan: Plan, path: Path) -> None:
    """The panel of `plan` as files of folder `path`, in its order.

    Each file has the customers of a range of ids. An engine that spreads the work itself gets the
    whole statement.
    """
    if engine.is_distributed:
        engine.write(panel.statement(plan), path)
        return
    path.mkdir(parents=True)

    def written(engine: Engine, statement: exp.Expr, number: int) -> pa.Table:
        file = path / f"{number:05d}.parquet"
        engine.write(statement, file)
        return pq.read_table(file, columns=["customer_id", "snapshot"])

    for _ in _by_range(engine, plan, written):
        pass


def rows(engine: Engine, plan: Plan) -> pa.Table:
    """The panel of `plan`, in its order."""
    if engine.is_distributed:
        return engine.table(panel.statement(plan))
    return pa.concat_tables(list(pieces(engine, plan)))


def to_learn_from(folder: Path, *, max_rows: int, seed: int) -> pd.DataFrame:
    """The panel at `folder`; where more than about `max_rows` of its rows are mature, that of a share of
    the customers (`splits.sample_customers`). The rest is never in memory."""
    known = tables.read(folder, made_by="features", columns=["customer_id", "label_mature"])
    mature = known.loc[known["label_mature"], ["customer_id"]]
    few = splits.sample_customers(mature, max_rows=max_rows, seed=seed)
    if len(few) == len(mature):
        return tables.read(folder, made_by="features")
    log.info(
        "the panel has %s mature rows: %s of a share of the customers are learnt from",
        f"{len(mature):,}", f"{len(few):,}",
    )  # fmt: skip
    ids = pa.array(few["customer_id"].unique(), pa.string())
    return tables.read(folder, made_by="features", where=pc.field("customer_id").isin(ids))


def in_part(engine: Engine, plan: Plan, *, max_rows: int, seed: int) -> tuple[pd.DataFrame, float]:
    """The panel of `plan`, in its order, and of what share of the customers: of a part of them
    (`splits.in_share`) where more than about `max_rows` of its rows are mature.

    The rest is in memory a range of customers at a time, on an engine of this process.
    """
    n = sum(engine.table(panel.churn_rates(plan))["n_active"].to_pylist())
    if n <= max_rows:
        return rows(engine, plan).to_pandas(), 1.0
    share = max_rows / n
    parts = [rows(engine, plan)] if engine.is_distributed else pieces(engine, plan)
    some = (part.to_pandas() for part in parts)
    few = [one[splits.in_share(one["customer_id"], share=share, seed=seed)] for one in some]
    log.info(
        "the panel has %s mature rows: those of %.1f %% of the customers are used", f"{n:,}",
        100 * share,
    )  # fmt: skip
    return pd.concat(few, ignore_index=True), share


def pieces(engine: Engine, plan: Plan) -> Iterator[pa.Table]:
    """The panel of `plan`, a range of customers at a time, on an engine of this process."""
    return _by_range(engine, plan, lambda engine, statement, _: engine.table(statement))


def _in_turn(statements: list[exp.Expr], made: Callable[[exp.Expr], pa.Table]) -> pa.Table:
    """What is made of the first of `statements` that gives customers and snapshots in order; the others
    than the last are dropped for good once they do not."""
    for statement in list(statements):
        rows = made(statement)
        if statement is statements[-1] or _is_in_order(rows):
            break
        statements[:] = statements[-1:]  # another range may be at it, too
    return rows


def _is_in_order(rows: pa.Table) -> bool:
    ids, snapshots = rows["customer_id"], epoch_days(rows["snapshot"])
    is_same = pc.equal(ids[:-1], ids[1:]).to_numpy()
    is_next = pc.less(ids[:-1], ids[1:]).to_numpy()
    return bool(np.all(is_next | is_same & (snapshots[:-1] < snapshots[1:])))


def _by_range(
    engine: Engine, plan: Plan, made: Callable[[Engine, exp.Expr, int], pa.Table]
) -> Iterator[pa.Table]:
    """What is made of the panel of each range of customers, by a statement and the range's number, one
    after the other.

    The first statement that is tried does without a sort, up to a tenth of the work: `spans` are in order,
    and where they are the population an engine keeps it through the joins. Nobody promises that, so it has
    to be looked at; the last gives the panel in its order.
    """
    apart = windows.taken_apart(plan)
    statement = panel.statement(plan, apart)
    size = engine.table(ranges.size(plan)).to_pylist()[0]
    bounds = _bounds(engine, plan, size, n_columns=len(apart.columns))
    if len(bounds) > 1:
        # a file for each month of the log, which every range would open again
        engine.bind("first_days", engine.table(ranges.every_row("first_days")))
        _know_peers(engine, panel.of_peers(plan), size)
        statement = ranges.of_range(statement)
    statements = [statement]
    if plan.definition.name == "inactivity":
        statements.insert(0, panel.as_it_comes(statement))

    def of_range(engine: Engine, number: int) -> pa.Table:
        return _in_turn(statements, lambda statement: made(engine, statement, number))

    yield from _in_ranges(engine, plan, apart, bounds, of_range)


def _know_peers(engine: Engine, plan: Plan, size: Mapping[str, int]) -> None:
    """What everybody was like, of whom no range of customers sees more than its own.

    It takes few columns, and so longer ranges.
    """
    if not plan.features:
        return
    apart = windows.taken_apart(plan)
    bounds = _bounds(engine, plan, size, n_columns=len(apart.columns))
    query = panel.totals_of_peers(plan, apart)
    if len(bounds) > 1:
        query = ranges.of_range(query)
    totals = _in_ranges(engine, plan, apart, bounds, lambda engine, _: engine.table(query))
    engine.bind("peer_totals", pa.concat_tables(list(totals)))
    engine.bind("known_peers", engine.table(panel.means_of_peers(plan)))


def _in_ranges(
    engine: Engine,
    plan: Plan,
    apart: Apart,
    bounds: Sequence[Bound],
    made: Callable[[Engine, int], pa.Table],
) -> Iterator[pa.Table]:
    """What is made of one range of customers (by its number) after the other, on an engine where what
    `ranges.of_range` and spans read is bound."""
    if len(bounds) == 1:
        Spans(engine, plan, apart, of_range=False, cells_at_once=CELLS_AT_ONCE).bind()
        yield made(engine, 0)
        return
    with engine.beside(len(bounds)) as engines:
        spans = {
            one: Spans(one, plan, apart, of_range=True, cells_at_once=CELLS_AT_ONCE)
            for one in engines
        }

        def of_range(one: Engine, number: int) -> pa.Table:
            first, before = bounds[number]
            for table in ranges.OF_CUSTOMERS:
                rows = ranges.of_customers(table, first=first, before=before)
                one.view(ranges.in_range(table), rows)
            spans[one].bind()
            return made(one, number)

        yield from side_by_side(engines, of_range, range(len(bounds)))


def _bounds(engine: Engine, plan: Plan, size: Mapping[str, int], *, n_columns: int) -> list[Bound]:
    """Ranges of ids that hold as much as fits at a time of a log of that `size` (`ranges.size`)."""
    days = size["n_days"] / max(1, size["n_customers"])
    cells = len(plan.snapshots) * (len(plan.features) + 4) + days * (n_columns + 2)
    n = max(1, int(_cells_at_once(plan) // cells))
    if size["n_customers"] <= n:
        return [(None, None)]
    inner = engine.table(ranges.every_so_many_customers(n))["customer_id"].to_pylist()
    return list(pairwise([None, *inner, None]))


def _cells_at_once(plan: Plan) -> float:
    """Less for fewer than a hundred features: what a range costs to plan grows with their number, what
    fresh memory costs with the size of the range, and both together are least near its root."""
    return CELLS_AT_ONCE * min(1, math.sqrt(max(1, len(plan.features)) / 100))
