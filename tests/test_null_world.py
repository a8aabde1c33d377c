"""A world in which leaving has nothing to do with anything that is logged: nothing is promoted."""

import sys
from pathlib import Path

import pytest

from churn.conf_tree import CONF

BENCHMARKS = CONF.parent / "benchmarks"


@pytest.mark.slow
def test_nothing_is_promoted_in_a_null_world_and_the_card_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated logs, the real stages; benchmarks/README.md has twenty seeds."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import null_world

    words = ["train.snapshots=10", "train.lightgbm.n_rounds=30", "train.n_folds=2",
             "features.n_event_types=4", "backtest.rebuild_rows=0", "backtest.draws=200"]  # fmt: skip
    cells, is_promoted = null_world.judged(tmp_path, seed=1, n_customers=1000, words=words)
    assert not is_promoted
    assert "is no better than" in cells[-1]
    assert int(cells[2].replace(",", "")) > 100  # enough left to have found something
