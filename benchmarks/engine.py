"""The feature engine against the least that any engine must do: CPU, wall and memory.

    python benchmarks/engine.py [--events 1M 10M] [--repeats 3] [--only NAME ...] [--folder DIR]

Prints one Markdown table. `limit` is DuckDB counting each customer's events per day and type; our
figures are quoted as multiples of it, from the same turn of the same run. Names for `--only`:

- panel: roll-up, then 9 snapshots of the standard 40 (conf/features/standard_40.yaml) and, up to
  10 M events, of the full default set
- late: the same standard 40 with 5 % of the rows loaded 1 to 14 days late
- command: `churn rollup` and `churn features` as commands, with Python's start, imports and Hydra
- weekly: one more week on one, two and three years of history, with the features of one snapshot
- memory: the standard 40 of 50 M events with engine.memory_limit=1GB
- large: 200 M events of 2 M customers
- score: a million customers from panel to calibrated risk, against LightGBM's own predict

Everything measured is a process of its own; "roll-up + …" is one process that does both, as
`churn run` does. Its CPU includes Python's start and the imports that the stages need;
the column "work" leaves them out. Ratios use the whole process on both sides.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import synthetic
from measure import Cost, interleaved, machine, measured, median, median_ratio, note, python, show
from synthetic import END, Shape

THREADS = 2
MILLION = 1_000_000
MOST_FOR_FULL_SET = 10 * MILLION
COLUMNS = ("what", "events", "CPU s", "of it work", "wall s", "peak MB", "ratio", "to reach")


@dataclass(frozen=True)
class Bench:
    """Where logs and workspaces are kept, and how often each thing is measured."""

    folder: Path
    repeats: int

    def log(self, shape: Shape, *, more_weeks: int = 0, name: str = "") -> str:
        """The glob of the log's files, written if they are absent."""
        note(f"log {shape}")
        files = synthetic.log(self.folder, shape, more_weeks=more_weeks)
        return synthetic.linked(files, self.folder / f"log-{shape.pool}-{shape.years}{name}")

    def task(self, name: str, given: Mapping[str, object], **more: object) -> Callable[[], Cost]:
        """A run of `tasks.py`; a roll-up starts from nothing."""
        everything = {"threads": THREADS, "as_of": END.isoformat(), **given, **more}

        def run() -> Cost:
            if name in ("rollup", "both"):
                shutil.rmtree(str(given["workspace"]), ignore_errors=True)
            return measured(python("tasks.py", name, json.dumps(everything)))

        return run

    def given(self, shape: Shape, **more: object) -> dict[str, object]:
        workspace = self.folder / f"workspace-{shape.pool}"
        return {"events": self.log(shape), "workspace": str(workspace), **more}


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is said in words because it differs what it is a ratio of."""

    what: str
    events: int
    costs: Sequence[Cost] = field(default_factory=list)
    ratio: str = ""
    target: str = ""

    def cells(self) -> list[str]:
        work = [cost.said["work_s"] for cost in self.costs if "work_s" in cost.said]
        return [
            self.what,
            f"{self.events / MILLION:g} M",
            f"{median(self.costs, 'cpu_s'):,.1f}",
            f"{statistics.median(work):,.1f}" if work else "",
            f"{median(self.costs, 'wall_s'):,.1f}",
            f"{median(self.costs, 'peak_mb'):,.0f}",
            self.ratio,
            self.target,
        ]


def panel(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """The limit, roll-up, standard 40 and full set, of logs without late rows."""
    return [row for events in sizes for row in _panel(bench, Shape(events), "")]


def late(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """The same with 5 % late rows, and of the standard 40 only."""
    shapes = [Shape(events, late_share=0.05) for events in sizes]
    return [row for shape in shapes for row in _panel(bench, shape, ", 5 % late")]


def _panel(bench: Bench, shape: Shape, words: str) -> list[Row]:
    given = bench.given(shape)
    tasks = {
        "limit": bench.task("limit", given),
        "roll-up": bench.task("rollup", given),
        "standard 40": bench.task("features", given, set="standard_40"),
        "roll-up + standard 40": bench.task("both", given, set="standard_40"),
    }
    if shape.events <= MOST_FOR_FULL_SET and shape.late_share is None:
        tasks["roll-up + full set"] = bench.task("both", given)
    costs = interleaved(tasks, repeats=bench.repeats)
    return [
        Row(
            f"{name}{words}", shape.events, costs[name], _times(costs[name], costs["limit"]),
            _target(name, shape),
        )
        for name in tasks
    ]  # fmt: skip


def _target(name: str, shape: Shape) -> str:
    """What is to be reached, as a multiple of the limit."""
    if not name.startswith("roll-up + "):
        return ""
    if name.endswith("full set"):
        return "6 ×" if shape.events == 10 * MILLION else ""
    if shape.late_share:
        return "3.3 ×" if shape.events == 10 * MILLION else ""
    return {10 * MILLION: "2.2 ×", 50 * MILLION: "2.6 ×"}.get(shape.events, "")


def command(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """The two commands as a person types them."""
    rows = []
    for events in sizes:
        given = bench.given(Shape(events))
        workspace = str(given["workspace"])
        words = [
            "source=files", f"source.events={given['events']}", f"workspace={workspace}",
            f"engine.threads={THREADS}", f"as_of={END}", "churn.active_days=84",
            "train.snapshots=8", "train.step_days=28",
        ]  # fmt: skip

        def rollup(words: list[str] = words, workspace: str = workspace) -> Cost:
            shutil.rmtree(workspace, ignore_errors=True)
            return measured([*_CHURN, "rollup", *words])

        def features(words: list[str] = words) -> Cost:
            return measured([*_CHURN, "features", "features=standard_40", *words])

        tasks = {
            "limit": bench.task("limit", given),
            "`churn rollup`": rollup,
            "`churn features`, standard 40": features,
        }
        costs = interleaved(tasks, repeats=bench.repeats)
        rows += [
            Row(name, events, costs[name], _times(costs[name], costs["limit"]))
            for name in list(tasks)[1:]
        ]
    return rows


_CHURN = [python("")[0], "-m", "churn"]


def weekly(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """One more week and one snapshot, on workspaces of one, two and three years."""
    rows = []
    for events in sizes:
        limit = bench.given(Shape(events))
        shapes = {_years(years): Shape(events, years=years) for years in (1, 2, 3)}
        for shape in shapes.values():  # all before one is read: another link to a file changes it
            bench.log(shape, name="-weekly")
        tasks = {"limit": bench.task("limit", limit)} | {
            name: _one_more_week(bench, shape) for name, shape in shapes.items()
        }
        costs = interleaved(tasks, repeats=bench.repeats)
        one_year = costs[_years(1)]
        for years in (1, 2, 3):
            own = costs[_years(years)]
            against_limit = _times(own, costs["limit"], "wall_s") + " limit (wall)"
            against_one = (
                _times(own, one_year) + " one year (CPU), " + _times(own, one_year, "wall_s")
            )
            rows.append(
                Row(
                    f"one more week + one snapshot, {_years(years)}",
                    events,
                    own,
                    against_limit + ("" if years == 1 else f"; {against_one} (wall)"),
                    ".35 ×" if years == 1 else "1.15 × one year" if years == 3 else "",
                )
            )
    return rows


def _years(years: int) -> str:
    return f"{years} year{'s' if years > 1 else ''} of history"


def _one_more_week(bench: Bench, shape: Shape) -> Callable[[], Cost]:
    """Runs on a copy of a workspace that knows the log but for its last week."""
    glob = bench.log(shape, name="-weekly")
    prepared = bench.folder / f"prepared-{shape.pool}-{shape.years}"
    shutil.rmtree(prepared, ignore_errors=True)
    given = {"events": glob, "workspace": str(prepared), "set": "standard_40", "snapshots": 1}
    new = synthetic.week_file(bench.folder, shape, 0)
    delivered = Path(glob).parent / new.name
    delivered.unlink(missing_ok=True)
    for name in ("rollup", "features"):
        bench.task(name, given)()

    def run() -> Cost:
        work = bench.folder / "workspace-weekly"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(prepared, work)
        synthetic.linked([new], delivered.parent)
        as_of = (END + timedelta(weeks=1)).isoformat()
        try:
            return bench.task("weekly", given, workspace=str(work), as_of=as_of)()
        finally:
            delivered.unlink()

    return run


def memory(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """The biggest log asked for, up to 50 M events, in 1 GB."""
    events = min(50 * MILLION, max(sizes))
    given = bench.given(Shape(events), memory_limit="1GB", spill=str(bench.folder / "spill"))
    tasks = {
        "limit": bench.task("limit", given),
        "roll-up + standard 40": bench.task("both", given, set="standard_40"),
    }
    costs = interleaved(tasks, repeats=bench.repeats)
    target = "1,200 MB" if events == 50 * MILLION else ""
    ours = costs["roll-up + standard 40"]
    return [Row("roll-up + standard 40, 1 GB", events, ours, _times(ours, costs["limit"]), target)]


def large(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """The biggest log asked for against 10 M events: CPU per event. Once, for it takes long."""
    found = {}
    for events in (10 * MILLION, max(sizes)):
        given = bench.given(Shape(events), spill=str(bench.folder / "spill"))
        found[events] = bench.task("both", given, set="standard_40")()
    small, big = found[10 * MILLION], found[max(sizes)]
    ratio = big.cpu_s / max(sizes) / (small.cpu_s / (10 * MILLION))
    words = f"{ratio:.2f} × per event of 10 M"
    name = "roll-up + standard 40, once"
    return [
        Row(name, 10 * MILLION, [small]),
        Row(name, max(sizes), [big], words, "8,000 MB, 1.3 ×"),
    ]


def score(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """A million customers, features of the full set, from a log of the smallest size asked for."""
    given = bench.given(Shape(min(sizes)), rows=MILLION)
    for name in ("rollup", "features", "fit"):
        note(f"  {name}")
        bench.task(name, given)()
    tasks = {
        "LightGBM predict alone": bench.task("predict", given),
        "score, trees only": bench.task("score", given, member="lightgbm"),
        "score, default blend": bench.task("score", given),
        "score, with the risks of four horizons": bench.task("score", given, when=True),
    }
    costs = interleaved(tasks, repeats=bench.repeats)
    work = {name: [_work(cost) for cost in costs[name]] for name in tasks}
    return [
        Row(
            f"{name}, 1 M customers",
            min(sizes),
            costs[name],
            _times(work[name], work["LightGBM predict alone"]) + " predict (work)",
            "1.6 ×" if name in ("score, trees only", "score, default blend") else "",
        )
        for name in tasks
    ]


def _work(cost: Cost) -> Cost:
    """What was worked, without the loading of a panel of a million rows, which both sides do."""
    return replace(cost, cpu_s=cost.said["work_s"], wall_s=cost.said["work_wall_s"])


def _times(above: Sequence[Cost], below: Sequence[Cost], what: str = "cpu_s") -> str:
    """The median ratio in words."""
    ratio = median_ratio([getattr(c, what) for c in above], [getattr(c, what) for c in below])
    return f"{ratio:.2f} ×"


MEASURES = {
    measure.__name__: measure for measure in (panel, late, command, weekly, memory, large, score)
}
BIG = ("memory", "large")
"""Measured only when asked for by name: minutes, and gigabytes of disk."""


def size(text: str) -> int:
    """A number of events.

    >>> size("10M")
    10000000
    """
    return round(float(text.removesuffix("M")) * (MILLION if text.endswith("M") else 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", nargs="+", type=size, default=[size("1M"), size("10M")])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(MEASURES))
    parser.add_argument("--folder", type=Path, help="where logs are kept; default: a temporary one")
    asked = parser.parse_args()
    note(machine())
    chosen = asked.only or [name for name in MEASURES if name not in BIG]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench((asked.folder or Path(scratch)).absolute(), asked.repeats)
        rows = (row for name in chosen for row in MEASURES[name](bench, asked.events))
        show(COLUMNS, (row.cells() for row in rows))


if __name__ == "__main__":
    main()
