"""The list as a workbook: a sheet to work in, the customers beside it, earlier lists, and help."""

import io
import math
import re
from datetime import date, datetime, time
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS
from churn.io import wording
from churn.io.documents import past_lists
from churn.io.documents.export import CHOICES, COLUMNS, HEADER_ROW
from churn.io.documents.handout import Aside, Listing, records, summary, who

SHOWN = (
    *("rank", "customer_name", "owner", "status", "risk", "at_stake", "act_before"),
    *("reason_1", "suggested_play", *FEEDBACK_COLUMNS),
)
"""What the workbook shows, in order; see `shown` for how 13 become at most 12."""

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
    _write_asides(book, listing)
    _write_track(book, listing)
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


def _write_asides(book: xlsxwriter.Workbook, listing: Listing) -> None:
    """A sheet for each group of customers beside the list that has somebody in it."""
    groups = {
        "Already leaving": listing.leaving,
        "Cannot judge yet": listing.unjudged,
        "Left the list": listing.gone,
    }
    for name, customers in groups.items():
        if customers:
            headings = {"Customer": 34, "Customer ID": 24, "Owner": 18, "Why": 70}
            _write_table(book, name, headings, [_aside(one) for one in customers])


def _aside(one: Aside) -> list[str | float]:
    name = one.customer_name or one.customer_id
    return [
        wording.visible(name),
        one.customer_id,
        wording.text(one.owner),
        wording.visible(one.why),
    ]


def _write_track(book: xlsxwriter.Workbook, listing: Listing) -> None:
    """Earlier lists, newest first; what is not settled yet stays empty."""
    if not listing.track:
        return
    headings = {"List of": 14, "Customers": 12, "Expected to leave": 18, "Left by now": 14}
    headings |= {"Longest silent": 16, "At random": 12}
    rows = [
        [
            wording.day(past.as_of),
            past.size,
            round(past.expected, 1),
            *("" if n is None else n for n in (past.left, past.silent_left, past.random_left)),
        ]
        for past in listing.track
    ]
    sheet = _write_table(book, "Track record", headings, rows)
    sheet.write_string(len(rows) + 2, 0, past_lists.in_words(listing.track))


def _write_table(
    book: xlsxwriter.Workbook, name: str, headings: dict[str, int], rows: list[list[str | float]]
) -> Worksheet:
    """A sheet of plain rows with a heading row that stays in view; texts stay texts."""
    sheet = book.add_worksheet(name)
    head = book.add_format({"bold": True, "bg_color": _HEAD, "bottom": 1})
    text = book.add_format({"num_format": "@", "text_wrap": True, "valign": "top"})
    number = book.add_format({"valign": "top"})
    for column, (heading, width) in enumerate(headings.items()):
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, heading, head)
    for line, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            if isinstance(value, str) and value:
                sheet.write_string(line, column, value, text)
            elif value != "":
                sheet.write_number(line, column, float(value), number)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(len(rows), 1), len(headings) - 1)
    sheet.ignore_errors({"number_stored_as_text": f"A2:Z{len(rows) + 1}"})
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    return sheet


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
    (
        "Other sheets",
        "Who already leaves, who cannot be judged yet, who left the list, past lists.",
    ),
]
