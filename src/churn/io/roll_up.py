"""The tables of usage, made anew from the months that stay and those that are rolled up again."""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from sqlglot import exp, parse_one

from churn import contracts
from churn.io import progress, tables
from churn.io.engine import Engine
from churn.io.engine.together import side_by_side
from churn.io.intake import steady
from churn.io.intake.index import Content
from churn.io.intake.sources import Intake
from churn.io.workspace import Workspace, empty
from churn.usage import contents, daily, first_days
from churn.usage.counts import COUNT_BITS

ORDERS = {
    "daily": contracts.DAILY.order,
    "late": contracts.LATE.order,
    "texts": contracts.TEXTS.order,
    "items": contracts.ITEMS.order,
}
READ = {"late": "loaded_at", "texts": "text", "items": "item"}
"""Of these, but for `daily`: the column of the log without which a table has no row."""

MOST_PIECES = 8
"""Files of a month from which on it is rolled up as a whole again."""

Grown: TypeAlias = Mapping[str, Sequence[Content]]
"""Months that got later days alone → the contents that these are in."""

NAMES = [*ORDERS, "first_days"]
Queries: TypeAlias = Callable[[int], dict[str, exp.Expr]]
"""The query of each table of `ORDERS` by the bits of counts (see `usage.counts`)."""

ROWS_PER_GROUP = 32_768
"""Of a month: a panel reads it by ranges of customers."""


def roll_up(
    engine: Engine,
    intake: Intake,
    workspace: Workspace,
    touched: list[str],
    grown: Grown,
    queries: Queries,
    facts: dict[str, Any],
) -> None:
    """The tables of `queries` anew from the months that stay and the months rolled up again.

    The first, `daily`, is committed last: it carries the facts that readers begin with.
    """
    with ExitStack() as stack:
        places = {}
        for name in NAMES:
            workspace.folder(name).mkdir(parents=True, exist_ok=True)
            places[name] = stack.enter_context(tables.staging(workspace.folder(name)))
        with intake.explained(engine):
            if engine.is_distributed:
                parts = _months_at_once(engine, intake, touched, queries, places)
            else:
                parts = _month_by_month(engine, intake, touched, grown, queries, places)
                _put_behind(workspace, parts, grown)
        steady.refuse_changed(intake.deliveries)
        if touched:
            engine.bind("daily_part", _files(parts["daily"].values()))
            rolled_up = contents.by_month("daily_part", n="SUM(n)")
            intake.refuse_others(engine.table(rolled_up).to_pylist(), among=touched)
        parts["first_days"] = _first_days(
            engine, intake, workspace, parts["daily"], grown, places["first_days"]
        )
        for name in reversed(NAMES):
            folder = workspace.folder(name)
            tables.commit(folder, parts[name], keep=list(intake.months), facts=facts)


def _month_by_month(
    engine: Engine,
    intake: Intake,
    touched: list[str],
    grown: Grown,
    queries: Queries,
    places: dict[str, Path],
) -> dict[str, dict[str, Path]]:
    """Roll up each touched month, of one that has `grown` what is new, into a finished file of every
    table."""
    widest = COUNT_BITS[0]
    without_rows: dict[str, Path] = {}

    def rolled_up(engine: Engine, month: str) -> dict[str, Path]:
        nonlocal widest
        intake.bind(engine, month, of=grown.get(month))
        files = {name: places[name] / f"{month}.parquet" for name in ORDERS}
        bits = _write_days(engine, queries, files["daily"], bits=widest)
        widest = max(widest, bits)
        for name, column in READ.items():
            if name in without_rows:
                shutil.copyfile(without_rows[name], files[name])
                continue
            engine.write(queries(bits)[name], files[name], rows_per_group=ROWS_PER_GROUP)
            if not intake.has(column):
                without_rows[name] = files[name]
        return files

    with engine.beside(len(touched), reading=["people"]) as engines:
        done = side_by_side(engines, rolled_up, touched)
        files = [*progress.watched(done, total=len(touched), what="rolling up months")]
    return {
        name: {month: of_month[name] for month, of_month in zip(touched, files, strict=True)}
        for name in ORDERS
    }


def _put_behind(
    workspace: Workspace, parts: Mapping[str, dict[str, Path]], months: Iterable[str]
) -> None:
    """Make each of `months` a folder of the files that are there and the new one behind them."""
    for name, month in product(parts, [*months]):
        new = parts[name][month]
        pieces = new.with_suffix("")
        pieces.mkdir()
        for place, path in enumerate([*left(workspace, name, [month]), new]):
            _link(path, pieces / f"{place:05d}.parquet")
        parts[name][month] = pieces


def _link(path: Path, other: Path) -> None:
    """The same file under another name, on a disk that cannot a copy."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _files(parts: Iterable[Path]) -> list[Path]:
    """The files of parts, each a file or a folder of them."""
    return [
        file
        for part in parts
        for file in (sorted(part.glob("*.parquet")) if part.is_dir() else [part])
    ]


def _write_days(engine: Engine, queries: Queries, path: Path, *, bits: int) -> int:
    """Write `daily` of a month, bound as `daily_part`, with counts of `bits` or, where a day has too many
    events for these, of more; how many it took."""
    for wide in COUNT_BITS[COUNT_BITS.index(bits) :]:
        engine.write(queries(wide)["daily"], path, rows_per_group=ROWS_PER_GROUP)
        engine.bind("daily_part", path)
        busiest = engine.table(daily.busiest_day())["n"][0].as_py() or 0
        if busiest < 2**wide:
            break
    return wide


def _months_at_once(
    engine: Engine,
    intake: Intake,
    touched: list[str],
    queries: Queries,
    places: dict[str, Path],
) -> dict[str, dict[str, Path]]:
    """The same in one job for all of them: a job for each would leave most workers idle."""
    written: dict[str, dict[str, Path]] = {name: {} for name in ORDERS}
    if not touched:
        return written
    intake.bind(engine, None, among=touched)
    for name, query in queries(COUNT_BITS[-1]).items():
        written[name] = engine.write_parts(
            _with_month(query), places[name], by="month", order=ORDERS[name], parts=touched
        )
        if name == "daily":
            engine.bind("daily_part", list(written[name].values()))
    return written


def _first_days(
    engine: Engine,
    intake: Intake,
    workspace: Workspace,
    rolled_up: Mapping[str, Path],
    grown: Grown,
    place: Path,
) -> dict[str, Path]:
    """The rows of `first_days` for the months from the first rolled up again on: a month keeps only what
    the days before do not make needless. Of a first one that has `grown`, those of the new days."""
    if not rolled_up:
        return {}
    first, *later = (month for month in sorted(intake.months) if month >= min(rolled_up))
    behind = [first] if first in grown else []
    before = left(workspace, "first_days", {*intake.months} - {first, *later} | {*behind})
    days = _files([rolled_up[first]])[-1 if behind else 0 :]
    days += _files(rolled_up[month] for month in later if month in rolled_up)
    engine.bind("daily_part", [*days, *left(workspace, "daily", set(later) - set(rolled_up))])
    engine.bind("first_days_before", before or empty(contracts.FIRST_DAYS))
    engine.materialise("new_first_days", _with_month(first_days.first_days()))
    rows = parse_one("SELECT * FROM new_first_days")
    order = contracts.FIRST_DAYS.order
    written = engine.write_parts(rows, place, by="month", order=order, parts=[first, *later])
    _put_behind(workspace, {"first_days": written}, behind)
    return written


def left(workspace: Workspace, name: str, months: Collection[str]) -> list[Path]:
    """The files of table `name` that the last roll-up left for `months`."""
    if not months:
        return []
    return [*tables.parts(workspace.folder(name), made_by="rollup", only=months).values()]


def _with_month(query: exp.Expr) -> exp.Expr:
    """`query` with the month (YYYY-MM) of its `day`."""
    month = "SUBSTRING(CAST(day AS TEXT), 1, 7) AS month"
    rows = query.sql(dialect="duckdb")
    return parse_one(f"SELECT *, {month} FROM ({rows}) AS dated", dialect="duckdb")
