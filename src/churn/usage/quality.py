"""Is this input plausible: each gate first asks whether there is anything at all, and then whether
this week is like the weeks before it (as `usage.known_weeks` counts them).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import median
from typing import Any

import pandas as pd

from churn.errors import between

PASSED, HELD, NOT_ARRIVED, UNKNOWN = "passed", "held", "not_arrived", "unknown"
"""How a gate ends. `UNKNOWN`: there is nothing yet that it could compare with."""

MIN_WEEKS = 3
"""Fewer earlier weeks say nothing of what is usual."""

ENOUGH_ROWS = 100
"""An event type with fewer rows in a usual week may well be absent from one."""

NEARLY_NOTHING = 0.1
"""An event type, or a column, of which so small a share of the usual is left has broken off."""


ENOUGH_HOURS = 0.05
"""By which the share of rows at night may change."""

LEAST_OF_A_DAY = 0.25
"""A single day may be a holiday."""


@dataclass
class Bands:
    """What is plausible (conf/quality): how a person who knows the product bounds its gates.

    A week's rows lie between `least` and `most` times those of a usual one among the last `weeks`
    (wider where those themselves differ more), their mean value within `value` times either way; at
    most a share `refused` of new rows is refused; a side table keeps at least a share `kept` of its
    rows from one list to the next; at most a share `without_events` of the customers has no event. A
    population stability index of `psi` is a shift; the mean risk changes by at most `jump` times from one
    week to the next; at most a share `shifted` of what the model
    says comes from features that shifted; predicted over actual lies within `calibration` either way,
    and the expected ROC AUC falls by at most `fall`.
    """

    weeks: int = 8
    least: float = 0.5
    most: float = 1.8
    value: float = 3.0
    refused: float = 0.001
    kept: float = 0.9
    without_events: float = 0.9
    psi: float = 0.25
    jump: float = 1.3
    shifted: float = 0.2
    calibration: float = 1.5
    fall: float = 0.05

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            between(f"quality.{name}", getattr(self, name), low, high)


RANGES = {
    "weeks": (3, 52),
    "least": (0, 1),
    "most": (1, 1e6),
    "value": (1, 1e6),
    "refused": (0, 1),
    "kept": (0, 1),
    "without_events": (0, 1),
    "psi": (0, 100),
    "jump": (1, 100),
    "shifted": (0, 1),
    "calibration": (1, 100),
    "fall": (0, 1),
}


@dataclass(frozen=True)
class Verdict:
    """One gate: what was `measured` (in words), the `figure`, the band it should lie in (None: open
    on that side, or no figure), how it ended, what to do, and whether a person overruled it."""

    gate: str
    measured: str
    figure: float | None
    low: float | None
    high: float | None
    outcome: str
    next_step: str = ""
    is_accepted: bool = False

    @property
    def stops(self) -> bool:
        """Whether nothing may be published."""
        return self.outcome in (HELD, NOT_ARRIVED) and not self.is_accepted


def judged(
    gate: str,
    measured: str,
    figure: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    next_step: str,
) -> Verdict:
    """The verdict on a figure that should lie from `low` to `high`, both included; one that is no
    number is held, for nothing is known to be right.

    >>> judged("rows", "rows / usual", 0.2, low=0.5, next_step="look").outcome
    'held'
    """
    is_number = figure is not None and math.isfinite(figure)
    is_within = (
        is_number and (low is None or figure >= low) and (high is None or figure <= high)  # type: ignore[operator]
    )
    return Verdict(
        gate, measured, figure if is_number else None, low, high, PASSED if is_within else HELD,
        "" if is_within else next_step,
    )  # fmt: skip


def unknown(gate: str, why: str) -> Verdict:
    """The verdict where there is nothing to compare with yet."""
    return Verdict(gate, why, None, None, None, UNKNOWN)


def accepted(verdicts: Sequence[Verdict], gates: Sequence[str]) -> list[Verdict]:
    """`verdicts`, those that would stop a run and whose gate a person named in `gates` overruled."""
    return [
        replace(one, is_accepted=True) if one.stops and one.gate in gates else one
        for one in verdicts
    ]


def freshness(days: Sequence[date], *, as_of: date, first_day: date, last_day: date) -> Verdict:
    """Whether the log reaches up to `as_of`: days without any row before it, against the longest run
    of such days among `days` (those with rows known at `as_of`, ascending) before.

    `first_day` and `last_day` are those of the whole log, known or not: what has not arrived can be
    waited for, what arrived after the cut needs a person to choose a later one.
    """
    measured = "days without a row before as_of"
    if not days:
        return Verdict(
            "freshness", f"{measured}, and none in the weeks before", None, None, 0, NOT_ARRIVED,
            "look whether the source still delivers; nothing of these weeks is here",
        )  # fmt: skip
    missing = (as_of - days[-1]).days - 1
    usual = max(
        [(after - before).days - 1 for before, after in itertools.pairwise(days)],
        default=0,
    )
    found = judged(
        "freshness", measured, missing, high=usual,
        next_step=f"wait until the log holds {as_of - timedelta(days=1)}, then run again",
    )  # fmt: skip
    if found.outcome != HELD or (as_of - first_day).days < 7 * MIN_WEEKS:
        return found if found.outcome != HELD else unknown("freshness", "the log has just begun")
    if last_day >= as_of - timedelta(days=1 + usual):
        return replace(
            found,
            next_step=f"these days arrived after the cut of as_of={as_of}: run again with "
            "known_at=TIMESTAMP to take them in",
        )
    return replace(found, outcome=NOT_ARRIVED)


def volume(weeks: pd.DataFrame, bands: Bands) -> list[Verdict]:
    """Whether this week (back = 0) has as many rows and customers as a usual one."""
    return [
        usual(
            "volume", "rows of the week / usual week", _of(weeks, "n"), bands,
            next_step="look at the source with `churn check`: what is missing, or came twice?",
        ),
        usual(
            "customers", "customers with a row in the week / usual week", _of(weeks, "n_customers"),
            bands, next_step="look whether ids changed, or a part of the customers is missing",
        ),
    ]  # fmt: skip


def last_day(days: pd.DataFrame, bands: Bands) -> Verdict:
    """Whether the last day before the date is whole: its rows against those of the same weekday in
    the weeks before. That there are none at all is for `freshness`."""
    now, *before = _of(days, "n")
    measured = "rows of the last day / the same weekday"
    if now == 0:
        return unknown("last_day", f"{measured}: none, see freshness")
    return usual(
        "last_day", measured, [now, *before], replace(bands, least=min(bands.least, LEAST_OF_A_DAY)),
        next_step="wait until the day has arrived whole, then run again",
    )  # fmt: skip


def event_types(weeks: pd.DataFrame, columns: Mapping[str, str], bands: Bands) -> Verdict:
    """Whether an event type has broken off: the least share of its usual rows that any of the common
    ones (event type → column of `weeks`) has this week."""
    return _broken_off(
        "event_types", "rows", {name: _of(weeks, column) for name, column in columns.items()},
        next_step="an event type that stops is usually tracking that broke: ask who changed it",
    )  # fmt: skip


def values(weeks: pd.DataFrame, bands: Bands) -> Verdict:
    """Whether a value is worth what it was: the mean value of the week against that of a usual one.
    Cents for euros, another currency or a changed sign move it by more than customers do."""
    gate, measured = "values", "mean value of the week / usual week"
    counts, sums = _of(weeks, "n_value"), _of(weeks, "value_sum")
    means = [total / n for total, n in zip(sums, counts, strict=True) if n]
    if len(means) <= MIN_WEEKS or min(counts) < ENOUGH_ROWS or median(means[1:]) <= 0:
        return unknown(gate, f"{measured}: too few values in some week")
    usual_mean = median(means[1:])
    shares = [mean / usual_mean for mean in means]
    return judged(
        gate, measured, shares[0],
        low=min(1 / bands.value, 0.8 * min(shares[1:])), high=max(bands.value, 1.25 * max(shares[1:])),
        next_step="look at the unit and the currency of the values",
    )  # fmt: skip


def hours(weeks: pd.DataFrame) -> Verdict:
    """Whether rows lie at the hours they lay at: the share between midnight and six, this week against
    the weeks before. A clock or a zone that was changed moves it by more than people do."""
    gate, measured = "hours", "share of the rows before six in the morning"
    shares = [
        night / n for night, n in zip(_of(weeks, "n_night"), _of(weeks, "n"), strict=True) if n
    ]
    if len(shares) <= MIN_WEEKS or min(_of(weeks, "n")) < ENOUGH_ROWS:
        return unknown(gate, f"{measured}: too few rows in some week")
    now, *before = shares
    room = max(ENOUGH_HOURS, 2 * (max(before) - min(before)))
    return judged(
        gate, measured, now, low=max(0.0, min(before) - room), high=max(before) + room,
        next_step="look at the clock of the source and at source.timezone",
    )  # fmt: skip


def columns(weeks: pd.DataFrame) -> Verdict:
    """Whether the rows still say what they said: who did it, and which value."""
    return _broken_off(
        "columns", "rows with a", {"value": _of(weeks, "n_value"), "user_id": _of(weeks, "n_person")},
        next_step="compare the columns of the newest file with those of the one before",
    )  # fmt: skip


def _broken_off(
    gate: str, what: str, counts: Mapping[str, Sequence[float]], *, next_step: str
) -> Verdict:
    shares = {
        name: now / median(before)
        for name, (now, *before) in counts.items()
        if len(before) >= MIN_WEEKS and median(before) >= ENOUGH_ROWS
    }
    if not shares:
        return unknown(gate, f"no {what} often enough in earlier weeks to be missed")
    name = min(shares, key=lambda one: (shares[one], one))
    words = f"{what} {name}" if what.endswith(" a") else f"{what} of {name}"
    return judged(
        gate, f"{words} / usual week (the least of {len(shares)})", shares[name],
        low=NEARLY_NOTHING, next_step=next_step,
    )  # fmt: skip


def usual(
    gate: str, measured: str, counts: Sequence[float], bands: Bands, *, next_step: str
) -> Verdict:
    """Whether a count (the first of `counts`) is like those before it, in shares of their median.

    The band is that of `bands`, wider where the weeks themselves differ by more, and by four
    standard deviations of a count where counts are small.
    """
    now, *before = counts
    if now == 0:
        return Verdict(
            gate, f"{measured}: nothing at all", 0.0, bands.least, bands.most, HELD, next_step
        )
    if len(before) < MIN_WEEKS or median(before) == 0:
        return unknown(gate, f"{measured}: fewer than {MIN_WEEKS} earlier weeks")
    middle = median(before)
    noise = 4 / math.sqrt(middle)
    low = max(0.0, min(bands.least, 0.8 * min(before) / middle, 1 - noise))
    high = max(bands.most, 1.25 * max(before) / middle, 1 + noise)
    return judged(gate, measured, now / middle, low=low, high=high, next_step=next_step)


def refused(
    now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], bands: Bands
) -> Verdict:
    """Whether more of the new deliveries' rows were refused than of those before (accounts with
    `read` and `refused`)."""
    n_read = sum(one["read"] for one in now)
    if n_read == 0:
        return unknown("refused_rows", "no new rows since the last list")
    n_before = sum(one["read"] for one in before)
    share_before = sum(one["refused"] for one in before) / n_before if n_before else 0.0
    return judged(
        "refused_rows", "share of new rows refused", sum(one["refused"] for one in now) / n_read,
        high=max(bands.refused, 2 * share_before),
        next_step="`churn check` lists what is refused, with file, line and reason",
    )  # fmt: skip


def side_table(name: str, n_now: int, n_before: int | None, bands: Bands) -> Verdict | None:
    """Whether a side table has kept its rows since the last list; None for one that never had any."""
    gate, measured = f"{name}_rows", f"rows of {name} / at the last list"
    if not n_before:
        return unknown(gate, f"{measured}: none then") if n_now else None
    return judged(
        gate, measured, n_now / n_before, low=bands.kept,
        next_step=f"look whether {name} was exported whole; its rows went from {n_before:,} to {n_now:,}",
    )  # fmt: skip


def newest(name: str, days: Sequence[date], *, as_of: date, weeks: int) -> Verdict | None:
    """Whether a side table still gets new rows: days since the newest of `days` (ascending, before
    `as_of`), against the longest wait in the `weeks` before it; None for a table without dates."""
    if not days:
        return None
    gate = f"{name}_freshness"
    recent = [day for day in days if day >= days[-1] - timedelta(days=7 * weeks)]
    if len(recent) <= MIN_WEEKS:
        return unknown(gate, f"fewer than {MIN_WEEKS + 1} new rows of {name} in {weeks} weeks")
    waits = [(after - before).days for before, after in itertools.pairwise(recent)]
    return judged(
        gate, f"days since the newest row of {name}", (as_of - recent[-1]).days,
        high=max(14, 2 * max(waits)),
        next_step=f"look whether {name} is still exported",
    )  # fmt: skip


def without_events(shares: Sequence[float], n: int, bands: Bands) -> Verdict:
    """Whether more customers than usual have no event: the share this week and the weeks before, of
    `n` customers. Above `bands.without_events` ids of customers and events hardly match at all."""
    now, *before = shares
    gate, measured = (
        "customers_without_events",
        "share of customers without an event in eight weeks",
    )
    next_step = "compare the customer ids of the log with those of the subscriptions: 007 is not 7"
    if len(before) < MIN_WEEKS:
        return judged(gate, measured, now, high=bands.without_events, next_step=next_step)
    top = max(before)
    noise = 4 * math.sqrt(max(top * (1 - top), 1 / max(n, 1)) / max(n, 1))
    high = min(max(bands.without_events, 0.0), top + max(0.02, noise))
    return judged(gate, measured, now, high=high, next_step=next_step)


def _of(weeks: pd.DataFrame, column: str) -> list[float]:
    """A column of `weeks`, this week first; a week without rows is not among them, but this one is."""
    by_back = (
        weeks.set_index("back")[column].fillna(0) if column in weeks else pd.Series(dtype=float)
    )
    return [float(by_back.get(0, 0)), *(float(by_back[back]) for back in by_back.index if back > 0)]
