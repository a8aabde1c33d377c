"""The machine fails: no room, no rights, no memory, or one call of many that goes wrong."""

import os
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
    "rmdir": "EIO",
}
"""What publishing asks of the system, and the error that it gets instead."""

NEVER_FAILS = ("rmdir",)
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


def publishing(ready: Prepared, trial: Trial, *words: str) -> tuple[Ended, Path]:
    """Weekly whose stages are done, watched by strace with `words`."""
    log = trial.folder / "calls"
    running = trial.start(gates=ready.gates)
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
    ended, log = publishing(ready, trial, "-e", f"trace={','.join(CALLS)}")
    ended.expected(0)
    assert trial.everything() == ready.bytes
    names = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", log.read_text(), re.MULTILINE)
    return Counter(name for name in names if name in CALLS)


def at(name: str, n: int, what: str) -> list[str]:
    return ["-e", f"trace={name}", "-e", f"inject={name}:{what}:when={n}"]


def killed_at(ready: Prepared, made: Trial, name: str, n: int) -> None:
    trial = made.copy(ready.scratch / f"at-{name}-{n}")
    with Reader(trial.published) as reader:
        ended, _ = publishing(ready, trial, *at(name, n, "signal=SIGKILL"))
    assert ended.code == -9, (name, n)
    assert reader.wrong == [], (name, n)
    assert set(reader.seen) <= {f"{FIRST}/r1", f"{SECOND}/r1"}
    run_again(ready, trial, (name, n))


def failed_at(ready: Prepared, made: Trial, name: str, n: int) -> bool:
    """Whether the failure was one that ends the run."""
    trial = made.copy(ready.scratch / f"at-{name}-{n}")
    before = trial.current
    with Reader(trial.published) as reader:
        ended, _ = publishing(ready, trial, *at(name, n, f"error={CALLS[name]}"))
    assert reader.wrong == [], (name, n)
    ended.expected(0, 1, 6)
    if ended.code:
        assert "the machine failed: [Errno" in ended.said or "  next:  " in ended.said
        assert trial.current == (before if ended.code == 1 else f"{SECOND}/r1")
    run_again(ready, trial, (name, n))
    return bool(ended.code)


def run_again(ready: Prepared, trial: Trial, where: object) -> None:
    running = trial.start(gates=ready.gates)
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


@contextmanager
def small_disk(ready: Prepared, *, room: int) -> Iterator[Trial]:
    """A trial on a file system of its own with `room` bytes left."""
    folder = ready.scratch / "disk"
    folder.mkdir(parents=True, exist_ok=True)
    source = ready.before.folder
    used = sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in source.rglob("*"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + room}", "tmpfs", str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr}")
    try:
        shutil.copytree(source, folder / "trial")
        yield Trial(folder / "trial", ready.before.forks, ready.before.base)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remounted(ready: Prepared, options: str) -> None:
    words = ["mount", "-o", f"remount,{options}", str(ready.scratch / "disk")]
    subprocess.run(words, check=True)


def failed_cleanly(trial: Trial, ended: Ended) -> None:
    """Exit 1 with words, and a reader has last week's list as it was; or exit 6, and the new one is
    out, whole, when room ran out for what is told of it."""
    ended.expected(1, 6)
    assert "the machine failed" in ended.said or "  next:  " in ended.said
    assert trial.current == (f"{FIRST}/r1" if ended.code == 1 else f"{SECOND}/r1")
    assert next(iter(trial.everything())) == f"{FIRST}/r1"


def as_if_nothing_had_been(ready: Prepared, trial: Trial, **changes: object) -> None:
    trial.run(**changes).expected(0)
    assert trial.everything() == ready.bytes
    assert trial.strays() == []


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_stage(ready: Prepared) -> None:
    n_failed = 0
    for room in (20_000, 300_000, 600_000, 900_000):
        with small_disk(ready, room=room) as trial, Reader(trial.published) as reader:
            ended = trial.run()
            if ended.code:
                failed_cleanly(trial, ended)
                n_failed += 1
            remounted(ready, "size=200m")
            as_if_nothing_had_been(ready, trial)
            assert reader.wrong == [], room
    assert n_failed >= 2


@pytest.mark.slow
def test_a_place_that_cannot_be_written(ready: Prepared) -> None:
    with small_disk(ready, room=50_000_000) as trial:
        path = trial.params()
        remounted(ready, "ro")
        failed_cleanly(trial, trial.run())
        assert path.exists()
        remounted(ready, "rw")
        as_if_nothing_had_been(ready, trial)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000, 8_000, 30_000])
def test_a_limit_on_the_size_of_files(ready: Prepared, size: int) -> None:
    trial = ready.trial("limited")
    ended = trial.start(limits={"RLIMIT_FSIZE": size}).end()
    failed_cleanly(trial, ended)
    as_if_nothing_had_been(ready, trial)


CGROUPS = Path("/sys/fs/cgroup/memory")


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [120, 200, 260])
def test_a_memory_limit_kills_the_run_and_nothing_else(ready: Prepared, megabytes: int) -> None:
    group = CGROUPS / f"churn-faults-{os.getpid()}-{megabytes}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(megabytes << 20))
    except OSError as error:
        pytest.skip(f"no cgroup of memory can be made here: {error}")
    trial = ready.trial("starved")
    join = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    try:
        with Reader(trial.published) as reader:
            ended = trial.process(before=join)
        assert reader.wrong == []
        assert ended.code in (-9, 0, 1), ended.said
        if ended.code:
            assert trial.current == f"{FIRST}/r1"
    finally:
        _emptied(group)
    as_if_nothing_had_been(ready, trial)


def _emptied(group: Path) -> None:
    """Remove a group once its last process is gone: that of the models dies just after its parent."""
    until = time.monotonic() + 20
    while (group / "cgroup.procs").read_text() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)
    group.rmdir()


@pytest.mark.slow
def test_a_limit_on_the_memory_of_the_engine_is_a_failure_of_the_machine(ready: Prepared) -> None:
    trial = ready.trial("narrow")
    ended = trial.run(engine__memory_limit="1KB")
    ended.expected(0, 1)  # what it needs at least is given to it, see `duck.SMALLEST`
    as_if_nothing_had_been(ready, trial)
