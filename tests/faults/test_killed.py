"""SIGKILL at any moment of the weekly job: a reader sees one list or the other, and a re-run is as if nothing had been."""

import random
import time

import pytest
from reader import Reader
from weeks import FIRST, SECOND, Prepared

pytestmark = pytest.mark.xdist_group("faults")


def killed_and_run_again(ready: Prepared, shares: list[float]) -> int:
    """Kill a run after each of `shares` of the time that one takes; how many had not ended by then.

    What a run takes hangs on what else the machine does: it is what the last one took.
    """
    n_killed, seconds = 0, ready.seconds
    for share in shares:
        trial, moment = ready.trial("killed"), share * seconds
        with Reader(trial.published) as reader:
            running = trial.start()
            time.sleep(moment)
            running.kill()
            n_killed += running.end().code == -9
        assert reader.wrong == [], moment
        assert reader.n_polls > 0
        assert set(reader.seen) <= {f"{FIRST}/r1", f"{SECOND}/r1"}
        began = time.monotonic()
        trial.run().expected(0)
        seconds = time.monotonic() - began
        assert trial.everything() == ready.bytes, moment
        assert trial.current == f"{SECOND}/r1"
        assert trial.strays() == [], moment
    return n_killed


def spread(n: int, *, seed: int) -> list[float]:
    """`n` random shares of a run, one in each of `n` equal parts of it."""
    chance = random.Random(seed)
    return [(k + chance.random()) / n for k in range(n)]


def test_a_run_killed_at_two_random_moments(ready: Prepared) -> None:
    assert killed_and_run_again(ready, spread(2, seed=20251027)) >= 1


@pytest.mark.slow
def test_a_run_killed_at_a_hundred_random_moments(ready: Prepared) -> None:
    assert killed_and_run_again(ready, spread(100, seed=1)) >= 80
