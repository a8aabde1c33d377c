"""A month that got later days alone is rolled up for these: the same tables as from scratch, or all anew."""

import datetime as dt
import random
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import world as worlds
from reference import Row, World
from world import Question

from churn.features.definitions import Feature
from churn.features.vocabulary import Vocabulary
from churn.io import roll_up, tables
from churn.settings import Settings
from churn.stages import rollup

FIRST = dt.date(2025, 8, 1)
WEEK = timedelta(days=7)


def rows(first: dt.date, n_days: int, *, rng: random.Random, types: int = 5) -> list[Row]:
    """What some customers did in these days, known at once."""
    made = []
    for _ in range(n_days * 4):
        day = first + timedelta(days=rng.randrange(n_days))
        ts = dt.datetime.combine(day, dt.time(rng.randrange(24), rng.randrange(60)))
        made.append({
            "customer_id": f"k{rng.randrange(12)}", "ts": ts, "event": f"type_{rng.randrange(types):02d}",
            "value": rng.choice([None, -1.5, 4.0]), "event_id": None, "loaded_at": ts,
            "user_id": rng.choice([None, "ann", "bob", f"u{day.day}"]), "text": rng.choice([None, "hello"]),
            "item": rng.choice([None, "pen", "ink"]),
        })  # fmt: skip
    return made


def delivered(folder: Path, weeks: list[list[Row]]) -> Settings:
    worlds.write(World(), folder, files=weeks)
    return settings_of(folder, "workspace")


def settings_of(folder: Path, name: str) -> Settings:
    settings = worlds.settings_of(folder, folder / name)
    settings.rollup.max_rejected_share = 0.5
    return settings


def pieces(settings: Settings, name: str = "daily") -> dict[str, int]:
    """How many files each month has."""
    files = pd.Series(list(tables.parts(settings.place / name, made_by="rollup")))
    return files.map(tables.part_of).value_counts().to_dict()


def everything(settings: Settings) -> dict[str, pd.DataFrame]:
    found = {}
    for name in [*roll_up.NAMES, "people"]:
        table = tables.read(settings.place / name, made_by="rollup")
        order = [c for c in ("customer_id", "day", "known_on", "user_id", "item") if c in table]
        order += [column for column in table if column not in order]
        found[name] = table.sort_values(order, ignore_index=True)
    return found


def assert_as_from_scratch(settings: Settings, folder: Path) -> None:
    """The types of events may stand in another order, but not here."""
    fresh = settings_of(folder, "fresh")
    rollup.run(fresh)
    for name, table in everything(fresh).items():
        pd.testing.assert_frame_equal(everything(settings)[name], table, obj=name)
    for name in roll_up.NAMES:
        folders = [one.place / name for one in (settings, fresh)]
        facts = [tables.facts(folder, made_by="rollup") for folder in folders]
        assert facts[0] == facts[1], name
        prints = [tables.fingerprint(folder, made_by="rollup") for folder in folders]
        assert prints[0] == prints[1], name


@pytest.mark.parametrize("n_new", [0.5, 1])
@pytest.mark.parametrize("seed", range(3))
def test_weeks_that_come_one_by_one_give_the_tables_of_all_at_once(
    tmp_path: Path, seed: int, n_new: float
) -> None:
    """Nine weeks; months end within some of them, and new types, people and customers appear."""
    rng = random.Random(seed)
    weeks: list[list[Row]] = []
    most: dict[str, int] = {}
    for week in range(9):
        weeks.append(rows(FIRST + week * WEEK, 7, rng=rng, types=3 + int(week * n_new)))
        settings = delivered(tmp_path, weeks)
        rollup.run(settings)
        for month, n in pieces(settings).items():
            most[month] = max(most.get(month, 0), n)
    assert most["2025-08"] == 5
    # the ninth type makes the tables wider, and all is rolled up again
    assert most["2025-09"] == (5 if n_new < 1 else 3)
    assert pieces(settings, "first_days")["2025-09"] > 1
    assert_as_from_scratch(settings, tmp_path)
    recent = Feature(
        "n_28d", "What is asked.", "units", "test", "SUM(CASE WHEN age_days <= 28 THEN n END)"
    )
    tenure = Feature("tenure", "What is asked.", "days", "test", "its_since_first_event_days")
    as_of = FIRST + 9 * WEEK
    question = Question(
        snapshots=(as_of - 4 * WEEK, as_of), as_of=as_of, features=(recent, tenure),
        vocabulary=Vocabulary(windows=[7], event_types=["type_00"]),
    )  # fmt: skip
    grown = worlds.by_engine(settings.place, question)
    assert grown == worlds.by_engine(tmp_path / "fresh", question)


def late(first: dt.date, rng: random.Random) -> Row:
    """A row of the day before `first` that comes with the next delivery."""
    row = rows(first - timedelta(days=1), 1, rng=rng)[0]
    return row | {"loaded_at": row["ts"] + timedelta(days=3)}


@pytest.mark.parametrize(
    "what",
    [
        "a row of a day that is there",
        "a twin that pushes a row out",
        "a file that is written anew",
        "two deliveries",
    ],
)
def test_a_month_that_got_anything_else_is_rolled_up_as_a_whole(tmp_path: Path, what: str) -> None:
    rng = random.Random(1)
    weeks = [rows(FIRST + week * WEEK, 7, rng=rng) for week in range(3)]
    for number, week in enumerate(weeks):
        for place, row in enumerate(week):
            row["event_id"] = f"{number} {place}"
    # a row of a later day may be known before it
    weeks[1][0]["loaded_at"] += timedelta(days=30)
    settings = delivered(tmp_path, weeks[:2])
    rollup.run(settings)
    if what == "a row of a day that is there":
        weeks[2].append(late(FIRST + 2 * WEEK, rng) | {"event_id": "late"})
    elif what == "a twin that pushes a row out":
        ts = dt.datetime.combine(FIRST + 2 * WEEK, dt.time(9))
        weeks[2].append(weeks[1][0] | {"ts": ts, "loaded_at": ts})
    elif what == "a file that is written anew":
        weeks[1][0]["value"] = 99.0
    else:
        weeks += [rows(FIRST + 3 * WEEK, 7, rng=rng)]
        for place, row in enumerate(weeks[3]):
            row["event_id"] = f"3 {place}"
    settings = delivered(tmp_path, weeks)
    rollup.run(settings)
    assert pieces(settings)["2025-08"] == (2 if what == "two deliveries" else 1)
    assert_as_from_scratch(settings, tmp_path)


def test_all_months_are_made_again_beside_each_other_with_somebody_new(tmp_path: Path) -> None:
    """Twelve new types make the tables wider; the file of the people of before is gone by then."""
    rng = random.Random(4)
    weeks = [rows(FIRST + week * WEEK, 7, rng=rng) for week in range(20)]
    rollup.run(delivered(tmp_path, weeks[:19]))
    weeks[19] = [
        row | {"event": f"new_{n % 12}", "user_id": f"eve{n}"} for n, row in enumerate(weeks[19])
    ]
    settings = delivered(tmp_path, weeks)
    settings.engine.threads = 2
    rollup.run(settings)
    assert set(pieces(settings).values()) == {1}
    assert_as_from_scratch(settings, tmp_path)


def test_days_that_come_one_by_one_do_not_leave_a_file_each(tmp_path: Path) -> None:
    rng = random.Random(2)
    days: list[list[Row]] = []
    seen = []
    for day in range(12):
        days.append(rows(FIRST + timedelta(days=day), 1, rng=rng))
        settings = delivered(tmp_path, days)
        rollup.run(settings)
        seen.append(pieces(settings)["2025-08"])
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]
    assert_as_from_scratch(settings, tmp_path)


def test_a_damaged_file_of_a_month_that_grows_is_rolled_up_again(tmp_path: Path) -> None:
    rng = random.Random(3)
    weeks = [rows(FIRST + week * WEEK, 7, rng=rng) for week in range(3)]
    for n in (1, 2, 3):
        settings = delivered(tmp_path, weeks[:n])
        if n == 3:
            next((settings.place / "late").glob("2025-08~00001*.parquet")).write_bytes(b"PAR1")
        rollup.run(settings)
    assert pieces(settings)["2025-08"] == 1
    assert_as_from_scratch(settings, tmp_path)
