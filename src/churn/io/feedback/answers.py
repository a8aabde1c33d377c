"""What CS filled in, read back: workbook, CSV or a table of a database → checked rows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from churn.contracts import FEEDBACK_COLUMNS
from churn.errors import InputError, nearest
from churn.io.documents.export import CHOICES, COLUMNS
from churn.io.feedback import filled_in
from churn.io.feedback.filled_in import Formula, Row

NAMES = ("customer_id", "as_of", "list_id", *FEEDBACK_COLUMNS, "file", "line")

YES, NO = ("yes", "y", "true", "1", "x"), ("no", "n", "false", "0")

MAX_NOTE = 4_000
"""Characters of a note: what is longer was pasted by mistake."""

N_TOLD = 10
"""How many faults a refusal names."""


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be taken: where, what stands there, what would have been right."""

    line: int
    column: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"line {self.line}, column '{self.column}': {self.got}"


def read(path: Path) -> pd.DataFrame:
    """What a filled-in XLSX or CSV says, one row per customer and list in the order of the file.

    Columns `NAMES`: ids as text, `as_of` a date, `contacted` True, False or missing, `outcome` and
    `verdict` words of `export.CHOICES` or None, `note` text or None; `file` the file's name and
    `line` its row. Rows in which nothing is filled in are left out. Raises `InputError`, naming
    every cell that is wrong (the first ten), before anything is taken.
    """
    return checked(filled_in.rows(path), file=path.name)


def checked(rows: Iterable[Row], *, file: str) -> pd.DataFrame:
    """The rows as `read` gives them, or an `InputError` for what is wrong with them."""
    filled = [row for row in rows if any(row.cells.get(name) for name in FEEDBACK_COLUMNS)]
    faults: list[Fault] = []
    taken = [_taken(row, file, faults) for row in filled]
    seen: dict[tuple[Any, Any], dict[str, Any]] = {}
    for record in taken if not faults else []:
        known = seen.setdefault((record["customer_id"], record["as_of"]), record)
        if any(known[name] != record[name] for name in FEEDBACK_COLUMNS):
            faults.append(_contradicted(record, known["line"]))
    if faults:
        raise _refusal(faults, file)
    frame = pd.DataFrame(list(seen.values()), columns=list(NAMES), dtype=object)
    return frame.astype({"contacted": "boolean", "line": "int64"})


def _taken(row: Row, file: str, faults: list[Fault]) -> dict[str, Any]:
    """One row as a record; what is wrong with it is added to `faults`."""
    found: dict[str, Any] = dict.fromkeys(NAMES) | {"file": file, "line": row.line}
    for name, check in CHECKS.items():
        value = row.cells.get(name)
        if value is None and name not in REQUIRED:
            continue
        try:
            found[name] = check(value)
        except _NotTakenError as wrong:
            faults.append(Fault(row.line, COLUMNS[name].heading, _shown(value), wrong.expected))
    return found


class _NotTakenError(Exception):
    """A value that a column does not take."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Formula):
        return f"the formula {value.text[:60]!r}"
    return f"{type(value).__name__} {value!r}" if not isinstance(value, str) else repr(value[:60])


def _id(value: Any) -> str:
    """An id to the character: a number may have lost its zeros on the way."""
    if not isinstance(value, str):
        raise _NotTakenError("the customer's id as text, as the list had it (007 is not 7)")
    return value


def _day(value: Any) -> Any:
    moment = None if isinstance(value, Formula) else filled_in.as_day(value)
    if moment is None:
        raise _NotTakenError(
            "the date of the list, such as 2026-01-05 (with slashes it could be two)"
        )
    return moment


def _plain(value: Any) -> str:
    if not isinstance(value, str):
        raise _NotTakenError("the id of the list as text")
    return value.strip()


def _contacted(value: Any) -> bool:
    said = str(int(value)) if isinstance(value, bool) else _word(value)
    if said not in (*YES, *NO):
        raise _NotTakenError("yes or no")
    return said in YES


def _word(value: Any) -> str:
    """A choice as the drop-down has it, whatever its capitals and spaces."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split()).casefold() if not isinstance(value, Formula) else ""


def _outcome(value: Any) -> str:
    return _choice("outcome", value)


def _verdict(value: Any) -> str:
    return _choice("verdict", value)


def _choice(name: str, value: Any) -> str:
    word = _word(value)
    if word not in CHOICES[name]:
        hint = nearest(word, CHOICES[name])
        asked = f"; {hint}" if hint.startswith("did you mean") else ""
        raise _NotTakenError(f"one of: {', '.join(CHOICES[name])}{asked}")
    return word


def _note(value: Any) -> str:
    """A note as it was typed; what a spreadsheet takes for a formula is words like all others."""
    text = value.text if isinstance(value, Formula) else str(value)
    if len(text) > MAX_NOTE:
        raise _NotTakenError(f"at most {MAX_NOTE:,} characters")
    return re.sub(r"\r\n?", "\n", text).strip()


CHECKS: dict[str, Any] = {
    "customer_id": _id,
    "as_of": _day,
    "list_id": _plain,
    "contacted": _contacted,
    "outcome": _outcome,
    "verdict": _verdict,
    "note": _note,
}
REQUIRED = ("customer_id", "as_of")


def _contradicted(record: dict[str, Any], line: int) -> Fault:
    customer = record["customer_id"]
    return Fault(
        record["line"],
        COLUMNS["customer_id"].heading,
        f"{customer!r} again, filled in otherwise than in line {line}",
        "each customer once, or the same words each time",
    )


def _refusal(faults: list[Fault], file: str) -> InputError:
    first, *others = faults
    more = [f"\n            {fault}" for fault in others[: N_TOLD - 1]]
    rest = len(others) - len(more)
    more += [f"\n            and {rest} more"] if rest > 0 else []
    n_cells = f" ({len(faults)} cells are wrong)" if others else ""
    return InputError(
        f"{file} line {first.line}, column '{first.column}' cannot be taken in{n_cells}",
        got=first.got + "".join(more),
        expected=first.expected,
        next_step="correct the file and import it again; nothing of it was taken in",
    )
