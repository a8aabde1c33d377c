"""What people open: one week's list, its CSV and its workbook.

Every text that came from a log is a stranger's text. In a CSV it is guarded so that no spreadsheet
runs it (`guard`, undone exactly by `unguard`); in a workbook it is written as text into cells
formatted as text; on the page (`page`) and in mail (`mail`) it is escaped, with its invisible
characters spelled out (`wording.visible`).
"""

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS
from churn.io import wording
from churn.io.handout import Detail, Listing, records, summary, who

__all__ = [
    "CHOICES",
    "COLUMNS",
    "HEADER_ROW",
    "Detail",
    "Listing",
    "csv_bytes",
    "guard",
    "unguard",
    "workbook_bytes",
]

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


# --- workbook --------------------------------------------------------------------------------


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

SHOWN = (
    *("rank", "customer_name", "owner", "status", "risk", "at_stake", "act_before"),
    *("reason_1", "suggested_play", *FEEDBACK_COLUMNS),
)
"""What the workbook shows, in order; see `shown` for how 13 become at most 12."""

HEADER_ROW = 4
"""The row of the workbook's `List` sheet that holds the headings, counted from 1."""

_FORMATS: dict[str, dict[str, Any]] = {
    "count": {"num_format": "0", "align": "center"},
    "text": {"num_format": "@"},
    "wrap": {"num_format": "@", "text_wrap": True},
    "choice": {"num_format": "@"},
    "date": {"num_format": "d mmm yyyy", "align": "center"},
    "share": {"num_format": "[<0.0995]0.0%;0%", "align": "right"},
    "change": {"num_format": '+0%;-0%;"–"', "align": "right"},
    "times": {"num_format": '[<9.95]0.0"×";0"×"', "align": "right"},
    "money": {"num_format": "#,##0", "align": "right", "indent": 1},
}


def shown(rows: list[dict[str, Any]]) -> list[str]:
    """The at most 12 columns that the workbook shows; feedback stands beside the play.

    A column that says the same in every row is said once, above the table: one owner, one date to
    act before. So is one that says nothing. Status gives way if that is not enough.
    """
    told = {name for name in ("owner", "act_before", "at_stake") if _once(rows, name)}
    names = [name for name in SHOWN if name not in told]
    return [name for name in names if name != "status"] if len(names) > 12 else names


def _once(rows: list[dict[str, Any]], name: str) -> bool:
    values = {row[name] for row in rows}
    return values == {None} or (name != "at_stake" and len(values) == 1)


_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_INK, _QUIET, _HEAD, _FILL, _LINE = "#1B2430", "#5B6673", "#E8EDF1", "#FFF9E5", "#D5DBE1"


def workbook_bytes(listing: Listing) -> bytes:
    """The list as XLSX: sheet `List` to work in, sheet `About` to look things up.

    The same listing gives the same bytes (the file's date is `as_of`). No text becomes a formula or
    a link; text cells are formatted as text, so that editing one does not turn it into a formula
    either. Headings stand in `HEADER_ROW`, named `retention_list` together with the rows; columns
    that are not `shown` are grouped, collapsed, to the right.
    """
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, _OPTIONS)
    book.set_properties({"created": datetime.combine(listing.as_of, time())})
    rows = records(listing)
    names = shown(rows)
    order = [*names, *(name for name in LIST_COLUMNS if name not in names)]
    sheet = book.add_worksheet("List")
    _write_top(book, sheet, listing, rows)
    _write_rows(book, sheet, rows, order, len(names))
    _set_columns(sheet, rows, order, len(names))
    _set_behaviour(book, sheet, rows, order)
    _set_print(sheet, listing, len(rows), len(names))
    _write_about(book, listing)
    book.close()
    return target.getvalue()


def _write_top(
    book: xlsxwriter.Workbook, sheet: Worksheet, listing: Listing, rows: list[dict[str, Any]]
) -> None:
    title = book.add_format({"bold": True, "font_size": 15, "font_color": _INK})
    quiet = book.add_format({"font_color": _QUIET})
    sheet.write_string(0, 0, wording.visible(listing.title), title)
    sheet.write_string(1, 0, summary(listing, rows), quiet)
    sheet.write_string(2, 0, wording.visible("  ·  ".join(listing.notes)), quiet)
    sheet.set_row(0, 24)
    sheet.set_row(HEADER_ROW - 1, 32)


def _write_rows(
    book: xlsxwriter.Workbook,
    sheet: Worksheet,
    rows: list[dict[str, Any]],
    order: list[str],
    n_shown: int,
) -> None:
    formats = _Formats(book)
    for column, name in enumerate(order):
        sheet.write_string(HEADER_ROW - 1, column, COLUMNS[name].heading, formats.head(name))
    for line, row in enumerate(rows, start=HEADER_ROW):
        sheet.set_row(line, 15 * _n_lines(row, order[:n_shown]) + 3)
        for column, name in enumerate(order):
            _write_cell(sheet, (line, column), _cell(name, row), formats.cell(name, row))


def _cell(name: str, row: dict[str, Any]) -> Any:
    if name == "customer_name":
        return who(row)
    exact = name in ("customer_id", "list_id") or not isinstance(row[name], str)
    return row[name] if exact else wording.visible(row[name])


def _write_cell(sheet: Worksheet, place: tuple[int, int], value: Any, look: Format) -> None:
    if value is None:
        sheet.write_blank(*place, None, look)
    elif isinstance(value, str):
        sheet.write_string(*place, value, look)
    elif isinstance(value, date):
        sheet.write_datetime(*place, datetime.combine(value, time()), look)
    else:
        sheet.write_number(*place, float(value), look)


def _currency_sign(currency: object) -> str:
    """The quoted sign for a number format; nothing for what could break one (255 characters)."""
    sign = wording.sign(currency)
    return f'"{sign}"' if re.fullmatch(r"[\w€$£.\xa0]{1,8}", sign) else ""


class _Formats:
    """The looks of the cells, each made once."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        self._made: dict[tuple[str, str], Format] = {}

    def head(self, name: str) -> Format:
        """The look of a heading; what CS fills in stands out."""
        fill = "#F5E3A8" if name in FEEDBACK_COLUMNS else _HEAD
        look: dict[str, Any] = {"bold": True, "text_wrap": True, "bg_color": fill, "bottom": 1}
        look |= {"valign": "vcenter", "bottom_color": _QUIET}
        beside = {key: _FORMATS[COLUMNS[name].kind].get(key) for key in ("align", "indent")}
        look |= {key: value for key, value in beside.items() if value}
        return self._get("head", f"{fill} {beside}", look)

    def cell(self, name: str, row: dict[str, Any]) -> Format:
        """The look of a cell; money carries its own currency."""
        kind = COLUMNS[name].kind
        look: dict[str, Any] = {"valign": "vcenter", "bottom": 1, "bottom_color": _LINE}
        look |= _FORMATS[kind] | ({"bg_color": _FILL} if name in FEEDBACK_COLUMNS else {})
        variant = str(name in FEEDBACK_COLUMNS)
        if kind == "money":
            variant = _currency_sign(row["currency"])
            look["num_format"] = f"{variant}#,##0"
        return self._get(kind, variant, look)

    def _get(self, kind: str, variant: str, look: dict[str, Any]) -> Format:
        if (kind, variant) not in self._made:
            self._made[kind, variant] = self._book.add_format(look)
        return self._made[kind, variant]


def _n_lines(row: dict[str, Any], names: list[str]) -> int:
    """How many lines a row takes, 2 to 4: fixed, so that no text can stretch it."""
    wrapped = [name for name in names if COLUMNS[name].kind == "wrap" and row[name]]
    needed = [math.ceil(1.1 * len(row[name]) / COLUMNS[name].width) for name in wrapped]
    return min(4, max([2, *needed]))


def _set_columns(
    sheet: Worksheet, rows: list[dict[str, Any]], order: list[str], n_shown: int
) -> None:
    for column, name in enumerate(order):
        grouped = {"level": 1, "hidden": True} if column >= n_shown else {}
        sheet.set_column(column, column, _width(name, rows), None, grouped)
    sheet.set_column(len(order), len(order), 3, None, {"collapsed": True})


def _width(name: str, rows: list[dict[str, Any]]) -> float:
    column = COLUMNS[name]
    if column.kind not in ("text", "money") or name in FEEDBACK_COLUMNS:
        return column.width
    texts = [str(_cell(name, row) or "") for row in rows] if column.kind == "text" else []
    longest = max(map(len, texts), default=column.width)
    return min(column.width, max(longest, len(column.heading), 6)) + 2


def _set_behaviour(
    book: xlsxwriter.Workbook, sheet: Worksheet, rows: list[dict[str, Any]], order: list[str]
) -> None:
    first, last, width = HEADER_ROW, HEADER_ROW - 1 + max(len(rows), 1), len(order) - 1
    sheet.freeze_panes(first, order.index("customer_name") + 1)
    sheet.autofilter(first - 1, 0, last, width)
    sheet.ignore_errors({"number_stored_as_text": f"A{first}:AZ{last + 1}"})
    end = xlsxwriter.utility.xl_rowcol_to_cell(last, width, row_abs=True, col_abs=True)
    book.define_name("retention_list", f"=List!$A${HEADER_ROW}:{end}")
    for name, options in CHOICES.items():
        at = order.index(name)
        sheet.data_validation(first, at, last, at, {"validate": "list", "source": options})
    at = order.index("risk")
    colours = {"type": "2_color_scale", "min_type": "num", "min_value": 0}
    colours |= {"min_color": "#FFFFFF", "max_color": "#F2A48D"}
    sheet.conditional_format(first, at, last, at, colours)


def _set_print(sheet: Worksheet, listing: Listing, n_rows: int, n_shown: int) -> None:
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(HEADER_ROW - 1)
    sheet.print_area(0, 0, HEADER_ROW - 1 + max(n_rows, 1), n_shown - 1)
    sheet.set_footer(f"&L{wording.day(listing.as_of)}&RPage &P of &N")


def _write_about(book: xlsxwriter.Workbook, listing: Listing) -> None:
    sheet = book.add_worksheet("About")
    bold = book.add_format({"bold": True, "valign": "top"})
    wrap = book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
    title = book.add_format({"bold": True, "font_size": 15, "font_color": _INK})
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, wording.visible(listing.title), title)
    lines = [("As of", wording.day(listing.as_of)), *listing.facts.items()]
    lines += [("Note", note) for note in listing.notes]
    lines += [("", ""), *_HOW_TO, ("", "")]
    lines += [(column.heading, column.meaning) for column in COLUMNS.values()]
    for line, (label, content) in enumerate(lines, start=2):
        sheet.write_string(line, 0, wording.visible(label), bold)
        sheet.write_string(line, 1, wording.visible(content), wrap)
    sheet.set_portrait()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)


_HOW_TO = [
    ("How to use it", "Work from the top of the sheet List; filter by your name."),
    ("What to fill in", "The yellow columns, from the drop-downs. Save the file and send it back."),
    ("More columns", "The + above the sheet opens all the others."),
]
