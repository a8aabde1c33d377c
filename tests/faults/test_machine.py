"""The machine fails: no room, no rights, no memory, or one call of many that goes wrong."""

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reader import Reader
from weeks import FIRST, SECOND, Ended, Prepared, Running, Trial

pytestmark = pytest.mark.xdist_group("faults")

STRACE = shutil.which("strace")
CALLS = {
    "mkdir": "EDQUOT",
    "rename": "EIO",
    "fsync": "EIO",
    "write": "ENOSPC",
    "sendfile": "ENOSPC",
    "unlinkat": "EIO",
}
"""What publishing asks of the system, and the error that it gets instead."""

NEVER_FAILS = ("unlinkat",)
"""What is left by a removal that fails goes with the next run: no reason to stop."""


@contextmanager
def watched(running: Running, *words: str, log: Path) -> Iterator[None]:
    """`strace` at a process that waits for it (`only_publish`), which then goes on."""
    command = [str(STRACE), "-qq", "-f", "-p", str(running.pid), "-o", str(log), *words]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_tracer(running.pid, tracer)
        running.go()
        yield
    finally:
        tracer.wait(timeout=60)
        assert tracer.stderr
        tracer.stderr.close()


def _wait_for_tracer(pid: int, tracer: "subprocess.Popen[str]") -> None:
    for _ in range(2000):
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        if not any(re.search(r"TracerPid:\s+0\b", (t / "status").read_text()) for t in tasks):
            return
        if tracer.poll() is not None:
            pytest.skip(f"strace cannot watch a process here: {tracer.communicate()[1]}")
        time.sleep(0.005)
    pytest.fail("strace did not come")


def publishing(trial: Trial, *words: str) -> tuple[Ended, Path]:
    """Weekly whose stages are done, watched by strace with `words`."""
    log = trial.folder / "calls"
    running = trial.start(only_publish=True)
    with watched(running, *words, log=log):
        ended = running.end()
    return ended, log


@pytest.fixture(scope="module")
def made(ready: Prepared) -> Trial:
    """Everything of `SECOND` is made, nothing of it published."""
    trial = ready.undisturbed.copy(ready.scratch / "made")
    shutil.rmtree(trial.published)
    shutil.copytree(ready.before.published, trial.published)
    return trial


@pytest.fixture(scope="module")
def counts(ready: Prepared, made: Trial) -> Counter[str]:
    """How often an undisturbed publishing makes each call."""
    if STRACE is None:
        pytest.skip("there is no strace")
    trial = made.copy(ready.scratch / "counted")
    ended, log = publishing(trial, "-e", f"trace={','.join(CALLS)}")
    ended.expected(0)
    assert trial.everything() == ready.bytes
    names = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", log.read_text(), re.MULTILINE)
    return Counter(name for name in names if name in CALLS)


def at(name: str, n: int, what: str) -> list[str]:
    return ["-e", f"trace={name}", "-e", f"inject={name}:{what}:when={n}"]


def killed_at(ready: Prepared, made: Trial, name: str, n: int) -> None:
    trial = made.copy(ready.scratch / "at")
    with Reader(trial.published) as reader:
        ended, _ = publishing(trial, *at(name, n, "signal=SIGKILL"))
    assert ended.code == -9, (name, n)
    assert reader.wrong == [], (name, n)
    assert set(reader.seen) <= {f"{FIRST}/r1", f"{SECOND}/r1"}
    run_again(ready, trial, (name, n))


def failed_at(ready: Prepared, made: Trial, name: str, n: int) -> bool:
    """Whether the failure was one that ends the run."""
    trial = made.copy(ready.scratch / "at")
    before = trial.current
    with Reader(trial.published) as reader:
        ended, _ = publishing(trial, *at(name, n, f"error={CALLS[name]}"))
    assert reader.wrong == [], (name, n)
    ended.expected(0, 1)
    if ended.code:
        assert "the machine failed: [Errno" in ended.said or "  next:  " in ended.said
        assert trial.current in (before, f"{SECOND}/r1")
    run_again(ready, trial, (name, n))
    return bool(ended.code)


def run_again(ready: Prepared, trial: Trial, where: object) -> None:
    running = trial.start(only_publish=True)
    running.go()
    running.end().expected(0)
    assert trial.everything() == ready.bytes, where
    assert trial.current == f"{SECOND}/r1"
    assert trial.strays() == [], where
    shutil.rmtree(trial.folder)


def test_publishing_killed_at_its_renames(ready: Prepared, made: Trial, counts: Counter) -> None:
    assert counts["rename"] >= 4  # manifest, revision, CURRENT, status, index
    for n in range(1, counts["rename"] + 1):
        killed_at(ready, made, "rename", n)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_publishing_killed_at_every_call(
    ready: Prepared, made: Trial, counts: Counter, name: str
) -> None:
    assert counts[name]
    for n in range(1, counts[name] + 1):
        killed_at(ready, made, name, n)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_publishing_may_fail(
    ready: Prepared, made: Trial, counts: Counter, name: str
) -> None:
    assert counts[name]
    ended = [failed_at(ready, made, name, n) for n in range(1, counts[name] + 1)]
    assert any(ended) or name in NEVER_FAILS
