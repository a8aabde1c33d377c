"""The rows of a panel: by one statement where work is spread, else customers by customers.

Of as many customers as fit into memory with ease the days are read once, in order; running totals
over them make every aggregate of every window and snapshot (`features.running`), and one statement
joins what else is known.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlglot import exp

from churn.errors import InputError
from churn.features import panel, ranges, running, windows
from churn.features.plan import Plan
from churn.features.running import Days, Flags, Pairs, Whole
from churn.features.spans import Apart
from churn.io import tables
from churn.io.engine import Engine
from churn.io.engine.together import side_by_side
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
    ids, snapshots = rows["customer_id"], _epoch_days(rows["snapshot"])
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
        _Spans(engine, plan, apart, of_range=False).bind()
        yield made(engine, 0)
        return
    with engine.beside(len(bounds)) as engines:
        spans = {one: _Spans(one, plan, apart, of_range=True) for one in engines}

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


class _Spans:
    """Days in order → the spans of their customers, and where they were silent."""

    def __init__(self, engine: Engine, plan: Plan, apart: Apart, *, of_range: bool) -> None:
        self._engine, self._plan, self._apart = engine, plan, apart
        self._columns = apart.columns
        self._as_they_are = windows.as_they_are(plan, self._columns)
        self._made = [sql for sql in self._columns if sql not in self._as_they_are]
        self._query = panel.span_columns(plan, self._made)
        asked = [panel.day_rows(plan), panel.late_day_rows(plan)]
        if plan.has_silences:
            asked.append(panel.late_label_days(plan))
        self._rows, self._late_rows, *self._late_label_days = (
            ranges.of_range(query) if of_range else query for query in asked
        )

    def bind(self) -> None:
        """Make tables `spans` and, where the plan has any, `silences` of the customers in range."""
        rows = _in_order(self._engine.table(self._rows))
        if self._plan.has_silences:
            self._engine.bind("silences", self._silences(rows))
        self._engine.bind("spans", self._table(rows))

    def _silences(self, rows: "_Rows") -> pa.Table:
        """The silences of the customers of `rows` as known when labels are: customer_id, day, next_day."""
        known = _epoch_day(self._plan.labels_as_of)
        counts = (rows.columns["n_labelled"] > 0) & (rows.day < known)
        whom = np.repeat(np.arange(len(rows.customer_id)), np.diff(rows.starts))[counts]
        day = rows.day[counts]
        if self._plan.has_late:
            late = self._engine.table(self._late_label_days[0])
            places = pc.index_in(late["customer_id"], value_set=rows.customer_id)
            whom, day = np.append(whom, places), np.append(day, _epoch_days(late["day"]))
            order = np.argsort((whom << DAY_BITS) + day, kind="stable")
            whom, day = whom[order], day[order]
        longer_than = self._plan.definition.horizon_days
        whom, day, next_day = running.silences(whom, day, known=known, longer_than=longer_than)
        ids = rows.customer_id.take(pa.array(whom))
        return pa.table({"customer_id": ids, "day": _dates(day), "next_day": _dates(next_day)})

    def _table(self, rows: "_Rows") -> pa.Table:
        """The spans as known at every snapshot, by customer and snapshot: snapshot, customer_id and a
        column for each."""
        at = np.array([_epoch_day(snapshot) for snapshot in self._plan.snapshots])
        origin = int(rows.day.min(initial=0))
        pairs = self._pairs(rows, rows.day - origin, at - origin)
        if self._plan.has_late:
            pairs = self._put_right(pairs, rows, at)
        ids = rows.customer_id.take(pa.array(pairs.customer))
        valid = {place: _validity(is_null) for place, is_null in pairs.flags().items()}
        spans = {
            self._apart.names[span]: _array(values, valid[id(is_null)])
            for span, (values, is_null) in pairs.values.items()
        }
        return pa.table({"snapshot": _dates(at[pairs.snapshot]), "customer_id": ids, **spans})

    def _put_right(self, pairs: Pairs, rows: "_Rows", at: Whole) -> Pairs:
        """`pairs` of all `rows` with those of which some came late as they were known at the snapshot
        (`at`), in place, and without those of whom nothing was."""
        customer, snapshot = self._slow(rows, at)
        if not len(customer):
            return pairs
        keys = pairs.customer * len(at) + pairs.snapshot

        def places(customer: Whole, snapshot: Whole) -> Whole:
            wanted = customer * len(at) + snapshot
            found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            assert np.array_equal(keys[found], wanted), "who came late is among all"
            return found

        is_known = np.ones(len(keys), dtype=bool)
        is_known[places(customer, snapshot)] = False
        ids = rows.customer_id.take(pa.array(customer))
        slow = pa.table({"snapshot": _dates(at[snapshot]), "customer_id": ids})
        for some in self._that_fit(slow, len(rows.day) / len(rows.customer_id)):
            self._engine.bind("slow", some)
            known = _in_order(self._engine.table(self._late_rows))
            then = self._of_pairs(known)
            whom = pc.index_in(known.customer_id, value_set=rows.customer_id)
            whom, when = whom.to_numpy().astype(np.int64), np.searchsorted(at, known.snapshot)
            instead = places(whom, when)[then.customer]
            pairs.put(instead, then)
            is_known[instead] = True
        return pairs.where(is_known)

    def _slow(self, rows: "_Rows", at: Whole) -> tuple[Whole, Whole]:
        """The pairs of customer and snapshot (`at`), by their places, whose lookback holds what was not
        known then; as `daily.slow_pairs`."""
        late = np.flatnonzero(rows.columns["known_after"] > 1)
        whom = np.repeat(np.arange(len(rows.customer_id)), np.diff(rows.starts))[late]
        day = rows.day[late]
        last_known_on = day + rows.columns["known_after"][late]
        is_slow = np.zeros((len(rows.customer_id), len(at)), dtype=bool)
        for place, snapshot in enumerate(at):
            known_on = _epoch_day(self._plan.known_on) if self._plan.known_on else snapshot
            is_read = (day < snapshot) & (day >= snapshot - self._plan.lookback_days)
            is_slow[whom[is_read & (last_known_on > known_on)], place] = True
        customer, snapshot = np.nonzero(is_slow)
        return customer, snapshot

    def _that_fit(self, slow: pa.Table, days: float) -> Iterator[pa.Table]:
        """The pairs of `slow`, snapshots by snapshots: the same days stand in the lookback of many, of
        about `days` each."""
        cells = slow.num_rows * days * (len(self._columns) + 2)
        snapshots = pc.unique(slow["snapshot"]).sort()
        n_parts = min(len(snapshots), math.ceil(cells / CELLS_AT_ONCE)) or 1
        for part in np.array_split(np.arange(len(snapshots)), n_parts):
            yield slow.filter(pc.is_in(slow["snapshot"], snapshots.take(pa.array(part))))

    def _of_pairs(self, rows: "_Rows") -> Pairs:
        """The spans of the pairs of `rows` as known at the snapshot.

        Each is a customer by itself, with days counted to its own snapshot.
        """
        of_row = np.repeat(rows.snapshot, np.diff(rows.starts))
        return self._pairs(rows, rows.day - of_row, np.zeros(1, dtype=np.int64))

    def _pairs(self, rows: "_Rows", day: Whole, snapshots: Whole) -> Pairs:
        days = Days(rows.starts, day, rows.columns[self._plan.vocabulary.use] > 0)
        columns = self._of_days(rows, days)
        spans, lookback_days = list(self._apart.names), self._plan.lookback_days
        try:
            return running.of_spans(days, columns, spans, snapshots, lookback_days=lookback_days)
        except running.TooLargeError as error:
            raise InputError(
                "a sum does not fit into 64 bits",
                got=str(error),
                expected="values of at most 9e13 in total per customer",
                next_step="look at the values of the log with `churn check`",
            ) from error

    def _of_days(self, rows: "_Rows", days: Days) -> dict[str, Whole]:
        """SQL of a column that spans read → its values, row by row."""
        gaps, is_null = running.gaps(days)
        gap_days = _array(gaps, _validity(is_null))
        in_order = {"day": _dates(rows.day), **rows.columns, "gap_days": gap_days}
        self._engine.bind("rows_in_order", pa.table(in_order))
        table = self._engine.table(self._query)
        assert np.array_equal(_epoch_days(table["day"]), rows.day), "the engine kept the order"
        made = {sql: table[f"x_{place}"].to_numpy() for place, sql in enumerate(self._made)}
        return made | {sql: rows.columns[name] for sql, name in self._as_they_are.items()}


@dataclass(frozen=True)
class _Rows:
    """Days of customers, or of customers as known at a snapshot, one after the other and each by day.

    `starts` has the first row of each and, at its end, the number of rows; `customer_id` and `snapshot`
    say whom it is of. Dates are days since 1970.
    """

    starts: Whole
    customer_id: pa.Array
    snapshot: Whole
    day: Whole
    columns: Mapping[str, Whole]


def _in_order(rows: pa.Table) -> _Rows:
    """`rows` (customer_id, day, where they have one snapshot, and whole numbers) in order.

    An engine would sort the text of the ids, which costs more than reading the rows.
    """
    ids = rows["customer_id"].combine_chunks().dictionary_encode()
    n, codes = max(1, len(ids.dictionary)), ids.indices.to_numpy()
    rank = np.empty(n, dtype=np.int64)
    rank[pc.array_sort_indices(ids.dictionary).to_numpy()] = np.arange(len(ids.dictionary))
    day, whom = _epoch_days(rows["day"]), rank[codes]
    if "snapshot" in rows.column_names:
        whom = whom + n * _epoch_days(rows["snapshot"])
    order = np.argsort((whom << DAY_BITS) + day, kind="stable")
    starts = np.flatnonzero(np.diff(whom[order], prepend=-1))
    first = order[starts]
    numbers = set(rows.column_names) - {"customer_id", "snapshot", "day"}
    return _Rows(
        np.append(starts, len(order)),
        ids.dictionary.take(pa.array(codes[first])),
        whom[first] // n,
        day[order],
        {
            name: rows[name].to_numpy().take(order).astype(np.int64, copy=False)
            for name in sorted(numbers)
        },
    )


DAY_BITS = 17
"""Days since 1970 up to the year 2328: what is logged lies between 1990 and 2200."""


def _epoch_days(column: pa.ChunkedArray) -> Whole:
    return column.cast(pa.int32()).to_numpy().astype(np.int64)


def _epoch_day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _dates(epoch_days: Whole) -> pa.Array:
    return pa.array(epoch_days.astype(np.int32), pa.date32())


def _validity(is_null: Flags) -> pa.Buffer | None:
    """What Arrow knows nulls by; none where there are none."""
    return pa.py_buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None


def _array(values: Whole, valid: pa.Buffer | None) -> pa.Array:
    """An Arrow array over `values` itself; `pa.array` with a mask takes seventy times as long."""
    return pa.Array.from_buffers(pa.int64(), len(values), [valid, pa.py_buffer(values)])
