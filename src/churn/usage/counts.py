"""Events of each type, counted several in one 64-bit sum."""

from collections.abc import Sequence
from dataclasses import dataclass

from churn.contracts import N_PLACES, kept_places
from churn.usage.columns import literal

COUNT_BITS = (7, 15, 31)
"""How many bits a count of events takes while days are summed, see `Counts`."""


@dataclass(frozen=True)
class Counts:
    """How the events of each type are counted: several counts share a 64-bit sum.

    A sum for each type costs more than grouping the events by day. With `bits` each, no count of a
    customer-day may reach 2 ** bits: whoever takes fewer than 31, which nobody's day reaches, looks at
    the `busiest_day`.
    """

    event_types: Sequence[str]
    bits: int = COUNT_BITS[-1]

    @property
    def placed(self) -> Sequence[str]:
        """The types that are counted apart."""
        return list(self.event_types)[:N_PLACES] or [""]

    @property
    def packs(self) -> Sequence[str]:
        """Names of the sums."""
        return [f"pack_{pack}" for pack in range(-(-len(self.placed) // self._per_pack))]

    @property
    def _per_pack(self) -> int:
        return 63 // self.bits

    def of_an_event(self) -> str:
        """SQL for a table (event and `packs`): what an event of each type adds to each sum."""
        rows = []
        for place, event in enumerate(self.placed):
            own, shift = divmod(place, self._per_pack)
            adds = (1 << self.bits * shift if pack == own else 0 for pack in range(len(self.packs)))
            rows.append(f"({literal(event)}, {', '.join(f'CAST({n} AS BIGINT)' for n in adds)})")
        return f"(VALUES {', '.join(rows)}) AS t(event, {', '.join(self.packs)})"

    def summed(self) -> dict[str, str]:
        """`packs` of a group of events: name → SQL; zero where too many events do not fit."""
        fits = self.bits == COUNT_BITS[-1]
        cast = "CAST" if fits else "TRY_CAST"
        return {pack: f"COALESCE({cast}(SUM({pack}) AS BIGINT), 0)" for pack in self.packs}

    def unpacked(self) -> dict[str, str]:
        """The columns that follow from the sums: name → SQL."""
        counts = {}
        for place, name in enumerate(kept_places(len(self.event_types))):
            own, shift = divmod(place, self._per_pack)
            counts[name] = (
                f"({self.packs[own]} >> {self.bits * shift}) & {2**self.bits - 1}"
                if place < len(self.placed)
                else "CAST(0 AS BIGINT)"
            )
        placed = list(counts.values())[: len(self.placed)]
        bits = [
            f"CASE WHEN {count} > 0 THEN CAST({1 << place} AS BIGINT) ELSE 0 END"
            for place, count in enumerate(placed)
        ]
        return {
            **counts,
            "n_other": "n - " + " - ".join(f"({count})" for count in placed),
            "event_mask": " + ".join(bits),
        }
