"""Who could churn at a snapshot, and who did."""

from dataclasses import dataclass, field


@dataclass
class Definition:
    """What counts as churn. A definition is data, printed on every model card.

    `inactivity`: active = a qualifying event in the `active_days` before the snapshot, churn = none
    in the label window. `cancellation`: subscribed at the snapshot, churn = `end_date` in the label
    window. The label window is [s + gap_days, s + gap_days + horizon_days) days; an empty
    `qualifying_events` means any event.
    """

    name: str = "inactivity"
    active_days: int = 28
    horizon_days: int = 28
    gap_days: int = 0
    qualifying_events: list[str] = field(default_factory=list)
