"""What a panel is built from: snapshots, definition of churn, features, and where the log keeps what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from churn.contracts import PLACES
from churn.errors import ConfigurationError, nearest
from churn.features.definitions import Feature, Vocabulary
from churn.features.labels import Definition
from churn.timeline import Arrival


@dataclass(frozen=True)
class Plan:
    """Everything a panel is built from beside the tables.

    `snapshots` oldest first; labels as known at `labels_known_on`; `all_places` is every event type
    of the roll-up with its column. Without `has_late`, every row was known the day after it happened.
    """

    snapshots: Sequence[date]
    labels_known_on: date
    lookback_days: int
    definition: Definition
    vocabulary: Vocabulary
    features: Sequence[Feature]
    all_places: Mapping[str, str]
    arrival: Arrival
    has_customer_versions: bool = False
    has_late: bool = True

    @property
    def first_day(self) -> date:
        """The first day that any snapshot looks back to."""
        return min(self.snapshots) - timedelta(days=self.lookback_days)

    @property
    def qualifying(self) -> str:
        """SQL for the qualifying events of a day; any event where the definition names none."""
        for event in self.definition.qualifying_events:
            if event not in self.all_places:
                raise ConfigurationError(
                    "churn.qualifying_events names an event that is not in the log",
                    got=event,
                    expected=nearest(event, list(self.all_places)),
                    next_step="look at the event types with `churn check`",
                )
        named = [self.all_places[event] for event in self.definition.qualifying_events]
        return " + ".join(named) or "n"

    def aggregated_from(self, rows: str) -> list[Feature]:
        """The features that aggregate these rows (`days`, `texts`)."""
        return [item for item in self.features if item.is_aggregate and item.rows == rows]

    def day_columns(self) -> dict[str, str]:
        """The columns of a day that the features read, name → SQL; roles and qualifying are sums."""
        wanted = {column for item in self.aggregated_from("days") for column in item.columns()}
        sums = {
            name: " + ".join(self.all_places[event] for event in events if event in self.all_places)
            or "n * 0"
            for name, events in self.vocabulary.sums.items()
        }
        sums["n_qualifying"] = self.qualifying
        computed = {"age_days", "gap_days", "weekday", "n_use"}
        plain = {name: name for name in sorted(wanted - set(sums) - computed)}
        return plain | {
            name: sql for name, sql in sums.items() if name in wanted or name == "n_qualifying"
        }


def places(event_types: Sequence[str]) -> dict[str, str]:
    """Event type → its column of the roll-up; types beyond the last place have none."""
    return dict(zip(event_types, PLACES, strict=False))
