"""The same week twice and six times at once, weeks in another order, rows that came late."""

import json
import shutil

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq
import pytest
from weeks import FIRST, SECOND, THIRD, Prepared, Trial

pytestmark = pytest.mark.xdist_group("faults")


@pytest.mark.slow
def test_the_same_week_twice_changes_nothing(ready: Prepared) -> None:
    trial = ready.undisturbed.copy(ready.scratch / "twice")
    trial.run().expected(0)
    assert trial.everything() == ready.bytes
    assert trial.current == f"{SECOND}/r1"


def test_six_at_once_are_one(ready: Prepared) -> None:
    trial = ready.trial("six")
    started = [trial.start() for _ in range(6)]
    ended = [running.end() for running in started]
    assert {one.code for one in ended} <= {0, 5}
    assert [one.code for one in ended].count(0) >= 1
    pids = [str(running.pid) for running in started]
    for one in ended:
        one.expected(0, 5)
        if one.code == 5:
            assert "`churn weekly`, process " in one.said
            assert any(f"process {pid}" in one.said for pid in pids)
    assert trial.everything() == ready.bytes
    trial.run().expected(0)
    assert trial.everything() == ready.bytes


@pytest.mark.slow
def test_weeks_in_reverse_give_the_same_scores_and_then_the_same_lists(ready: Prepared) -> None:
    ordered, reverse = ready.undisturbed.copy(ready.scratch / "ordered"), ready.trial("reverse")
    shutil.rmtree(reverse.published)
    for name in ("retention", "reasons", "scores", "scored", "rescored", "not_scored"):
        shutil.rmtree(reverse.place / name)
    for name in ("qualified", "assignments"):
        shutil.rmtree(reverse.place / name)
    ordered.run(as_of=THIRD).expected(0)
    for week in (THIRD, SECOND, FIRST):
        reverse.run(as_of=week).expected(0)
    lists = ordered.everything()
    for week in (FIRST, SECOND, THIRD):
        assert (
            reverse.revision(f"{week}/r1")["scores.parquet"]
            == lists[f"{week}/r1"]["scores.parquet"]
        )
    assert reverse.current == f"{THIRD}/r1"
    reverse.run(from_date=FIRST, to_date=THIRD, as_of=None).expected(0)
    for week in (FIRST, SECOND, THIRD):
        last = max(path.name for path in (reverse.published / week).iterdir())
        found = reverse.revision(f"{week}/{last}")
        del found["manifest.json"]  # it names the revision before by its number
        for file, content in found.items():
            assert content == lists[f"{week}/r1"][file], (week, file)


def late_rows(trial: Trial, *, loaded_at: str) -> None:
    """A delivery of events of the week before `SECOND` that arrived at `loaded_at`: nobody who is
    listed went silent after all."""
    files = [pq.read_table(path) for path in sorted(trial.log.glob("*.parquet"))]
    rows = pa.concat_tables(files)
    day = compute.strftime(rows["ts"], "%Y-%m-%d")
    chosen = rows.filter(compute.and_(compute.greater_equal(day, FIRST), compute.less(day, SECOND)))
    some = chosen.slice(0, 400)
    ids = pa.array([f"late-{n}" for n in range(len(some))])
    when = pa.array([loaded_at] * len(some)).cast(rows.schema.field("loaded_at").type)
    some = some.set_column(some.schema.get_field_index("event_id"), "event_id", ids)
    some = some.set_column(some.schema.get_field_index("loaded_at"), "loaded_at", when)
    pq.write_table(some, trial.log / "week_late.parquet")


@pytest.mark.slow
def test_late_rows_make_a_second_revision_only_where_they_are_asked_for(ready: Prepared) -> None:
    trial = ready.undisturbed.copy(ready.scratch / "late")
    late_rows(trial, loaded_at="2025-10-29 08:00:00")
    trial.run().expected(0)
    assert trial.everything() == ready.bytes
    trial.run(known_at="2025-10-30T00:00:00").expected(0)
    assert trial.current == f"{SECOND}/r2"
    both = trial.everything()
    assert {name: both[name] for name in ready.bytes} == ready.bytes
    assert both[f"{SECOND}/r2"]["scores.parquet"] != both[f"{SECOND}/r1"]["scores.parquet"]
    told = json.loads(both[f"{SECOND}/r2"]["manifest.json"])["changes"]
    assert told["since"] == "r1"
    assert "scores.parquet" in told["files"]
    assert told["rows_used"] == 400
    assert told["risks"] > 0
    assert told["known_at"] == [None, "2025-10-30T00:00:00"]
    assert "changes" not in json.loads(both[f"{SECOND}/r1"]["manifest.json"])
    for _ in range(2):
        trial.run(known_at="2025-10-30T00:00:00").expected(0)
        assert trial.everything() == both
    for _ in range(2):
        trial.run().expected(0)
        assert trial.current == f"{SECOND}/r3", "what was asked for last, and once"
        every = trial.everything()
        assert {name: every[name] for name in both} == both
        back, first = dict(every[f"{SECOND}/r3"]), dict(every[f"{SECOND}/r1"])
        told = json.loads(back.pop("manifest.json"))["changes"]
        assert (told["since"], told["known_at"]) == ("r2", ["2025-10-30T00:00:00", None])
        assert told["risks"] > 0
        del first["manifest.json"]
        assert back == first, "the old way gives the old bytes"


@pytest.mark.slow
def test_the_week_after_a_second_revision_is_the_same_the_old_way(ready: Prepared) -> None:
    """Its list is told against the list before, as that was known when it was made."""
    trial = ready.undisturbed.copy(ready.scratch / "after")
    trial.run(as_of=THIRD).expected(0)
    before = trial.everything()
    late_rows(trial, loaded_at="2025-11-05 08:00:00")
    trial.run(as_of=SECOND, known_at="2025-11-06T00:00:00").expected(0)
    assert trial.current == f"{THIRD}/r1", "the greatest as_of stays the current one"
    trial.run(from_date=SECOND, to_date=THIRD, as_of=None).expected(0)
    after = trial.everything()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{SECOND}/r2", f"{SECOND}/r3"}, (
        "and none of the week after"
    )


@pytest.mark.slow
def test_a_customer_corrected_late_is_a_new_revision(ready: Prepared) -> None:
    trial = ready.undisturbed.copy(ready.scratch / "corrected")
    path = trial.folder / "customers.parquet"
    rows = pq.read_table(path).to_pylist()
    original = path.read_bytes()
    listed = pq.read_table(trial.published / SECOND / "r1" / "retention_list.parquet")
    for row in rows:
        if row["customer_id"] == listed["customer_id"][0].as_py():
            row["customer_name"] = "Corrected & Sons"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    trial.run().expected(0)
    both = trial.everything()
    assert set(both) - set(ready.bytes) == {f"{SECOND}/r2"}
    assert b"Corrected & Sons" in both[f"{SECOND}/r2"]["retention_list.csv"]
    assert {name: both[name] for name in ready.bytes} == ready.bytes
    path.write_bytes(original)
    for _ in range(2):
        trial.run().expected(0)
        every = trial.everything()
        assert set(every) - set(both) == {f"{SECOND}/r3"}, "taken back: once, and only by a new one"
        for old in (every[f"{SECOND}/r1"], every[f"{SECOND}/r3"]):
            del old["manifest.json"]
        assert every[f"{SECOND}/r3"] == every[f"{SECOND}/r1"]
