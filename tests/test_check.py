"""`churn check` reports and changes nothing."""

import logging

import pandas as pd
import pytest
from logbook import Logbook, day, row

from churn.errors import InputError
from churn.settings import Settings
from churn.stages import check
from churn.usage import contents


@pytest.fixture
def book(tmp_path):
    return Logbook(tmp_path)


def checked(book: Logbook, caplog, **source) -> str:
    caplog.set_level(logging.INFO, logger="churn")
    check.run(Settings(workspace=str(book.workspace), source=book.source(**source)))
    return caplog.text


def test_the_report_says_what_is_there_and_changes_nothing(book, caplog):
    book.parquet(
        "a.parquet",
        [
            row("a", "2026-01-05", event_id="1", value=2.5, loaded_at="2026-01-05 01:00"),
            row("a", "2026-01-05", event_id="1", value=2.5, loaded_at="2026-01-06 01:00"),
            row(
                "b", "2026-01-09", "logout", event_id="2", value=-1.0, loaded_at="2026-01-10 09:30"
            ),
        ],
    )
    text = checked(book, caplog)
    assert "read 3 = used 2 + duplicate 1 + excluded 0 + refused 0" in text
    assert "2026-01-05 00:00 to 2026-01-09 00:00 UTC, 5 days" in text
    assert "3 days from 2026-01-06" in text
    assert "source.arrival_hours=10" in text
    assert "100.0% of rows have one, 1 are negative" in text
    assert not book.workspace.exists()


def test_without_loaded_at_lateness_is_not_available(book, caplog):
    book.parquet("a.parquet", [row()])
    text = checked(book, caplog)
    assert "lateness   n/a" in text
    assert "no people" in text


def test_what_a_rollup_would_refuse_is_reported_and_then_refused(book, caplog):
    book.text("a.csv", "customer_id,ts,event\n7,2026-01-05,x\n7,31/12/2025,x\n")
    with pytest.raises(InputError, match="line 3 column ts"):
        checked(book, caplog)
    assert "1 × ts: not a time" in caplog.text
    assert "rows       read 2 = used 1" in caplog.text


def test_gaps_are_runs_of_days_between_days_with_events():
    days = [day("2026-01-01"), day("2026-01-02"), day("2026-01-05")]
    assert [(g.first, g.before) for g in contents.gaps(days)] == [(day("2026-01-03"), days[-1])]
    assert contents.gaps(days[:1]) == []


@pytest.mark.parametrize(
    ("rows", "hours"),
    [([(0, 100)], 6), ([(0, 99), (30, 1)], 6), ([(0, 98), (30, 2)], 30), ([], None)],
)
def test_the_suggested_arrival_hours_know_99_percent(rows, hours):
    frame = pd.DataFrame(rows, columns=["hours_needed", "n"])
    assert contents.suggested_arrival_hours(frame) == hours
    assert contents.suggested_arrival_hours(None) is None
