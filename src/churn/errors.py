"""Every error a user can meet: what, got, expected, next step; the class decides the exit code."""

import re


class ChurnError(Exception):
    """A known failure, shown as a message of four parts and never as a traceback.

    `what` names the thing that is wrong, `got` what was found, `expected` what would have been
    right and `next_step` what a person can do about it. Subclasses differ in `exit_code` alone.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: str, expected: str, next_step: str) -> None:
        super().__init__(what)
        self.what, self.got, self.expected, self.next_step = what, got, expected, next_step

    def __str__(self) -> str:
        return (
            f"{_within(self.what)}\n  got:      {_within(self.got)}\n"
            f"  expected: {_within(self.expected)}\n  next:     {_within(self.next_step)}"
        )


def _within(part: str) -> str:
    """A part of a message whose further lines are indented: a stranger's line break starts no line
    that could pass for one of ours."""
    return re.sub(r"\n(?! {10})", "\n            ", str(part))


class MachineError(ChurnError):
    """The machine failed: disk, memory, network."""

    exit_code = 1


class ConfigurationError(ChurnError):
    """Wrong usage or configuration."""

    exit_code = 2


class InputError(ChurnError):
    """The input is bad."""

    exit_code = 3


class HeldBackError(ChurnError):
    """A gate held the run back, or nobody is left to work on: a person must look."""

    exit_code = 4


class LockedError(ChurnError):
    """Another run holds the lock."""

    exit_code = 5


class DeliveryError(ChurnError):
    """Published, but a delivery failed and was spooled."""

    exit_code = 6


class NotArrivedError(ChurnError):
    """Input has not arrived yet: retry later."""

    exit_code = 7


MOST_SEARCHED = 50_000
"""Names among which a likeness is looked for: that takes a second."""

N_NAMED, MOST_NAMED = 10, 50
"""How many names a message lists of more than `MOST_NAMED`: ids by the thousand belong in no log."""


def nearest(name: str, known: list[str]) -> str:
    """Say which of `known` is meant by `name`, as the end of a sentence; of many only the first.

    >>> nearest("horizn_days", ["gap_days", "horizon_days"])
    'did you mean horizon_days?'
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known[:MOST_SEARCHED], n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    if len(known) <= MOST_NAMED:
        return f"one of: {', '.join(sorted(known))}"
    some = ", ".join(sorted(known)[:N_NAMED])
    return f"one of: {some}, ... {len(known) - N_NAMED:,} more"


def between(key: str, value: float, low: float, high: float) -> None:
    """Raise `ConfigurationError` for a value of setting `key` outside [low, high]."""
    if not low <= value <= high:
        raise ConfigurationError(
            f"{key} is out of range",
            got=str(value),
            expected=f"a number from {low} to {high}",
            next_step=f"set {key} within that range",
        )
