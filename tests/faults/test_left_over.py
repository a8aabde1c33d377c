"""What a process that died leaves behind: no lock, and nothing that the next run does not clear up."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from churn.errors import InputError, LockedError
from churn.io import revisions, tables
from churn.io.lock import held

HOLDS = """
import os, subprocess, sys, time
from pathlib import Path
from churn.io import tables
from churn.io.lock import held
place = Path(sys.argv[1])
with held(place, doing="weekly"):
    if sys.argv[2] == "fork":
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
    else:
        pid = subprocess.Popen(["sleep", "60"]).pid
    with tables.staging(place / "scores") as staged:
        (staged / "half").write_bytes(b"half a file")
        (place / "scores" / f".x.json.{'0' * 32}").write_bytes(b"half")
        print(pid, flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("way", ["fork", "exec"])
def test_a_lock_dies_with_its_process_and_what_it_wrote_is_cleared_up(
    tmp_path: Path, way: str
) -> None:
    """A child that lives longer keeps nobody out."""
    program = [sys.executable, "-c", HOLDS, str(tmp_path), way]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    child = int(process.stdout.readline())
    try:
        with pytest.raises(LockedError, match=r"."), held(tmp_path, doing="weekly"):
            pass
        assert len(list((tmp_path / "scores").iterdir())) == 2, "of a living process nothing goes"
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # it lives
        _wait_until_free(tmp_path)
        with held(tmp_path, doing="weekly"):
            assert list((tmp_path / "scores").iterdir()) == []
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def _wait_until_free(place: Path) -> None:
    """On a busy machine the child may not have had its turn yet, in which it lets go of its copy."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(LockedError), held(place, doing="weekly"):
            return
        time.sleep(0.05)


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    with tables.staging(tmp_path / "scores") as staged:
        (staged / "part").write_bytes(b"rows")
        assert tables.sweep(tmp_path) == []
        assert (staged / "part").exists()
    assert list((tmp_path / "scores").iterdir()) == []


def test_a_revision_that_a_killed_run_had_staged_is_no_revision(tmp_path: Path) -> None:
    """It was a ValueError with a traceback, for every run after."""
    left = tmp_path / ".staging-0" / "revision"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    assert revisions.names(tmp_path) == []


def test_a_damaged_part_is_written_again(tmp_path: Path) -> None:
    """Its name says its content, so it was taken for it: the table could not be mended."""

    rows = {"a": pd.DataFrame({"x": [1, 2, 3]})}
    tables.write(tmp_path, rows)
    path = tables.parts(tmp_path, made_by="score")["a"]
    path.write_bytes(b"not what it was")
    with pytest.raises(InputError, match="not the file that was written"):
        tables.parts(tmp_path, made_by="score")
    tables.write(tmp_path, rows)
    assert tables.read(tmp_path, made_by="score")["x"].tolist() == [1, 2, 3]


def test_a_seal_tells_one_changed_character(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    tables.write_sealed(path, {"last_day": "2026-01-05", "n": 1.5})
    assert tables.read_json(path) == {"last_day": "2026-01-05", "n": 1.5}
    path.write_text(path.read_text().replace("2026-01-05", "2026-01-15"))
    with pytest.raises(InputError, match="is damaged"):
        tables.read_json(path)
    path.write_text('{"last_day": "2026')
    with pytest.raises(InputError, match="is damaged"):
        tables.read_json(path)
