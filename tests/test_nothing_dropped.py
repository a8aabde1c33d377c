"""Rows read = used + duplicate + excluded + refused, and each row is where a slow count puts it."""

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logbook import Logbook, events, totals

from churn import simulate
from churn.io.intake import accounts
from churn.simulate import Defects, World
from churn.stages.score import parted

KNOWN = "customer_id\na\nb\nbot-1\n"
LINES = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "a", "b", "b", "c", "", " ", "bot-1", "a\tb"]),
        "ts": st.sampled_from(["2026-01-05", "2026-01-06 10:00", "2026-02-01", "", "5.1.2026", "1970-01-01"]),
        "event": st.sampled_from(["x", "y", "y", ""]),
        "value": st.sampled_from(["", "1", "1", "2.5", "1,5", "nan"]),
        "event_id": st.sampled_from(["", "", "1", "2", "3"]),
        "loaded_at": st.sampled_from(["2026-02-02", "2026-02-03 04:00", "", "soon"]),
    }
)  # fmt: skip


def fate(line: dict[str, str]) -> str:
    """What becomes of a line by itself, said a second time and slowly."""
    ts, loaded = moment(line["ts"]), moment(line["loaded_at"])
    if not line["customer_id"].strip() or "\t" in line["customer_id"] or not line["event"]:
        return "refused"
    if ts is None or ts.year < 1990 or (line["loaded_at"] and loaded is None):
        return "refused"
    if line["value"] in ("1,5", "nan"):
        return "refused"
    if line["customer_id"].startswith("bot-"):
        return "excluded"
    return "used" if line["customer_id"] in ("a", "b") else "refused"


def moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def fates(lines: list[dict[str, str]]) -> Counter[str]:
    """The same with event ids: the row known first keeps its id."""
    found = [fate(line) for line in lines]
    by_id: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if found[place] == "used" and line["event_id"]:
            by_id.setdefault(line["event_id"], []).append(place)
    for places in by_id.values():
        first, *others = sorted(places, key=lambda place: order(lines[place]))
        for place in others:
            is_same = content(lines[place]) == content(lines[first])
            found[place] = "duplicate" if is_same else "refused"
    return Counter(found)


def content(line: dict[str, str]) -> tuple[Any, ...]:
    value = float(line["value"]) if line["value"] else None
    return line["customer_id"], moment(line["ts"]), line["event"], value


def order(line: dict[str, str]) -> tuple[Any, ...]:
    ts = moment(line["ts"])
    assert ts is not None
    loaded = moment(line["loaded_at"]) or ts
    arrived = (loaded + timedelta(hours=24 - 6)).date()
    customer, _, event, value = content(line)
    has_value = value is not None
    known_on = max(ts.date() + timedelta(days=1), arrived)
    return known_on, loaded, customer, ts, event, has_value, value or 0


def as_written(book: Logbook, lines: list[dict[str, str]], name: str) -> None:
    names = list(lines[0])
    if name.endswith("jsonl"):
        text = "\n".join(json.dumps(line) for line in lines)
    else:
        cells = [[f'"{line[n]}"' if "," in line[n] else line[n] for n in names] for line in lines]
        text = "\n".join(",".join(row) for row in [names, *cells])
    book.text(name, text + "\n")


@settings(max_examples=int(os.environ.get("CHURN_EXAMPLES", "10")))
@given(
    lines=st.lists(LINES, min_size=1, max_size=14), cut=st.integers(0, 14), is_json=st.booleans()
)
def test_each_line_is_counted_once_and_where_it_belongs(tmp_path_factory, lines, cut, is_json):
    book = Logbook(tmp_path_factory.mktemp("log"))
    (book.place / "customers.csv").write_text(KNOWN)
    pieces = [piece for piece in (lines[:cut], lines[cut:]) if piece]
    for number, piece in enumerate(pieces):
        as_written(book, piece, f"{number}.{'jsonl' if is_json else 'csv'}")
    if len(pieces) == 2 and pieces[0] == pieces[1]:
        lines = pieces[0]  # one delivery under two names counts once
    expected = fates(lines)
    told = {"customers": str(book.place / "customers.csv"), "exclude": {"customer_id": ["bot-*"]}}
    if not expected["used"]:
        with pytest.raises(Exception, match=r"no usable event|no column"):
            book.take_in(**told)
        return
    intake = book.take_in(**told)
    names = ("used", "duplicate", "excluded", "refused")
    assert totals(intake) == (len(lines), *(expected[name] for name in names))
    assert len(events(intake)) == expected["used"]
    assert len(intake.rejects) == expected["refused"]


EVERYTHING = Defects(
    late_share=0.05, duplicate_share=0.02, n_bots=2, n_testers=2, skewed_customer_share=0.05,
    outage_day=9, broken_line_share=0.01,
)  # fmt: skip


def test_a_log_with_every_defect_is_accounted_for_to_the_row(tmp_path):
    world = replace(World(), n_customers=150, n_weeks=6, defects=EVERYTHING)
    weeks = list(simulate.simulate(world, seed=3))
    book, broken, rng = Logbook(tmp_path), 0, np.random.default_rng(3)
    for number, week in enumerate(weeks):
        rows = week.events.to_pandas()
        text = rows.to_csv(index=False, lineterminator="\n").splitlines()
        is_cut = rng.random(len(rows)) < EVERYTHING.broken_line_share
        cut = [
            line[: len(line) // 3] if hit else line
            for line, hit in zip(text[1:], is_cut, strict=True)
        ]
        book.text(f"{number}.csv", "\n".join([text[0], *cut]) + "\n")
        weeks[number] = rows.assign(is_cut=is_cut)
        broken += int(is_cut.sum())
    every = pd.concat(weeks)
    is_robot = every["user_id"].str.startswith(("bot-", "tester-")).fillna(False).astype(bool)
    whole = every[~every["is_cut"]]
    n_robots = int((is_robot & ~every["is_cut"]).sum())
    people = whole[~is_robot[~every["is_cut"]]]
    n_copies = int(people.duplicated("event_id").sum())
    intake = book.take_in(exclude={"user_id": ["bot-*", "tester-*"]})
    assert broken > 0 < n_copies
    n_used = len(every) - n_copies - n_robots - broken
    assert totals(intake) == (len(every), n_used, n_copies, n_robots, broken)


def test_every_active_customer_is_scored_or_named_with_the_reason():
    active = pd.Series(["a", "b", "c", "d"])
    risks = pd.DataFrame(
        {"customer_id": ["d", "a", "c"], "risk": [0.1, float("nan"), float("inf")]}
    )
    scored, others = parted(active, risks)
    assert scored["customer_id"].tolist() == ["d"]
    assert others.to_dict("list") == {
        "customer_id": ["a", "b", "c"],
        "reason": ["the model gave no risk", "no row came back from the model", "the model gave no risk"],
    }  # fmt: skip
    whole, nobody = parted(active, pd.DataFrame({"customer_id": active, "risk": 0.5}))
    assert (len(whole), len(nobody)) == (4, 0)


def test_side_tables_have_an_account():
    day = date(2026, 1, 5)
    sides = {
        "customers": pa.table({"customer_id": ["a", "b"]}),
        "subscriptions": pa.table(
            {
                "customer_id": ["a", "a", "b", "z"],
                "start_date": pa.array([day, None, day, day], pa.date32()),
                "end_date": pa.array([None, None, day, date(2026, 1, 6)], pa.date32()),
            }
        ),
        "contacts": pa.table({"customer_id": pa.array([], pa.string()), "contacted_at": pa.array([], pa.timestamp("us"))}),
        "dates": pa.table({"date": [day, day], "name": ["rain", "rain"], "value": [1.0, None]}),
    }  # fmt: skip
    found = accounts.of_sides(sides)
    assert found["customers"] == accounts.SideAccount(2, 2, 0, 0)
    assert found["subscriptions"] == accounts.SideAccount(4, 2, 2, 1)
    assert found["contacts"] == accounts.SideAccount(0, 0, 0, 0)
    assert found["dates"] == accounts.SideAccount(2, 1, 1, 0)
    alone = accounts.of_sides({"subscriptions": sides["subscriptions"]})
    assert alone["subscriptions"].unknown_customers == 0
