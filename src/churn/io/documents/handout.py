"""One week's list as everything that people open is made from it: page, workbook, CSV, mail."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from churn.contracts import LIST_COLUMNS
from churn.io import wording


@dataclass(frozen=True)
class Mark:
    """Something that happened on `day` (ISO): a `kind` (contact, plan, incident) in `words`."""

    day: str
    kind: str
    words: str


@dataclass(frozen=True)
class Detail:
    """What is known of one customer beyond the list.

    `weeks` are ISO dates of week starts, oldest first; `activity` the active days (0..7) and
    `events` the events of each; `band` the customer's normal range of active days (low, high), None
    where there is no normal yet; `marks` what happened in those weeks. `scores` are (as_of, risk) of
    earlier lists and this one, oldest first. A reason is `family`, `direction` (raises / lowers),
    `sentence`, `contribution` (log-odds) and, where known, `evidence` (how often customers for whom
    it spoke left, in words); `reasons_before` are those of the week before. `why_changed` says what
    moved the risk since then, `sure` how sure the risk is, `what_if` what would take the customer
    off the list, `talking_point` and `channel` belong to the suggested play, `play_record` what the
    play has come to so far. Everything in words may be empty.
    """

    weeks: list[str] = field(default_factory=list)
    activity: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    band: tuple[float, float] | None = None
    marks: list[Mark] = field(default_factory=list)
    scores: list[tuple[str, float]] = field(default_factory=list)
    reasons: list[dict[str, Any]] = field(default_factory=list)
    reasons_before: list[dict[str, Any]] = field(default_factory=list)
    why_changed: str = ""
    sure: str = ""
    what_if: str = ""
    talking_point: str = ""
    channel: str = ""
    play_record: str = ""
    contacts: list[dict[str, str]] = field(default_factory=list)
    contract: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Aside:
    """A customer who stands beside the list: already leaving, not to be judged yet, or off it since
    last week; `why` in words."""

    customer_id: str
    customer_name: str | None
    owner: str
    why: str


@dataclass(frozen=True)
class Past:
    """What became of one earlier list: its `size`, how many were `expected` to leave and how many
    `left` (None while it is not settled), and the same for as many customers chosen by longest
    silence and at random."""

    as_of: str
    size: int
    expected: float
    left: int | None
    silent_left: float | None
    random_left: float | None


@dataclass(frozen=True)
class Listing:
    """Everything people see of one week's list.

    `facts` are small header facts in order, `notes` what a reader must know; `rows` has
    `contracts.LIST_COLUMNS`, one row per customer, sorted by `rank`; `attributes` names those of
    `Detail.attributes` to filter by; `details` is by `customer_id`. `leaving`, `unjudged` and `gone`
    are sections of their own, `track` the earlier lists, newest first.
    """

    title: str
    as_of: date
    facts: dict[str, str]
    notes: list[str]
    rows: pd.DataFrame
    attributes: list[str] = field(default_factory=list)
    details: dict[str, Detail] = field(default_factory=dict)
    leaving: list[Aside] = field(default_factory=list)
    unjudged: list[Aside] = field(default_factory=list)
    gone: list[Aside] = field(default_factory=list)
    track: list[Past] = field(default_factory=list)


def records(listing: Listing) -> list[dict[str, Any]]:
    """The rows of the list as dicts, with None for everything missing."""
    rows = listing.rows[list(LIST_COLUMNS)].to_dict("records")
    return [
        {str(name): None if wording.missing(value) else value for name, value in row.items()}
        for row in rows
    ]


def who(row: dict[str, Any]) -> str:
    """The customer's name, or the id where there is no name."""
    return wording.text(row["customer_name"] or row["customer_id"])


def expected_leavers(rows: list[dict[str, Any]]) -> float:
    """How many of `rows` leave within the horizon if the calibrated risks hold."""
    return sum(float(row["risk"] or 0.0) for row in rows)


def leavers(rows: list[dict[str, Any]]) -> str:
    """How many of `rows` are expected to leave, in words."""
    n_leave = expected_leavers(rows)
    if n_leave < 1:
        return "fewer than one expected to leave"
    return f"about {n_leave:.0f} expected to leave"


def stake_total(rows: list[dict[str, Any]]) -> str:
    """What is at stake on all rows, currency by currency; a dash without values."""
    sums: dict[str, float] = {}
    for row in rows:
        if row["at_stake"] is not None:
            code = row["currency"] or ""
            sums[code] = sums.get(code, 0.0) + float(row["at_stake"])
    totals = [wording.money(round(sums[code]), code) for code in sorted(sums)]
    return " + ".join(totals) or wording.DASH


def summary(listing: Listing, rows: list[dict[str, Any]]) -> str:
    """The list in one line: how many, how many of them leave, and what that is worth."""
    if not rows:
        return f"Nobody is on the list of {wording.day(listing.as_of)}."
    parts = [
        f"As of {wording.day(listing.as_of)}",
        f"{len(rows):,} customer{'s' if len(rows) != 1 else ''}",
        leavers(rows),
    ]
    if stake_total(rows) != wording.DASH:
        parts.append(f"{stake_total(rows)} a year at stake")
    parts += [_same(rows, "owner", "owner"), _same(rows, "act_before", "act before")]
    return " · ".join(part for part in parts if part)


def _same(rows: list[dict[str, Any]], name: str, words: str) -> str:
    """What all rows say in a column that the workbook therefore does not show."""
    values = {row[name] for row in rows}
    if len(values) != 1 or values <= {None, "all"}:
        return ""
    value = values.pop()
    return f"{words} {wording.day(value) if name == 'act_before' else wording.text(value)}"
