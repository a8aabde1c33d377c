"""Rows as people hand them back: a workbook or a CSV, opened by its headings, nothing evaluated.

Rows may have been sorted, filtered or deleted, columns moved, hidden or left out, and the file may
have been saved by another program: what counts is the heading above a cell.
"""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from churn.contracts import FEEDBACK_COLUMNS, LIST_COLUMNS
from churn.errors import InputError
from churn.io.documents.export import COLUMNS, HEADER_ROW, unguard

N_ABOVE = 20
"""How many rows may stand above the headings; ours stand in `HEADER_ROW`."""

HEADINGS = {
    **{name.casefold(): name for name in LIST_COLUMNS},
    **{column.heading.casefold(): name for name, column in COLUMNS.items()},
}
"""Headings of the CSV and of the workbook, in small letters → columns of the list."""


FILLED = [COLUMNS[name].heading for name in FEEDBACK_COLUMNS]


@dataclass(frozen=True)
class Formula:
    """What was typed into a cell that a spreadsheet takes for a formula; it is never evaluated."""

    text: str


@dataclass(frozen=True)
class Row:
    """One row by column of the list: text, number, date, `Formula` or None; `line` counts from 1."""

    line: int
    cells: dict[str, Any]


def rows(path: Path) -> list[Row]:
    """The rows below the headings of a filled-in workbook or CSV, empty ones left out.

    Raises `InputError` for what is neither, and for headings that are missing or stand twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read",
            got=error.strerror or type(error).__name__,
            expected="a filled-in retention list",
            next_step="correct the path",
        ) from None
    if content.startswith(b"PK"):
        return _below_headings(path, _workbook_lines(path, content))
    found = _below_headings(path, _csv_lines(path, content))
    return [
        Row(row.line, {name: _plain(cell) for name, cell in row.cells.items()}) for row in found
    ]


def _plain(cell: Any) -> Any:
    return unguard(cell) if isinstance(cell, str) else cell


Line = tuple[int, Sequence[Any]]


def _below_headings(path: Path, tables: Iterable[Iterable[Line]]) -> list[Row]:
    """The rows of the first of `tables` that has our headings."""
    for lines in tables:
        waiting = iter(lines)
        for line, cells in waiting:
            names = [HEADINGS.get(_text(cell).casefold()) for cell in cells]
            if "customer_id" in names and set(FEEDBACK_COLUMNS) & set(names):
                _refuse_twice(path, line, names)
                return list(_rows(names, waiting))
            if line >= N_ABOVE:
                break
    raise InputError(
        f"{path} has no columns 'Customer ID' and what is filled in",
        got=f"no row with 'Customer ID' and one of {', '.join(FILLED)} among the first {N_ABOVE}",
        expected=f"the headings of our list, as in row {HEADER_ROW} of retention_list.xlsx",
        next_step="fill in the file that was published, and keep its heading row (of a CSV that a "
        "spreadsheet shows in one column, fill in the workbook instead)",
    )


def _rows(names: list[str | None], lines: Iterable[Line]) -> Iterator[Row]:
    for line, cells in lines:
        known = {
            name: cell for name, cell in zip(names, cells, strict=False) if name and _filled(cell)
        }
        if known:
            yield Row(line, known)


def _filled(cell: Any) -> bool:
    return cell is not None and not (isinstance(cell, str) and not cell.strip())


def _text(cell: Any) -> str:
    """A heading as it was written, whatever line breaks and spaces a program put into it."""
    return " ".join(cell.split()) if isinstance(cell, str) else ""


def _refuse_twice(path: Path, line: int, names: list[str | None]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path} line {line} has the column '{COLUMNS[twice[0]].heading}' twice",
            got=f"{names.count(twice[0])} columns with that heading",
            expected="each heading once",
            next_step="delete or rename the column that is not to be read",
        )


# --- workbook --------------------------------------------------------------------------------


def _workbook_lines(path: Path, content: bytes) -> Iterator[Iterator[Line]]:
    """The lines of every sheet, ours first."""
    import openpyxl  # a third of a second that only reading back is worth

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of looks that it does not keep
        try:
            book = openpyxl.load_workbook(io.BytesIO(content), data_only=False)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, ParseError) as error:
            raise _no_workbook(path, error) from None
    for sheet in sorted(book.worksheets, key=lambda sheet: sheet.title != "List"):
        yield _sheet_lines(sheet, book.epoch)


def _sheet_lines(sheet: Any, epoch: datetime) -> Iterator[Line]:
    for line, cells in enumerate(sheet.iter_rows(), start=1):
        yield line, [_cell(cell, epoch) for cell in cells]


def _cell(cell: Any, epoch: datetime) -> Any:
    """The value of a cell; a formula as what was typed, an error as its text."""
    if cell.data_type == "f":
        return Formula(str(getattr(cell.value, "text", cell.value)))
    if isinstance(cell.value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell.value)
    return cell.value.date() if isinstance(cell.value, datetime) else cell.value


_ESCAPED = re.compile("_x(00[01][0-9A-Fa-f])_")
"""How a workbook writes a control character, which XML has no other way to hold."""


def _no_workbook(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is no workbook that can be read",
        got=f"{type(error).__name__}: {str(error)[:120]}",
        expected="an .xlsx without a password",
        next_step="open it in a spreadsheet program and save it as Excel workbook (.xlsx) or CSV",
    )


# --- CSV -------------------------------------------------------------------------------------


def _csv_lines(path: Path, content: bytes) -> Iterator[Iterator[Line]]:
    """The lines as each separator would split them: ours, German Excel's, and a tab."""
    text = _decoded(path, content)
    first, _, after = text.partition("\n")
    n_skipped = int(first.strip().lower().startswith("sep="))
    for delimiter in ",;\t":
        yield _split(path, after if n_skipped else text, delimiter, n_skipped=n_skipped)


def _decoded(path: Path, content: bytes) -> str:
    """UTF-8, UTF-16 with its mark (Excel's "Unicode text"), else the code page of Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _split(path: Path, text: str, delimiter: str, *, n_skipped: int) -> Iterator[Line]:
    """Each record with the line it begins in; a text may hold line breaks."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = n_skipped + 1
    try:
        for cells in reader:
            yield line, cells
            line = n_skipped + reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path} line {line} cannot be read as CSV",
            got=str(error),
            expected="cells with separators between them, texts in double quotes where needed",
            next_step="save the file again from a spreadsheet program, or fill in the workbook",
        ) from None


def as_day(value: Any) -> date | None:
    """The date in a cell; None where it is none, or where it could be two.

    ISO, `05.01.2026` (German), `5 Jan 2026` (ours), and with slashes only where day and month cannot
    be confused.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    found = {moment for form in DATES if (moment := _parsed(str(value).strip(), form))}
    return found.pop() if len(found) == 1 else None


DATES = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d %b %Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
)


def _parsed(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None
