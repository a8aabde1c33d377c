"""The real thing: a log cut at the snapshot, or delivered otherwise, gives the same bytes."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from churn import flows
from churn.io import tables
from churn.io.modelling import panels
from churn.settings import CONF, Settings, register
from churn.stages import features, rollup, simulate

AS_OF = datetime(2025, 8, 11)
"""A Monday, nine weeks before the log ends."""
KNOWN_BEFORE = AS_OF.replace(hour=6)

WORLD = [
    "source.world.n_customers=600",
    "source.world.n_weeks=40",
    "source.world.contract.customers_per_owner=150",
    "source.world.defects.late_share=0.05",
    "source.world.defects.duplicate_share=0.03",
]
SMALL = [
    "churn=cancellation",
    "train.snapshots=6",
    "train.lightgbm.n_rounds=30",
    "train.lightgbm.min_data_in_leaf=40",
    "train.tracking_uri=sqlite:////dev/null/none.db",  # MLflow costs seconds a run
    "promote.back=false",
    "backtest.origins=1",
]


def settings(*words: str) -> Settings:
    """What `churn run WORDS` is told."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        told = OmegaConf.to_object(compose("run", list(words)))
    assert isinstance(told, Settings)
    return told


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the full log and the side tables."""
    place = tmp_path_factory.mktemp("simulated")
    simulate.run(settings(f"workspace={place}", *WORLD))
    return place / "demo"


@pytest.fixture(scope="module")
def full(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What comes of the full log."""
    place = tmp_path_factory.mktemp("full")
    made = outcome(demo, place)
    assert outcome(demo, place) == made, "the same command twice"
    return made


def outcome(source: Path, place: Path, *words: str) -> dict[str, str]:
    """Run the whole path; the sha256 of every file of panel, scores, reasons and list by name."""
    told = settings(
        f"workspace={place}",
        f"as_of={AS_OF:%Y-%m-%d}",
        "source=files",
        f"source.events={source}/events/*.parquet",
        f"source.customers={source}/customers.parquet",
        f"source.subscriptions={source}/subscriptions.parquet",
        f"source.contacts={source}/contacts.parquet",
        *SMALL,
        *words,
    )
    flows.run(told)
    folders = ("panel", "scored", "scores", "reasons", "retention")
    files = [
        path for name in folders for path in sorted((place / name).rglob("*")) if path.is_file()
    ]
    return {str(path.relative_to(place)): tables.sha256(path) for path in files}


def copied(
    demo: Path, place: Path, change: Callable[[pa.Table], pa.Table], *, sides: bool = False
) -> Path:
    """A copy of the source with every file of the log changed, and the side tables on demand."""
    (place / "events").mkdir(parents=True)
    for path in [*sorted((demo / "events").iterdir()), *sorted(demo.glob("*.parquet"))]:
        rows = pq.read_table(path)
        is_changed = sides or path.parent.name == "events"
        pq.write_table(change(rows) if is_changed else rows, place / path.relative_to(demo))
    return place


def happened_before(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.less(rows["ts"], pa.scalar(AS_OF)))


def arrived_before(rows: pa.Table) -> pa.Table:
    name = "loaded_at" if "loaded_at" in rows.column_names else "recorded_at"
    return rows.filter(pc.less(rows[name], pa.scalar(KNOWN_BEFORE)))


def test_there_is_something_to_compare(demo: Path, full: dict[str, str]) -> None:
    """Late rows and duplicates on both sides of the cut, and a list with names on it."""
    log = pq.read_table(demo / "events")
    before, known = happened_before(log), arrived_before(log)
    assert known.num_rows < before.num_rows < log.num_rows
    assert len(pc.unique(log["event_id"])) < log.num_rows
    names = {name.rsplit("/", 1)[-1] for name in full}
    assert {"retention_list.csv", "retention_list.xlsx", "retention_list.html"} <= names
    assert {name.split("/")[0] for name in full} >= {"panel", "scores", "reasons", "retention"}


def test_cutting_the_log_by_time_changes_no_byte(
    demo: Path, full: dict[str, str], tmp_path: Path
) -> None:
    cut = copied(demo, tmp_path / "source", happened_before)
    assert outcome(cut, tmp_path / "workspace") == full


def test_cutting_the_log_by_arrival_changes_no_byte(
    demo: Path, full: dict[str, str], tmp_path: Path
) -> None:
    """The side tables are cut too: a later change of them is not to be seen either."""
    cut = copied(demo, tmp_path / "source", arrived_before, sides=True)
    assert outcome(cut, tmp_path / "workspace") == full


def test_a_panel_made_a_few_customers_at_a_time_is_the_same(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory bounds how many customers are looked at together, never what is found."""
    words = [
        f"workspace={tmp_path}", f"as_of={AS_OF:%Y-%m-%d}", "source=files",
        f"source.events={demo}/events/*.parquet", f"source.customers={demo}/customers.parquet",
        f"source.subscriptions={demo}/subscriptions.parquet", f"source.contacts={demo}/contacts.parquet",
    ]  # fmt: skip
    told = settings(*words, *SMALL)
    rollup.run(told)
    features.run(told)
    together = tables.read(tmp_path / "panel", made_by="features")
    assert len(tables.parts(tmp_path / "panel", made_by="features")) == 1
    monkeypatch.setattr(panels, "CELLS_AT_ONCE", 200 * 7 * (together.shape[1]))
    features.run(told)
    assert len(tables.parts(tmp_path / "panel", made_by="features")) > 2
    pd.testing.assert_frame_equal(tables.read(tmp_path / "panel", made_by="features"), together)


def test_another_thread_count_changes_no_byte(
    demo: Path, full: dict[str, str], tmp_path: Path
) -> None:
    threads = 1 if len(os.sched_getaffinity(0)) > 1 else 2
    assert outcome(demo, tmp_path, f"engine.threads={threads}") == full


def test_merged_files_and_shuffled_rows_change_no_byte(
    demo: Path, full: dict[str, str], tmp_path: Path
) -> None:
    """All rows in any order, in two files of unlike size; the side tables shuffled too."""
    random = np.random.default_rng(5)

    def shuffled(rows: pa.Table) -> pa.Table:
        return rows.take(pa.array(random.permutation(rows.num_rows)))

    source = copied(demo, tmp_path / "source", shuffled, sides=True)
    log = shuffled(pq.read_table(source / "events"))
    for path in (source / "events").iterdir():
        path.unlink()
    pq.write_table(log.slice(0, 1000), source / "events" / "z.parquet")
    pq.write_table(log.slice(1000), source / "events" / "a.parquet")
    assert outcome(source, tmp_path / "workspace") == full
