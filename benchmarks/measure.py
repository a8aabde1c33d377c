"""What a process costs: CPU seconds, wall seconds and peak memory of it and all its children."""

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """Of one process with its children: CPU and wall seconds, peak resident memory in MB.

    `said` is the JSON that the process printed last, such as the CPU seconds of the work alone.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    said: Mapping[str, Any] = field(default_factory=dict)


def measured(command: Sequence[str], *, cwd: Path = ROOT) -> Cost:
    """Run `command` and wait. Exits with its message when it fails.

    Memory is polled from /proc: the kernel's `ru_maxrss` starts at the parent's size, and knows
    the biggest process only, not their sum.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_WAIT_POLICY": "passive"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    texts = ["", ""]
    reader = threading.Thread(target=lambda: texts.__setitem__(1, process.stderr.read()))
    reader.start()
    texts[0] = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    reader.join()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nfailed: {texts[1][-3000:]}")
    last = texts[0].strip().splitlines()[-1:] or ["{}"]
    said = json.loads(last[0]) if last[0].startswith("{") else {}
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak[0], said)


def python(script: str, *words: str, executable: str = sys.executable) -> list[str]:
    """The command that runs a script of this folder."""
    return [str(executable), str(Path(__file__).parent / script), *words]


def interleaved(tasks: Mapping[str, Callable[[], Cost]], *, repeats: int) -> dict[str, list[Cost]]:
    """Every task once, then again: what else the machine does meets all of them alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in tasks}
    for turn in range(repeats):
        for name, task in tasks.items():
            cost = task()
            costs[name].append(cost)
            note(
                f"  {turn + 1}/{repeats} {name}: {cost.cpu_s:.2f} CPU s, {cost.wall_s:.2f} s, "
                f"{cost.peak_mb:,.0f} MB {dict(cost.said)}"
            )
    return costs


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the ratios of each turn."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def median(costs: Sequence[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, each row as soon as it is known: what was measured is not lost."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def machine() -> str:
    """What the figures were measured on."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("duckdb", "sqlglot", "pyarrow", "pandas", "numpy", "lightgbm")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} processors, {gib:.0f} GiB, Python {platform.python_version()}, {versions}"


def note(text: str) -> None:
    """Progress goes to the error stream: the output is the table."""
    print(text, file=sys.stderr, flush=True)


def _watch(pid: int, peak: list[float]) -> None:
    """Follow the tree below `pid` until it ends; `peak[0]` is its greatest size in MB."""
    while True:
        sizes = [_sizes_mb(member) for member in _tree(pid)]
        if not sizes or not any(now for now, _ in sizes):
            return
        together, greatest = sum(now for now, _ in sizes), max(high for _, high in sizes)
        peak[0] = max(peak[0], together, greatest)
        time.sleep(POLL_SECONDS)


def _tree(pid: int) -> list[int]:
    members, found = [pid], []
    while members:
        member = members.pop()
        found.append(member)
        for place in _children_of_tasks(member):
            try:
                members += [int(child) for child in place.read_text().split()]
            except OSError:
                continue
    return found


def _children_of_tasks(pid: int) -> list[Path]:
    """Where the kernel lists them; none of a process that has ended."""
    try:
        return list(Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return []


def _sizes_mb(pid: int) -> tuple[float, float]:
    """Resident memory of one process now and at its highest; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: line for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    kb = [int(sizes[name].split()[1]) if name in sizes else 0 for name in ("VmRSS", "VmHWM")]
    return kb[0] * 1024 / 1e6, kb[1] * 1024 / 1e6
