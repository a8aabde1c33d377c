"""The same week gives the same bytes, whatever the machine's zone, locale, clock, chance and order."""

import importlib.util
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from weeks import Prepared, Trial

pytestmark = pytest.mark.xdist_group("faults")

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A Python that takes every text file for ASCII unless it is told otherwise."""

ENVIRONMENTS = {
    "east": {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    "west": {"TZ": "America/St_Johns", "LC_ALL": "POSIX", "PYTHONHASHSEED": "2"},
    "ascii": {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "3", **ASCII},
    "threads": {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "random"},
    "turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
}
CLOCKS = ("1999-12-31 23:59:58", "2028-02-29 12:00:00", "2038-01-19 03:14:06")


def clock(moment: str) -> dict[str, str]:
    """The environment of a process for which it is `moment`."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        pytest.skip("libfaketime is not installed")
    libraries = [*Path(found.origin).parent.rglob("libfaketime*.so*")]
    if not libraries:
        pytest.skip("libfaketime came without its library")
    library = max(libraries, key=lambda path: "MT" in path.name)  # the one for threads
    told = {"FAKETIME": f"@{moment}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), **told}


def in_another_order(trial: Trial, *, seed: int) -> None:
    """The same files under names in another order."""
    paths = sorted(trial.log.iterdir())
    random.Random(seed).shuffle(paths)
    for number, path in enumerate(paths):
        path.rename(trial.log / f"part-{number:03d}.parquet")
    shutil.rmtree(trial.place / "deliveries")


def turkish(folder: Path) -> dict[str, str]:
    """A locale in which the capital of i is not I, where the machine can make it."""
    words = ["localedef", "-i", "tr_TR", "-f", "UTF-8", str(folder / "tr_TR.UTF-8")]
    folder.mkdir(exist_ok=True)
    if shutil.which("localedef") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("there is no Turkish locale here, and none can be made")
    return {"LOCPATH": str(folder)}


def test_everything_at_once_is_other_and_the_bytes_are_not(ready: Prepared) -> None:
    trial = ready.trial("other")
    in_another_order(trial, seed=1)
    try:
        faked = clock(CLOCKS[2])
    except pytest.skip.Exception:
        faked = {}
    env = {**ENVIRONMENTS["ascii"], "OMP_NUM_THREADS": "2", **faked}
    trial.process(env=env, engine__threads=2).expected(0)
    assert trial.everything() == ready.bytes


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment(ready: Prepared, tmp_path: Path, name: str) -> None:
    trial = ready.trial("environment")
    env = {**ENVIRONMENTS[name], **(turkish(tmp_path / "locale") if name == "turkish" else {})}
    threads = 2 if name == "threads" else 1
    trial.process(env=env, engine__threads=threads).expected(0)
    assert trial.everything() == ready.bytes


@pytest.mark.slow
@pytest.mark.parametrize("moment", CLOCKS)
def test_the_clock(ready: Prepared, moment: str) -> None:
    trial = ready.trial("clock")
    faked = clock(moment)
    said = subprocess.run(
        ["date", "+%Y"], env={**os.environ, **faked}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == moment[:4]
    trial.process(env=faked).expected(0)
    assert trial.everything() == ready.bytes


@pytest.mark.slow
def test_the_order_of_files(ready: Prepared) -> None:
    for seed in (2, 3):
        trial = ready.trial("order")
        in_another_order(trial, seed=seed)
        trial.run().expected(0)
        assert trial.everything() == ready.bytes
