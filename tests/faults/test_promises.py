"""The promises as invariants: deliver, deliver late, run, run again, kill, restore, forget, in any order."""

import itertools
import random
import shutil
import time
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from test_again import late_rows
from weeks import FIRST, SECOND, THIRD, Prepared, Trial

from churn.cli.commands import COMMANDS
from churn.io import revisions, tables

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

WEEKS = (FIRST, SECOND, THIRD)
KNOWN = (None, "2025-11-06T00:00:00")


class Job(RuleBasedStateMachine):
    """A workspace over months: its list, what was delivered, who was forgotten."""

    ready: ClassVar[Prepared]
    number: ClassVar = itertools.count()

    @initialize()
    def begin(self) -> None:
        self.trial: Trial = self.ready.trial(f"promises-{next(self.number)}")
        self.later = self.trial.folder / "later"
        self.later.mkdir()
        *_, last = sorted(self.trial.log.iterdir())
        shutil.move(last, self.later)
        self.seen = self.trial.everything()
        self.forgotten: set[str] = set()
        self.is_late = False

    @rule()
    @precondition(lambda self: any(self.later.iterdir()))
    def deliver(self) -> None:
        shutil.move(next(self.later.iterdir()), self.trial.log)

    @rule()
    @precondition(lambda self: not self.is_late)
    def deliver_late(self) -> None:
        late_rows(self.trial, loaded_at="2025-11-05 08:00:00")
        self.is_late = True

    @rule(week=strategies.sampled_from(WEEKS), known_at=strategies.sampled_from(KNOWN))
    def run(self, week: str, known_at: str | None) -> None:
        """Twice: the same inputs have the same bytes, so that the second changes nothing."""
        self.trial.run(as_of=week, known_at=known_at).expected(0)
        after = self.trial.everything()
        assert len(after) <= len(self.seen) + 1
        self.trial.run(as_of=week, known_at=known_at).expected(0)
        assert self.trial.everything() == after

    @rule(week=strategies.sampled_from(WEEKS), share=strategies.floats(0, 1))
    def kill(self, week: str, share: float) -> None:
        running = self.trial.start(as_of=week)
        time.sleep(share * self.ready.seconds)
        running.kill()
        assert running.end().code in (-9, 0)

    @rule(seed=strategies.integers(0, 100))
    def damage_and_restore(self, seed: int) -> None:
        """A table that was damaged is refused or rebuilt; from the backup it is as it was."""
        backup = self.trial.folder / "backup"
        shutil.copytree(self.trial.place, backup, symlinks=True)
        paths = sorted(self.trial.place.glob("*/_manifest.json"))
        random.Random(seed).choice(paths).write_bytes(b'{"parts')
        self.trial.run().expected(0, 3)
        shutil.rmtree(self.trial.place)
        shutil.move(backup, self.trial.place)

    @rule()
    @precondition(lambda self: "forget" in COMMANDS and not self.forgotten)
    def forget(self) -> None:
        """Somebody on the current list, who is on no list afterwards; revisions may change for that."""
        place = revisions.current(self.trial.published)
        assert place
        rows = pq.read_table(place / "retention_list.parquet", columns=["customer_id"])
        customer = rows["customer_id"][0].as_py()
        self.trial.run("forget", customer=customer, as_of=None).expected(0)
        self.forgotten.add(customer)
        self.seen = self.trial.everything()

    @invariant()
    def a_published_revision_never_changes(self) -> None:
        if not hasattr(self, "trial"):
            return
        now = self.trial.everything()
        assert {name: now.get(name) for name in self.seen} == self.seen
        self.seen = now

    @invariant()
    def current_is_complete_and_the_greatest(self) -> None:
        if hasattr(self, "trial"):
            assert self.trial.current == revisions.names(self.trial.published)[-1]

    @invariant()
    def every_row_is_accounted_for(self) -> None:
        if not hasattr(self, "trial"):
            return
        rows = tables.facts(self.trial.place / "daily", made_by="rollup")["rows"]
        assert rows["read"] == sum(rows[n] for n in ("used", "duplicate", "excluded", "refused"))
        for name in self.seen:
            counts = revisions.verify(self.trial.published / name)["counts"]
            assert counts["active_customers"] == counts["scored"] + counts["not_scored"]

    @invariant()
    def who_was_forgotten_is_nowhere(self) -> None:
        for customer in getattr(self, "forgotten", ()):
            for name, files in self.seen.items():
                listed = files["retention_list.csv"].decode()
                assert customer not in listed, name

    def teardown(self) -> None:
        if hasattr(self, "trial"):
            shutil.rmtree(self.trial.folder)


def test_the_promises_hold_in_any_order(ready: Prepared) -> None:
    Job.ready = ready
    run_state_machine_as_test(Job, settings=settings(max_examples=5, stateful_step_count=5))


def test_the_promises_hold_on_one_long_walk(ready: Prepared) -> None:
    """Every rule once, in an order that a bad month might have."""
    Job.ready = ready
    job = Job()
    job.begin()
    steps = [
        lambda: job.kill(SECOND, 0.6),
        lambda: job.run(SECOND, None),
        job.deliver,
        job.deliver_late,
        lambda: job.kill(THIRD, 0.9),
        lambda: job.run(SECOND, KNOWN[1]),
        lambda: job.damage_and_restore(7),
        job.forget,
    ]
    for step in steps:
        step()
        job.a_published_revision_never_changes()
        job.current_is_complete_and_the_greatest()
        job.every_row_is_accounted_for()
        job.who_was_forgotten_is_nowhere()
    job.teardown()
