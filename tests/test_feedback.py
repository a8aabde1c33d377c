"""What CS filled in comes back as it was recorded, whatever a spreadsheet did to the file."""

import csv
import io
import re
import tempfile
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import office
import openpyxl
import pytest
from handouts import AS_OF, PAYLOADS, everywhere, sample
from hypothesis import given
from hypothesis import strategies as st
from postgres import Server, psycopg

from churn.contracts import LIST_COLUMNS
from churn.errors import InputError
from churn.io import wording
from churn.io.documents.export import CHOICES, COLUMNS, HEADER_ROW, csv_bytes
from churn.io.documents.workbook import workbook_bytes
from churn.io.feedback import answers, sql_feedback

HEADINGS = {name: column.heading for name, column in COLUMNS.items()}


def recorded(path: Path) -> list[tuple[Any, ...]]:
    """What was read: customer, contacted, outcome, verdict, note; None for nothing."""
    frame = answers.read(path)
    names = ["customer_id", "contacted", "outcome", "verdict", "note"]
    return [tuple(row) for row in frame[names].astype(object).where(frame.notna(), None).to_numpy()]


def as_csv(path: Path, cells: dict[str, str] | None = None, **csv_form: Any) -> Path:
    """A published CSV of three customers whose first row says `cells` too, saved with `csv_form`."""
    rows = list(csv.reader(io.StringIO(csv_bytes(sample(3).rows).decode("utf-8-sig"))))
    for name, value in (cells or {}).items():
        rows[1][LIST_COLUMNS.index(name)] = value
    target = io.StringIO(newline="")
    encoding = csv_form.pop("encoding", "utf-8-sig")
    csv.writer(target, **csv_form).writerows(rows)
    path.write_bytes(target.getvalue().encode(encoding))
    return path


def as_workbook(path: Path, cells: dict[str, Any], *, n_rows: int = 3) -> Path:
    """A published workbook whose first row says `cells` too."""
    book = openpyxl.load_workbook(io.BytesIO(workbook_bytes(sample(n_rows))))
    sheet = book["List"]
    places = {cell.value: cell.column for cell in sheet[HEADER_ROW]}
    for name, value in cells.items():
        sheet.cell(HEADER_ROW + 1, places[HEADINGS[name]]).value = value
    book.save(path)
    return path


FIRST = sample(3).rows["customer_id"][0]
DONE = {"contacted": "yes", "outcome": "not now", "verdict": "wrong reason", "note": "=1+1; soon"}
READ = [(FIRST, True, "not now", "wrong reason", "=1+1; soon")]


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"delimiter": ";"},
        {"delimiter": ";", "encoding": "cp1252"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"encoding": "utf-8", "quoting": csv.QUOTE_ALL},
    ],
)
def test_csv_as_programs_save_it(tmp_path: Path, form: dict[str, Any]) -> None:
    assert recorded(as_csv(tmp_path / "list.csv", DONE, **form)) == READ


def test_csv_with_a_separator_line_and_workbook_headings(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        'sep=;\nA title\n\nCustomer ID;Note;"As of";Extra\n007;"two\nlines";05.01.2026;x\n'
    )
    frame = answers.read(path)
    assert frame.to_dict("records")[0] | {"contacted": None} == {
        "customer_id": "007", "as_of": AS_OF, "list_id": None, "contacted": None, "outcome": None,
        "verdict": None, "note": "two\nlines", "file": "list.csv", "line": 5,
    }  # fmt: skip


def test_csv_gives_guarded_texts_back(tmp_path: Path) -> None:
    rows = sample(1).rows.assign(customer_id="=7;-8", contacted="no", note="-2 seats")
    path = tmp_path / "list.csv"
    path.write_bytes(csv_bytes(rows))
    assert recorded(path) == [("=7;-8", False, None, None, "-2 seats")]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-05", AS_OF),
        ("05.01.2026", AS_OF),
        ("5 Jan 2026", AS_OF),
        ("2026-01-05 00:00:00", AS_OF),
        ("1/19/2026", date(2026, 1, 19)),
        ("19/01/2026", date(2026, 1, 19)),
        ("05/05/2026", date(2026, 5, 5)),
    ],
)
def test_dates_as_programs_write_them(tmp_path: Path, written: str, meant: date) -> None:
    path = as_csv(tmp_path / "list.csv", DONE | {"as_of": written})
    assert answers.read(path)["as_of"].tolist() == [meant]


@pytest.mark.parametrize(
    ("cells", "where", "got"),
    [
        ({"outcome": "maybe"}, "line 2, column 'Outcome'", "'maybe'"),
        ({"verdict": "=A1"}, "line 2, column 'Verdict'", "'=A1'"),
        ({"contacted": "2"}, "line 2, column 'Contacted'", "'2'"),
        ({"note": "x", "as_of": "1/5/2026"}, "line 2, column 'As of'", "'1/5/2026'"),
        ({"note": "x", "customer_id": ""}, "line 2, column 'Customer ID'", "nothing"),
        ({"note": "x" * 5000}, "line 2, column 'Note'", "'xxx"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, cells: dict[str, str], where: str, got: str) -> None:
    with pytest.raises(InputError) as refused:
        answers.read(as_csv(tmp_path / "list.csv", cells))
    assert where in refused.value.what
    assert "list.csv" in refused.value.what
    assert refused.value.got.startswith(got)


def test_a_refusal_counts_all_wrong_cells(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    lines = [f"{k},2026-01-05,maybe" for k in range(30)]
    path.write_text("\n".join(["customer_id,as_of,outcome", *lines]))
    with pytest.raises(
        InputError, match=r"line 2, column 'Outcome'.*30 cells are wrong"
    ) as refused:
        answers.read(path)
    assert "line 11, column 'Outcome': 'maybe'\n            and 20 more" in refused.value.got


def test_one_customer_twice_must_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    head = "customer_id,as_of,note\n007,2026-01-05,a\n7,2026-01-05,b\n007,2026-01-05,"
    path.write_text(f"{head}a\n")
    assert [row[0] for row in recorded(path)] == ["007", "7"]
    path.write_text(f"{head}b\n")
    with pytest.raises(InputError, match="line 4") as refused:
        answers.read(path)
    assert "line 2" in refused.value.got


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        b"PK\x03\x04broken",
        b"\x00\x01\x02",
        b'customer_id,note\n"x' + b"y" * 200_000,
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"list\.xlsx"):
        answers.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        answers.read(tmp_path / "no.csv")


def test_the_same_heading_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("customer_id,Customer ID,as_of,note\n1,2,2026-01-05,x\n")
    with pytest.raises(InputError, match="'Customer ID' twice"):
        answers.read(path)


def test_nothing_filled_in_is_nothing_recorded(tmp_path: Path) -> None:
    frame = answers.read(as_csv(tmp_path / "list.csv"))
    assert list(frame.columns) == list(answers.NAMES)
    assert len(frame) == 0


# --- workbook --------------------------------------------------------------------------------


def test_workbook_gives_back_what_was_typed(tmp_path: Path) -> None:
    path = as_workbook(
        tmp_path / "list.xlsx", DONE | {"contacted": True, "verdict": " Wrong  Reason"}
    )
    assert recorded(path) == READ
    frame = answers.read(path)
    assert frame["as_of"].tolist() == [AS_OF]
    assert frame["list_id"].tolist() == ["3fa2c1d09b7e"]
    assert frame["line"].tolist() == [HEADER_ROW + 1]


@pytest.mark.parametrize(
    ("cells", "column", "got"),
    [
        ({"outcome": '=IF(1,"will stay","")'}, "Outcome", "the formula"),
        ({"contacted": "=TRUE()"}, "Contacted", "the formula"),
        ({"note": "x", "customer_id": "=A1"}, "Customer ID", "the formula"),
        ({"note": "x", "customer_id": 7}, "Customer ID", "int 7"),
        ({"note": "x", "as_of": "=TODAY()"}, "As of", "the formula"),
    ],
)
def test_workbook_formulas_and_numbers_as_ids_are_refused(
    tmp_path: Path, cells: dict[str, Any], column: str, got: str
) -> None:
    with pytest.raises(InputError, match=f"line {HEADER_ROW + 1}, column '{column}'") as refused:
        answers.read(as_workbook(tmp_path / "list.xlsx", cells))
    assert refused.value.got.startswith(got)


def test_a_date_with_a_time_is_that_day(tmp_path: Path) -> None:
    path = as_workbook(tmp_path / "list.xlsx", DONE | {"as_of": datetime(2026, 1, 5, 0, 0)})
    assert answers.read(path)["as_of"].tolist() == [AS_OF]


def test_the_list_is_found_whatever_its_sheet_is_called(tmp_path: Path) -> None:
    path = as_workbook(tmp_path / "list.xlsx", DONE)
    book = openpyxl.load_workbook(path)
    book["List"].title = "Anna"
    book.move_sheet("Anna", 3)
    book.save(path)
    assert recorded(path) == READ


@pytest.mark.parametrize("name", ["list.csv", "list.xlsx"])
def test_what_strangers_wrote_comes_back_to_the_character(tmp_path: Path, name: str) -> None:
    rows = everywhere(*PAYLOADS).rows.assign(contacted="yes", outcome="other", verdict="right")
    path = tmp_path / name
    listing = replace(everywhere(*PAYLOADS), rows=rows)
    path.write_bytes(csv_bytes(rows) if path.suffix == ".csv" else workbook_bytes(listing))
    frame = answers.read(path)
    assert frame["customer_id"].tolist() == list(PAYLOADS)
    said = frame["note"].map(lambda note: "".join(wording.visible(note).split())).tolist()
    assert said == ["".join(wording.visible(payload).split()) for payload in PAYLOADS]


@given(st.text(min_size=1).filter(str.strip), st.text(max_size=60))
def test_any_id_and_note_survive_the_csv(customer: str, note: str) -> None:
    rows = sample(1).rows.assign(customer_id=customer, note=note, contacted="no")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        try:
            path.write_bytes(csv_bytes(rows))
        except UnicodeEncodeError:
            return  # a lone surrogate is in no file
        frame = answers.read(path)
    assert frame["customer_id"].tolist() == [customer]
    assert (frame["note"][0] or "") == re.sub(r"\r\n?", "\n", note).strip()


# --- LibreOffice -----------------------------------------------------------------------------


def test_a_workbook_filled_in_with_libreoffice_says_what_was_recorded(tmp_path: Path) -> None:
    book, saved, as_text = (tmp_path / name for name in ("list.xlsx", "back.xlsx", "back.csv"))
    listing = sample(12)
    book.write_bytes(workbook_bytes(listing))
    customers = listing.rows["customer_id"].tolist()
    deleted, done = customers[3], [one for one in customers if one != customers[3]][:9]
    expected = [
        (
            customer, k % 2 == 0, CHOICES["outcome"][k % 8], CHOICES["verdict"][k % 5],
            ["=1+1", "-2; \"quoted\"", "Ümläut, zwei\nZeilen", "007"][k % 4],
        )
        for k, customer in enumerate(done)
    ]  # fmt: skip
    office.worked_in(book, _typing(customers, expected, saved, as_text, deleted), tmp_path / "home")
    assert sorted(recorded(saved)) == sorted(expected)
    assert sorted(recorded(as_text)) == sorted(expected)
    assert answers.read(saved)["customer_id"].tolist() != done, "the rows were not sorted"
    assert set(answers.read(saved)["as_of"]) == {AS_OF}
    assert set(answers.read(as_text)["list_id"]) == {"3fa2c1d09b7e"}


def test_no_payload_is_a_formula_to_libreoffice(tmp_path: Path) -> None:
    assert len({*PAYLOADS}) >= 30
    listing = everywhere(*PAYLOADS)
    (tmp_path / "list.xlsx").write_bytes(workbook_bytes(listing))
    (tmp_path / "list.csv").write_bytes(csv_bytes(listing.rows))
    (tmp_path / "bare.csv").write_text('a,"=1+1",@SUM(A1)\n')
    home = tmp_path / "home"
    assert office.formulas(tmp_path / "bare.csv", home, separator=",") > 0, "it sees formulas"
    assert office.formulas(tmp_path / "list.xlsx", home) == 0
    assert office.formulas(tmp_path / "list.csv", home, separator=",") == 0
    assert office.formulas(tmp_path / "list.csv", home, separator=";") == 0


def _typing(
    customers: list[str], expected: list[tuple[Any, ...]], saved: Path, as_text: Path, deleted: str
) -> str:
    """Fill in, delete a row, sort by risk, move the note to the front, hide and filter, save twice."""
    listing = sample(12)
    order = [cell.value for cell in openpyxl.load_workbook(
        io.BytesIO(workbook_bytes(listing)))["List"][HEADER_ROW]]  # fmt: skip
    at = {name: order.index(HEADINGS[name]) for name in COLUMNS}
    lines = []
    for customer, contacted, outcome, verdict, note in expected:
        row = HEADER_ROW + customers.index(customer)
        said = {
            "contacted": "yes" if contacted else "no",
            "outcome": outcome,
            "verdict": verdict,
            "note": note,
        }
        for name, value in said.items():
            text = value.replace('"', '""').replace("\n", '" & Chr(10) & "')
            lines.append(f'Sheet.getCellByPosition({at[name]}, {row}).setString("{text}")')
    lines.append(f"Sheet.Rows.removeByIndex({HEADER_ROW + customers.index(deleted)}, 1)")
    last = HEADER_ROW + len(customers) - 2
    return "\n".join(
        [
            *lines,
            "Dim Field(0) As New com.sun.star.table.TableSortField",
            f"Field(0).Field = {at['risk']}",
            "Field(0).IsAscending = True",
            f"Rows = Sheet.getCellRangeByPosition(0, {HEADER_ROW}, {len(order) - 1}, {last})",
            'Rows.sort(Array(Prop("SortFields", Field()), Prop("ContainsHeader", False)))',
            "Sheet.Columns.insertByIndex(0, 1)",
            f"From = Sheet.getCellRangeByPosition({at['note'] + 1}, 0, {at['note'] + 1}, {last})",
            "Sheet.moveRange(Sheet.getCellByPosition(0, 0).CellAddress, From.RangeAddress)",
            f"Sheet.Columns.getByIndex({at['outcome'] + 1}).IsVisible = False",
            f"Sheet.Rows.getByIndex({HEADER_ROW}).IsVisible = False",
            f'Store(Document, "{saved.as_uri()}", {office.XLSX})',
            f'Store(Document, "{as_text.as_uri()}", {office.GERMAN_CSV})',
        ]
    )


# --- database --------------------------------------------------------------------------------


@pytest.fixture
def recorded_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run statements in a database of our own whose address stands in CHURN_SQL_URL."""
    server.run("CREATE DATABASE feedback")
    monkeypatch.setenv("CHURN_SQL_URL", server.url("feedback"))
    yield lambda statement: server.run(statement, database="feedback")
    server.run("DROP DATABASE feedback")  # fails where a connection was left open


def test_a_table_says_the_same(recorded_in: Any) -> None:
    recorded_in(
        "CREATE TABLE notes AS SELECT '007'::text AS customer_id, DATE '2026-01-05' AS as_of,"
        " true AS contacted, 'not now' AS outcome, NULL::text AS verdict, '' AS note, 3 AS more"
        " UNION ALL SELECT '8', DATE '2026-01-05', NULL, NULL, NULL, NULL, 3"
    )
    frame = sql_feedback.read("CHURN_SQL_URL", "public.notes")
    assert frame.to_dict("records") == [
        {
            "customer_id": "007", "as_of": AS_OF, "list_id": None, "contacted": True,
            "outcome": "not now", "verdict": None, "note": None, "file": "table public.notes",
            "line": 1,
        }
    ]  # fmt: skip


def test_a_table_that_is_wrong_is_refused(recorded_in: Any) -> None:
    assert psycopg
    recorded_in("CREATE TABLE notes (customer_id int, as_of date, outcome text, verdict text)")
    recorded_in("INSERT INTO notes VALUES (7, '2026-01-05', 'will stay', 'right')")
    with pytest.raises(InputError, match="table notes line 1, column 'Customer ID'"):
        sql_feedback.read("CHURN_SQL_URL", "notes")
    with pytest.raises(InputError, match=r"there is no table note\n"):
        sql_feedback.read("CHURN_SQL_URL", "note")
    recorded_in("ALTER TABLE notes DROP COLUMN as_of")
    with pytest.raises(InputError, match="no column as_of"):
        sql_feedback.read("CHURN_SQL_URL", "notes")
