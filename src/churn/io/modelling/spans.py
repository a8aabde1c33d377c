"""The days of customers, read once → what every window of every snapshot holds.

Running totals over the days in order (`features.running`) give the spans of all pairs of customer and
snapshot. Where rows came late, the pairs that did not know all their days are made again from what was
known then.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.errors import InputError
from churn.features import panel, ranges, running, windows
from churn.features.plan import Plan
from churn.features.running import Days, Flags, Pairs, Whole
from churn.features.spans import Apart
from churn.io.engine import Engine


class Spans:
    """Days in order → the spans of their customers, and where they were silent."""

    def __init__(
        self, engine: Engine, plan: Plan, apart: Apart, *, of_range: bool, cells_at_once: int
    ) -> None:
        self._engine, self._plan, self._apart = engine, plan, apart
        self._columns, self._cells_at_once = apart.columns, cells_at_once
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
        rows = in_order(self._engine.table(self._rows))
        if self._plan.has_silences:
            self._engine.bind("silences", self._silences(rows))
        self._engine.bind("spans", self._table(rows))

    def _silences(self, rows: "Rows") -> pa.Table:
        """The silences of the customers of `rows` as known when labels are: customer_id, day, next_day."""
        known = _epoch_day(self._plan.labels_as_of)
        counts = (rows.columns["n_labelled"] > 0) & (rows.day < known)
        whom = rows.customers()[counts]
        day = rows.day[counts]
        if self._plan.has_late:
            late = self._engine.table(self._late_label_days[0])
            places = pc.index_in(late["customer_id"], value_set=rows.customer_id)
            whom, day = np.append(whom, places), np.append(day, epoch_days(late["day"]))
            order = np.argsort((whom << DAY_BITS) + day, kind="stable")
            whom, day = whom[order], day[order]
        longer_than = self._plan.definition.horizon_days
        whom, day, next_day = running.silences(whom, day, known=known, longer_than=longer_than)
        ids = rows.customer_id.take(pa.array(whom))
        return pa.table({"customer_id": ids, "day": _dates(day), "next_day": _dates(next_day)})

    def _table(self, rows: "Rows") -> pa.Table:
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

    def _put_right(self, pairs: Pairs, rows: "Rows", at: Whole) -> Pairs:
        """`pairs` of all `rows` with those of which some came late as they were known at the snapshot
        (`at`), in place, and without those of whom nothing was."""
        customer, snapshot = self._slow(rows, at)
        if not len(customer):
            return pairs
        every, slow = _pair(pairs.customer, pairs.snapshot), _pair(customer, snapshot)
        places = np.searchsorted(every, slow)
        assert np.array_equal(every[places], slow), "who came late is among all"
        is_known = np.ones(len(pairs.customer), dtype=bool)
        is_known[places] = False
        for some in self._that_fit(snapshot, len(rows.day) / len(rows.customer_id)):
            known, of_pair = self._as_known(rows, at, customer[some], snapshot[some])
            of_row = np.repeat(at[snapshot[some][of_pair]], np.diff(known.starts))
            # each is a customer by itself, with days counted to its own snapshot
            then = self._pairs(known, known.day - of_row, np.zeros(1, dtype=np.int64))
            instead = places[some][of_pair][then.customer]
            pairs.put(instead, then)
            is_known[instead] = True
        return pairs.where(is_known)

    def _slow(self, rows: "Rows", at: Whole) -> tuple[Whole, Whole]:
        """The pairs of customer and snapshot (`at`), by their places, whose lookback holds what was not
        known then; as `daily.slow_pairs`."""
        late = np.flatnonzero(rows.columns["known_after"] > 1)
        whom, day = rows.customers()[late], rows.day[late]
        last_known_on = day + rows.columns["known_after"][late]
        is_slow = np.zeros((len(rows.customer_id), len(at)), dtype=bool)
        for place, (snapshot, known_on) in enumerate(zip(at, self._known_on(at), strict=True)):
            is_read = (day < snapshot) & (day >= snapshot - self._plan.lookback_days)
            is_slow[whom[is_read & (last_known_on > known_on)], place] = True
        customer, snapshot = np.nonzero(is_slow)
        return customer, snapshot

    def _known_on(self, at: Whole) -> Whole:
        return np.full_like(at, _epoch_day(self._plan.known_on)) if self._plan.known_on else at

    def _that_fit(self, snapshot: Whole, days: float) -> Iterator[Whole]:
        """Places of pairs at each `snapshot`, snapshots by snapshots: the same days stand in the lookback
        of many, of about `days` each."""
        cells = len(snapshot) * days * (len(self._columns) + 2)
        every = np.unique(snapshot)
        n_parts = min(len(every), math.ceil(cells / self._cells_at_once))
        for part in np.array_split(every, n_parts):
            yield np.flatnonzero(np.isin(snapshot, part))

    def _as_known(
        self, rows: "Rows", at: Whole, customer: Whole, snapshot: Whole
    ) -> tuple["Rows", Whole]:
        """The days in the lookback of each pair as they were known then, one pair after the other, and
        which of the pairs have any: days wholly known are among `rows`, others in `late`."""
        own, pair = self._lookbacks(rows, at[snapshot], customer)
        is_known = (
            rows.day[own] + rows.columns["known_after"][own] <= self._known_on(at)[snapshot][pair]
        )
        own, pair = own[is_known], pair[is_known]
        ids = rows.customer_id.take(pa.array(customer))
        self._engine.bind("slow", pa.table({"snapshot": _dates(at[snapshot]), "customer_id": ids}))
        late = self._engine.table(self._late_rows)
        whom = (
            pc.index_in(late["customer_id"], value_set=rows.customer_id).to_numpy().astype(np.int64)
        )
        when = np.searchsorted(at, epoch_days(late["snapshot"]))
        pair = np.append(pair, np.searchsorted(_pair(customer, snapshot), _pair(whom, when)))
        day = np.append(rows.day[own], epoch_days(late["day"]))
        order = np.argsort((pair << DAY_BITS) + day, kind="stable")
        pair = pair[order]
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        columns = {
            name: np.append(rows.columns[name][own], late[name].to_numpy()).take(order)
            for name in sorted(set(late.column_names) & set(rows.columns))
        }
        of_pair = pair[first]
        known = Rows(np.append(first, len(order)), ids.take(pa.array(of_pair)), day[order], columns)
        return known, of_pair

    def _lookbacks(self, rows: "Rows", at: Whole, customer: Whole) -> tuple[Whole, Whole]:
        """The places in `rows` of the days before each `at` of a `customer`, and of which pair each is."""
        days, whom = (rows.customers() << DAY_BITS) + rows.day, customer << DAY_BITS
        first = np.searchsorted(days, whom + at - self._plan.lookback_days)
        n = np.searchsorted(days, whom + at) - first
        before = np.cumsum(n) - n
        return np.arange(n.sum()) + np.repeat(first - before, n), np.repeat(np.arange(len(n)), n)

    def _pairs(self, rows: "Rows", day: Whole, snapshots: Whole) -> Pairs:
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

    def _of_days(self, rows: "Rows", days: Days) -> dict[str, Whole]:
        """SQL of a column that spans read → its values, row by row."""
        gaps, is_null = running.gaps(days)
        gap_days = _array(gaps, _validity(is_null))
        in_order = {"day": _dates(rows.day), **rows.columns, "gap_days": gap_days}
        self._engine.bind("rows_in_order", pa.table(in_order))
        table = self._engine.table(self._query)
        assert np.array_equal(epoch_days(table["day"]), rows.day), "the engine kept the order"
        made = {sql: table[f"x_{place}"].to_numpy() for place, sql in enumerate(self._made)}
        return made | {sql: rows.columns[name] for sql, name in self._as_they_are.items()}


@dataclass(frozen=True)
class Rows:
    """Days of customers, or of customers as known at a snapshot, one after the other and each by day.

    `starts` has the first row of each and, at its end, the number of rows; `customer_id` says whom it is
    of. Dates are days since 1970.
    """

    starts: Whole
    customer_id: pa.Array
    day: Whole
    columns: Mapping[str, Whole]

    def customers(self) -> Whole:
        """The place in `customer_id` of each row."""
        return np.repeat(np.arange(len(self.customer_id)), np.diff(self.starts))


def in_order(rows: pa.Table) -> Rows:
    """`rows` (customer_id, day and whole numbers) in order.

    An engine would sort the text of the ids, which costs more than reading the rows.
    """
    ids = rows["customer_id"].combine_chunks().dictionary_encode()
    n, codes = max(1, len(ids.dictionary)), ids.indices.to_numpy()
    rank = np.empty(n, dtype=np.int64)
    rank[pc.array_sort_indices(ids.dictionary).to_numpy()] = np.arange(len(ids.dictionary))
    day, whom = epoch_days(rows["day"]), rank[codes]
    order = np.argsort((whom << DAY_BITS) + day, kind="stable")
    starts = np.flatnonzero(np.diff(whom[order], prepend=-1))
    first = order[starts]
    numbers = set(rows.column_names) - {"customer_id", "day"}
    return Rows(
        np.append(starts, len(order)),
        ids.dictionary.take(pa.array(codes[first])),
        day[order],
        {
            name: rows[name].to_numpy().take(order).astype(np.int64, copy=False)
            for name in sorted(numbers)
        },
    )


def _pair(customer: Whole, snapshot: Whole) -> Whole:
    """One number for a customer at a snapshot, in their order; both are places."""
    return (customer << DAY_BITS) + snapshot


DAY_BITS = 17
"""Days since 1970 up to the year 2328: what is logged lies between 1990 and 2200."""


def epoch_days(column: pa.ChunkedArray) -> Whole:
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
