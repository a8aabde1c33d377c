"""One flipped bit or a cut in any file that a weekly run reads: refused by name or rebuilt, never believed."""

import random
from pathlib import Path

import pytest
from weeks import SECOND, Ended, Prepared, Trial

from churn.io import revisions

pytestmark = pytest.mark.xdist_group("faults")

OF_A_MONTH = ("daily", "late", "texts", "items", "first_days")
NOT_READ = (".png", ".lock")


def targets(trial: Trial) -> list[str]:
    """Every file of the workspace that is the product's own, one month or week of each table."""
    found = {}
    for path in sorted(trial.place.rglob("*")):
        name = path.relative_to(trial.place).as_posix()
        if path.is_file() and not name.endswith(NOT_READ) and not name.startswith("backtest_"):
            table = path.parent.relative_to(trial.place).as_posix()
            is_part = (
                path.suffix == ".parquet" and table != "deliveries" and "published" not in table
            )
            found[table if is_part else name] = name
    return sorted(found.values())


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def emptied(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def judged(ready: Prepared, trial: Trial, ended: Ended, name: str) -> None:
    """Refused with four parts that name the file, or the same list as of a sound workspace."""
    ended.expected(0, 3, 4, 6)
    if ended.code in (3, 4):
        assert Path(name).name in ended.said, ended.said
        assert "  next:  " in ended.said
        assert (trial.published / SECOND / "r2").exists() is False
        return
    assert revisions.names(trial.published) == [*ready.bytes]
    assert trial.revision(f"{SECOND}/r1") == ready.bytes[f"{SECOND}/r1"], name


def tried(ready: Prepared, names: list[str], ways: list, *, seed: int) -> dict[str, int]:
    """Damage each file in each way; how the runs ended, by file and way."""
    chance = random.Random(seed)
    ends = {}
    for name in names:
        for way in ways:
            trial = ready.trial("damaged")
            path = trial.place / name
            if path.stat().st_size:
                way(path, chance)
                ended = trial.run()
                judged(ready, trial, ended, name)
                ends[f"{name} {way.__name__}"] = ended.code
    return ends


@pytest.mark.slow
def test_a_damaged_table_manifest_pointer_or_model_is_refused_or_rebuilt(ready: Prepared) -> None:
    names = targets(ready.before)
    chosen = [n for n in names if n.startswith(("daily/2025", "champion", "assignments/_"))]
    booster = next(n for n in names if n.endswith("booster.txt"))
    ends = tried(ready, [*chosen, booster], [cut], seed=3)
    assert {3} <= set(ends.values())


@pytest.mark.slow
def test_any_damaged_file_is_refused_or_rebuilt(ready: Prepared) -> None:
    names = targets(ready.before)
    assert len(names) > 50
    ends = tried(ready, names, [flipped, cut, emptied], seed=4)
    assert {0, 3} <= set(ends.values())


@pytest.mark.slow
def test_what_is_refused_goes_away_by_its_next_step(ready: Prepared) -> None:
    """A part of an earlier week is made again by the command that the refusal names."""
    for table, command in (("scores", "score"), ("reasons", "explain"), ("retention", "retain")):
        trial = ready.trial("mended")
        path = next((trial.place / table).glob("2025-10-20*.parquet"))
        flipped(path, random.Random(5))
        said = trial.run().said
        if path.name in said:
            assert f"`churn {command} as_of=2025-10-20`" in said
            trial.run(command, as_of="2025-10-20").expected(0)
            trial.run().expected(0)
        assert trial.everything() == ready.bytes


@pytest.mark.slow
def test_a_published_file_that_is_damaged_is_restored_by_publishing_again(ready: Prepared) -> None:
    trial = ready.undisturbed.copy(ready.scratch / "restored")
    for name in ("retention_list.csv", "scores.parquet", "digest.eml"):
        flipped(trial.published / SECOND / "r1" / name, random.Random(6))
    assert "restored" in trial.run().expected(0).said
    assert trial.everything() == ready.bytes


@pytest.mark.slow
def test_a_damaged_pointer_to_the_current_list_is_written_anew(ready: Prepared) -> None:
    trial = ready.undisturbed.copy(ready.scratch / "pointer")
    for content in (b"", b"2025-1", b"\xff\xfe", b"../../etc\n", b"2025-10-27/r9\n"):
        (trial.published / "CURRENT").write_bytes(content)
        ended = trial.run("status")
        assert "CURRENT names no revision" in ended.expected(3).said
    (trial.published / "status.json").write_bytes(b'{"current": ')
    trial.run().expected(0)
    assert trial.current == f"{SECOND}/r1"
    trial.run("status").expected(0)
