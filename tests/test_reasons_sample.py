"""Reasons against the raw log, counted again by `docs/reasons_sample.py`."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from churn.io import bundle

ROOT = Path(__file__).parents[1]
WORDS = [
    "source.world.n_customers=600", "source.world.n_weeks=44", "train.lightgbm.n_rounds=100",
    "train.snapshots=6", "train.n_folds=2", "engine.threads=1", "backtest.rebuild_rows=0",
    "explain.everybody=true",
]  # fmt: skip


def churn(place: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "churn", command, f"workspace={place}", *WORDS],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def told() -> Callable[..., list[str]]:
    return runpy.run_path(str(ROOT / "docs" / "reasons_sample.py"))["told"]


@pytest.mark.slow
def test_every_number_of_a_reason_is_what_the_raw_log_says(told: Any, tmp_path: Path) -> None:
    """Of the rule that lists, and of a model without a record, whose families may all speak."""
    place = tmp_path / "ws"
    churn(place, "run")
    by_rule = told(place, n=100)
    entry = bundle.load(place, "challenger").entry
    hashes = {name: h for name, h in entry["sha256"].items() if not name.startswith("record.")}
    bundle.point(place, "champion", {**entry, "sha256": hashes})
    churn(place, "score")
    churn(place, "explain")
    by_model = told(place, n=150)
    assert len(by_rule) > 20
    assert len(by_model) > 50
    assert {line.count("|") for line in by_model[2:]} == {5}


def test_the_sample_shows_ten_reasons_of_each_log() -> None:
    page = (ROOT / "docs" / "reasons-sample.md").read_text()
    for name in ("complete_journey", "demo"):
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| ")]
        assert len(rows) == 11, "a header and ten reasons"
        assert all(line.split("|")[3].strip() for line in rows)
