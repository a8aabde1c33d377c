"""SIGKILL at any moment of the weekly job: a reader sees one list or the other, and a re-run is as if nothing had been."""

import random
import time

import pytest
from reader import Reader
from weeks import FIRST, SECOND, Prepared

pytestmark = pytest.mark.xdist_group("faults")


def killed_and_run_again(ready: Prepared, moments: list[float]) -> int:
    """Kill a run after each of `moments` (seconds); how many were killed before they had ended."""
    n_killed = 0
    for moment in moments:
        trial = ready.trial("killed")
        with Reader(trial.published) as reader:
            running = trial.start()
            time.sleep(moment)
            running.kill()
            n_killed += running.end().code == -9
        assert reader.wrong == [], moment
        assert reader.n_polls > 0
        assert set(reader.seen) <= {f"{FIRST}/r1", f"{SECOND}/r1"}
        trial.run().expected(0)
        assert trial.everything() == ready.bytes, moment
        assert trial.current == f"{SECOND}/r1"
        assert trial.strays() == [], moment
    return n_killed


def spread(n: int, seconds: float, *, seed: int) -> list[float]:
    """`n` random moments of a run that takes `seconds`, one in each of `n` equal parts of it."""
    chance = random.Random(seed)
    return [seconds * (k + chance.random()) / n for k in range(n)]


def test_a_run_killed_at_two_random_moments(ready: Prepared) -> None:
    assert killed_and_run_again(ready, spread(2, ready.seconds, seed=20251027)) >= 1


@pytest.mark.slow
def test_a_run_killed_at_a_hundred_random_moments(ready: Prepared) -> None:
    assert killed_and_run_again(ready, spread(100, ready.seconds, seed=1)) >= 80
