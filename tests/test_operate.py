"""What an unwatched job tells: JSON lines, a log of every run, gauges; and what it keeps."""

import json
import logging
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from commandline import composed, exit_code, logging_as_before

from churn import contracts
from churn.errors import ChurnError, ConfigurationError, HeldBackError, InputError
from churn.io import journal, records, revisions, tables
from churn.io.sending import outbox
from churn.io.sending.outbox import Message
from churn.io.weekly import expiry, gauges, past_weeks
from churn.retention.drift import Shape
from churn.settings import Settings, WeeklySettings
from churn.usage import quality
from churn.usage.quality import Verdict

log = logging.getLogger("churn")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "now", journal.Now())
    with logging_as_before():
        log.handlers, log.propagate = [], False
        log.setLevel(logging.INFO)
        yield


def refusal(got: str = "nothing") -> HeldBackError:
    return HeldBackError("too little", got=got, expected="more", next_step="look")


def test_a_command_logs_json_lines_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("check", "source=files", "log=json", "source.events=/none/*.csv") == 3
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", said["run"])
    assert (said["level"], said["command"], said["exit_code"]) == ("error", "check", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", said["time"])
    assert {"what", "expected", "next_step", "got"} - set(said) == {"what"}
    assert exit_code("check", "log=json", "nonsense=1") == 2
    assert json.loads(capsys.readouterr().err)["exit_code"] == 2
    assert exit_code("check", "nonsense=1") == 2
    assert capsys.readouterr().err.startswith("there is no configuration key")


def test_log_is_plain_or_json() -> None:
    assert composed().log == "plain"
    assert exit_code("check", "log=xml") == 2


def test_a_json_line_holds_one_line_whatever_is_said() -> None:
    """Formatted here, not logged: the test runner cannot carry half a character."""
    said = "a\nb\x1b[31m\u202e\u2028\r\x00\x85\ud800 Zoë"
    journal.now.command, journal.now.as_of = "weekly", "2026-01-05"
    record = log.makeRecord(log.name, logging.WARNING, "", 0, "%s", (said,), None)
    with journal.stage("score"):
        line = journal.JsonLines().format(record)
    assert line.isprintable()
    found = json.loads(line)
    assert found["message"] == said
    assert (found["command"], found["stage"], found["as_of"]) == ("weekly", "score", "2026-01-05")


def lines(folder: Path) -> list[dict]:
    (path,) = folder.glob(f"{journal.run_id()}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_keeps_its_log_to_its_last_word(tmp_path: Path) -> None:
    def work() -> None:
        log.info("at work")
        raise refusal()

    with pytest.raises(HeldBackError), journal.kept(tmp_path, keep=3):
        work()
    log.info("not any more")
    assert [one["message"] for one in lines(tmp_path)] == ["at work", "too little"]
    assert lines(tmp_path)[-1]["exit_code"] == 4


def test_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for day in range(1, 6):
        (tmp_path / f"2025010{day}T030000Z-0000.jsonl").write_text("")
    with journal.kept(tmp_path, keep=3):
        pass
    names = sorted(path.name[:8] for path in tmp_path.iterdir())
    assert names == ["20250104", "20250105", journal.run_id()[:8]]
    with journal.kept(tmp_path / "none", keep=0):
        log.info("nobody keeps this")
    assert not (tmp_path / "none").exists()


def test_a_log_that_cannot_be_written_keeps_nothing_back(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with journal.kept(tmp_path / "logs", keep=3):
        log.info("the work goes on")
    if Path("/dev/full").exists():
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / f"{journal.run_id()}.jsonl").symlink_to("/dev/full")
        with journal.kept(tmp_path / "full", keep=3):
            log.info("the work goes on")


def revision(place: Path, name: str) -> None:
    folder = place / "published" / name
    folder.mkdir(parents=True)
    list_id = name.replace("/", "-")
    pd.DataFrame({"customer_id": ["a"], "list_id": [list_id]}).to_parquet(
        folder / "retention_list.parquet"
    )
    manifest = {
        "as_of": name.split("/")[0], "model_version": 'a"b\\c',
        "counts": {"rows": {"read": 10, "used": 9, "refused": 1}, "listed": 1, "scored": 5},
    }  # fmt: skip
    tables.write_json(folder / "manifest.json", manifest)
    tables.write_bytes(place / "published" / "CURRENT", f"{name}\n".encode())


def samples(path: Path) -> dict[tuple[str, str], float]:
    """What Prometheus itself reads: name and value of the one label → value."""
    parser = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(path.read_text()):
        assert family.documentation
        assert family.type == "gauge"
        for one in family.samples:
            found[one.name, ",".join(one.labels.values())] = one.value
    return found


def test_gauges_tell_how_a_run_ended_and_how_old_the_list_is(tmp_path: Path) -> None:
    settings = Settings(workspace=str(tmp_path))
    revision(tmp_path, "2026-01-05/r1")
    outbox.add(tmp_path, Message("mail", "2026-01-05/r1", "digest.eml", "…"))
    status = {"age_days": 3, "is_stale": False, "deliveries": []}
    tables.write_json(tmp_path / "published" / "status.json", status)
    verdict = Verdict("volume", "rows", 0.4, 0.5, None, quality.HELD)
    past_weeks.keep(tmp_path, past_weeks.Week(pd.Timestamp("2026-01-05").date(), [verdict], {}))
    with gauges.told(settings), journal.stage("score"):
        pass
    path = tmp_path / "published" / "metrics.prom"
    first = samples(path)
    assert first["churn_last_run_exit_code", ""] == 0
    assert first["churn_list_age_days", ""] == 3
    assert first["churn_deliveries_waiting", ""] == 1
    assert first["churn_rows", "refused"] == 1
    assert first["churn_customers", "scored"] == 5
    assert first["churn_list_info", '2026-01-05/r1,a"b\\c'] == 1
    assert first["churn_list_as_of_timestamp_seconds", ""] == pd.Timestamp("2026-01-05").timestamp()
    assert first["churn_gate_figure", "volume"] == 0.4
    assert first["churn_gate_stops", "volume"] == 1
    assert ("churn_gate_high", "volume") not in first
    assert first["churn_last_run_stage_seconds", "score"] >= 0
    with pytest.raises(HeldBackError), gauges.told(settings):
        raise refusal()
    second = samples(path)
    assert second["churn_last_run_exit_code", ""] == 4
    succeeded = ("churn_last_success_timestamp_seconds", "")
    assert second[succeeded] == first[succeeded] < second["churn_last_run_timestamp_seconds", ""]
    with pytest.raises(ZeroDivisionError), gauges.told(settings):
        raise ZeroDivisionError
    assert samples(path)["churn_last_run_exit_code", ""] == 1
    outbox.delivered(tmp_path, outbox.waiting(tmp_path)[0])
    gauges.delivered(settings)
    assert samples(path)["churn_deliveries_waiting", ""] == 0
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".metrics")]


def test_gauges_go_where_a_collector_reads_and_cannot_stop_a_run(tmp_path: Path) -> None:
    weekly = WeeklySettings(metrics=str(tmp_path / "collector" / "churn.prom"))
    settings = Settings(workspace=str(tmp_path / "ws"), weekly=weekly)
    with gauges.told(settings):
        pass
    path = tmp_path / "collector" / "churn.prom"
    assert samples(path)["churn_last_run_exit_code", ""] == 0
    assert path.stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").write_text("")
    closed = replace(settings, weekly=WeeklySettings(metrics=str(tmp_path / "file" / "churn.prom")))
    with gauges.told(closed):
        pass


def test_an_old_week_that_was_being_removed_is_swept_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    for week in pd.date_range("2024-01-01", periods=54, freq="7D").strftime("%Y-%m-%d"):
        revision(tmp_path, f"{week}/r1")
    with monkeypatch.context() as patch:
        patch.setattr(expiry.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            expiry.expire(tmp_path, keep_weeks=53)
    assert len(revisions.names(tmp_path / "published")) == 53
    (left,) = tables.sweep(tmp_path)
    assert left.parent == tmp_path / "published"


def test_old_weeks_go_but_what_was_answered_and_the_last_year_stay(tmp_path: Path) -> None:
    weeks = pd.date_range("2024-01-01", periods=60, freq="7D").strftime("%Y-%m-%d")
    for week in weeks:
        revision(tmp_path, f"{week}/r1")
    revision(tmp_path, f"{weeks[0]}/r2")
    answered = dict.fromkeys(contracts.OUTCOMES.columns) | {
        "as_of": pd.Timestamp(weeks[1]).date(), "customer_id": "a", "list_id": f"{weeks[1]}-r1",
        "recorded_as_of": pd.Timestamp(weeks[2]).date(),
    }  # fmt: skip
    records.keep_outcomes(tmp_path, pd.DataFrame([answered]))
    assert expiry.expire(tmp_path, keep_weeks=0) == []
    gone = expiry.expire(tmp_path, keep_weeks=53)
    assert gone == [f"{weeks[0]}/r1", f"{weeks[0]}/r2", *(f"{week}/r1" for week in weeks[2:7])]
    left = revisions.names(tmp_path / "published")
    assert left == [f"{weeks[1]}/r1", *(f"{week}/r1" for week in weeks[7:])]
    assert not (tmp_path / "published" / weeks[0]).exists()
    assert [path.name for path in (tmp_path / "published").glob(".*")] == []
    assert expiry.expire(tmp_path, keep_weeks=53) == []


@pytest.mark.parametrize("damage", [b"", b"no table", b"PAR1" + b"\0" * 60 + b"PAR1", None])
def test_an_old_list_that_cannot_be_read_stays_and_the_others_go(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The list of this week is out by then: a warning in four parts, and no traceback."""
    weeks = pd.date_range("2024-01-01", periods=55, freq="7D").strftime("%Y-%m-%d")
    for week in weeks:
        revision(tmp_path, f"{week}/r1")
    path = tmp_path / "published" / weeks[0] / "r1" / revisions.LIST
    path.unlink() if damage is None else path.write_bytes(damage)
    with caplog.at_level(logging.WARNING, "churn"):
        assert expiry.expire(tmp_path, keep_weeks=53) == [f"{weeks[1]}/r1"]
    (said,) = {record.getMessage() for record in caplog.records}
    assert said.startswith(f"{path} cannot be read")
    assert all(f"\n  {part}" in said for part in ("got:", "expected:", "next:"))


@pytest.mark.parametrize("weekly", [{"keep_weeks": 52}, {"keep_weeks": -1}, {"keep_logs": -1}])
def test_less_than_the_list_itself_needs_is_refused(weekly: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        WeeklySettings(**weekly)
    assert issubclass(ConfigurationError, ChurnError)


def test_a_week_that_the_gates_remember_is_refused_once_it_is_damaged(tmp_path: Path) -> None:
    as_of, later = date(2026, 1, 5), date(2026, 1, 12)
    shapes = {"recency_days": Shape([1.0, 2.0, 3.0], [], [5, 5, 5, 5, 0])}
    past_weeks.keep(tmp_path, past_weeks.Week(as_of, [], {}, shapes=shapes))
    path = past_weeks.folder(tmp_path) / f"{as_of}.json"
    assert [week.shapes for week in past_weeks.before(tmp_path, later, n=8)] == [shapes]
    path.write_text(path.read_text().replace("2.0", "6.0"))
    with pytest.raises(InputError, match=f"{as_of}.json is damaged") as refused:
        past_weeks.before(tmp_path, later, n=8)
    assert f"delete {path}" in refused.value.next_step
    path.write_text('{"of": "another version"}')
    assert past_weeks.before(tmp_path, later, n=8) == []
