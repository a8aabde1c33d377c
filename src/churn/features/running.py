"""Running totals over the days of customers, and what lies between two dates of them.

Everything is in 64-bit integers, so no result depends on order, threads or how customers are dealt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from churn.features.spans import ONE, Span

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Key = tuple[str, int]

LARGEST = 2**62
"""What no total may reach: past 64 bits it would start again from below, unnoticed."""

NOTHING = {"min": np.iinfo(np.int64).max, "max": np.iinfo(np.int64).min, "bit_or": 0}
"""What a day that does not count adds."""


class TooLargeError(ArithmeticError):
    """A total may not fit into 64 bits."""


@dataclass(frozen=True)
class Days:
    """Rows of customers, one customer after the other, each by day.

    `starts` has the first row of each customer and, at its end, the number of rows; `day` counts
    from any fixed date; `is_use` says which rows are days of use.
    """

    starts: Whole
    day: Whole
    is_use: Flags


@dataclass(frozen=True)
class Pairs:
    """Customers (their place in `Days`) at snapshots (their place in the list of them).

    `values` are those of each span, and where they are null: one array for all spans of the same days.
    """

    customer: Whole
    snapshot: Whole
    values: Mapping[Span, tuple[Whole, Flags]]

    def flags(self) -> dict[int, Flags]:
        """Where spans are null, each array once, by its id."""
        return {id(is_null): is_null for _, is_null in self.values.values()}

    def put(self, places: Whole, others: "Pairs") -> None:
        """Put the values of `others`, of the same spans that share the same flags, in these places."""
        instead = {}
        for span, (values, is_null) in others.values.items():
            own, own_null = self.values[span]
            own[places] = values
            instead[id(own_null)] = is_null
        for place, is_null in self.flags().items():
            is_null[places] = instead[place]

    def where(self, holds: Flags) -> "Pairs":
        """Those that hold."""
        flags = {place: is_null[holds] for place, is_null in self.flags().items()}
        values = {
            span: (of_span[holds], flags[id(is_null)])
            for span, (of_span, is_null) in self.values.items()
        }
        return Pairs(self.customer[holds], self.snapshot[holds], values)


def gaps(days: Days) -> tuple[Whole, Flags]:
    """Days since the day of use before, of each row; and where there is none."""
    before = _last(days.is_use)[:-1]
    first = np.repeat(days.starts[:-1], np.diff(days.starts))
    return days.day - days.day[before], ~days.is_use | (before < first)


def silences(
    whom: Whole, day: Whole, *, known: int, longer_than: int
) -> tuple[Whole, Whole, Whole]:
    """The days, one customer (`whom`) after the other and each by day, that more than `longer_than` days
    without another follow, up to `known`: whom, day, next day (see `labels.silences`)."""
    next_day = np.append(day[1:], known)
    next_day[:-1][whom[1:] != whom[:-1]] = known
    is_long = next_day - day > longer_than
    return whom[is_long], day[is_long], next_day[is_long]


def of_spans(
    days: Days,
    columns: Mapping[str, Whole],
    spans: Sequence[Span],
    snapshots: Whole,
    *,
    lookback_days: int,
) -> Pairs:
    """All `spans` of every customer with a day in the lookback of a snapshot (counted as `day` is).

    `columns` are SQL → values of the rows. Pairs stand by customer, then by snapshot. Raises
    `TooLargeError`.
    """
    places = Places(days, spans, snapshots, lookback_days)
    read = {ONE: np.ones(len(days.day), dtype=np.int64), **columns}
    values: dict[Span, tuple[Whole, Flags]] = {}
    flags = {span.valid: _Column(days, read, span.valid, places) for span in spans if span.valid}
    for column in dict.fromkeys(span.column for span in spans):
        of_column = _Column(days, read, column, places, flags)
        values |= {span: of_column.between(span) for span in spans if span.column == column}
    return Pairs(places.customer, places.snapshot, {span: values[span] for span in spans})


class Places:
    """Where among the rows the days of each pair begin that are of a given age or less."""

    def __init__(
        self, days: Days, spans: Sequence[Span], snapshots: Whole, lookback_days: int
    ) -> None:
        self._days, self.lookback_days, self._snapshots = days, lookback_days, snapshots
        ages = {0, lookback_days} | {age for span in spans for _, age in self.keys(span)}
        self._dates = np.unique(snapshots[:, None] - np.array(sorted(ages))[None, :])
        self._rows = self._first_rows()
        oldest, newest = (self._of_dates(snapshots - age) for age in (lookback_days, 0))
        self.customer, self.snapshot = np.nonzero(newest > oldest)
        self.date = snapshots[self.snapshot]
        self._cells = self.customer * len(self._dates)
        self._kept: dict[Key, Whole] = {}
        self._empty: dict[tuple[Key, Key], Flags] = {}
        self.longest = int(np.diff(days.starts).max(initial=0))

    def keys(self, span: Span) -> tuple[Key, Key]:
        """Names of the first row that counts in `span` and of the one after the last."""
        upto = self.lookback_days if span.upto is None else min(span.upto, self.lookback_days)
        over = min(span.over, upto)
        return ("gap" if span.after_gap else "age", upto), ("age", over)

    def of(self, key: Key) -> Whole:
        if key not in self._kept:
            kind, age = key
            if kind == "age":
                dates = np.searchsorted(self._dates, self._snapshots - age)
                cells = dates[self.snapshot]
                cells += self._cells
                self._kept[key] = self._rows.ravel()[cells]
            else:
                self._kept[key] = np.maximum(self.of(("age", age)), self._behind_first_use)
        return self._kept[key]

    def is_empty(self, first: Key, before: Key) -> Flags:
        if (first, before) not in self._empty:
            self._empty[first, before] = self.of(before) <= self.of(first)
        return self._empty[first, before]

    @cached_property
    def _behind_first_use(self) -> Whole:
        first_use = _next(self._days.is_use)[self.of(("age", self.lookback_days))]
        return np.minimum(first_use + 1, len(self._days.day))

    def _first_rows(self) -> Whole:
        """The first row of each customer (rows) on or after each of the dates (columns)."""
        starts, n_dates = self._days.starts, len(self._dates)
        n = len(starts) - 1
        n_passed = self._n_passed()
        cells = np.repeat(np.arange(n) * (n_dates + 1), np.diff(starts)) + n_passed
        counts = np.bincount(cells, minlength=n * (n_dates + 1)).reshape(n, n_dates + 1)
        return starts[:-1, None] + np.cumsum(counts[:, :n_dates], axis=1)

    def _n_passed(self) -> Whole:
        """How many of the dates have come on each row's day: looked up, for days are few."""
        first = int(self._days.day.min(initial=0))
        every = np.arange(first, int(self._days.day.max(initial=0)) + 1)
        n_passed = np.searchsorted(self._dates, every, side="right")
        return n_passed[self._days.day - first]

    def _of_dates(self, dates: Whole) -> Whole:
        return self._rows[:, np.searchsorted(self._dates, dates)]


class _Column:
    """One column with its running totals, made when they are asked for."""

    def __init__(
        self,
        days: Days,
        columns: Mapping[str, Whole],
        column: str,
        places: Places,
        flags: Mapping[str, "_Column"] = MappingProxyType({}),
    ) -> None:
        self._days, self._columns, self._column = days, columns, column
        self._places, self._flags = places, flags
        self._taken: dict[tuple[str, Key], Whole] = {}
        self._totals: dict[str, Whole] = {}

    def between(self, span: Span) -> tuple[Whole, Flags]:
        """The span of every pair, and where no day counts."""
        first, before = self._places.keys(span)
        if span.function in ("newest", "oldest"):
            return self._age_of_a_day(span.function, first, before)
        is_null = self._places.is_empty(first, before)
        if span.valid is not None:
            is_null = is_null | (self._flags[span.valid]._sum(first, before) == 0)
        if span.function == "sum":
            values = self._sum(first, before)
        elif span.function == "aged":
            values = self._sum(first, before)
            values *= self._places.date
            values -= self._sum(first, before, "dated")
        else:
            values = self._reduced(span, first, before)
        return values, is_null

    def _sum(self, first: Key, before: Key, kind: str = "plain") -> Whole:
        """The total between two rows; nonsense where the span is empty, which is null anyway."""
        if self._column == ONE and kind == "plain":
            return self._places.of(before) - self._places.of(first)
        return self._total_at(before, kind) - self._total_at(first, kind)

    def _total_at(self, key: Key, kind: str) -> Whole:
        if (kind, key) not in self._taken:
            self._taken[kind, key] = self._running(kind)[self._places.of(key)]
        return self._taken[kind, key]

    def _running(self, kind: str) -> Whole:
        if kind not in self._totals:
            values = self._values
            # a total may start again from below as long as what lies between two of them does not
            self._require_small(values, self._places.lookback_days if kind == "dated" else 1)
            totals = np.empty(len(values) + 1, dtype=np.int64)
            totals[0], summed = 0, totals[1:]
            if kind == "dated":
                values = np.multiply(values, self._days.day, out=summed)
            np.cumsum(values, out=summed)
            self._totals[kind] = totals
        return self._totals[kind]

    def _require_small(self, values: Whole, times: int) -> None:
        """Refuse values of which a customer's, each so many `times`, may add up to more than 64 bits hold."""
        if _largest(values) * times * self._places.longest < LARGEST:
            return
        sizes = np.abs(values.astype(np.float64)) * times
        if np.add.reduceat(sizes, self._days.starts[:-1]).max() >= LARGEST:
            raise TooLargeError(self._column)

    @property
    def _values(self) -> Whole:
        return self._columns[self._column]

    def _reduced(self, span: Span, first: Key, before: Key) -> Whole:
        nothing = NOTHING[span.function]
        values = np.append(self._values, nothing)
        if span.valid is not None:
            values[:-1][self._columns[span.valid] == 0] = nothing
        function = {"min": np.minimum, "max": np.maximum, "bit_or": np.bitwise_or}[span.function]
        starts, ends = self._places.of(first), self._places.of(before)
        bounds = np.empty(2 * len(starts), dtype=np.int64)
        bounds[0::2], bounds[1::2] = np.minimum(starts, ends), ends
        found: Whole = function.reduceat(values, bounds) if len(bounds) else bounds
        return np.ascontiguousarray(found[0::2])

    def _age_of_a_day(self, function: str, first: Key, before: Key) -> tuple[Whole, Flags]:
        starts, ends = self._places.of(first), self._places.of(before)
        counting, n_before = self._counting
        if function == "newest":
            rows = np.append(counting, -1)[n_before[ends] - 1]
        else:
            rows = np.append(counting, len(self._days.day))[n_before[starts]]
        is_null = (rows < starts) | (rows >= ends)
        return self._places.date - np.append(self._days.day, 0)[rows], is_null

    @cached_property
    def _counting(self) -> tuple[Whole, Whole]:
        """The rows that are not 0, and how many of them are before each row and the end."""
        counts = self._values != 0
        n_before = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=n_before[1:])
        return np.flatnonzero(counts), n_before


def _largest(values: Whole) -> int:
    return max(-int(values.min(initial=0)), int(values.max(initial=0)))


def _last(counts: Flags) -> Whole:
    """Before each row, and at the end, the last row that counts; -1 where there is none."""
    rows = np.full(len(counts) + 1, -1, dtype=np.int64)
    np.maximum.accumulate(np.where(counts, np.arange(len(counts)), -1), out=rows[1:])
    return rows


def _next(counts: Flags) -> Whole:
    """From each row on, and at the end, the next row that counts; the number of rows where none."""
    n = len(counts)
    rows = np.full(n + 1, n, dtype=np.int64)
    np.minimum.accumulate(np.where(counts, np.arange(n), n)[::-1], out=rows[:n][::-1])
    return rows
