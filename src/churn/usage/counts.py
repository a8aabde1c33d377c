"""Events of each type and kind, counted several in one 64-bit sum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from churn.contracts import N_PLACES, kept_places
from churn.usage.columns import literal

COUNT_BITS = (7, 15, 31)
"""How many bits a count of events takes while days are summed, see `Counts`."""

KINDS: Mapping[str, str] = {"n_negative": "value_units < 0", "n_night": "local_hour < 6"}
"""What else is counted of the events, whatever their type: column of the roll-up → SQL."""


@dataclass(frozen=True)
class Counts:
    """How the events of each type, and those of `KINDS`, are counted: several counts share a 64-bit sum.

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
        n_counts = len(self.placed) + len(KINDS)
        return [f"pack_{pack}" for pack in range(-(-n_counts // self._per_pack))]

    @property
    def _per_pack(self) -> int:
        return 63 // self.bits

    def of_an_event(self) -> str:
        """SQL for a table `t` (event and `packs`): what the type of an event adds to each sum."""
        rows = []
        for place, event in enumerate(self.placed):
            own, shift = self._at(place)
            adds = (_big(1 << shift if pack == own else 0) for pack in self.packs)
            rows.append(f"({literal(event)}, {', '.join(adds)})")
        return f"(VALUES {', '.join(rows)}) AS t(event, {', '.join(self.packs)})"

    def added(self) -> dict[str, str]:
        """What an event, joined with `of_an_event`, adds to each of the `packs`: name → SQL."""
        kinds: dict[str, str] = {}
        for place, condition in enumerate(KINDS.values(), start=len(self.placed)):
            own, shift = self._at(place)
            one = f" + CASE WHEN {condition} THEN {_big(1 << shift)} ELSE {_big(0)} END"
            kinds[own] = kinds.get(own, "") + one
        return {
            pack: f"COALESCE(t.{pack}, {_big(0)}){kinds[pack]}" if pack in kinds else f"t.{pack}"
            for pack in self.packs
        }

    def _at(self, place: int) -> tuple[str, int]:
        """The sum that holds a count, and by how many bits it is shifted there."""
        own, within = divmod(place, self._per_pack)
        return self.packs[own], self.bits * within

    def summed(self) -> dict[str, str]:
        """`packs` of a group of events: name → SQL; zero where too many events do not fit."""
        fits = self.bits == COUNT_BITS[-1]
        cast = "CAST" if fits else "TRY_CAST"
        return {pack: f"COALESCE({cast}(SUM({pack}) AS BIGINT), 0)" for pack in self.packs}

    def unpacked(self) -> dict[str, str]:
        """The columns that follow from the sums: name → SQL."""
        names = kept_places(len(self.event_types))
        placed = [self._unpacked(place) for place in range(len(self.placed))]
        rest = ["CAST(0 AS BIGINT)"] * (len(names) - len(placed))
        kinds = {
            name: self._unpacked(place) for place, name in enumerate(KINDS, start=len(self.placed))
        }
        others = "n - " + " - ".join(f"({count})" for count in placed)
        return {
            **dict(zip(names, [*placed, *rest], strict=True)),
            **kinds,
            "n_other": others if len(self.event_types) > N_PLACES else _big(0),
            "event_mask": " + ".join(self._bit(place) for place in range(len(placed))),
        }

    def _unpacked(self, place: int) -> str:
        own, shift = self._at(place)
        return f"({own} >> {shift}) & {2**self.bits - 1}"

    def _bit(self, place: int) -> str:
        """The bit of a type in `event_mask`, where it has any event."""
        own, shift = self._at(place)
        has_any = f"({own} & {_big((2**self.bits - 1) << shift)}) <> 0"
        return f"CASE WHEN {has_any} THEN {_big(1 << place)} ELSE 0 END"


def _big(number: int) -> str:
    return f"CAST({number} AS BIGINT)"
