"""The command line in this process: what a command would be given, or how it refuses."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from churn import __main__ as cli
from churn.settings import Settings


def composed(*words: str, command: str = "train") -> Settings:
    """The settings that the words amount to; nothing is run."""
    return jobs(*words, command=command)[0]


def jobs(*words: str, command: str = "train") -> list[Settings]:
    """The settings of every job of a sweep."""
    seen: list[Settings] = []
    with _in_place_of_stages(seen.append):
        assert exit_code(command, *words) == 0
    return seen


def exit_code(*words: str) -> int:
    """How `churn WORDS` ends."""
    with logging_as_before(), pytest.raises(SystemExit) as end:
        cli.main(list(words))
    return int(end.value.code or 0)


@contextmanager
def logging_as_before() -> Iterator[None]:
    """The command line sets up the log of its process; other tests listen to theirs."""
    log = logging.getLogger("churn")
    before = log.handlers, log.level, log.propagate
    try:
        yield
    finally:
        log.handlers, log.level, log.propagate = before


@contextmanager
def _in_place_of_stages(stage: Callable[[Settings], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_entry", lambda command: stage)
        yield
