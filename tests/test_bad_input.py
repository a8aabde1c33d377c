"""Bad input is refused with file, line and column, and says what to do next."""

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pytest
from logbook import Logbook, events, row, totals

from churn.errors import ChurnError, ConfigurationError, InputError
from churn.timeline import Arrival

HEADER = "customer_id,ts,event\n"
GOOD = HEADER + "007,2026-01-05 10:00:00,login\n"


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


def refusal(book: Logbook, **changes) -> ChurnError:
    with pytest.raises(ChurnError) as caught:
        book.take_in(**({"share": 0.001} | changes))
    for part in ("got:", "expected:", "next:"):
        assert part in str(caught.value)
    return caught.value


CASES = {
    "empty file": ("a.csv", "", {}, "an empty file"),
    "only blanks": ("a.csv", "\n\n", {}, "an empty file"),
    "HTML under .csv": ("a.csv", "<!DOCTYPE html><html>Sign in</html>", {}, "web page"),
    "gzip bytes under .csv": ("a.csv", gzip.compress(GOOD.encode()), {}, "gzip"),
    "plain text under .gz": ("a.csv.gz", GOOD, {}, "without .gz"),
    "cut gzip": ("a.csv.gz", gzip.compress(GOOD.encode() * 500)[:-9], {}, "cut or damaged"),
    "wrong gzip checksum": (
        "a.csv.gz",
        gzip.compress(GOOD.encode())[:-8] + b"\0\0\0\0" + gzip.compress(GOOD.encode())[-4:],
        {},
        "cut or damaged",
    ),
    "a spreadsheet": ("a.csv", b"PK\x03\x04rest", {}, "spreadsheet"),
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), {}, "UTF-16"),
    "Latin-1": ("a.csv", (GOOD + "é,2026-01-05,x\n").encode("latin-1"), {}, "not UTF-8"),
    "missing column": ("a.csv", "customer_id,ts\na,2026-01-05\n", {}, "no column 'event'"),
    "renamed column": (
        "a.csv",
        "customer,ts,event\na,2026-01-05,x\n",
        {},
        "source.columns.customer_id=customer",
    ),
    "a mapped column that is not there": (
        "a.csv",
        GOOD,
        {"columns": {"value": "amount"}},
        "no column 'amount'",
    ),
    "duplicate header": ("a.csv", "customer_id,ts,event,ts\na,1,b,2\n", {}, "column 'ts' 2 times"),
    "another delimiter": ("a.csv", GOOD.replace(",", ";"), {}, "source.delimiter=';'"),
    "a date in another format": (
        "a.csv",
        GOOD + "8,31/12/2025,login\n",
        {},
        "line 3 column ts",
    ),
    "seconds": ("a.csv", GOOD + "8,1767225600,login\n", {}, "epoch_s"),
    "milliseconds": ("a.csv", GOOD + "8,1767225600000,login\n", {}, "epoch_ms"),
    "a decimal comma": (
        "a.csv",
        'customer_id,ts,event,value\n7,2026-01-05,x,"1,5"\n',
        {},
        "decimal point",
    ),
    "broken JSON line": (
        "a.jsonl",
        '{"customer_id":"a","ts":"2026-01-05","event":"x"}\n{"customer_id":\n',
        {},
        "line 2",
    ),
    "a JSON array": ("a.json", '[{"customer_id":"a"}]', {}, "jq"),
    "a number as id in JSON": (
        "a.jsonl",
        '{"customer_id":7,"ts":"2026-01-05","event":"x"}\n',
        {},
        "source.integer_ids=true",
    ),
    "a float as id in JSON": (
        "a.jsonl",
        '{"customer_id":7.0,"ts":"2026-01-05","event":"x"}\n',
        {"integer_ids": True},
        "write customer_id as text",
    ),
    "a JSON key that no line has": (
        "a.jsonl",
        '{"user":"a","ts":"2026-01-05","event":"x"}\n',
        {"columns": {}},
        "columns user, ts, event",
    ),
    "not Parquet": ("a.parquet", "rubbish that is long enough", {}, "whole Parquet file"),
    "a name that says nothing": ("a.xyz", GOOD, {}, "source.format="),
    "a field too many": ("a.csv", GOOD + "8,2026-01-05,x,y\n", {}, "4 fields"),
    "nothing but refused rows": ("a.csv", HEADER + "7,,x\n", {}, "column ts"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_bad_file_is_refused_by_name_with_a_next_step(book, case):
    name, content, settings, said = case
    book.text(name, content)
    error = refusal(book, **settings)
    assert error.exit_code == (2 if name == "a.xyz" else 3)
    assert str(book.logs / name) in error.what
    assert said in str(error)
    assert not (book.workspace / "deliveries" / "index.json").exists()


@pytest.mark.parametrize("column", ["customer_id", "event_id", "user_id"])
def test_an_id_column_of_numbers_is_refused(book, column):
    book.parquet("a.parquet", [row() | {column: 7}], **{column: pa.int64()})
    error = refusal(book)
    assert error.exit_code == 3
    assert column in error.what
    assert "int64" in error.got
    assert "source.integer_ids=true" in error.next_step
    assert book.take_in(integer_ids=True).accounts[0].used == 1


def test_whole_number_ids_are_taken_as_written_where_allowed_and_floats_never(book):
    book.parquet("a.parquet", [row() | {"customer_id": 7}], customer_id=pa.int64())
    assert events(book.take_in(integer_ids=True))[0]["customer_id"] == "7"
    book.parquet("a.parquet", [row() | {"customer_id": 7.0}], customer_id=pa.float64())
    assert refusal(book, integer_ids=True).exit_code == 3


def test_a_number_as_ts_asks_for_the_format(book):
    book.parquet("a.parquet", [row() | {"ts": 1767225600}], ts=pa.int64())
    assert "source.ts_format=epoch_s" in refusal(book).next_step
    assert events(book.take_in(ts_format="epoch_s"))[0]["ts"].isoformat() == "2026-01-01T00:00:00"


def test_a_vanished_file_is_refused_and_named(book):
    book.text("a.csv", GOOD)
    gone = book.text("b.csv", GOOD.replace("login", "logout"))
    book.take_in()
    gone.unlink()
    error = refusal(book)
    assert error.exit_code == 3
    assert str(gone) in error.what
    assert "index.json" in error.next_step
    gone.write_text(GOOD.replace("login", "logout"))
    assert totals(book.take_in())[1] == 2


def test_no_file_is_refused_with_what_is_there(book):
    book.text("a.csv", GOOD)
    error = refusal(book, events=f"{book.logs}/*.parquet")
    assert error.exit_code == 3
    assert "a.csv" in error.got
    assert "*.csv" in error.next_step
    folder = refusal(book, events=str(book.logs))
    assert f"{book.logs}/*.csv" in folder.next_step


def test_no_pattern_is_a_configuration_error(book):
    with pytest.raises(ConfigurationError, match=r"source\.events is not set"):
        book.take_in(events=None)


@pytest.mark.parametrize(
    "settings", [{"timezone": "Europe/Berln"}, {"ts_format": "dd.mm.yyyy"}, {"ts_format": "%Q"}]
)
def test_a_zone_or_a_format_that_nobody_knows_is_a_configuration_error(book, settings):
    book.text("a.csv", GOOD)
    assert refusal(book, **settings).exit_code == 2


def test_the_truth_of_a_simulation_is_refused(book):
    book.text("a.csv", GOOD)
    (book.place / ".truth").touch()
    error = refusal(book)
    assert error.exit_code == 3
    assert ".truth" in error.got


def test_one_event_id_with_two_contents_is_refused_and_the_first_known_kept(book):
    book.parquet("a.parquet", [row(event_id="e1"), row("b", event_id="e2")])
    book.parquet("b.parquet", [row("a", "2026-01-07", event_id="e1"), row("b", event_id="e2")])
    intake = book.take_in()
    assert totals(intake) == (4, 2, 1, 0, 1)
    reject = intake.rejects.to_dict("records")
    assert [r["reason"] for r in reject] == ["one event_id with two contents"]
    assert (reject[0]["line"], reject[0]["column"], reject[0]["value"]) == (1, "event_id", "e1")
    assert {e["ts"].day for e in events(intake)} == {5}
    assert intake.last_day.day == 5
    assert "event_id" in refusal(book).what


def test_an_unknown_customer_is_refused_or_kept(book):
    book.parquet("a.parquet", [row("a"), row("b")])
    side = book.place / "customers.csv"
    side.write_text("customer_id\na\n")
    assert [e["customer_id"] for e in events(book.take_in(customers=str(side)))] == ["a"]
    error = refusal(book, customers=str(side))
    assert error.exit_code == 3
    assert "'b'" in error.got
    assert "source.unknown_customers=keep" in error.next_step
    kept = book.take_in(customers=str(side), unknown_customers="keep")
    assert totals(kept) == (2, 2, 0, 0, 0)


def test_a_customer_who_becomes_known_brings_his_rows_and_touches_their_month(book):
    book.parquet("a.parquet", [row("a"), row("b")])
    book.parquet("b.parquet", [row("a", "2026-02-05")])
    side = book.place / "customers.csv"
    side.write_text("customer_id\na\n")
    before = book.take_in(customers=str(side))
    side.write_text("customer_id\na\nb\n")
    after = book.take_in(customers=str(side))
    assert totals(after) == (3, 3, 0, 0, 0)
    assert before.months["2026-01"] != after.months["2026-01"]
    assert before.months["2026-02"] == after.months["2026-02"]
    side.write_text("customer_id\nb\n")
    assert totals(book.take_in(customers=str(side))) == (3, 1, 0, 0, 2)


def test_known_at_needs_a_log_that_says_when_rows_arrived(book):
    book.parquet("a.parquet", [row()])
    arrival = Arrival(known_at=row()["ts"])
    assert refusal(book, arrival=arrival).exit_code == 2


def test_what_is_refused_has_file_line_column_value_and_reason(book):
    rows = ["7,oops", ",2026-01-05,x", "7,1989-12-31,x", "7,2026-02-30,x", "7,2026-01-05,"]
    path = book.text("a.csv", GOOD + "\n".join(rows) + "\n")
    rejects = book.take_in().rejects
    assert list(rejects.columns) == ["file", "line", "column", "value", "reason"]
    assert set(rejects["file"]) == {str(path)}
    assert rejects["line"].tolist() == [3, 4, 5, 6, 7]
    assert rejects["column"].tolist() == ["line", "customer_id", "ts", "ts", "event"]
    assert rejects["value"].tolist()[3] == "2026-02-30"
    assert totals(book.take_in()) == (6, 1, 0, 0, 5)


def test_few_refused_rows_pass_and_more_do_not(book):
    book.text("a.csv", HEADER + "7,2026-01-05,x\n" * 999 + "7,,x\n")
    assert totals(book.take_in(share=0.001)) == (1000, 999, 0, 0, 1)
    book.text("a.csv", HEADER + "7,2026-01-05,x\n" * 998 + "7,,x\n" * 2)
    assert refusal(book).exit_code == 3


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "x"])
def test_a_value_that_is_no_finite_number_is_refused(book, value):
    book.text("a.csv", f"customer_id,ts,event,value\n7,2026-01-05,x,{value}\n7,2026-01-05,x,1\n")
    assert totals(book.take_in()) == (2, 1, 0, 0, 1)


SIDES = {
    "customer twice": ("customers", "customer_id\na\na\n", "customer a 2 times"),
    "no customer_id": ("customers", "name\na\n", "source.side_columns.customers.customer_id"),
    "a bad date": (
        "subscriptions",
        "customer_id,start_date\na,31.12.2025\n",
        "source.date_format='%d.%m.%Y'",
    ),
    "an empty id": ("subscriptions", "customer_id,start_date\n,2026-01-01\n", "line 2"),
    "a bad number": (
        "subscriptions",
        "customer_id,start_date,seats\na,2026-01-01,many\n",
        "line 2 column 'seats'",
    ),
    "a field too many": ("contacts", "customer_id,contacted_at\na,2026-01-01,x\n", "line 2"),
}


@pytest.mark.parametrize("case", SIDES.values(), ids=SIDES.keys())
def test_a_bad_side_table_is_refused_by_name(book, case):
    table, content, said = case
    path = book.place / f"{table}.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        book.sides(**{table: str(path)})
    assert said in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_number_as_id_in_a_side_table_is_refused(book):
    path = book.parquet("customers.parquet", [{"customer_id": 7}], customer_id=pa.int64())
    with pytest.raises(InputError, match="customer_id is a number"):
        book.sides(customers=str(path))
    assert book.sides(customers=str(path), integer_ids=True)["customers"].num_rows == 1


def test_a_parquet_file_that_is_damaged_inside_is_named(book):
    book.parquet("a.parquet", [row()])
    path = book.parquet("b.parquet", [row(str(i), event=f"e{i}") for i in range(5000)])
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged inside") as caught:
        events(book.take_in())
    assert str(path) in str(caught.value)


def test_a_damaged_index_says_what_to_delete(book):
    book.text("a.csv", GOOD)
    book.take_in()
    (book.workspace / "deliveries" / "index.json").write_text("{")
    error = refusal(book)
    assert error.exit_code == 3
    assert "index.json" in error.what
