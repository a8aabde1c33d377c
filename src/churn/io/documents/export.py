"""What the columns of a list are called, and its CSV.

Every text that came from a log is a stranger's text. In a CSV it is guarded so that no spreadsheet
runs it (`guard`, undone exactly by `unguard`); in a workbook (`workbook`) it is written as text into cells
formatted as text; on the page (`page`) and in mail (`mail`) it is escaped, with its invisible
characters spelled out (`wording.visible`).
"""

import csv
import io
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from churn.contracts import LIST_COLUMNS
from churn.io import wording

# --- CSV -------------------------------------------------------------------------------------


# What Excel, LibreOffice or Google Sheets take for the start of a formula, with the full-width and
# small forms that they fold, and what may stand before it without stopping them.
_TRIGGER = "=+\\-@＝＋－＠﹦﹢﹣﹫−"
_SKIPPED = (
    " \u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff\u00ad"
    "'\"`´‘’‚‛“”„‟«»‹›＇＂\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
)
_START = rf"[{_SKIPPED}]*[{_TRIGGER}\t\r\n]"
_AFTER = rf"[{_SKIPPED}]*[{_TRIGGER}]"
_BARE = re.compile(rf"\A(?={_START})|(?<=[;\t\r\n])(?={_AFTER})")
_GUARDED = re.compile(rf"\A'(?={_START})|(?<=[;\t\r\n])'(?={_AFTER})")

_DECIMALS = {
    **dict.fromkeys(("risk", "risk_8w", "risk_change"), 4),
    **dict.fromkeys(("times_average", "value_month", "at_stake", "priority"), 2),
}


def guard(value: str) -> str:
    """`value` with an apostrophe before everything that a spreadsheet would run.

    The start of the cell counts (past spaces, quotes and invisible characters), and so does the
    start of each part after `;`, tab or line break: a German Excel splits there, not at our comma,
    and takes the rest of the cell for a cell of its own. `unguard(guard(x)) == x` for every text,
    because an apostrophe is itself among what is skipped.

    >>> guard("=1+1"), guard(" -2"), guard("ok;@SUM(A1)"), guard("Acme - North")
    ("'=1+1", "' -2", "ok;'@SUM(A1)", 'Acme - North')
    """
    return _BARE.sub("'", value)


def unguard(value: str) -> str:
    """The text that `guard` made safe, to the character.

    >>> unguard("'=1+1"), unguard("'tis fine")
    ('=1+1', "'tis fine")
    """
    return _GUARDED.sub("", value)


def csv_bytes(rows: pd.DataFrame) -> bytes:
    """The list as CSV: commas, RFC 4180 line ends, UTF-8 with a byte-order mark, guarded texts.

    The mark is there because Excel on Windows reads a CSV without one in the machine's old code
    page (`MÃ¼ller`); pandas, DuckDB and LibreOffice skip it. Dates are ISO, shares have 4 decimals,
    money 2 (the Parquet has them all), missing is empty. Numbers are never guarded, so they stay
    numbers. Excel drops the zeros of an id such as `007` whatever a CSV does: the workbook keeps
    them.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(LIST_COLUMNS)
    for row in rows[list(LIST_COLUMNS)].to_dict("records"):
        writer.writerow([_csv_cell(str(name), value) for name, value in row.items()])
    return b"\xef\xbb\xbf" + target.getvalue().encode()


def _csv_cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return guard(value)
    if wording.missing(value):
        return ""
    if isinstance(value, date):
        return value.isoformat()[:10]
    if name in _DECIMALS:
        return f"{round(float(value), _DECIMALS[name]) + 0.0:.{_DECIMALS[name]}f}"
    return str(int(value)) if float(value).is_integer() else str(value)


# --- columns ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """How a column of the list looks to people; `width` is the most it takes, in characters."""

    heading: str
    kind: str
    width: int
    meaning: str


COLUMNS = {
    "rank": Column("#", "count", 5, "Order in which to work through the list"),
    "customer_id": Column("Customer ID", "text", 24, "The customer's id, always text"),
    "customer_name": Column("Customer", "text", 34, "Name, or the id where there is none"),
    "owner": Column("Owner", "text", 18, "Who looks after the customer"),
    "status": Column("Status", "text", 8, "New this week, still listed, or back after a break"),
    "weeks_on_list": Column("Weeks on list", "count", 8, "Weeks in a row on the list"),
    "act_before": Column("Act before", "date", 13, "Contact later than this comes late"),
    "risk": Column("Risk", "share", 8, "Chance of leaving within the horizon"),
    "risk_8w": Column("Risk in 8 weeks", "share", 10, "Chance of leaving within 8 weeks"),
    "risk_change": Column("Risk change", "change", 10, "Against the list before, in points"),
    "times_average": Column("× average", "times", 10, "Risk as a multiple of the usual risk"),
    "value_month": Column("Value a month", "money", 13, "What the customer brings in a month"),
    "at_stake": Column("At stake a year", "money", 14, "Risk in 8 weeks × 12 months of value"),
    "priority": Column("Priority", "money", 12, "What a contact should save, less its cost"),
    "reason_1": Column("Main reason", "wrap", 46, "What speaks most for leaving"),
    "reason_2": Column("Second reason", "text", 46, "What else speaks for leaving"),
    "reason_3": Column("Third reason", "text", 46, "What else speaks for leaving"),
    "protects": Column("Speaks against", "text", 46, "What speaks most for staying"),
    "suggested_play": Column("Suggested play", "wrap", 26, "What to do"),
    "last_contact": Column("Last contact", "date", 13, "When the customer was last contacted"),
    "confidence": Column("Confidence", "text", 12, "How sure the risk is"),
    "as_of": Column("As of", "date", 13, "The list knows what was known before this day"),
    "currency": Column("Currency", "text", 9, "Currency of the values"),
    "model_version": Column("Model", "text", 14, "The model that scored"),
    "list_id": Column("List ID", "text", 18, "The list this row belongs to"),
    "contacted": Column("Contacted", "choice", 11, "You fill in: yes or no"),
    "outcome": Column("Outcome", "choice", 15, "You fill in: what the contact came to"),
    "verdict": Column("Verdict", "choice", 16, "You fill in: was the reason right?"),
    "note": Column("Note", "wrap", 30, "You fill in: anything worth keeping"),
}
"""Every column of the list in plain words; the workbook's headings are how it is read back."""

CHOICES = {
    "contacted": ["yes", "no"],
    "outcome": [
        *("will stay", "undecided", "will leave", "not reached", "other"),
        *("not now", "already leaving", "do not contact"),
    ],
    "verdict": ["right", "wrong reason", "already known", "data error", "out of our hands"],
}
"""What the drop-downs offer."""

HEADER_ROW = 4
"""The row of the workbook's `List` sheet that holds the headings, counted from 1."""
