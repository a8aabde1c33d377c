"""The standard 40 on other libraries: the same cells, and what they cost.

    python benchmarks/peers.py [--events 1M 10M] [--repeats 3] [--only NAME ...] [--folder DIR]

Prints one Markdown table: CPU, wall and memory of each peer, its CPU as a multiple of ours (roll-up
and features together, same turn), and the share of cells that equal ours. Peers run in virtual
environments of their own, made on demand in the folder by `python -m venv` and pip, so that this
project depends on none of them; Featuretools needs an older pandas and runs at 1 M events or fewer.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from engine import MILLION, THREADS, Bench, size
from measure import Cost, interleaved, machine, measured, median, median_ratio, note, python, show
from synthetic import EVENT_TYPES, Shape

COLUMNS = (
    "who", "events", "CPU s", "wall s", "peak MB", "CPU, × ours", "to reach", "equal cells", "with",
)  # fmt: skip
OUTCOMES = ["label", "label_mature", "left_after_days", "known_days", "is_involuntary"]
NEWEST = ("pandas>=3,<4", "polars>=2,<3", "pyarrow>=25")
OLDER = ("featuretools==1.31.0", "pandas<2.2", "numpy<2", "scipy<1.14", "pyarrow<18")


@dataclass(frozen=True)
class Peer:
    """A function of a script, the packages it needs, and the ratio to reach."""

    task: str
    needs: Sequence[str]
    target: str
    most_events: int = 1000 * MILLION
    script: str = "peer_tasks.py"


PEERS = {
    "pandas": Peer("pandas_groupby", NEWEST, "2.3 ×"),
    "polars, straight": Peer("polars_naive", NEWEST, "2.5 ×"),
    "polars, our plan": Peer("polars_our_plan", NEWEST, "1 ×"),
    "featuretools": Peer("featuretools_dfs", OLDER, "13 ×", MILLION, "peer_featuretools.py"),
}


def compared(bench: Bench, events: int, names: Sequence[str]) -> list[list[object]]:
    """Ours and every peer on one log, turn by turn; one row of the table each."""
    given = bench.given(Shape(events), set="standard_40")
    bench.task("both", given)()
    ours = Path(str(given["workspace"])) / "panel"
    question = _question(bench.folder, str(given["events"]), ours)
    tasks = {"ours": bench.task("both", given)}
    for name in names:
        if events <= PEERS[name].most_events:
            tasks[name] = _task(bench.folder, PEERS[name], question)
    costs = interleaved(tasks, repeats=bench.repeats)
    total = [cost.cpu_s for cost in costs["ours"]]
    rows: list[list[object]] = [
        ["ours", f"{events / MILLION:g} M", *_figures(costs["ours"]), "1 ×", "", "",
         f"duckdb, python {sys.version.split()[0]}"]
    ]  # fmt: skip
    for name in list(tasks)[1:]:
        own = costs[name]
        ratio = median_ratio([cost.cpu_s for cost in own], total)
        cells = equal_cells(ours, bench.folder / f"{PEERS[name].task}.parquet")
        rows.append(
            [name, f"{events / MILLION:g} M", *_figures(own), f"{ratio:.2f} ×",
             PEERS[name].target, cells, own[-1].said["versions"]]
        )  # fmt: skip
    return rows


def _figures(costs: Sequence[Cost]) -> list[str]:
    """CPU and wall seconds, and megabytes."""
    what = {"cpu_s": ",.1f", "wall_s": ",.1f", "peak_mb": ",.0f"}
    return [format(median(costs, name), shown) for name, shown in what.items()]


def _question(folder: Path, events: str, ours: Path) -> dict[str, object]:
    """What the peers are told: snapshots, the commonest event types, whom our panel lists."""
    panel = pq.read_table(ours, columns=["snapshot", "customer_id"])
    pq.write_table(panel, folder / "pairs.parquet")
    names = pq.read_schema(min(ours.glob("*.parquet"))).names
    chosen = [event for event in EVENT_TYPES if f"n_events_{event}_28d" in names]
    snapshots = sorted({str(day) for day in panel["snapshot"].unique().to_pylist()})
    return {
        "events": events,
        "event_types": chosen,
        "all_event_types": list(EVENT_TYPES),
        "snapshots": snapshots,
        "pairs": str(folder / "pairs.parquet"),
    }


def _task(folder: Path, peer: Peer, question: dict[str, object]) -> Callable[[], Cost]:
    """A run of the peer in its environment, with as many threads as ours."""
    executable = environment(folder, peer.needs)
    given = json.dumps({**question, "out": str(folder / f"{peer.task}.parquet")})
    command = python(peer.script, peer.task, given, executable=str(executable))
    threads = [f"{name}={THREADS}" for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS")]
    return lambda: measured(["/usr/bin/env", "-u", "PYTHONPATH", *threads, *command])


def environment(folder: Path, needs: Sequence[str]) -> Path:
    """The Python of a virtual environment with `needs`, made if it is absent."""
    place = folder / f"venv-{needs[0].split('=')[0].rstrip('>')}"
    done = place / "complete"
    if not done.exists():
        note(f"making {place}: {', '.join(needs)}")
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", *needs], check=True)
        done.touch()
    return place / "bin" / "python"


def equal_cells(ours: Path, theirs: Path) -> str:
    """The share of cells of our panel that a peer has alike (a billionth apart at most), and which
    columns differ; a row that it lacks differs in all its cells."""
    keys = ["snapshot", "customer_id"]
    expected = _keyed(pd.read_parquet(ours).drop(columns=OUTCOMES), keys)
    found = _keyed(pd.read_parquet(theirs), keys)
    extra = len(found.index.difference(expected.index))
    found = found.reindex(index=expected.index)
    missing = [name for name in expected.columns if name not in found.columns]
    shares = {}
    for name in expected.columns:
        if name not in missing:
            own, other = (frame[name].astype("float64").to_numpy() for frame in (expected, found))
            shares[name] = float(
                np.isclose(own, other, rtol=1e-9, atol=1e-9, equal_nan=True).mean()
            )
    share = sum(shares.values()) / len(expected.columns)
    differing = [f"{name} {part:.1%}" for name, part in shares.items() if part < 1]
    words = [f"{share:.3%}", *(f"without {name}" for name in missing), *differing]
    return ", ".join([*words, *([f"{extra} rows more"] if extra else [])])


def _keyed(panel: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    panel = panel.assign(
        snapshot=pd.to_datetime(panel["snapshot"]).astype("datetime64[s]"),
        customer_id=panel["customer_id"].astype("str"),
    )
    return panel.set_index(keys).sort_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", nargs="+", type=size, default=[size("1M"), size("10M")])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--folder", type=Path, help="where logs and environments are kept")
    asked = parser.parse_args()
    note(machine())
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench((asked.folder or Path(scratch)).absolute(), asked.repeats)
        show(COLUMNS, (r for events in asked.events for r in compared(bench, events, asked.only)))


if __name__ == "__main__":
    main()
