"""What became of earlier lists, in words and as a picture."""

from dataclasses import dataclass
from typing import Any

from churn.io import wording
from churn.io.documents.handout import Past

N_SHOWN = 26
"""How many earlier lists are shown: half a year of weeks."""

LEFT, TOP, BASE, HEIGHT = 34, 12, 122, 150
"""The picture, in pixels: where bars may stand, and their ground line."""


@dataclass(frozen=True)
class Sums:
    """Settled lists added up: customers, who left, and who was expected to; None where unknown."""

    n_lists: int
    size: int
    left: int
    expected: float
    silent: float | None
    random: float | None


def sums(track: list[Past]) -> Sums | None:
    """The settled lists of `track` added up; None while there is none.

    The two other ways to choose are added up only where all settled lists know them.
    """
    settled = [past for past in track if past.left is not None]
    if not settled:
        return None
    return Sums(
        len(settled),
        sum(past.size for past in settled),
        sum(past.left or 0 for past in settled),
        sum(past.expected for past in settled),
        _added([past.silent_left for past in settled]),
        _added([past.random_left for past in settled]),
    )


def _added(counts: list[float | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def in_words(track: list[Past]) -> str:
    """The settled lists in one sentence, or when the first will be; nothing without lists."""
    if not track:
        return ""
    found = sums(track)
    n_open = sum(past.left is None for past in track)
    if found is None:
        return (
            f"No earlier list is settled yet: {n_open} {'waits' if n_open == 1 else 'wait'} for "
            "the time to pass in which its customers may leave."
        )
    lists = f"{found.n_lists} settled list{'s' if found.n_lists != 1 else ''}"
    said = (
        f"{lists}: {found.left:,} of {found.size:,} customers left; {found.expected:,.1f} were "
        "expected to."
    )
    others = {"by longest silence": found.silent, "at random": found.random}
    beside = [f"as many {name}: {_count(n)}" for name, n in others.items() if n is not None]
    against = f" To compare, {'; '.join(beside)}." if beside else ""
    rest = f" {n_open} more {'is' if n_open == 1 else 'are'} not settled yet." if n_open else ""
    return f"{said}{against}{rest}"


def section(track: list[Past]) -> dict[str, Any] | None:
    """The section of the page: a sentence, rows newest first, and bars oldest first."""
    if not track:
        return None
    kept = sorted(track, key=lambda past: past.as_of, reverse=True)[:N_SHOWN]
    return {
        "words": in_words(track),
        "rows": [_row(past) for past in kept],
        "bars": _bars(kept[::-1]),
        "top": _ceiling(kept),
        "n_hidden": len(track) - len(kept),
        **{
            "width": round(LEFT + len(kept) * _slot(kept)),
            "height": HEIGHT,
            "left": LEFT,
            "top_y": TOP,
            "base": BASE,
        },
    }


def _row(past: Past) -> dict[str, str]:
    return {
        "as_of": wording.day(past.as_of),
        "size": f"{past.size:,}",
        "expected": f"{past.expected:.1f}",
        "left": "not settled" if past.left is None else f"{past.left:,}",
        "silent": _count(past.silent_left),
        "random": _count(past.random_left),
    }


def _count(count: float | None) -> str:
    return wording.DASH if count is None else f"{count:,.1f}".removesuffix(".0")


def _ceiling(track: list[Past]) -> int:
    counts = [n for past in track for n in (past.expected, past.left, past.silent_left) if n]
    return max(1, -int(-max(counts, default=1) // 1))


def _bars(track: list[Past]) -> list[dict[str, Any]]:
    """Where each list stands: a full bar for who left, hollow and as high as expected before."""
    slot, ceiling = _slot(track), _ceiling(track)
    return [_bar(past, LEFT + k * slot, slot, ceiling) for k, past in enumerate(track)]


def _slot(track: list[Past]) -> float:
    """The room of one bar: 26 of them, and the scale, fit beside each other on a screen."""
    return 56.0 if len(track) <= 12 else 27.0


def _bar(past: Past, x: float, slot: float, ceiling: int) -> dict[str, Any]:
    def height(count: float) -> float:
        return (BASE - TOP) * min(count, ceiling) / ceiling

    is_open = past.left is None
    count = past.expected if past.left is None else past.left
    others = [
        {"y": f"{BASE - height(n):.1f}", "kind": kind}
        for kind, n in (("silent", past.silent_left), ("random", past.random_left))
        if n is not None
    ]
    return {
        **{"x": f"{x + slot * 0.18:.1f}", "width": f"{slot * 0.64:.1f}"},
        **{"y": f"{BASE - height(count):.1f}", "height": f"{max(height(count), 1):.1f}"},
        **{
            "kind": "unsettled" if is_open else "settled",
            "expected": f"{BASE - height(past.expected):.1f}",
        },
        **{"from": f"{x + slot * 0.06:.1f}", "to": f"{x + slot * 0.94:.1f}"},
        **{
            "middle": f"{x + slot / 2:.1f}",
            "others": others,
            "label": wording.day(past.as_of)[:-5],
        },
        "words": f"{wording.day(past.as_of)}: {_left_in_words(past)} of {past.size:,}",
    }


def _left_in_words(past: Past) -> str:
    if past.left is None:
        return f"not settled, {past.expected:.1f} expected to leave"
    return f"{past.left:,} left, {past.expected:.1f} expected"
