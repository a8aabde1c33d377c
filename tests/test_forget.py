"""`churn forget`: every byte of a workspace is searched for a person, before and after."""

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from commandline import exit_code
from logbook import Logbook, events, row, totals
from products import MESSAGE, NOTE, PERSON, churn, named, said_in

from churn.errors import ConfigurationError, MachineError
from churn.io import lock, revisions, tables
from churn.io.engine import Resources
from churn.io.erasure import by_kind, of_lists, ours, search
from churn.io.erasure.search import Person
from churn.io.intake import forgotten, sources
from churn.settings import Settings, SinkSettings, SourceSettings
from churn.stages import forget, rollup
from churn.timeline import Arrival


def copied(product: tuple[Path, str, str], home: Path) -> tuple[Path, str, str]:
    """The workspace and its logs at another place, where they can be changed."""
    place, customer, name = product
    shutil.copytree(place.parent / "logs", home / "logs")
    shutil.copytree(place, home / "ws", symlinks=True)
    index = home / "ws" / "deliveries" / "index.json"
    moved = index.read_text().replace(str(place.parent), str(home))
    tables.write_sealed(index, tables.unsealed(json.loads(moved)))
    return home / "ws", customer, name


def workspace(place: Path, *customers: str) -> Path:
    """A workspace with a table of the product's."""
    tables.write(place / "scores", {"a": pd.DataFrame({"customer_id": list(customers)}, dtype=str)})
    return place


def test_half_forgotten_customer(product, tmp_path, capsys):
    """Planted defect: a customer who is forgotten in most places only. Every byte is looked at."""
    place, customer, name = copied(product, tmp_path)
    words = (customer, name, MESSAGE, PERSON, NOTE, "many-for-Gandalf")
    before = named(place, *words)
    reached = {path.split("/")[0] for path in before}
    assert reached >= {
        "assignments", "customers", "daily", "deliveries", "outbox", "outcomes", "panel", "people",
        "published", "qualified", "rejects", "rescored", "retention", "runs", "scored", "scores",
        "subscriptions", "texts",
    }  # fmt: skip
    week = "published/2025-10-27/r1"
    kinds = ("retention_list.csv", "retention_list.xlsx", "retention_list.html", "listing.json",
             "retention_list.parquet", "scores.parquet")  # fmt: skip
    assert before >= {f"{week}/{kind}" for kind in kinds}
    assert [path for path in before if path.startswith(f"{week}/digest")]
    capsys.readouterr()
    churn(place, "forget", f"customer={customer}")
    assert named(place, *words) == set()
    said = capsys.readouterr().err
    assert customer not in said
    assert name not in said
    for folder in reached:
        assert f"{folder}/: " in said, folder
    assert "logs/events/words.csv, a file of yours, has" in said
    assert "trained models have learnt" in said
    assert "nothing of them is left in any" in said


def test_revisions_match_their_manifests_and_say_that_somebody_was_forgotten(product, tmp_path):
    place, customer, _ = copied(product, tmp_path)
    published = place / "published"
    lists = {
        name: pd.read_parquet(published / name / "retention_list.parquet")
        for name in revisions.names(published)
    }
    churn(place, "forget", f"customer={customer}")
    assert revisions.names(published) == list(lists)
    before = None
    for name, rows in lists.items():
        manifest = revisions.verify(published / name)
        assert manifest["forgotten"] == 1
        assert manifest["counts"]["listed"] == manifest["files"]["retention_list.parquet"]["rows"]
        assert (manifest["previous"] or {}).get("manifest_sha256") == before
        before = tables.sha256(published / name / "manifest.json")
        left = pd.read_parquet(published / name / "retention_list.parquet")
        pd.testing.assert_frame_equal(
            left, rows[rows["customer_id"] != customer].reset_index(drop=True)
        )
        page = (published / name / "retention_list.html").read_text()
        assert all(other in page for other in left["customer_id"])


def test_the_next_run_works_and_nobody_comes_back(product, tmp_path):
    """The same logs, still with the customer in them, are read again: excluded, and counted."""
    place, customer, name = copied(product, tmp_path)
    before = pd.read_parquet(place / "published/2025-10-27/r1/retention_list.parquet")
    rows = tables.facts(place / "daily", made_by="rollup")["rows"]
    churn(place, "forget", f"customer={customer}")
    churn(place, "weekly", "as_of=2025-10-27", expected=6)
    now = tables.facts(place / "daily", made_by="rollup")["rows"]
    assert now["read"] == rows["read"]
    assert now["excluded"] > rows["excluded"]
    assert now["read"] == sum(now[n] for n in ("used", "duplicate", "excluded", "refused"))
    assert named(place, customer, name, MESSAGE, PERSON, "many-for-Gandalf") == set()
    after = pd.read_parquet(place / "published/2025-10-27/r2/retention_list.parquet")
    stayed = [one for one in before["customer_id"] if one != customer]
    joined = set(after["customer_id"]) - set(before["customer_id"])
    assert [one for one in after["customer_id"] if one not in joined] == stayed
    assert len(joined) <= 1


STEPS = [
    "by_kind.in_tables",
    *(
        pytest.param(step, marks=pytest.mark.slow)
        for step in ("of_lists.in_revisions", "of_intake.erase", "search.remaining")
    ),
]


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_forget_is_finished_by_the_same_command(product, tmp_path, monkeypatch, step):
    place, customer, name = copied(product, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(f"churn.stages.forget.{step}", _killed)
        churn(place, "forget", f"customer={customer}", expected=130)
    assert forgotten.read(place).unfinished
    churn(place, "forget", f"customer={customer}")
    assert not forgotten.read(place).unfinished
    assert named(place, customer, name, MESSAGE, PERSON, NOTE, "many-for-Gandalf") == set()
    for revision in revisions.names(place / "published"):
        assert revisions.verify(place / "published" / revision)["forgotten"] == 1


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_forgetting_a_person_counts_their_account_anew(product, tmp_path):
    place, customer, _ = copied(product, tmp_path)
    n_events = _n_events(place, customer)
    assert named(place, PERSON)
    churn(place, "forget", f"user={PERSON}")
    assert named(place, PERSON, MESSAGE, "many-for-Gandalf") == set()
    assert _n_events(place, customer) == n_events - 42
    churn(place, "weekly", "as_of=2025-10-27", expected=6)
    assert _n_events(place, customer) == n_events - 42


def _n_events(place: Path, customer: str) -> int:
    rows = tables.read(place / "daily", made_by="rollup")
    return int(rows.loc[rows["customer_id"] == customer, "n"].sum())


# --- one thing at a time ----------------------------------------------------------------------


def test_forget_waits_for_a_running_job(tmp_path):
    place = tmp_path / "ws"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom churn.io import lock\n"
        "with lock.held(Path(sys.argv[1]), doing='weekly'):\n"
        "    print('held', flush=True); time.sleep(1.5); Path(sys.argv[1], 'ended').touch()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        began = time.monotonic()
        with lock.held(place, doing="forget", waits=True):
            assert (place / "ended").exists()
        assert time.monotonic() - began > 0.5


def test_a_stranger_is_kept_out_all_the_same(tmp_path, caplog):
    place = tmp_path / "ws"
    place.mkdir()
    with caplog.at_level(logging.INFO, "churn"):
        forget.run(Settings(workspace=str(place), customer="007"))
    assert "nothing of them was found; from now on they stay out" in caplog.text
    assert forgotten.read(place).among("customer", ["7", "007", None, "0007"]) == ["007"]


@pytest.mark.parametrize("words", [{}, {"customer": "a", "user": "b"}])
def test_whom_to_forget_must_be_said(tmp_path, words):
    with pytest.raises(ConfigurationError, match="whom to forget"):
        forget.run(Settings(workspace=str(tmp_path), **words))


def test_text_keys_stay_text(tmp_path):
    workspace(tmp_path / "ws")
    for who in ("1e5", "007", "1234567890123456789", "null island"):
        assert exit_code("forget", f"customer={who}", f"workspace={tmp_path / 'ws'}") == 0
        assert forgotten.read(tmp_path / "ws").among("customer", [who]) == [who]


def test_forget_in_a_workspace_that_is_not_there_is_wrong_usage(tmp_path):
    assert exit_code("forget", "customer=1", f"workspace={tmp_path / 'typo'}") == 2
    assert not (tmp_path / "typo").exists()


def test_what_is_left_where_it_should_be_gone_fails_the_command(tmp_path, monkeypatch):
    place = tmp_path / "ws"
    tables.write(place / "scores", {"a": pd.DataFrame({"customer_id": ["C000001", "C000002"]})})
    monkeypatch.setattr(by_kind, "in_tables", lambda *_, **__: None)
    with pytest.raises(MachineError, match="something of them is left") as error:
        forget.run(Settings(workspace=str(place), customer="C000001"))
    assert "scores/a." in error.value.got
    assert forgotten.read(place).unfinished


def test_a_table_that_nobody_thought_of_is_reached(tmp_path):
    """Any table, under a name that no code knows; logs, databases and leftovers."""
    place = tmp_path / "ws"
    frame = pd.DataFrame({"customer_id": ["C000001", "C000002"], "x": [1, 2]})
    tables.write(place / "a_new_stage" / "deep", {"a": frame, "b": frame}, facts={"kept": 1})
    dead = f".staging-{'0' * 32}"
    run = place / "logs" / "20260105T060000Z-0a1b.jsonl"
    run.parent.mkdir()
    run.write_text('{"message": "C000001 of C0000011"}\nC000001\n')
    (place / "mlflow").mkdir()
    (place / dead).mkdir()
    frame.to_parquet(place / dead / "half.parquet")
    with closing(sqlite3.connect(place / "mlflow" / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE params (value TEXT)")
        connection.execute("INSERT INTO params VALUES ('chose C000001, C000002')")
        connection.commit()
    (place / "unknown.bin").write_bytes(b"\x00\x01")
    forget.run(Settings(workspace=str(place), customer="C000001"))
    assert named(place, "C000001") == {f"logs/{run.name}"}  # that of C0000011, as part of it
    assert run.read_text() == '{"message": "(forgotten) of C0000011"}\n(forgotten)\n'
    left = tables.read(place / "a_new_stage" / "deep", made_by="x")
    assert left["customer_id"].tolist() == ["C000002", "C000002"]
    assert tables.facts(place / "a_new_stage" / "deep", made_by="x") == {"kept": 1}
    with closing(sqlite3.connect(place / "mlflow" / "mlflow.db")) as connection:
        assert connection.execute("SELECT value FROM params").fetchall() == [
            ("chose (forgotten), C000002",)
        ]


def test_a_kind_of_file_that_nobody_knows_is_named(tmp_path, caplog):
    place = tmp_path / "ws"
    place.mkdir()
    (place / "unknown.bin").write_bytes(b"\x00\x01C000001")
    with caplog.at_level(logging.INFO, "churn"):
        forget.run(Settings(workspace=str(place), customer="C000001"))
    assert "cannot reach: unknown.bin: of a kind that cannot be searched here" in caplog.text


def note(place: Path) -> Path:
    """A text of the product's."""
    return place / "impact" / "impact.md"


def write_note(place: Path, text: str) -> None:
    note(place).parent.mkdir(parents=True)
    note(place).write_text(text)


def test_short_ids_are_erased_by_column_and_nothing_else_is_touched(tmp_path):
    place = tmp_path / "ws"
    frame = pd.DataFrame({"customer_id": ["7", "007", "17"], "plan": ["7", "7", "7"]})
    tables.write(place / "scores", {"a": frame})
    write_note(place, "7 of 17 left")
    forget.run(Settings(workspace=str(place), customer="7"))
    assert tables.read(place / "scores", made_by="x")["customer_id"].tolist() == ["007", "17"]
    assert note(place).read_text() == "7 of 17 left"


# --- who stays out ----------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


ROWS = [row("a", user_id="u1"), row("b", user_id="u2"), row("a", user_id="u2", event="x")]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_of_who_was_forgotten_are_excluded_in_every_format(book, kind):
    if kind == "parquet":
        book.parquet("a.parquet", ROWS)
    else:
        flat = [{**one, "ts": one["ts"].isoformat()} for one in ROWS]
        text = "\n".join(json.dumps(one) for one in flat)
        book.text(f"a.{kind}", pd.DataFrame(flat).to_csv(index=False) if kind == "csv" else text)
    assert totals(book.take_in()) == (3, 3, 0, 0, 0)
    forgotten.remember(book.workspace, "customer", "a", is_erased=True)
    intake = book.take_in()
    assert totals(intake) == (3, 1, 0, 2, 0)
    assert [event["customer_id"] for event in events(intake)] == ["b"]
    forgotten.remember(book.workspace, "user", "u2", is_erased=True)
    book.text("b.csv", "customer_id,ts,event\nc,2026-01-05,x\n")
    intake = book.take_in()
    assert totals(intake) == (4, 1, 0, 3, 0)
    assert [event["customer_id"] for event in events(intake)] == ["c"]


def test_neither_a_fault_nor_a_customers_table_brings_somebody_back(book):
    side = book.place / "customers.csv"
    side.write_text("customer_id,customer_name\na,Ann\nb,Bob\n")
    lines = ["customer_id,ts,event", "a,never,x", "b,2026-01-05,x", 'a,"2026', ""]
    book.text("a.csv", "\n".join(lines))
    forgotten.remember(book.workspace, "customer", "a", is_erased=True)
    intake = book.take_in(customers=str(side))
    assert totals(intake) == (3, 1, 0, 2, 0)
    assert intake.rejects.empty
    assert book.sides(customers=str(side))["customers"]["customer_id"].to_pylist() == ["b"]
    assert named(book.workspace, "Ann", "a,") == set()


def test_hashes_cannot_be_told_without_the_key(tmp_path, monkeypatch):
    place = tmp_path / "ws"
    forgotten.remember(place, "customer", "C000001", is_erased=True)
    key = place / forgotten.KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    assert "C000001" not in (place / forgotten.FILE).read_text()
    hashed = (place / forgotten.FILE).read_text()
    other = tmp_path / "other"
    forgotten.remember(other, "customer", "C000001", is_erased=True)
    assert hashed != (other / forgotten.FILE).read_text()
    key.unlink()
    with pytest.raises(ConfigurationError, match="cannot be told") as error:
        forgotten.read(place)
    assert error.value.got == "no key"
    monkeypatch.setenv(forgotten.KEY_VARIABLE, "another")
    with pytest.raises(ConfigurationError) as error:
        forgotten.read(place)
    assert error.value.got == "another key than the one that was used"


def test_the_key_may_stand_in_the_environment_or_in_a_file_it_names(tmp_path, monkeypatch):
    place, file = tmp_path / "ws", tmp_path / "key"
    file.write_text("canary\n")
    monkeypatch.setenv(f"{forgotten.KEY_VARIABLE}_FILE", str(file))
    forgotten.remember(place, "customer", "a", is_erased=True)
    assert not (place / forgotten.KEY_FILE).exists()
    monkeypatch.delenv(f"{forgotten.KEY_VARIABLE}_FILE")
    monkeypatch.setenv(forgotten.KEY_VARIABLE, "canary")
    assert forgotten.read(place).among("customer", ["a", "b"]) == ["a"]


def test_names_that_others_have_too_are_left_to_them(tmp_path):
    place = tmp_path / "ws"
    frame = pd.DataFrame(
        {"customer_id": ["C000001", "C000002"], "customer_name": ["Smith & Sons"] * 2}
    )
    tables.write(place / "customers", {"a": frame})
    write_note(place, "Smith & Sons")
    forget.run(Settings(workspace=str(place), customer="C000001"))
    assert note(place).read_text() == "Smith & Sons"


def test_a_search_finds_what_is_spelled_another_way(tmp_path):
    person = Person("customer", "C&O-77", frozenset({"customer_id"}))
    (tmp_path / "a.html").write_text("<td>C&amp;O-77</td>")
    (tmp_path / "b.json").write_text(json.dumps(["x C&O-77"]))
    (tmp_path / "c.md").write_text("C&O-777")
    left, _, n_read = search.remaining(tmp_path, person)
    assert ([path.name for path in left], n_read) == (["a.html", "b.json"], 3)


def test_folders_change_places(tmp_path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    of_lists.exchange.folders(tmp_path / "new", tmp_path / "old")
    assert [(tmp_path / name / "which").read_text() for name in ("new", "old")] == ["old", "new"]
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]


def test_a_database_brings_nobody_back_and_loses_what_was_sent_there(tmp_path, monkeypatch):
    """Landed rows go; the last rows that are read again for late ones bring nobody back."""
    place, log = tmp_path / "ws", tmp_path / "log.sqlite"
    with closing(sqlite3.connect(log)) as database:
        database.execute(
            "CREATE TABLE events (id INTEGER, customer_id TEXT, ts DATETIME, event TEXT)"
        )
        database.execute("CREATE TABLE churn_scores (customer_id TEXT, risk REAL)")
        at = "2026-01-05 10:00:00.000000"
        rows = [(1, "C000002", at, "x"), (2, "C000001", at, "x"), (3, "C000001", at, "x")]
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        database.execute("INSERT INTO churn_scores VALUES ('C000001', .5), ('C000002', .5)")
        database.commit()
        monkeypatch.setenv("LITE", f"sqlite:///{log}")
        source = SourceSettings(name="sql", events="events", watermark="id", url_variable="LITE")
        sources.fetch(source, workspace=place, resources=Resources())
        assert named(place, "C000001")
        settings = Settings(workspace=str(place), customer="C000001", source=source)
        settings.sink = SinkSettings("sql", "LITE")
        forget.run(settings)
        assert named(place, "C000001") == set()
        assert database.execute("SELECT customer_id FROM churn_scores").fetchall() == [("C000002",)]
        database.execute(f"INSERT INTO events VALUES (4, 'C000001', '{at}', 'x')")
        database.execute(f"INSERT INTO events VALUES (5, 'C000003', '{at}', 'x')")
        database.commit()
        for _ in range(2):
            sources.fetch(source, workspace=place, resources=Resources())
    assert named(place, "C000001") == set()
    intake = sources.take_in(
        source, workspace=place, arrival=Arrival(), resources=Resources(), max_rejected_share=0
    )
    assert [event["customer_id"] for event in events(intake)] == ["C000002", "C000003"]


def test_copies_of_remote_files_that_name_somebody_are_not_kept(tmp_path):
    """They are read, then deleted; a later run copies them anew."""
    import fsspec

    place, memory = tmp_path / "ws", fsspec.filesystem("memory")
    lines = "customer_id,ts,event\nC000001,2026-01-05,x\nC000002,2026-01-05,x\n"
    memory.pipe_file("/forget-logs/a.csv", lines.encode())
    memory.pipe_file("/forget-logs/customers.csv", b"customer_id\nC000001\nC000002\n")
    settings = Settings(workspace=str(place))
    settings.source = SourceSettings(
        events="memory://forget-logs/a.csv", customers="memory://forget-logs/customers.csv"
    )
    rollup.run(settings)
    assert {path.split("/")[1] for path in named(place, "C000001,2026")} == {"remote"}
    settings.customer = "C000001"
    forget.run(settings)
    for _ in range(2):
        assert named(place, "C000001") == set()
        rollup.run(settings)
    rows = tables.facts(place / "daily", made_by="rollup")["rows"]
    assert (rows["read"], rows["used"], rows["excluded"]) == (2, 1, 1)


@pytest.mark.slow
def test_everything_that_the_product_can_write_is_reached(product, tmp_path):
    """The same after every other command that keeps something of customers."""
    place, customer, name = copied(product, tmp_path)
    churn(place, "backtest", "backtest.origins=1", "name=kept")
    churn(place, "define")
    churn(place, "replay", "from=2025-10-20", "to=2025-10-27")
    churn(place, "explain", f"customer={customer}", "as_of=2025-10-27")
    churn(place, "retain", "as_of=2025-10-27", f"retain.do_not_contact=[{customer}]")
    churn(place, "train", f"retain.do_not_contact=[{customer}]", f"retain.always=[{customer}]")
    churn(place, "weekly", "as_of=2025-10-27", expected=6)
    before = named(place, customer, name)
    assert {path.split("/")[0] for path in before} >= {"backtest", "replay", "runs", "cards"}
    churn(place, "forget", f"customer={customer}")
    assert named(place, customer, name, MESSAGE, PERSON, NOTE) == set()
    churn(place, "weekly", "as_of=2025-11-03", expected=6)
    churn(place, "backtest", "backtest.origins=1")
    assert named(place, customer, name, MESSAGE, PERSON, NOTE) == set()


# --- what is the user's stays the user's -----------------------------------------------------


def own_logs(place: Path) -> dict[Path, bytes]:
    """A user's files below the workspace, and what stands in them."""
    days = [f"2026-01-{day:02d}" for day in range(1, 29)]
    rows = [f"{who},{day},login" for day in days for who in ("C000001", "C000002")]
    (place / "logs").mkdir(parents=True)
    (place / "logs" / "a.csv").write_text("\n".join(["customer_id,ts,event", *rows]))
    (place / "logs" / "customers.csv").write_text("customer_id\nC000001\nC000002\n")
    terms = {"customer_id": ["C000001", "C000001", "C000002"], "start_date": ["2025-01-01"] * 3}
    pd.DataFrame(terms).to_parquet(place / "logs" / "subscriptions.parquet")
    return {path: path.read_bytes() for path in (place / "logs").iterdir()}


def test_logs_below_the_workspace_are_read_and_never_written(tmp_path, caplog):
    place = tmp_path / "w"
    before = own_logs(place)
    source = SourceSettings(
        name="files", events=f"{place}/logs/a*.csv", customers=f"{place}/logs/customers.csv",
        subscriptions=f"{place}/logs/subscriptions.parquet",
    )  # fmt: skip
    settings = Settings(workspace=str(place), source=source)
    rollup.run(settings)
    settings.customer = "C000001"
    for _ in range(2):  # the same is said again by a second call
        caplog.clear()
        with caplog.at_level(logging.INFO, "churn"):
            forget.run(settings)
        for name, n_rows in (("a.csv", "28 rows"), ("customers.csv", "1 row"),
                             ("subscriptions.parquet", "2 rows")):  # fmt: skip
            said = f"{place}/logs/{name}, a file of yours, has {n_rows} of them; left out"
            assert said in caplog.text
    assert {path: path.read_bytes() for path in before} == before
    for _ in range(2):
        rollup.run(settings)
        rows = tables.facts(place / "daily", made_by="rollup")["rows"]
        assert (rows["read"], rows["used"], rows["excluded"]) == (56, 28, 28)
        daily = tables.read(place / "daily", made_by="rollup")
        assert set(daily["customer_id"]) == {"C000002"}
    assert named(place, "C000001", "(forgotten)") == {
        f"logs/{name}" for name in ("a.csv", "customers.csv", "subscriptions.parquet")
    }


def test_the_demo_loses_the_rows_and_gains_no_customer(tmp_path):
    words = ["source.world.n_customers=40", "source.world.n_weeks=8", f"workspace={tmp_path / 'w'}"]
    assert exit_code("simulate", *words) == 0
    demo = tmp_path / "w" / "demo"
    who = pd.read_parquet(demo / "customers.parquet")["customer_id"].iloc[0]
    assert exit_code("forget", f"customer={who}", *words) == 0
    assert named(tmp_path / "w", who, "(forgotten)") <= {"truth/weeks.parquet"}
    assert len(pd.read_parquet(demo / "customers.parquet")) == 39


def test_a_folder_that_is_no_workspace_is_refused(tmp_path, monkeypatch):
    texts = {"app.py": "WHO = 'C000001'\n", "notes.md": "C000001", "invoices.csv": "id\nC000001\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for place in ("", ".", str(tmp_path)):
        assert exit_code("forget", "customer=C000001", f"workspace={place}") == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == texts
    assert exit_code("rollup", "workspace=") == 2


def test_files_that_the_product_never_writes_are_told_and_left(tmp_path, caplog):
    place = workspace(tmp_path / "ws", "C000001", "C000002")
    texts = {"notes.md": "C000001", "scores/mine.csv": "customer_id\nC000001\n",
             "models/my.yaml": "C000001", "logs/run.log": "C000001 left",
             "published/2026-01-05/r1/filled_in.csv": "customer_id\nC000001\n",
             "retention/2026-01-05/back.csv": "customer_id\nC000001\n"}  # fmt: skip
    for name, text in texts.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    with caplog.at_level(logging.INFO, "churn"):
        forget.run(Settings(workspace=str(place), customer="C000001"))
    for name, text in texts.items():
        assert (place / name).read_text() == text
        assert f"{place / name}, a file of yours, names them" in caplog.text, name
    assert tables.read(place / "scores", made_by="x")["customer_id"].tolist() == ["C000002"]


def test_a_list_that_was_sent_back_filled_in_stays_beside_its_revision(product, tmp_path):
    place, customer, _ = copied(product, tmp_path)
    revision = place / "published" / "2025-10-20" / "r1"
    back = revision / "back from Ann.xlsx"
    shutil.copy(revision / "retention_list.xlsx", back)
    before = back.read_bytes()
    churn(place, "forget", f"customer={customer}")
    assert back.read_bytes() == before
    assert "back from Ann.xlsx" not in revisions.verify(revision)["files"]


def test_every_file_of_a_workspace_is_known_as_ours(product):
    assert [path for path in search.files(product[0]) if path not in ours.files(product[0])] == []


def test_a_folder_called_models_above_the_workspace_hides_nothing(tmp_path):
    place = workspace(tmp_path / "models" / "ws", "C000002")
    (place / "quality").mkdir()
    (place / "quality" / "2026-01-05.html").write_text("C000001")
    person = Person("customer", "C000001", frozenset({"customer_id"}))
    left, _, _ = search.remaining(place, person)
    assert [path.name for path in left] == ["2026-01-05.html"]


# --- what somebody wrote about others --------------------------------------------------------


def test_a_note_about_somebody_else_loses_the_name_and_stays(product, tmp_path, caplog):
    """In the table of feedback, and in the documents of a list (here as the name of an owner)."""
    place, customer, name = copied(product, tmp_path)
    week = place / "published" / "2025-10-20" / "r1"
    filled = pd.read_csv(week / "retention_list.csv", dtype=str)
    now = pd.read_csv(place / "published" / "2025-10-27" / "r1" / "retention_list.csv", dtype=str)
    listed = [one for one in filled["customer_id"] if one in {*now["customer_id"]} - {customer}]
    other = listed[0]
    at = tmp_path / "logs" / "customers.csv"
    people = pd.read_csv(at, dtype=str)
    people.loc[people["customer_id"] == other, "owner"] = f"Desk of {name}"
    people.to_csv(at, index=False)
    note = f"same story as {customer}, parent {name} again"
    filled.loc[filled["customer_id"] == other, ["contacted", "outcome", "note"]] = [
        "yes", "undecided", note,
    ]  # fmt: skip
    filled.to_csv(tmp_path / "back.csv", index=False)
    churn(place, "outcomes", f"outcomes.files={tmp_path}/back.csv")
    churn(place, "weekly", "as_of=2025-10-27", expected=6)
    before = tables.read(place / "outcomes", made_by="outcomes")
    assert note in set(before["note"])
    folders = {
        str(Path(path).parent)
        for path in named(place, f"Desk of {name}")
        if path.startswith("published/") and path.endswith(".html")
    }
    assert folders == {"published/2025-10-27/r2"}
    churn(place, "forget", f"customer={customer}")
    assert named(place, customer, name) == set()
    after = tables.read(place / "outcomes", made_by="outcomes")
    left = before[before["customer_id"] != customer].reset_index(drop=True)
    right = "same story as (forgotten), parent (forgotten) again"
    pd.testing.assert_frame_equal(after, left.assign(note=left["note"].replace(note, right)))
    for folder in folders:
        assert revisions.verify(place / folder)
        for document in ("retention_list.html", "retention_list.csv", "digest.eml"):
            assert "Desk of (forgotten)" in "".join(said_in(place / folder / document)), document


def test_the_words_of_others_are_put_right_in_any_table(tmp_path):
    """In every kind of text column, group by group; ids of others that begin alike stay."""
    place = tmp_path / "ws"
    rows = pd.DataFrame(
        {
            "customer_id": ["C000001", "C000002", "C000001-EU", "C000003"],
            "note": ["mine", "ask C000001, not Acme", None, "none"],
            "kind": pd.Categorical(["a", "like C000001", "b", "a"]),
            "n": [1.5, float("nan"), 2.0, 3.0],
        }
    )
    tables.write(place / "told", {"a": rows})
    forget.run(Settings(workspace=str(place), customer="C000001"))
    left = tables.read(place / "told", made_by="x")
    assert left["customer_id"].tolist() == ["C000002", "C000001-EU", "C000003"]
    assert left["note"].fillna("").tolist() == ["ask (forgotten), not Acme", "", "none"]
    assert left["kind"].tolist() == ["like (forgotten)", "b", "a"]
    assert left["n"].isna().tolist() == [True, False, False]


def test_nobody_is_told_to_delete_a_table_of_feedback(tmp_path, monkeypatch):
    place = workspace(tmp_path / "ws", "C000001")
    monkeypatch.setattr(by_kind, "in_tables", lambda *_, **__: None)
    with pytest.raises(MachineError) as error:
        forget.run(Settings(workspace=str(place), customer="C000001"))
    assert "delete none" in error.value.next_step


def test_a_name_inside_another_customers_name_is_left_to_them(tmp_path):
    place = tmp_path / "ws"
    frame = pd.DataFrame(
        {"customer_id": ["C000001", "C000002"], "customer_name": ["Thornpoint", "Thornpoint Labs"]}
    )
    tables.write(place / "customers", {"a": frame})
    forget.run(Settings(workspace=str(place), customer="C000001"))
    left = tables.read(place / "customers", made_by="x")
    assert left["customer_name"].tolist() == ["Thornpoint Labs"]
