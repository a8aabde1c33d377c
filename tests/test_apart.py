"""What opens a model may die: the job goes on, says what happened, and leaves nobody behind."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import panels
import pytest
from commandline import composed, logging_as_before

from churn import errors
from churn.errors import ChurnError, HeldBackError, MachineError
from churn.io import bundle
from churn.io.weekly import apart
from churn.learning import backtest, models
from churn.learning.models import Recipe
from churn.settings import Settings

STAGE = """
import logging, os, signal, sys, time, warnings
from pathlib import Path
from churn import errors
from churn.io import bundle
log = logging.getLogger("churn")

def run(settings):
    place = Path(settings.workspace)
    {body}
"""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module with the body of a stage, where both processes can import it."""

    def make(body: str) -> str:
        (tmp_path / "own_stage.py").write_text(STAGE.format(body=body))
        return "own_stage"

    monkeypatch.syspath_prepend(str(tmp_path))
    return make


@pytest.fixture
def heard() -> Iterator[list[str]]:
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    log = logging.getLogger("churn")
    with logging_as_before():
        log.handlers, log.propagate = [Handler()], False
        log.setLevel(logging.INFO)
        yield lines


def run(name: str, place: Path) -> None:
    with apart.started(name) as worker:
        worker.run(name, Settings(workspace=str(place)))


@pytest.mark.parametrize("preset", ["none", "grocery"])
def test_settings_arrive_as_they_are(preset: str) -> None:
    words = ["train.monotone={volume: -1}", "retain.always=[007,1e5]"]
    sent = composed(*words, f"experiment={preset}", command="weekly")
    sent.customer = "${x} \u202e\ud800"
    assert apart.built(Settings, json.loads(json.dumps(asdict(sent)))) == sent


def test_a_stage_runs_elsewhere_and_its_lines_come_out_here(stage, tmp_path, heard) -> None:
    name = stage(
        'log.info("one"); log.warning("%d of %s", 2, "three"); log.debug("never")\n'
        '    (place / "pid").write_text(str(os.getpid())); log.info("end")'
    )
    with apart.started(name) as worker:
        for _ in range(2):
            worker.run(name, Settings(workspace=str(tmp_path)))
    assert heard == ["INFO one", "WARNING 2 of three", "INFO end"] * 2
    pid = int((tmp_path / "pid").read_text())
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


KNOWN = [kind for kind in vars(errors).values() if isinstance(kind, type)]


def test_a_known_error_is_itself(stage, tmp_path) -> None:
    parts = '"what", got="got", expected="more", next_step="next"'
    name = stage(f"raise getattr(errors, settings.name)({parts})")
    with apart.started(name) as worker:
        for kind in KNOWN:
            with pytest.raises(ChurnError) as raised:
                worker.run(name, Settings(workspace=str(tmp_path), name=kind.__name__))
            assert type(raised.value) is kind
            same = kind("what", got="got", expected="more", next_step="next")
            assert str(raised.value) == str(same)


def test_a_machine_that_fails_there_fails_here(stage, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        run(stage('(place / "none").read_text()'), tmp_path)
    with pytest.raises(MemoryError):
        run(stage("raise MemoryError"), tmp_path)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        run(stage("1 / 0"), tmp_path)


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", MachineError, "SIGKILL in `own_stage`"),
        ("os.kill(os.getpid(), signal.SIGTERM)", MachineError, "SIGTERM in `own_stage`"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", HeldBackError, "SIGSEGV in `own_stage`"),
        ("os.abort()", HeldBackError, "SIGABRT in `own_stage`, with model 0123456789ab"),
        ("os._exit(3)", HeldBackError, "exit code 3 in `own_stage`"),
    ],
)
def test_how_it_died_decides_who_must_look(stage, tmp_path, end: str, kind, words: str) -> None:
    bundle.point(tmp_path, "champion", {"version": "0123456789ab"})
    with pytest.raises(kind) as raised:
        run(stage(end), tmp_path)
    assert words in raised.value.got


def test_a_registered_text_that_aborts_lightgbm_is_a_model_to_look_at(stage, tmp_path) -> None:
    rows = backtest.mature(panels.panel())
    model = models.fit(rows, features=panels.FEATURES, recipe=Recipe(**panels.RECIPE))
    entry = bundle.save(
        tmp_path, model, features=panels.FEATURES, decisive={"churn": panels.churn()}, record={}
    )
    path = tmp_path / "models" / entry["version"] / bundle.BOOSTER
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    registered = {**entry["sha256"], bundle.BOOSTER: bundle.tables.sha256(path)}
    bundle.point(tmp_path, "champion", {**entry, "sha256": registered})
    with pytest.raises(HeldBackError, match="opens the model died") as raised:
        run(stage("bundle.load(place)"), tmp_path)
    assert entry["version"] in raised.value.got
    assert "promote.back=true" in raised.value.next_step


PARENT = """
import sys
from churn.io.weekly import apart
from churn.settings import Settings
{patch}
with apart.started("own_stage") as worker:
    worker.run("own_stage", Settings(workspace=sys.argv[1]))
"""
UNWATCHED = (
    "apart.CHILD = apart.CHILD.replace('from churn.io.weekly.apart import serve;',"
    " 'from churn.io.weekly import apart; apart._die_with = lambda parent: None; serve = apart.serve;')"
)
"""As where the kernel cannot be asked to kill a child with its parent."""


@pytest.mark.parametrize(
    ("how", "patch"),
    [(signal.SIGKILL, ""), (signal.SIGTERM, ""), (signal.SIGINT, ""), (signal.SIGKILL, UNWATCHED)],
)
def test_it_does_not_outlive_its_parent(stage, tmp_path, how: signal.Signals, patch: str) -> None:
    stage('(place / "pid").write_text(str(os.getpid()))\n    while True: time.sleep(0.01)')
    path = os.pathsep.join([str(tmp_path), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(patch=patch), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        pid = _awaited(tmp_path / "pid")
        parent.send_signal(how)
        parent.wait(20)
        _await_end(pid)
    finally:
        parent.kill()
        parent.wait()


def _awaited(path: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError("it never started")


def _await_end(pid: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it outlived its parent")
