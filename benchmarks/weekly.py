"""What one run of `churn weekly` costs on a log with a long history, step by step.

python benchmarks/weekly.py --events 10M: a log of so many events a year by a hundredth as many
customers; workspaces of one and of three years of history whose last list is published; then one more
week arrives (1/52 of a year's events) and the whole command runs: intake, gates, scores, reasons for
1,000 customers, publishing. Seconds of each step are the run's own (its gauges).

The limit is what nothing can do without: count the new week's events by customer, day and type, read
the days that scores look back on once, and LightGBM's `predict` on everybody.

What is prepared is kept in --folder: at 50 M events minutes of work and some GB of disk.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import synthetic
from engine import size
from measure import Cost, interleaved, machine, measured, median_ratio, note, show
from synthetic import END, Shape

AS_OF = END + timedelta(weeks=1)
LISTED = 1_000
LOOKBACK_DAYS = 182
PEAK_MB = 4_000
TEACHER = Shape(1_000_000)
"""The log that the champion is taught on: who scores does not care how much it was taught."""

STAGE = 'churn_last_run_stage_seconds{stage="'


class Bench:
    """Workspaces in `folder`; words that every command gets."""

    def __init__(self, folder: Path, *, threads: int, with_reasons: int) -> None:
        self.folder, self.threads = folder, threads
        self.words = ["churn=inactivity", f"engine.threads={threads}"]
        self.listed = with_reasons

    def churn(self, command: str, *words: str) -> Cost:
        return measured([sys.executable, "-m", "churn", command, *self.words, *words])

    def words_of(self, place: Path, events: str) -> list[str]:
        return [
            "source=files", f"source.events={events}", f"workspace={place}",
            "retain.capacity_share=0.000001", f"retain.capacity_min={self.listed}", "retain.holdout=0",
        ]  # fmt: skip

    def champion(self) -> Path:
        """A workspace with a model taught on a small log of the same product."""
        place = self.folder / f"weekly-teacher-{TEACHER.pool}"
        if not (place / "champion.json").exists():
            events = synthetic.linked(
                synthetic.log(self.folder, TEACHER), self.folder / f"log-{TEACHER.pool}-1"
            )
            words = self.words_of(place, events)
            for command in ("rollup", "features", "train"):
                note(f"  {command} of the teacher")
                more = ["backtest.rebuild_rows=0", "backtest.origins=1", "train.snapshots=4", f"as_of={END}"]  # fmt: skip
                self.churn(command, *words, *more)
            shutil.copy(place / "challenger.json", place / "champion.json")
        return place

    def prepared(self, shape: Shape) -> tuple[Path, list[str]]:
        """A workspace whose last list is that of `END`, and its words."""
        name = f"weekly-{shape.pool}-{shape.years}"
        files = synthetic.log(self.folder, shape)
        events = synthetic.linked(files, self.folder / f"log-{name}")
        place = self.folder / f"workspace-{name}"
        new = synthetic.week_file(self.folder, shape, 0)
        (Path(events).parent / new.name).unlink(missing_ok=True)
        words = self.words_of(place, events)
        if not (place / "published" / "CURRENT").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for kept in ("models", "champion.json", "backtest_reasons"):
                copy = shutil.copytree if (self.champion() / kept).is_dir() else shutil.copy
                copy(self.champion() / kept, place / kept)
            for as_of in (END - timedelta(weeks=1), END):
                note(f"  list of {as_of}, {shape}")
                self.churn("weekly", *words, f"as_of={as_of}")
        return place, words


def one_more_week(bench: Bench, shape: Shape) -> Cost:
    """The run of the week after, on a copy; `said` has its steps."""
    prepared, words = bench.prepared(shape)
    work = bench.folder / "workspace-weekly-work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(prepared, work, copy_function=_linked_if_never_changed)
    words = [word.replace(str(prepared), str(work)) for word in words]
    folder = bench.folder / f"log-weekly-{shape.pool}-{shape.years}"
    new = synthetic.week_file(bench.folder, shape, 0)
    synthetic.linked([new], folder)
    try:
        cost = bench.churn("weekly", *words, f"as_of={AS_OF}")
    finally:
        (folder / new.name).unlink()
    gauges = (work / "published" / "metrics.prom").read_text()
    steps = [line.removeprefix(STAGE).split('"} ') for line in gauges.splitlines() if STAGE in line]
    listed = work / "published" / str(AS_OF) / "r1"
    manifest = json.loads((listed / "manifest.json").read_text())
    said = {"steps": {name: float(s) for name, s in steps}, "counts": manifest["counts"]}
    return Cost(cost.cpu_s, cost.wall_s, cost.peak_mb, said)


def _linked_if_never_changed(source: str, target: str) -> None:
    """Parts of tables are never written again; everything else is copied."""
    (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)


def limit(bench: Bench, shape: Shape) -> Cost:
    """The bare scan and `predict`, in a process of its own."""
    place, _ = bench.prepared(shape)
    given = {
        "new": str(synthetic.week_file(bench.folder, shape, 0)), "place": str(place),
        "threads": bench.threads,
    }  # fmt: skip
    return measured([sys.executable, __file__, "--limit", json.dumps(given)])


def _limit(given: dict[str, Any]) -> dict[str, float]:
    import duckdb

    from churn.io import bundle, tables
    from churn.learning import columns

    place = Path(given["place"])
    champion = bundle.load(place)
    features = tables.read(place / "scored", made_by="score", part=END.isoformat())
    matrix = columns.matrix(champion.model.columns, features)
    days = [str(path) for path in tables.parts(place / "daily", made_by="rollup").values()]
    connection = duckdb.connect(config={"threads": given["threads"]})
    began, began_cpu = time.perf_counter(), time.process_time()
    connection.execute(
        "SELECT customer_id, CAST(ts AS DATE), event, COUNT(*), SUM(value) FROM read_parquet(?) "
        "GROUP BY ALL", [given["new"]],
    ).to_arrow_table()  # fmt: skip
    scanned = connection.execute(
        "SELECT customer_id, day, n, value_sum FROM read_parquet(?) WHERE day >= CAST(? AS DATE)",
        [days, str(AS_OF - timedelta(days=LOOKBACK_DAYS))],
    ).to_arrow_table()
    del scanned
    champion.model.booster.predict(matrix, num_threads=given["threads"])
    return {
        "work_s": time.process_time() - began_cpu, "work_wall_s": time.perf_counter() - began,
    }  # fmt: skip


def report(shapes: Sequence[Shape], costs: dict[str, list[Cost]]) -> None:
    """The table of steps, then the two ratios."""
    names = {shape: f"{shape.years} year{'s' if shape.years > 1 else ''}" for shape in shapes}
    steps = list(costs[names[shapes[-1]]][0].said["steps"])
    rows = []
    for shape in shapes:
        own = costs[names[shape]]
        wall = statistics.median(cost.wall_s for cost in own)
        found = {s: statistics.median(c.said["steps"].get(s, 0) for c in own) for s in steps}
        found["start, imports, rest"] = wall - sum(found.values())
        rows += [
            (names[shape], name, f"{seconds:.2f}", f"{seconds / wall:.0%}")
            for name, seconds in sorted(found.items(), key=lambda one: -one[1])
        ]
        counts = own[0].said["counts"]
        peak = max(cost.peak_mb for cost in own)
        cpu = statistics.median(cost.cpu_s for cost in own)
        rows.append((names[shape], "all", f"{wall:.2f} ({cpu:.2f} CPU)", f"peak {peak:,.0f} MB (target {PEAK_MB:,}); {counts['scored']:,} scored, {counts['listed']:,} listed"))  # fmt: skip
    show(["history", "step", "wall s", "share"], rows)
    first, last = names[shapes[0]], names[shapes[-1]]
    for what in ("cpu_s", "wall_s"):
        longer = median_ratio(*([getattr(c, what) for c in costs[name]] for name in (last, first)))
        key = {"cpu_s": "work_s", "wall_s": "work_wall_s"}[what]
        bare = [cost.said[key] for cost in costs["limit"]]
        against = median_ratio([getattr(c, what) for c in costs[last]], bare)
        print(f"\n{what}: {last} / {first} = {longer:.2f} (target 1.15); {last} / bare scan + predict ({statistics.median(bare):.2f} s) = {against:.1f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=size, default=size("1M"), help="of one year")
    parser.add_argument("--years", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--folder", type=Path, help="where logs and workspaces are kept")
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.limit:
        print(json.dumps(_limit(json.loads(asked.limit))))
        return
    note(machine())
    shapes = [Shape(asked.events, years=years) for years in asked.years]
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.folder or Path(scratch)).absolute()
        bench = Bench(folder, threads=asked.threads, with_reasons=asked.listed)
        for shape in shapes:
            bench.prepared(shape)
        tasks = {
            f"{shape.years} year{'s' if shape.years > 1 else ''}": (
                lambda shape=shape: one_more_week(bench, shape)
            )
            for shape in shapes
        } | {"limit": lambda: limit(bench, shapes[-1])}
        report(shapes, interleaved(tasks, repeats=asked.repeats))


if __name__ == "__main__":
    main()
