"""What the gates of the weekly job hold back: ordinary weeks, and weeks in which something broke.

    python benchmarks/gates.py --customers 2000 --weeks 16 --seeds 1 2

For each seed a world of the simulator is learnt from once; then `churn weekly` publishes every week
that follows (a gate that holds one of them back is a false alarm, overruled to go on), and the last
week is run again on copies in which one thing broke. Prints a table: what broke, how the run ended,
which gate spoke first.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WORDS = ["train.snapshots=8", "train.n_folds=3", "train.lightgbm.n_rounds=100", "engine.threads=1",
         "backtest.rebuild_rows=0"]  # fmt: skip


def churn(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "churn", *words], capture_output=True, text=True)
    return done.returncode, done.stderr


def newest(place: Path) -> Path:
    return max((place / "demo" / "events").glob("*.parquet"))


def changed(place: Path, change: Callable[[pa.Table, pa.Array, pa.Array], pa.Table]) -> None:
    """Rewrite the last months of the log; `change` gets the rows, and which lie in the last week and
    in the last day."""
    paths = sorted((place / "demo" / "events").glob("*.parquet"))[-2:]
    last = max(pc.max(pq.read_table(path, columns=["ts"])["ts"]).as_py() for path in paths)
    end = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    for path in paths:
        rows = pq.read_table(path)
        week, day = (pc.greater_equal(rows["ts"], end - timedelta(days=n)) for n in (7, 1))
        pq.write_table(change(rows, week, day), path)


def without(rows: pa.Table, lost: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(lost))


def some(rows: pa.Table, share: float) -> pa.Array:
    """A share of the customers, the same ones everywhere."""
    return pa.array([hash_of(one) % 1000 < 1000 * share for one in rows["customer_id"].to_pylist()])


def hash_of(text: str) -> int:
    return sum(ord(sign) * 31**place for place, sign in enumerate(text))


def replaced(rows: pa.Table, name: str, where: pa.Array, by: pa.Array) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(name), pc.if_else(where, by, rows[name]))


def table_of(place: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = place / "demo" / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def doubled(rows: pa.Table, week: pa.Array, day: pa.Array) -> pa.Table:
    again = rows.filter(week)
    if "event_id" in again.schema.names:
        ids = pc.binary_join_element_wise(again["event_id"], "again", "-")
        again = again.set_column(again.schema.get_field_index("event_id"), "event_id", ids)
    return pa.concat_tables([rows, again.cast(rows.schema)])


FAULTS: dict[str, Callable[[Path], None]] = {
    "the last day is missing": lambda place: changed(
        place, lambda rows, week, day: without(rows, day)
    ),
    "the last day is cut at six in the morning": lambda place: changed(
        place, lambda rows, week, day: without(rows, pc.and_(day, pc.greater(pc.hour(rows["ts"]), 5)))
    ),
    "60 % of the customers are missing for a week": lambda place: changed(
        place, lambda rows, week, day: without(rows, pc.and_(week, some(rows, 0.6)))
    ),
    "30 % of the customers are missing for a week": lambda place: changed(
        place, lambda rows, week, day: without(rows, pc.and_(week, some(rows, 0.3)))
    ),
    "the commonest event type stopped": lambda place: changed(
        place, lambda rows, week, day: without(rows, pc.and_(week, pc.equal(rows["event"], common(rows))))
    ),
    "the week was delivered twice under new ids": lambda place: changed(place, doubled),
    "values came in cents": lambda place: changed(
        place, lambda rows, week, day: replaced(rows, "value", week, pc.multiply(rows["value"], 100.0))
    ),
    "nobody's user_id was logged": lambda place: changed(
        place, lambda rows, week, day: replaced(
            rows, "user_id", week, pa.nulls(len(rows), rows.schema.field("user_id").type))
    ),
    "ids of all customers got a prefix": lambda place: changed(
        place, lambda rows, week, day: replaced(
            rows, "customer_id", week, pc.binary_join_element_wise("X", rows["customer_id"], ""))
    ),
    "a fifth of the subscriptions was not exported": lambda place: table_of(
        place, "subscriptions", lambda rows: rows.filter(pc.invert(some(rows, 0.2)))
    ),
    "the customers table came empty but for its head": lambda place: table_of(
        place, "customers", lambda rows: rows.slice(0, 0)
    ),
    "subscriptions stand still for eight weeks": lambda place: table_of(
        place, "subscriptions", lambda rows: rows.filter(old(rows, "start_date", 56))
    ),
    "clocks went back by five hours": lambda place: changed(
        place, lambda rows, week, day: replaced(
            rows, "ts", week, pc.subtract(rows["ts"], pa.scalar(timedelta(hours=5))))
    ),
}  # fmt: skip


def common(rows: pa.Table) -> str:
    counts = pc.value_counts(rows["event"]).to_pylist()
    return str(max(counts, key=lambda one: one["counts"])["values"])


def old(rows: pa.Table, column: str, days: int) -> pa.Array:
    last = pc.max(rows[column]).as_py()
    return pc.less(rows[column], last - timedelta(days=days))


def ordinary(place: Path, days: list[date]) -> list[str]:
    """Publish each of `days`; what was held back, by gate."""
    held = []
    for day in days:
        accept: list[str] = []
        while True:
            code, said = churn("weekly", f"workspace={place}", *WORDS, f"as_of={day}",
                               f"weekly.accept=[{','.join(accept)}]")  # fmt: skip
            stop = re.search(r"weekly\.accept=\[([a-z_,]+)\]", said)
            if code == 0 or stop is None:
                break
            held += [f"{day} {said.strip().splitlines()[-4].strip()}"]
            accept = stop[1].split(",")
        if code:
            raise SystemExit(said)
    return held


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--weeks", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory(prefix="churn-gates-") as folder:
            one_world(Path(folder), seed, asked.customers, asked.weeks, asked.only)


def one_world(folder: Path, seed: int, customers: int, n_weeks: int, only: str) -> None:
    place = folder / "world"
    world = [f"source.world.n_customers={customers}", f"seed={seed}"]
    code, said = churn("simulate", f"workspace={place}", *world)
    assert code == 0, said
    last = pc.max(pq.read_table(newest(place), columns=["ts"])["ts"]).as_py().date()
    end = last + timedelta(days=1)
    days = [end - timedelta(days=7 * back) for back in reversed(range(n_weeks))]
    code, said = churn(
        "run", f"workspace={place}", *WORDS, *world, f"as_of={days[0] - timedelta(days=7)}"
    )
    assert code == 0, said
    held = ordinary(place, days[:-1])
    print(
        f"world {seed}, {customers:,} customers: {len(held)} of {n_weeks - 1} ordinary weeks held back"
    )
    for line in held:
        print(f"  {line}")
    print(
        f"\n| {'what broke in the last week':<50} | exit | first words |\n|{'-' * 52}|------|---|"
    )
    for name, fault in {"nothing": lambda place: None, **FAULTS}.items():
        if only not in name:
            continue
        copy = folder / "copy"
        shutil.copytree(place, copy, symlinks=True)
        fault(copy)
        code, said = churn("weekly", f"workspace={copy}", *WORDS, f"as_of={days[-1]}")
        words = [line for line in said.strip().splitlines() if line and not line.startswith(" ")]
        print(f"| {name:<50} | {code:>4} | {words[-1][:150]} |", flush=True)
        shutil.rmtree(copy)
    print()


if __name__ == "__main__":
    main()
