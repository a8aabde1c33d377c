"""What a panel is built from: snapshots, definition of churn, features, and where the log keeps what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from churn.contracts import PLACES
from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature
from churn.features.labels import INVOLUNTARY_DAYS, Definition
from churn.features.vocabulary import Vocabulary
from churn.timeline import Arrival


@dataclass(frozen=True)
class Plan:
    """Everything a panel is built from beside the tables.

    `snapshots` oldest first; labels as known at `labels_known_on`, none where it is None;
    `all_places` is every event type of the roll-up with its column. Without `has_late`, every row
    was known the day after it happened. Features are as known at their own snapshot, or all of them
    at `known_on`.
    """

    snapshots: Sequence[date]
    labels_known_on: date | None
    lookback_days: int
    definition: Definition
    vocabulary: Vocabulary
    features: Sequence[Feature]
    all_places: Mapping[str, str]
    arrival: Arrival
    has_customer_versions: bool = False
    has_late: bool = True
    known_on: date | None = None

    @property
    def first_day(self) -> date:
        """The first day that any snapshot looks back to."""
        return min(self.snapshots) - timedelta(days=self.lookback_days)

    @property
    def read_before(self) -> date:
        """The day behind the last that is read of usage."""
        return max(*self.snapshots, self.labels_known_on or date.min)

    @property
    def has_silences(self) -> bool:
        """Whether labels are a matter of days without qualifying events."""
        return self.labels_known_on is not None and self.definition.name == "inactivity"

    @property
    def reads_from(self) -> date:
        """The first day of usage that any statement of the plan reads."""
        active = min(self.snapshots) - timedelta(max(self.definition.active_days, INVOLUNTARY_DAYS))
        return min(self.first_day, active)

    @property
    def labels_as_of(self) -> date:
        """`labels_known_on` of a plan that has labels."""
        assert self.labels_known_on, "a plan for scoring has no labels"
        return self.labels_known_on

    @property
    def qualifying(self) -> str:
        """SQL for the qualifying events of a day."""
        return qualifying(self.definition, self.all_places)


def qualifying(definition: Definition, all_places: Mapping[str, str]) -> str:
    """SQL for the qualifying events of a day; any event where the definition names none."""
    for event in definition.qualifying_events:
        if event not in all_places:
            raise ConfigurationError(
                "churn.qualifying_events names an event that is not in the log",
                got=event,
                expected=nearest(event, list(all_places)),
                next_step="look at the event types with `churn check`",
            )
    return " + ".join(all_places[event] for event in definition.qualifying_events) or "n"


def places(event_types: Sequence[str]) -> dict[str, str]:
    """Event type → its column of the roll-up; types beyond the last place have none."""
    return dict(zip(event_types, PLACES, strict=False))
