"""Publishing from a workspace as the stages leave it: what stands in a revision, and when there is one."""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from churn.contracts import LIST_COLUMNS
from churn.errors import ConfigurationError, DeliveryError, InputError
from churn.io import publish, revisions, tables
from churn.io.documents.people import FILES
from churn.io.workspace import SIDES, USAGE
from churn.settings import Settings, SourceSettings, WeeklySettings

MONDAY, NEXT = date(2026, 1, 5), date(2026, 1, 12)
ROWS = {"read": 9, "used": 6, "duplicate": 1, "excluded": 1, "refused": 1}
ACCOUNT = {"read": 2, "used": 2, "excluded": 0, "unknown_customers": 0}
FACTS = {
    "rows": ROWS, "sides": {"customers": ACCOUNT}, "deliveries": [{"sha256": "d1", **ROWS}],
    "first_day": "2025-01-01", "last_day": "2026-01-11",
}  # fmt: skip
RECORD = {
    "training_snapshots": ["2025-10-06"], "n_rows": 10, "base_rate": 0.1, "n_features": 1, "test": None,
    "recipe": {"model": "lightgbm"}, "calibration": {"weights": [1.0], "intercept": 0.0},
}  # fmt: skip
CHURN = {
    "name": "cancellation", "active_days": 84, "horizon_days": 28, "gap_days": 0, "qualifying_events": [],
}  # fmt: skip


@dataclass
class Office:
    """A workspace in which everything but publishing is done."""

    place: Path

    @property
    def published(self) -> Path:
        return self.place / "published"

    def settings(self, **changes: Any) -> Settings:
        source = SourceSettings(events=f"{self.place}/secret-name/*.csv", customers="/also/secret")
        return replace(Settings(workspace=str(self.place), source=source), **changes)

    def scored(self, as_of: date, listed: list[str], *, n_scored: int = 4, lost: int = 1) -> None:
        """What `score`, `explain` and `retain` leave for a week."""
        part, ids = as_of.isoformat(), [f"c{n}" for n in range(n_scored)]
        rows = pd.DataFrame({name: [None] * len(listed) for name in LIST_COLUMNS})
        rows["customer_id"] = listed
        rows["as_of"] = part
        made = {
            "scores": pd.DataFrame({"customer_id": ids, "risk": [0.1] * n_scored}),
            "not_scored": pd.DataFrame({"customer_id": ["lost"] * lost, "reason": ["none"] * lost}),
            "reasons": pd.DataFrame({"customer_id": ids[:1], "sentence": ["less"]}),
            "retention": rows.astype("str"),
        }
        for name, frame in made.items():
            tables.write(self.place / name, {part: frame}, keep=True)
        week = self.place / "retention" / part
        (week / "digests").mkdir(parents=True, exist_ok=True)
        for name in (*FILES, "digests/anna.eml"):
            (week / name).write_text(f"{name} of {part}: {listed}")
        (week / "a note of somebody.txt").write_text("not for people")

    def publish(self, as_of: date, **changes: Any) -> Path:
        return publish.publish(self.settings(**changes), as_of, gates={"volume": "passed"})

    def manifest(self, name: str) -> dict[str, Any]:
        return dict(tables.read_json(self.published / name / "manifest.json"))

    def current(self) -> str:
        return (self.published / "CURRENT").read_text()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    for name in (*USAGE, *SIDES):
        facts = FACTS if name == "daily" else {}
        tables.write(
            tmp_path / name,
            {"a": pd.DataFrame({"n": [1, 2]}), "b": pd.DataFrame({"n": [3]})},
            facts=facts,
        )
    folder = tmp_path / "models" / "abc"
    folder.mkdir(parents=True)
    (folder / "booster.txt").write_text("trees")
    tables.write_json(folder / "spec.json", {"version": "abc", "churn": CHURN, **RECORD})
    files = {name: sha256(folder / name) for name in ("booster.txt", "spec.json")}
    tables.write_json(tmp_path / "champion.json", {"version": "abc", "sha256": files})
    found = Office(tmp_path)
    found.scored(MONDAY, ["c0", "c1"])
    return found


def test_a_revision_holds_the_files_for_people_the_tables_the_card_and_nothing_else(
    office: Office,
) -> None:
    place = office.publish(MONDAY)
    assert place == office.published / "2026-01-05" / "r1"
    found = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    tables_ = {"retention_list.parquet", "scores.parquet", "reasons.parquet"}
    assert found == {*FILES, "digests/anna.eml", "card.md", "manifest.json", *tables_}
    assert (place / "digest.eml").read_text() == "digest.eml of 2026-01-05: ['c0', 'c1']"
    assert (place / "card.md").read_text().startswith("# Churn model abc")
    assert pd.read_parquet(place / "scores.parquet")["customer_id"].tolist() == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]
    assert pd.read_parquet(place / "reasons.parquet")["sentence"].tolist() == ["less"]
    assert office.current() == "2026-01-05/r1\n"
    assert revisions.current(office.published) == place
    assert not [p for p in office.published.rglob("*") if p.name.startswith(".")]


def test_the_manifest_says_what_is_in_it_and_what_it_was_made_from(office: Office) -> None:
    place = office.publish(MONDAY)
    manifest = office.manifest("2026-01-05/r1")
    names = [p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()]
    assert sorted(manifest["files"]) == sorted({*names} - {"manifest.json"})
    for name, described in manifest["files"].items():
        assert described["sha256"] == sha256(place / name)
        assert ("rows" in described) == name.endswith(".parquet")
    assert manifest["files"]["scores.parquet"]["rows"] == 4
    assert manifest["as_of"] == "2026-01-05"
    assert manifest["previous"] is None
    assert manifest["model_version"] == "abc"
    assert manifest["gates"] == {"volume": "passed"}
    assert manifest["counts"] == {
        "rows": ROWS, "sides": {"customers": ACCOUNT}, "active_customers": 5, "scored": 4,
        "not_scored": 1, "listed": 2,
    }  # fmt: skip
    made_from = manifest["inputs"]
    assert made_from.pop("deliveries") == FACTS["deliveries"]
    assert {*made_from} == {*USAGE, *SIDES}
    for name, one in made_from.items():
        assert one == {
            "sha256": tables.fingerprint(office.place / name, made_by="rollup"),
            "rows": 3,
        }


def test_the_manifest_names_no_place_and_nobody(office: Office) -> None:
    settings = office.settings()
    settings.retain.always = ["vip-7"]
    settings.retain.do_not_contact = ["quiet-8", "quiet-9"]
    settings.retain.capacities = {"anna": 3}
    settings.known_at = "2026-01-06T01:00:00"
    publish.publish(settings, MONDAY, gates={})
    found = office.manifest("2026-01-05/r1")["configuration"]
    assert {*found} == {"known_at", "seed", "source", "explain", "retain"}
    assert found["known_at"] == "2026-01-06T01:00:00"
    assert found["seed"] == settings.seed
    assert found["explain"]
    assert found["retain"]["save_rate"] == settings.retain.save_rate
    assert found["retain"]["always"] == 1
    assert (found["retain"]["do_not_contact"], found["retain"]["capacities"]) == (2, 1)
    assert {*found["source"]} & {"events", "world", *SIDES} == set()
    assert found["source"]["arrival_hours"] == 6
    text = json.dumps(office.manifest("2026-01-05/r1"))
    for word in ("vip-7", "quiet", "anna", "secret", str(office.place)):
        assert word not in text.replace("digests/anna.eml", "")


def test_the_same_again_makes_no_revision_and_something_else_does(office: Office) -> None:
    first = office.publish(MONDAY)
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    assert office.publish(MONDAY) == first
    assert revisions.names(office.published) == ["2026-01-05/r1"]
    office.scored(MONDAY, ["c2"])
    assert office.publish(MONDAY) == first.with_name("r2")
    assert office.current() == "2026-01-05/r2\n"
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == before
    office.scored(MONDAY, ["c3"])
    assert office.publish(MONDAY).name == "r3"


def test_going_back_to_an_earlier_revision_makes_a_new_one_and_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong revision can be undone: what was asked for last is what people read."""
    first = office.publish(MONDAY)
    office.scored(MONDAY, ["c2"])
    office.publish(MONDAY)
    (first / "scores.parquet").unlink()
    office.scored(MONDAY, ["c0", "c1"])
    third = office.publish(MONDAY)
    assert (third.name, office.current()) == ("r3", "2026-01-05/r3\n")
    assert office.manifest("2026-01-05/r3")["files"] == office.manifest("2026-01-05/r1")["files"]
    changes = office.manifest("2026-01-05/r3")["changes"]
    assert (changes["since"], changes["joined"], changes["left"]) == ("r2", 2, 1)
    for name in ("r1", "r2", "r3"):
        revisions.verify(first.with_name(name))  # and what was damaged of the equal one is back
    logging.getLogger("churn").propagate = True
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="churn"):
        assert office.publish(MONDAY) == third
    assert [r.getMessage() for r in caplog.records] == [
        f"published before, and nothing changes: {third}"
    ]
    assert len(revisions.names(office.published)) == 3


def test_current_is_the_greatest_week_with_its_last_revision_by_number(office: Office) -> None:
    office.scored(NEXT, ["c1"])
    office.publish(NEXT)
    office.publish(MONDAY)
    assert office.current() == "2026-01-12/r1\n"
    for number in range(2, 12):
        office.scored(NEXT, [f"c{number}"])
        office.publish(NEXT)
    assert office.current() == "2026-01-12/r11\n"
    assert revisions.names(office.published) == [
        "2026-01-05/r1",
        *(f"2026-01-12/r{n}" for n in range(1, 12)),
    ]


def test_a_list_names_the_revision_before_it_by_the_hash_of_its_manifest(office: Office) -> None:
    first = office.publish(MONDAY)
    office.scored(NEXT, ["c1"])
    office.publish(NEXT)
    previous = office.manifest("2026-01-12/r1")["previous"]
    assert previous == {
        "revision": "2026-01-05/r1",
        "manifest_sha256": sha256(first / "manifest.json"),
    }


def test_what_is_staged_or_no_revision_is_not_counted(office: Office) -> None:
    office.publish(MONDAY)
    (office.published / ".staging-1" / "r9").mkdir(parents=True)
    (office.published / ".staging-1" / "r9" / "manifest.json").write_text("{}")
    (office.published / "2026-01-19" / "rest").mkdir(parents=True)
    assert revisions.names(office.published) == ["2026-01-05/r1"]
    office.scored(MONDAY, ["c9"])
    assert office.publish(MONDAY).name == "r2"


@pytest.mark.parametrize("is_out", [True, False])
def test_a_disk_that_fails_at_the_pointer_is_told_by_what_people_see(
    office: Office, monkeypatch: pytest.MonkeyPatch, is_out: bool
) -> None:
    """After the rename the list is out (exit 6); before it the old one stands (exit 1)."""
    office.publish(MONDAY)
    office.scored(NEXT, ["c1"])
    write = tables.write_bytes

    def failing(path: Path, content: bytes) -> None:
        if path.name != "CURRENT" or is_out:
            write(path, content)
        if path.name == "CURRENT":
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(tables, "write_bytes", failing)
    with pytest.raises(OSError if not is_out else DeliveryError) as caught:
        office.publish(NEXT)
    assert office.current() == ("2026-01-12/r1\n" if is_out else "2026-01-05/r1\n")
    if isinstance(caught.value, DeliveryError):
        assert str(caught.value).splitlines() == [
            "the list is published, but the disk has not confirmed it",
            "  got:      [Errno 5] Input/output error",
            "  expected: a disk that keeps what it is given",
            "  next:     look at the disk, then run `churn weekly` again: it writes the pointer anew",
        ]


def test_before_anything_is_published_nothing_is_current(tmp_path: Path) -> None:
    assert revisions.current(tmp_path / "published") is None
    assert revisions.names(tmp_path / "published") == []


def test_a_dry_run_tells_who_joins_and_leaves_and_publishes_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("churn")
    log.propagate = True
    with caplog.at_level(logging.INFO, logger="churn"):
        office.publish(MONDAY, weekly=WeeklySettings(dry_run=True))
        assert revisions.names(office.published) == []
        assert [r.getMessage() for r in caplog.records] == [
            "dry run: 2 on the list, 2 new, 0 leave", "  + c0", "  + c1"]  # fmt: skip
        caplog.clear()
        office.publish(MONDAY)
        assert [r.getMessage() for r in caplog.records] == [
            f"published {office.published / '2026-01-05/r1'}"
        ]
        caplog.clear()
        office.scored(MONDAY, ["c1", "c2", "c3"])
        office.publish(MONDAY, weekly=WeeklySettings(dry_run=True))
    assert [r.getMessage() for r in caplog.records] == [
        "dry run: 3 on the list, 2 new, 1 leave", "  + c2", "  + c3", "  - c0"]  # fmt: skip
    assert office.current() == "2026-01-05/r1\n"
    assert not [p for p in office.published.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("name", ["scores.parquet", "digests/anna.eml"])
def test_a_file_that_is_not_the_published_one_is_named(office: Office, name: str) -> None:
    place = office.publish(MONDAY)
    assert revisions.verify(place) == office.manifest("2026-01-05/r1")
    path = place / name
    expected = sha256(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError) as caught:
        revisions.verify(place)
    assert str(path) in caught.value.what
    assert "is not the file that was" in caught.value.what
    assert sha256(path) in caught.value.got
    assert caught.value.expected == f"sha256 {expected}"
    assert caught.value.next_step
    path.unlink()
    with pytest.raises(InputError) as caught:
        revisions.verify(place)
    assert caught.value.got == "no such file"


def test_a_revision_is_given_its_name_by_one_rename_and_current_comes_last(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks between two system calls sees the list before or the whole one."""
    office.publish(MONDAY)
    office.scored(MONDAY, ["c3"])
    real, seen = publish.os.replace, []

    def watched(source: Any, target: Any) -> None:
        seen.append((Path(target).name, office.current(), revisions.names(office.published)))
        real(source, target)
        for name in revisions.names(office.published):
            revisions.verify(office.published / name)

    monkeypatch.setattr(publish.os, "replace", watched)
    office.publish(MONDAY)
    named = [one for one in seen if one[0] in ("r2", "CURRENT")]
    assert named == [
        ("r2", "2026-01-05/r1\n", ["2026-01-05/r1"]),
        ("CURRENT", "2026-01-05/r1\n", ["2026-01-05/r1", "2026-01-05/r2"]),
    ]


def test_every_file_and_folder_of_a_revision_is_on_the_disk_before_it_has_its_name(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real, rename = tables.sync, publish.os.replace
    before: dict[str, set[str]] = {}

    def kept(path: Path) -> None:
        synced.append(Path(path))
        real(path)

    def renamed(source: Any, target: Any) -> None:
        if Path(target).name == "r1":
            inside = set(Path(source).rglob("*"))
            before["missing"] = {p.name for p in inside | {Path(source)} if p not in synced}
        rename(source, target)

    monkeypatch.setattr(tables, "sync", kept)
    monkeypatch.setattr(publish.os, "replace", renamed)
    place = office.publish(MONDAY)
    assert before["missing"] == set()
    assert synced.index(place.parent) > 0


@pytest.mark.parametrize("said", [b"", b"nonsense", b"2026-01-05/r9", b"../../etc/r1", b"\xff\xfe"])
def test_a_pointer_to_nothing_is_refused_with_what_stands_in_it(
    office: Office, said: bytes
) -> None:
    office.publish(MONDAY)
    (office.published / "CURRENT").write_bytes(said + b"\n")
    with pytest.raises(InputError) as caught:
        revisions.current(office.published)
    assert caught.value.what == f"{office.published / 'CURRENT'} names no revision"
    assert caught.value.got == repr(said.decode(errors="replace"))
    assert caught.value.expected == "the date and number of one, such as 2026-01-05/r1"
    assert caught.value.next_step == "run `churn weekly`, which writes it anew"
    office.publish(MONDAY)
    assert office.current() == "2026-01-05/r1\n"


@pytest.mark.parametrize("is_gone", [True, False])
def test_publishing_again_restores_what_was_damaged_and_touches_nothing_else(
    office: Office, caplog: pytest.LogCaptureFixture, is_gone: bool
) -> None:
    place = office.publish(MONDAY)
    whole = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    kept = {p: p.stat().st_ino for p in whole}
    hurt = [place / "scores.parquet", place / "digests" / "anna.eml"]
    for path in hurt:
        path.unlink() if is_gone else path.write_bytes(b"x")
    logging.getLogger("churn").propagate = True
    with caplog.at_level(logging.INFO, logger="churn"):
        assert office.publish(MONDAY) == place
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == whole
    assert all(p.stat().st_ino == kept[p] for p in whole if p not in hurt)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        *(f"{path} was not the file that was published: restored" for path in sorted(hurt)),
        f"published before, and nothing changes: {place}",
    ]
    revisions.verify(place)


@pytest.mark.parametrize(("name", "command"), [("late", "rollup"), ("scores", "score")])
def test_a_table_that_is_not_there_names_the_command_that_makes_it(
    office: Office, name: str, command: str
) -> None:
    (office.place / name / "_manifest.json").unlink()
    with pytest.raises(ConfigurationError, match=f"churn {command}"):
        office.publish(MONDAY)
    assert revisions.names(office.published) == []
