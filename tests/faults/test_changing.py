"""A delivery that changes while it is read is never taken for the one that was hashed."""

import random
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from weeks import Prepared

from churn.errors import NotArrivedError
from churn.io import roll_up, tables
from churn.io.intake import accounts, convert, listing
from churn.settings import Settings, SourceSettings
from churn.stages import rollup

pytestmark = pytest.mark.xdist_group("faults")

ROWS = [f"c{n:02d},2025-03-{1 + n % 28:02d} 10:00:00,login" for n in range(60)]


def log_of(folder: Path, kind: str) -> tuple[Path, Settings]:
    """A log of one file, and settings that read it."""
    path = folder / f"log.{kind}"
    write(path, ROWS)
    source = SourceSettings(name="files", events=str(path))
    given = Settings(workspace=str(folder / "ws"), source=source)
    given.engine.threads = 1
    return path, given


def write(path: Path, rows: list[str]) -> None:
    text = "customer_id,ts,event\n" + "\n".join(rows) + "\n"
    if path.suffix == ".csv":
        path.write_text(text)
        return
    frame = pd.DataFrame([row.split(",") for row in rows], columns=["customer_id", "ts", "event"])
    frame["ts"] = pd.to_datetime(frame["ts"]).astype("datetime64[us]")
    frame.to_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


MOMENTS = {
    "after it was hashed": (listing, "_delivery"),
    "after it was opened": (convert, "readable"),
    "after it was counted": (accounts, "rejects_of"),
    "while months are rolled up": (roll_up, "_month_by_month"),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_file_that_changes_is_refused_and_the_next_run_reads_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, moment: str
) -> None:
    path, settings = log_of(tmp_path, kind)
    place, name = MOMENTS[moment]
    real = getattr(place, name)

    def changing(*given: object, **named: object) -> object:
        found = real(*given, **named)
        write(path, [*ROWS, "late,2025-03-29 11:00:00,login"])
        return found

    monkeypatch.setattr(place, name, changing)
    with pytest.raises(NotArrivedError, match="changed while it was read") as refusal:
        rollup.run(settings)
    assert str(path) in str(refusal.value)
    monkeypatch.undo()
    rollup.run(settings)
    facts = tables.facts(tmp_path / "ws" / "daily", made_by="rollup")
    assert facts["rows"]["used"] == 61
    assert facts["deliveries"][0]["sha256"] == tables.sha256(path)


def test_a_file_that_is_cut_while_it_is_read_is_refused_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = log_of(tmp_path, "parquet")
    real = convert.readable

    def cutting(*given: object, **named: object) -> object:
        found = real(*given, **named)
        path.write_bytes(path.read_bytes()[:300])
        return found

    monkeypatch.setattr(convert, "readable", cutting)
    with pytest.raises(NotArrivedError, match="changed while it was read"):
        rollup.run(settings)


@pytest.mark.slow
def test_a_log_that_is_replaced_during_a_real_run(ready: Prepared) -> None:
    """Refused, or read as one of the two files, whatever the moment; and then as the one that is there."""
    chance = random.Random(8)
    for _ in range(10):
        trial = ready.trial("replaced")
        *_, other, _, path = sorted(trial.log.iterdir())
        either = {tables.sha256(path), tables.sha256(other)}
        running = trial.start()
        time.sleep(chance.random() * ready.seconds * 0.6)
        shutil.copy(other, path)
        running.end().expected(0, 7)
        trial.run().expected(0)
        facts = tables.facts(trial.place / "daily", made_by="rollup")
        known = {entry["sha256"] for entry in facts["deliveries"]}
        assert tables.sha256(path) in known
        assert not (either - {tables.sha256(path)}) & known
