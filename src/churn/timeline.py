"""Snapshots, half-open windows, horizon, gap, maturity, known-at: the only date arithmetic.

A snapshot is a date s. It may use what happened before s 00:00 UTC and was known then. All windows
are half-open: [first, before).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from churn.errors import ConfigurationError


@dataclass(frozen=True)
class Window:
    """The days from `first` on, before `before`."""

    first: date
    before: date

    @property
    def n_days(self) -> int:
        return (self.before - self.first).days


@dataclass(frozen=True)
class Arrival:
    """When a row counts as known.

    A row is known at snapshot s if `loaded_at` < s 00:00 UTC + `hours`. `known_at` replaces that
    cut for the snapshot `as_of` alone, to take in or leave out late rows; earlier snapshots keep
    the rule.
    """

    hours: int = 6
    as_of: date | None = None
    known_at: datetime | None = None

    def cut(self, snapshot: date) -> datetime:
        """The UTC moment before which a row must have arrived to be known at `snapshot`."""
        if self.known_at is not None and snapshot == self.as_of:
            return self.known_at
        return midnight(snapshot) + timedelta(hours=self.hours)


def midnight(day: date) -> datetime:
    """00:00 UTC of `day`, as a timestamp without zone."""
    return datetime(day.year, day.month, day.day)


def parse_date(text: str, *, key: str) -> date:
    """Read an ISO date that a user gave for configuration key `key`."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{key} is not a date",
            got=text,
            expected="a date such as 2026-01-05 (YYYY-MM-DD)",
            next_step=f"write {key}=YYYY-MM-DD",
        ) from error


def parse_moment(text: str, *, key: str) -> datetime:
    """Read an ISO timestamp (UTC when it has no offset) given for configuration key `key`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{key} is not a timestamp",
            got=text,
            expected="a timestamp such as 2026-01-05T06:00:00 (UTC)",
            next_step=f"write {key}=YYYY-MM-DDTHH:MM:SS",
        ) from error
    offset = moment.utcoffset()
    return moment.replace(tzinfo=None) - (offset or timedelta(0))


def label_window(snapshot: date, *, gap_days: int, horizon_days: int) -> Window:
    """The days in which leaving counts as churn for `snapshot`: [s + gap, s + gap + horizon).

    >>> label_window(date(2026, 1, 5), gap_days=0, horizon_days=28).before
    datetime.date(2026, 2, 2)
    """
    first = snapshot + timedelta(days=gap_days)
    return Window(first, first + timedelta(days=horizon_days))


def is_mature(snapshot: date, *, as_of: date, gap_days: int, horizon_days: int) -> bool:
    """Whether the label window of `snapshot` lies wholly before `as_of`."""
    window = label_window(snapshot, gap_days=gap_days, horizon_days=horizon_days)
    return window.before <= as_of


def training_snapshots(
    as_of: date, *, gap_days: int, horizon_days: int, n_snapshots: int, step_days: int
) -> list[date]:
    """The snapshots that training at `as_of` learns from, oldest first: D - gap - horizon - step k."""
    last = as_of - timedelta(days=gap_days + horizon_days)
    return [last - timedelta(days=step_days * k) for k in reversed(range(n_snapshots))]


def origins(
    as_of: date,
    *,
    gap_days: int,
    horizon_days: int,
    n_origins: int,
    step_days: int,
    n_tests: int,
    test_step_days: int,
) -> list[tuple[date, list[date]]]:
    """Days on which a model might have been trained, oldest first, each with its test snapshots.

    The first test snapshot is the origin itself, the others follow every `test_step_days`. The last
    test snapshot of the last origin is the latest that is mature at `as_of`.
    """
    latest = as_of - timedelta(days=gap_days + horizon_days + test_step_days * (n_tests - 1))
    days = [latest - timedelta(days=step_days * k) for k in reversed(range(n_origins))]
    return [
        (day, [day + timedelta(days=test_step_days * k) for k in range(n_tests)]) for day in days
    ]


def as_of_dates(first: date, last: date, *, step_days: int = 7) -> list[date]:
    """Every `step_days` from `first` on, `last` included when it falls on a step."""
    n_steps = (last - first).days // step_days
    return [first + timedelta(days=step_days * k) for k in range(n_steps + 1)]
