"""A log in PostgreSQL: a real server, started for these tests and thrown away."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commandline import composed, exit_code
from logbook import events as clean_events
from logbook import totals
from postgres import IN_URL, PASSWORD, Server, psycopg

from churn.errors import ChurnError, ConfigurationError, DeliveryError, InputError, MachineError
from churn.io import tables
from churn.io.engine import Resources
from churn.io.feedback import sql_feedback
from churn.io.intake import listing, sources
from churn.io.sending import outbox, sink
from churn.settings import SinkSettings, SourceSettings
from churn.stages import check, features, rollup
from churn.timeline import Arrival


@dataclass
class Database:
    """A database of its own for a test, a workspace, and how the source reads the one."""

    server: Server
    name: str
    workspace: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.server.run(statement, database=self.name)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            return connection.execute(query).fetchall()

    def source(self, **changes: Any) -> SourceSettings:
        given = {"name": "sql", "events": "events", "watermark": "id"} | self.settings | changes
        return SourceSettings(**given)

    def fetch(self, **changes: Any) -> None:
        sources.fetch(self.source(**changes), workspace=self.workspace, resources=Resources())

    def landed(self, **changes: Any) -> list[Path]:
        pattern = listing.patterns(self.source(**changes), workspace=self.workspace)["events"]
        return sorted(Path("/").glob(pattern.lstrip("/")))

    def ids(self) -> list[list[int]]:
        """The column id of every landed file."""
        return [pq.read_table(path)["id"].to_pylist() for path in self.landed()]

    def take_in(self, *, share: float = 0.0, **changes: Any) -> sources.Intake:
        self.fetch(**changes)
        return sources.take_in(
            self.source(**changes), workspace=self.workspace, arrival=Arrival(),
            resources=Resources(), max_rejected_share=share,
        )  # fmt: skip


@pytest.fixture
def db(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    name = f"d{time.monotonic_ns()}"
    server.run(f"CREATE DATABASE {name}")
    found = Database(server, name, tmp_path / "data")
    monkeypatch.setenv("CHURN_SQL_URL", found.url)
    yield found
    server.run(f"DROP DATABASE {name}")  # fails where a connection was left open


@pytest.fixture
def log(db: Database) -> Database:
    """A table of three events."""
    db.run(
        "CREATE TABLE events (id bigserial, customer_id text, ts timestamp, event varchar(20))",
        "INSERT INTO events (customer_id, ts, event) VALUES ('007', '2026-01-05 10:00', 'login'),"
        " ('7', '2026-01-05 11:00', 'export'), ('7', '2026-01-06', 'login')",
    )
    return db


def add(database: Database, *customers: str, ids: str = "DEFAULT") -> None:
    values = ", ".join(f"({ids}, '{c}', '2026-01-07 08:00', 'login')" for c in customers)
    database.run(f"INSERT INTO events (id, customer_id, ts, event) VALUES {values}")


def customers(intake: sources.Intake) -> list[str]:
    return [row["customer_id"] for row in clean_events(intake)]


# Increments


def test_the_first_run_reads_all_and_the_next_only_what_is_new(log):
    assert customers(log.take_in()) == ["007", "7", "7"]
    before = {path: path.stat().st_mtime_ns for path in log.landed()}
    assert customers(log.take_in()) == ["007", "7", "7"]
    assert {path: path.stat().st_mtime_ns for path in log.landed()} == before
    add(log, "8", "9")
    intake = log.take_in()
    assert customers(intake) == ["007", "7", "7", "8", "9"]
    assert log.ids() == [[1, 2, 3], [4, 5]]
    assert [path.name for path in log.landed()] == ["000001_1..3.parquet", "000002_4..5.parquet"]
    assert {path: path.stat().st_mtime_ns for path in log.landed()[:1]} == before
    assert totals(intake) == (5, 5, 0, 0, 0)


def test_only_rows_from_the_last_watermark_on_are_asked_for(log):
    log.run(
        "INSERT INTO events (customer_id, ts, event) SELECT 'c', '2026-01-08', 'x' FROM generate_series(1, 500)"
    )
    log.fetch()
    add(log, "new")
    start = log.server.log.stat().st_size
    log.fetch(reread_rows=10)
    said = log.server.log.read_text()[start:]
    assert "WHERE id >= $1::BIGINT OR id IS NULL" in said
    assert "parameters: $1 = '494'" in said
    assert log.ids()[1:] == [[504]]


def test_rows_come_through_a_server_side_cursor_in_batches(log):
    log.run(
        "INSERT INTO events (customer_id, ts, event) SELECT 'c', '2026-01-08', 'x' FROM generate_series(1, 497)"
    )
    start = log.server.log.stat().st_size
    log.fetch(batch_rows=100)
    said = log.server.log.read_text()[start:]
    assert "DECLARE" in said
    assert said.count("FETCH FORWARD 100") in (5, 6)
    assert sum(map(len, log.ids())) == 500


def test_memory_does_not_grow_with_the_table(log):
    """A table of 30 MB as text is read with a few MB of Arrow at a time."""
    log.run(
        "INSERT INTO events (customer_id, ts, event) SELECT md5(i::text) || repeat('x', 200),"
        " '2026-01-08', 'x' FROM generate_series(1, 120000) AS i"
    )
    pool = pa.default_memory_pool()
    peak = pool.max_memory()
    log.fetch(batch_rows=5000)
    assert pool.max_memory() - peak < 20 << 20
    assert sum(map(len, log.ids())) == 120_003


def test_rows_with_the_last_watermark_that_come_later_are_not_lost(log):
    log.settings["watermark"] = "loaded_at"
    log.run("ALTER TABLE events ADD loaded_at timestamptz NOT NULL DEFAULT '2026-01-08 03:00+00'")
    log.fetch()
    add(log, "late", "late", "7")
    log.run("INSERT INTO events (customer_id, ts, event) VALUES ('7', '2026-01-06', 'login')")
    for reread_rows in (1, 10_000):
        intake = log.take_in(reread_rows=reread_rows)
        assert sorted(customers(intake)) == ["007", "7", "7", "7", "7", "late", "late"]
    assert [len(pq.read_table(path)) for path in log.landed()] == [3, 4]


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date", "smallint"])
def test_a_watermark_of_every_kind(log, kind):
    log.settings["watermark"] = "mark"
    values = [f"'2026-01-0{n}'" if kind != "smallint" else f"{n - 5}" for n in range(1, 8)]
    log.run(f"ALTER TABLE events ADD mark {kind}", f"UPDATE events SET mark = {values[0]} WHERE id < 3",
            f"UPDATE events SET mark = {values[2]} WHERE id = 3")  # fmt: skip
    log.fetch(reread_rows=2)
    for reread_rows in (2, 2, 0):
        values.pop(0)
        log.run(
            f"INSERT INTO events (customer_id, ts, event, mark) VALUES ('x', now(), 'x', {values[2]})"
        )
        log.fetch(reread_rows=reread_rows)
        log.fetch(reread_rows=reread_rows)
    assert [len(pq.read_table(path)) for path in log.landed()] == [3, 1, 1, 1]


def test_a_row_that_is_committed_late_is_found_among_those_read_again(log):
    add(log, "8", ids="9")
    log.fetch()
    add(log, "between", ids="5")
    log.fetch(reread_rows=1)
    assert log.ids() == [[1, 2, 3, 9]]
    log.fetch()
    assert log.ids() == [[1, 2, 3, 9], [5]]


def test_strictly_only_rows_after_the_last_watermark_are_read(log):
    log.fetch()
    log.run("DELETE FROM events")
    add(log, "8", ids="3")
    log.fetch(reread_rows=0)
    assert log.ids() == [[1, 2, 3]]
    add(log, "9", ids="4")
    log.fetch(reread_rows=0)
    assert log.ids() == [[1, 2, 3], [4]]


def test_changed_and_deleted_rows_stay_as_they_were_taken_in(log, caplog):
    log.fetch()
    log.run("UPDATE events SET event = 'other' WHERE id = 2", "DELETE FROM events WHERE id = 1")
    add(log, "8")
    with caplog.at_level("INFO", "churn"):
        intake = log.take_in()
    assert "1 of the rows read again were changed" in caplog.text
    assert log.ids() == [[1, 2, 3], [4]]
    assert {row["event"] for row in clean_events(intake)} == {"login", "export"}


def test_without_a_watermark_the_table_is_read_whole_and_changes_count(log):
    log.settings["watermark"] = None
    first = log.take_in()
    stamp = log.landed()[0].stat().st_mtime_ns
    log.run("VACUUM FULL events")
    assert log.take_in().months == first.months
    assert log.landed()[0].stat().st_mtime_ns == stamp
    log.run("DELETE FROM events WHERE id = 1", "UPDATE events SET customer_id = '8' WHERE id = 2")
    assert customers(log.take_in()) == ["7", "8"]


def test_a_run_that_dies_between_landing_and_recording_loses_and_repeats_nothing(log, monkeypatch):
    log.fetch()
    add(log, "8")
    log.fetch()  # and then it died: the index of deliveries knows of none of it
    add(log, "9")
    assert customers(log.take_in()) == ["007", "7", "7", "8", "9"]
    add(log, "10")
    with monkeypatch.context() as dying:
        dying.setattr("churn.io.intake.landing.put", _die)
        with pytest.raises(KeyboardInterrupt):
            log.fetch()
    assert customers(log.take_in()) == ["007", "10", "7", "7", "8", "9"]
    assert log.ids() == [[1, 2, 3], [4], [5], [6]]


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_table_filled_anew_is_refused(log):
    log.fetch()
    log.run("TRUNCATE events RESTART IDENTITY")
    add(log, "a", "b", "c", "d")
    with pytest.raises(InputError, match="does not hold what was taken in") as refused:
        log.fetch()
    assert "source.reread_rows=0" in refused.value.next_step
    assert log.ids() == [[1, 2, 3]]


def test_a_row_without_a_watermark_is_refused(log):
    log.run("ALTER TABLE events ALTER id DROP NOT NULL")
    log.fetch()
    add(log, "lost", ids="NULL")
    with pytest.raises(InputError, match="is empty in some rows"):
        log.fetch()
    with pytest.raises(InputError, match="cannot be the watermark"):
        log.fetch(watermark="event")


def test_a_column_that_comes_later_lands_from_then_on(log):
    log.fetch()
    log.run("ALTER TABLE events ADD value numeric(10, 2)")
    log.run(
        "INSERT INTO events (customer_id, ts, event, value) VALUES ('8', '2026-01-07', 'x', 9.5)"
    )
    intake = log.take_in()
    assert sorted(str(row["value_units"]) for row in clean_events(intake)) == [
        "95000",
        *["None"] * 3,
    ]
    assert log.ids() == [[1, 2, 3], [4]]


def test_another_table_is_another_log(log):
    log.fetch()
    log.run('CREATE VIEW "Other" AS SELECT * FROM events WHERE id > 1')
    assert customers(log.take_in(events="Other")) == ["7", "7"]
    select = "SELECT *, '12:30'::text AS text FROM public.events WHERE ts::date > '2026-01-05' AND event LIKE 'log%';"
    assert customers(log.take_in(events=select)) == ["7"]
    log.run("CREATE MATERIALIZED VIEW seen AS SELECT * FROM events")
    assert len(customers(log.take_in(events="public.seen"))) == 3


# Types


def test_types_are_those_that_the_database_declares(db):
    db.run(
        "CREATE TYPE mood AS ENUM ('click', 'buy')",
        "CREATE DOMAIN name AS text",
        "CREATE TABLE events (id int, who uuid, ts timestamptz, event mood, value numeric(12,4),"
        " loaded_at timestamp, user_id char(8), text jsonb, event_id name)",
        "INSERT INTO events VALUES (1, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',"
        " '2026-01-05 23:30-05', 'buy', 12.3456, '2026-01-07 03:00', 'ann', '{\"a\": [1]}', ''),"
        " (2, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '2026-01-05 10:00+00', 'click', NULL, NULL,"
        " NULL, NULL, 'e1')",
    )
    intake = db.take_in(columns={"customer_id": "who"}, timezone="Europe/Berlin")
    rows = sorted(clean_events(intake), key=lambda row: row["ts"])
    assert [row["value_units"] for row in rows] == [None, 123456]
    assert {row["customer_id"] for row in rows} == {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}
    assert [row["ts"] for row in rows] == [datetime(2026, 1, 5, 10), datetime(2026, 1, 6, 4, 30)]
    assert [row["loaded_at"] for row in rows] == [None, datetime(2026, 1, 7, 2)]
    assert [row["user_id"] for row in rows] == [None, "ann"]
    schema = pq.read_schema(db.landed(columns={"customer_id": "who"})[0])
    assert {field.name: str(field.type) for field in schema} == {
        "who": "string", "ts": "timestamp[us, tz=UTC]", "event": "string", "value": "double",
        "event_id": "string", "loaded_at": "timestamp[us]", "user_id": "string", "text": "string",
        "id": "int64",
    }  # fmt: skip


def test_a_date_a_float_and_a_number_that_is_none_are_judged_as_in_files(db):
    db.run(
        "CREATE TABLE events (id int, customer_id text, ts date, event text, value real)",
        "INSERT INTO events VALUES (1, 'a', '2026-01-05', 'x', 0.1), (2, 'a', NULL, 'x', 1),"
        " (3, 'a', '2026-01-05', 'x', 'NaN'), (4, ' ', '2026-01-05', 'x', 1)",
    )
    intake = db.take_in(share=1)
    assert totals(intake) == (4, 1, 0, 0, 3)
    assert clean_events(intake)[0]["value_units"] == 1000
    assert intake.rejects["column"].tolist() == ["ts", "value", "customer_id"]
    db.run("INSERT INTO events VALUES (5, 'a', '2026-01-05', 'x', 'NaN')")
    assert totals(db.take_in(share=1)) == (5, 1, 0, 0, 4)


def test_integer_ids_are_treated_as_in_parquet(log):
    with pytest.raises(InputError, match="table events column 'id': customer_id is a number") as no:
        log.fetch(columns={"customer_id": "id"})
    assert "source.integer_ids=true" in no.value.next_step
    intake = log.take_in(columns={"customer_id": "id"}, integer_ids=True)
    assert customers(intake) == ["1", "2", "3"]
    log.run("CREATE VIEW money AS SELECT id, id::numeric AS customer_id, ts, event FROM events")
    with pytest.raises(InputError, match="customer_id is a number"):
        log.fetch(events="money", integer_ids=True)
    log.run("CREATE VIEW bytes AS SELECT id, 'x'::bytea AS customer_id, ts, event FROM events")
    with pytest.raises(InputError, match="cannot be customer_id"):
        log.fetch(events="bytes")
    log.run("CREATE TABLE people (customer_id int)", "INSERT INTO people VALUES (7)")
    with pytest.raises(InputError, match="table people column 'customer_id'"):
        log.fetch(customers="people")


def test_a_time_that_python_cannot_hold_is_refused_by_name(log):
    log.run("INSERT INTO events (customer_id, ts, event) VALUES ('a', 'infinity', 'x')")
    with pytest.raises(InputError, match="a value that cannot be read"):
        log.fetch()


def test_side_tables_are_read_whole_each_time(log):
    log.run(
        "CREATE TABLE people (who text, customer_name text, seats int, extra jsonb, since date,"
        ' "Anteil %, ""A""" numeric)',
        "INSERT INTO people VALUES ('7', NULL, 3, '{}', '2025-01-31', 9.99), ('007', '', 1, NULL,"
        " NULL, NULL)",
        "CREATE TABLE subs (customer_id text, begin date, price_month numeric(10,2), loaded_at"
        " timestamptz)",
        "INSERT INTO subs VALUES ('7', '2025-01-31', 19.90, NULL)",
    )
    given = {
        "customers": "people", "watermark": "id",
        "side_columns": {"customers": {"customer_id": "who", "signed_up_at": "since"},
                         "subscriptions": {"start_date": "begin"}},
        "subscriptions": "SELECT * FROM subs",
    }  # fmt: skip
    log.settings = given
    intake = log.take_in()
    assert customers(intake) == ["007", "7", "7"]
    sides = sources.side_tables(log.source(), workspace=log.workspace)
    people = sides["customers"].to_pylist()
    assert [(p["customer_id"], p["customer_name"], p["seats"], p["extra"], p['Anteil %, "A"']) for p in people] == [
        ("007", None, 1, None, None), ("7", None, 3, "{}", 9.99),
    ]  # fmt: skip
    assert people[1]["signed_up_at"] == datetime(2025, 1, 31)
    assert sides["subscriptions"]["start_date"].to_pylist() == [date(2025, 1, 31)]
    log.run("DELETE FROM people WHERE who = '7'")
    assert totals(log.take_in(share=1)) == (3, 1, 0, 0, 2)


# Refusals


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"events": "evnts"}, InputError, "did you mean events?"),
        ({"events": "public.evnts"}, InputError, "did you mean public.events?"),
        ({"events": "publik.events"}, InputError, "did you mean public?"),
        ({"customers": "event"}, InputError, "there is no table event (source.customers)"),
        ({"columns": {"customer_id": "custmer_id"}}, InputError, "did you mean customer_id?"),
        ({"watermark": "idd"}, InputError, "no column 'idd' (source.watermark)"),
        ({"events": "SELECT nothing FROM events"}, InputError, 'column "nothing" does not exist'),
        ({"events": "SELECT * FROM evnts"}, InputError, 'relation "evnts" does not exist'),
        ({"events": "SELECT * FROM"}, ConfigurationError, "syntax error"),
        ({"events": "SELECT 1 AS a"}, InputError, "the SELECT of source.events has no column"),
        ({"events": None}, ConfigurationError, "source.events is not set"),
        ({"events": "postgresql://a:canary@b/c"}, ConfigurationError, "names no table"),
        ({"subscriptions": "events"}, InputError, "(source.side_columns.subscriptions.start_date)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_nearest(log, changes, error, said):
    with pytest.raises(error) as refused:
        log.fetch(**changes)
    assert said in str(refused.value)
    assert "canary" not in str(refused.value)
    assert not list(log.workspace.glob("sql/*/events/*.parquet"))


def test_a_select_can_change_nothing(log):
    with pytest.raises(ConfigurationError):
        log.fetch(events="WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone")
    with pytest.raises(ChurnError):
        log.fetch(events="SELECT nextval('events_id_seq') AS id, * FROM events")
    assert log.rows("SELECT COUNT(*) FROM events") == [(3,)]


def test_an_empty_table_is_refused(log):
    log.run("TRUNCATE events")
    for watermark in ("id", None):
        with pytest.raises(InputError, match="table events is empty"):
            log.fetch(watermark=watermark)


def test_two_runs_do_not_land_at_once(log):
    from churn.errors import LockedError
    from churn.io.intake import landing
    from churn.io.lock import held

    place = landing.folder(log.source(), workspace=log.workspace)
    with held(place, doing="rollup"), pytest.raises(LockedError):
        log.fetch()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", ConfigurationError),
        (f"churn:{PASSWORD}@host", ConfigurationError),
        (f"nosuch://churn:{IN_URL}@127.0.0.1/x", ConfigurationError),
        (f"oracle://churn:{IN_URL}@127.0.0.1/x", ConfigurationError),
        (f"postgresql+psycopg://churn:{IN_URL}@127.0.0.1:port/x", ConfigurationError),
        (f"postgresql+psycopg://churn:{IN_URL}@127.0.0.1:1/x", MachineError),
        ("postgresql+psycopg://127.0.0.1:1/x?password=canary", MachineError),
    ],
)
def test_an_address_that_leads_nowhere_never_shows_its_password(log, monkeypatch, url, error):
    monkeypatch.setenv("CHURN_SQL_URL", url)
    with pytest.raises(error) as refused:
        log.fetch()
    shown = f"{refused.value} {refused.value.__cause__} {refused.value.__suppress_context__}"
    assert "canary" not in shown
    assert "hunter2" not in shown


def test_the_password_is_masked_even_if_the_driver_says_it():
    import sqlalchemy as sa

    from churn.io import sql

    place = sa.make_url(f"postgresql://churn:{IN_URL}@h/d?sslpassword=s3cret")
    assert sql.masked(f"a {PASSWORD} b {IN_URL} c s3cret", place) == "a *** b *** c ***"


def test_a_variable_is_a_name_and_what_else_is_given_is_not_shown(capsys, caplog):
    for key in ("source.url_variable", "sink.url_variable"):
        assert exit_code("rollup", f"{key}=postgresql://a:canary@b/c") == 2
    said = "".join(capsys.readouterr())
    assert "canary" not in said
    assert composed("source=sql", "sink=sql").source.url_variable == "CHURN_SQL_URL"
    assert composed("source=sql").churn.name == "inactivity"
    assert (composed().sink.name, composed("sink=sql").sink.scores) == ("none", "churn_scores")


def churn(place: Path, *words: str, **environment: str | None) -> tuple[int, str]:
    """Run a command in a process of its own; its exit code and all it said."""
    set_ = {name: value for name, value in environment.items() if value is not None}
    kept = {name: value for name, value in os.environ.items() if name not in environment}
    done = subprocess.run(
        [sys.executable, "-m", "churn", *words, f"workspace={place}"],
        capture_output=True, text=True, env=kept | set_, cwd=place.parent,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_exit_codes_and_no_password_in_all_that_was_said_and_written(log, monkeypatch, capsys):
    words = ["source=sql", "source.events=events", "source.watermark=id"]
    wrong = log.server.url(log.name, password="canarywrong")
    code, said = churn(log.workspace, "rollup", *words)
    assert (code, "rows read 3 = used 3" in said) == (0, True), said
    code, traceback = churn(log.workspace, "rollup", *words, "debug=true", CHURN_SQL_URL=wrong)
    assert "Traceback" in traceback
    monkeypatch.chdir(log.workspace.parent)
    words += [f"workspace={log.workspace}"]
    failing = [
        (1, words, wrong),
        (2, words, ""),
        (2, words, "canarywrong"),
        (3, [*words, "source.watermark=idd"], log.url),
    ]
    for expected, given, url in failing:
        monkeypatch.setenv("CHURN_SQL_URL", url)
        assert exit_code("rollup", *given) == expected
    assert exit_code("config", *words) == 0
    said += traceback + "".join(capsys.readouterr())
    assert "password authentication failed" in said
    assert "CHURN_SQL_URL is not set" in said
    written = b"".join(p.read_bytes() for p in log.workspace.parent.rglob("*") if p.is_file())
    for secret in (PASSWORD, IN_URL, "canary", "hunter2"):
        assert secret not in said
        assert secret.encode() not in written
    assert b"CHURN_SQL_URL" in written


# The same log as files, and results written back


def a_log() -> pa.Table:
    """Most of a year in small: ids, values, rows that arrive late, and one that came twice."""
    rng = np.random.default_rng(5)
    n = 4000
    start = datetime(2025, 1, 1)
    seconds = np.sort(rng.integers(0, 300 * 86_400, n))
    ts = [start + timedelta(seconds=int(second)) for second in seconds]
    rows = {
        "id": pa.array(range(1, n + 1), pa.int64()),
        "customer_id": pa.array([f"{c:03d}" for c in rng.integers(0, 40, n)]),
        "ts": pa.array(ts, pa.timestamp("us")),
        "event": pa.array(rng.choice(["login", "export", "näher,\n\"x\""], n).tolist()),
        "value": pa.array([None if v < 3 else Decimal(int(v)) / 100 for v in rng.integers(0, 999, n)], pa.decimal128(10, 2)),
        "event_id": pa.array([f"e{i}" for i in range(n)]),
        "loaded_at": pa.array([t + timedelta(hours=int(h)) for t, h in zip(ts, rng.integers(0, 60, n), strict=True)], pa.timestamp("us", "UTC")),
    }  # fmt: skip
    table = pa.table(rows)
    again = table.slice(5, 1).set_column(0, "id", pa.array([n], pa.int64()))
    return pa.concat_tables([table.slice(0, n - 1), again])


def copied(database: Database, rows: pa.Table) -> None:
    with (
        psycopg.connect(database.url.replace("+psycopg", "")) as connection,
        connection.cursor().copy("COPY events FROM STDIN") as copy,
    ):
        for row in rows.to_pylist():
            copy.write_row(list(row.values()))


THIRDS = ((0, 2000), (2000, 3500), (3500, 4000))
SMALL = ["churn=inactivity", "train.snapshots=3", "features.lookback_days=182"]


def stage_settings(place: Path, *words: str):
    return composed(*SMALL, f"workspace={place}", *words)


@pytest.fixture(scope="session")
def taken_in(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The log in a table, taken in by three increments, with its panel."""
    server.run("CREATE DATABASE taken_in")
    made = Database(server, "taken_in", tmp_path_factory.mktemp("taken") / "data")
    made.run(
        "CREATE TABLE events (id bigint PRIMARY KEY, customer_id text, ts timestamp, event text,"
        " value numeric(10,2), event_id text, loaded_at timestamptz)"
    )
    log, words = a_log(), ["source=sql", "source.events=events", "source.watermark=id"]
    settings = stage_settings(made.workspace, *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_SQL_URL", made.url)
        for first, before in THIRDS:
            copied(made, log.slice(first, before - first))
            rollup.run(settings)
    features.run(settings)
    return made


@pytest.fixture
def written(
    taken_in: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A copy of `taken_in` for one test: database and workspace."""
    name = f"d{time.monotonic_ns()}"
    taken_in.server.run(f"CREATE DATABASE {name} TEMPLATE taken_in")
    shutil.copytree(taken_in.workspace, tmp_path / "data")
    made = Database(taken_in.server, name, tmp_path / "data")
    monkeypatch.setenv("CHURN_SQL_URL", made.url)
    yield made
    taken_in.server.run(f"DROP DATABASE {name}")


def hashes(place: Path, *names: str) -> dict[str, list[str]]:
    return {
        name: [tables.sha256(path) for path in tables.parts(place / name, made_by="it").values()]
        for name in names
    }


def test_files_and_a_database_give_the_same_bytes(written, tmp_path):
    (tmp_path / "logs").mkdir()
    files = stage_settings(tmp_path / "files", "source=files", f"source.events={tmp_path}/logs/*")
    for first, before in THIRDS:
        pq.write_table(a_log().slice(first, before - first), tmp_path / "logs" / f"{first}.parquet")
        rollup.run(files)
    features.run(files)
    names = ("daily", "late", "panel")
    assert hashes(tmp_path / "files", *names) == hashes(written.workspace, *names)
    assert len(written.landed()) == 3
    facts = tables.facts(written.workspace / "daily", made_by="rollup")
    assert facts["rows"] == {
        "read": 4000,
        "used": 3999,
        "duplicate": 1,
        "excluded": 0,
        "refused": 0,
    }


def test_check_reads_the_table_and_leaves_the_workspace_alone(written, caplog):
    def stamps() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in written.workspace.rglob("*") if p.is_file()}

    before = stamps()
    with caplog.at_level("INFO", "churn"):
        check.run(stage_settings(written.workspace, "source=sql", "source.events=events"))
    assert "4,000" in caplog.text
    assert stamps() == before


def results(place: Path, as_of: date, *, empty: bool = False) -> None:
    """Scores and a list as the stages leave them; hand-made, since no model is needed here."""
    n = 0 if empty else 2
    scores = pd.DataFrame(
        {"as_of": [as_of] * n, "customer_id": ["007", "7"][:n], "risk": [0.5, 0.25][:n],
         "rank": [1, 2][:n], "model_version": ["m"] * n, "features_version": ["f"] * n}
    )  # fmt: skip
    listed = pd.DataFrame({name: pd.Series([None] * n, dtype=object) for name in sink_columns()})
    if n:
        listed = listed.assign(
            rank=[1, 2], customer_id=["007", "7"], as_of=as_of, risk=[0.5, float("nan")],
            reason_1=['say "hi",\nthen', ""], weeks_on_list=1, last_contact=[as_of, None],
        )  # fmt: skip
    tables.write(place / "scores", {as_of.isoformat(): scores}, keep=True)
    tables.write(place / "retention", {as_of.isoformat(): listed}, keep=True)


def sink_columns() -> tuple[str, ...]:
    from churn.contracts import LIST_COLUMNS

    return LIST_COLUMNS


def test_a_sink_written_twice_holds_the_rows_once(written, tmp_path):
    settings = SinkSettings("sql")
    for as_of in (date(2026, 1, 5), date(2026, 1, 12)):
        results(written.workspace, as_of)
    for as_of in (date(2026, 1, 5), date(2026, 1, 12), date(2026, 1, 12)):
        sink.send(settings, list(sink.MADE_BY), place=written.workspace, as_of=as_of)
    panel = tables.read(written.workspace / "panel", made_by="features")
    found = written.rows(
        "SELECT COUNT(*), COUNT(DISTINCT snapshot), SUM(label_mature::int) FROM churn_panel"
    )
    assert found == [(len(panel), panel["snapshot"].nunique(), panel["label_mature"].sum())]
    assert written.rows("SELECT as_of, customer_id, risk, rank FROM churn_scores ORDER BY 1, 4") == [
        (date(2026, 1, 5), "007", 0.5, 1), (date(2026, 1, 5), "7", 0.25, 2),
        (date(2026, 1, 12), "007", 0.5, 1), (date(2026, 1, 12), "7", 0.25, 2),
    ]  # fmt: skip
    listed = written.rows(
        "SELECT customer_id, reason_1, reason_2, last_contact, currency, risk::text, act_before"
        " FROM churn_retention_list WHERE as_of = '2026-01-12' ORDER BY rank"
    )
    assert listed == [
        ("007", 'say "hi",\nthen', None, date(2026, 1, 12), None, "0.5", None),
        ("7", "", None, None, None, None, None),
    ]
    kinds = dict(
        written.rows(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = 'churn_retention_list'"
        )
    )
    assert (kinds["act_before"], kinds["at_stake"], kinds["note"]) == (
        "date",
        "double precision",
        "text",
    )
    results(written.workspace, date(2026, 1, 12), empty=True)
    sink.send(settings, ["scores", "retention"], place=written.workspace, as_of=date(2026, 1, 12))
    assert written.rows("SELECT COUNT(*) FROM churn_scores") == [(2,)]


def test_rows_that_a_database_did_not_take_wait_until_it_does(written, monkeypatch):
    first, second = date(2026, 1, 5), date(2026, 1, 12)
    settings, there = SinkSettings("sql"), written.url
    results(written.workspace, first)
    monkeypatch.setenv("CHURN_SQL_URL", "postgresql://nobody@127.0.0.1:1/none")
    names = ["scores", "retention"]
    failed = sink.spooled(settings, names, place=written.workspace, as_of=first)
    assert [error.exit_code for error in failed] == [6, 6]
    assert [one.name for one in outbox.waiting(written.workspace)] == ["retention", "scores"]
    assert sink.spooled(SinkSettings(), names, place=written.workspace) == [], "nowhere to go"
    results(written.workspace, second)
    monkeypatch.setenv("CHURN_SQL_URL", there)
    assert sink.spooled(settings, ["scores"], place=written.workspace, as_of=second) == []
    counted = "SELECT as_of, COUNT(*) FROM {} GROUP BY 1 ORDER BY 1"
    assert written.rows(counted.format("churn_scores")) == [(first, 2), (second, 2)]
    assert written.rows(counted.format("churn_retention_list")) == [(first, 2)]
    assert outbox.waiting(written.workspace) == []


def test_what_people_filled_in_outlives_a_list_that_is_written_anew(written):
    as_of = date(2026, 1, 5)
    results(written.workspace, as_of)
    sink.send(SinkSettings("sql"), ["retention"], place=written.workspace, as_of=as_of)
    table = "churn_retention_list"
    written.run(f"UPDATE {table} SET outcome = 'not now', note = 'x' WHERE customer_id = '007'")
    for is_empty, n_rows in ((False, 2), (True, 1)):
        results(written.workspace, as_of, empty=is_empty)
        sink.send(SinkSettings("sql"), ["retention"], place=written.workspace, as_of=as_of)
        assert written.rows(f"SELECT COUNT(*) FROM {table}") == [(n_rows,)]
        recorded = sql_feedback.read("CHURN_SQL_URL", table)
        assert recorded[["customer_id", "as_of", "outcome", "note"]].to_numpy().tolist() == [
            ["007", as_of, "not now", "x"]
        ]


def test_a_column_of_lists_arrives_as_json(written):
    as_of = date(2026, 1, 5)
    results(written.workspace, as_of)
    place = written.workspace / "retention"
    listed = tables.read(place, made_by="retain", part="2026-01-05")
    listed["marks"] = [[{"day": as_of.isoformat(), "words": "späß"}], None]
    tables.write(place, {"2026-01-05": listed}, keep=True)
    sink.send(SinkSettings("sql"), ["retention"], place=written.workspace, as_of=as_of)
    found = written.rows("SELECT marks FROM churn_retention_list ORDER BY rank")
    assert found == [('[{"day": "2026-01-05", "words": "späß"}]',), (None,)]


def test_values_of_the_panel_arrive_as_they_are(written):
    sink.send(SinkSettings("sql"), ["panel"], place=written.workspace, as_of=date(2025, 10, 1))
    panel = tables.read(written.workspace / "panel", made_by="features")
    names = ", ".join(f'"{name}"' for name in panel.columns)
    found = pd.DataFrame(
        written.rows(f"SELECT {names} FROM churn_panel ORDER BY customer_id, snapshot"),
        columns=panel.columns,
    )
    for name in panel.columns:
        ours = [None if pd.isna(value) else value for value in panel[name].tolist()]
        assert [None if pd.isna(v) else v for v in found[name].tolist()] == ours, name


def test_a_column_that_is_new_is_added_and_one_that_is_gone_stays_empty(written):
    written.run(
        "CREATE SCHEMA marts", "CREATE TABLE marts.s (as_of date, customer_id text, risk float8, old int)",
        "INSERT INTO marts.s VALUES ('2026-01-05', 'gone', 1, 1), ('2025-01-01', 'kept', 1, 1)",
    )  # fmt: skip
    results(written.workspace, date(2026, 1, 5))
    scores = tables.read(written.workspace / "scores", made_by="score")
    scores['of "plan" in %'] = [1, 2]
    tables.write(written.workspace / "scores", {"2026-01-05": scores})
    settings = SinkSettings("sql", schema="marts", scores="s", panel=None)
    names = ["panel", "scores"]
    for _ in range(2):
        sink.send(settings, names, place=written.workspace, as_of=date(2026, 1, 5))
    rows = written.rows(
        'SELECT customer_id, old, model_version, "of ""plan"" in %" FROM marts.s ORDER BY 1'
    )
    assert rows == [("007", None, "m", 1), ("7", None, "m", 2), ("kept", 1, None, None)]
    assert written.rows("SELECT COUNT(*) FROM pg_tables WHERE tablename = 'churn_panel'") == [(0,)]


def test_a_sink_that_fails_changes_nothing_there_and_nothing_here(written, monkeypatch, capsys):
    as_of = date(2026, 1, 5)
    results(written.workspace, as_of)
    settings = SinkSettings("sql")
    sink.send(settings, ["scores"], place=written.workspace, as_of=as_of)
    written.run("ALTER TABLE churn_scores ADD CHECK (risk < 0.4) NOT VALID")
    before = written.rows("SELECT * FROM churn_scores")
    failures = sink.unsent(settings, ["scores", "retention"], place=written.workspace, as_of=as_of)
    assert [type(failure) for failure in failures] == [DeliveryError]
    assert failures[0].exit_code == 6
    assert "scores" in failures[0].what
    assert written.rows("SELECT * FROM churn_scores") == before
    assert written.rows("SELECT COUNT(*) FROM churn_retention_list") == [(2,)]

    local = hashes(written.workspace, "panel")
    shutil.rmtree(written.workspace / "panel")
    words = [*SMALL, "source=sql", "sink=sql", f"workspace={written.workspace}"]
    monkeypatch.setenv("CHURN_SQL_URL", written.server.url(written.name, password="canarywrong"))
    assert exit_code("features", *words) == 6
    said = capsys.readouterr().err
    assert "the workspace is complete" in said
    assert "canary" not in said.replace(str(written.workspace), "")
    assert hashes(written.workspace, "panel") == local
    monkeypatch.delenv("CHURN_SQL_URL")
    assert exit_code("features", *words) == 2


# Another database


def test_any_database_of_sqlalchemy_can_be_read_and_written(tmp_path, monkeypatch):
    import sqlite3

    place = tmp_path / "log.sqlite"
    with sqlite3.connect(place) as connection:
        connection.execute(
            "CREATE TABLE events (id INTEGER, customer_id TEXT, ts DATETIME, event TEXT, value NUMERIC(10,2))"
        )
        connection.execute(
            "INSERT INTO events VALUES (1, '007', '2026-01-05 10:00:00.000000', 'x', 1.5), (2, '7', '2026-01-06 10:00:00.000000', 'x', NULL)"
        )
    connection.close()
    monkeypatch.setenv("LITE", f"sqlite:///{place}")
    given = SourceSettings(name="sql", events="events", watermark="id", url_variable="LITE")
    for _ in range(2):
        sources.fetch(given, workspace=tmp_path / "data", resources=Resources())
    intake = sources.take_in(
        given,
        workspace=tmp_path / "data",
        arrival=Arrival(),
        resources=Resources(),
        max_rejected_share=0,
    )
    assert [(row["customer_id"], row["value_units"]) for row in clean_events(intake)] == [
        ("007", 15000),
        ("7", None),
    ]
    with pytest.raises(ConfigurationError, match="SELECT"):
        sources.fetch(
            SourceSettings(name="sql", events="SELECT 1", url_variable="LITE"),
            workspace=tmp_path / "data", resources=Resources(),
        )  # fmt: skip
    results(tmp_path / "data", date(2026, 1, 5))
    for _ in range(2):
        sink.send(
            SinkSettings("sql", "LITE"), ["scores"], place=tmp_path / "data", as_of=date(2026, 1, 5)
        )
    with sqlite3.connect(place) as connection:
        assert connection.execute("SELECT COUNT(*), SUM(risk) FROM churn_scores").fetchall() == [
            (2, 0.75)
        ]
    connection.close()
