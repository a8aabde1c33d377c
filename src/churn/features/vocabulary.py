"""What definitions may read: the columns of days, customers, texts, items and dates, and what is known
about the log of a training period.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from churn.contracts import MASKS, SUMS
from churn.features import tastes, topics

DAY_COLUMNS = (*SUMS, *MASKS, "age_days", "gap_days", "weekday", "n_use", "n_qualifying")
"""What an aggregate may read, one row per day with a known event: `age_days` 1 is the day before
the snapshot, `n_use` the events of people where the log names them (else all events), `gap_days`
the distance to the day of use before, `weekday` 0 a Monday; money in 1/10000."""

CUSTOMER_COLUMNS = (
    "its_since_first_event_days",
    "its_since_signed_up_days",
    "its_since_start_days",
    "its_to_term_end_days",
    "its_term_days",
    "its_plan",
    "its_seats",
    "its_price_month",
    "its_n_contacts_56d",
    "its_since_contact_days",
    "its_last_type_1",
    "its_last_type_2",
    "its_last_type_3",
    "its_day_of_year",
)
"""What a definition without an aggregate may read beside other features, one row per customer (`its_`: facts
of the customer as known at the snapshot, and the snapshot's own day of the year)."""

PEERS = "peers_"
"""Before the name of an aggregate of days that is a number: its mean over everybody at the snapshot
(`features.peers`), which a definition without an aggregate may read."""

ITEM_COLUMNS = ("n", "n_days", "age_days", "first_age_days")
"""What an aggregate `from: items` may read, one row per item that the customer's events of the
lookback were about: `n` events on `n_days` days, the last `age_days` ago, the first `first_age_days`."""

DATE_COLUMNS = ("age_days",)
"""What an aggregate `from: dates` may read beside the series (`on_…`, in 1/10000): one row per date
that was known at the snapshot; a day to come, as it was announced, has an `age_days` of 0 or less."""

TEXT_COLUMNS = ("n", "age_days")
"""What an aggregate `from: texts` may read beside the topics, one row per day and message: `n` times
it was written."""

NEEDS = (
    "people",
    "value",
    "negative",
    "subscriptions",
    "terms",
    "contacts",
    "signed_up",
    "topics",
    "event_types",
    "items",
)
"""What a log may lack; definitions that need it are left out then. Roles can be needed too."""


@dataclass(frozen=True)
class Vocabulary:
    """What is known about a training period, chosen there and kept with the model.

    `event_types` are the chosen ones, `roles` the event types of each role, `available` what the
    log has of `NEEDS`, `static` the attributes with their kind, `topics` what its messages speak of
    (`features.topics`), `dates` the names of the table of dates,
    `tastes` the factors of items (`features.tastes`). Nothing here depends on where the
    roll-up keeps an event type, so an event type first seen later, or never again, breaks nothing.
    """

    windows: Sequence[int]
    event_types: Sequence[str] = ()
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    available: Sequence[str] = ()
    static: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Any] = field(default_factory=dict)
    dates: Sequence[str] = ()
    tastes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def use(self) -> str:
        """SQL for what counts as use on a day: what people did, where the log names people, since
        automated events are no use; else all events."""
        return "n_person" if "people" in self.available else "n"

    @property
    def text_columns(self) -> list[str]:
        known = topics.from_spec(self.topics)
        return [*TEXT_COLUMNS, *(topics.column(place) for place in range(known.n if known else 0))]

    @property
    def item_columns(self) -> list[str]:
        known = tastes.from_spec(self.tastes)
        return [*ITEM_COLUMNS, *(tastes.column(place) for place in range(known.n if known else 0))]

    @property
    def day_columns(self) -> list[str]:
        return [*DAY_COLUMNS, *self.sums, *self.series]

    @property
    def series(self) -> dict[str, str]:
        """Column → name in the table of dates; a day column too: the value on that day."""
        return {f"on_{event_name(name)}": name for name in self.dates}

    @property
    def sums(self) -> dict[str, Sequence[str]]:
        """Day column → the event types it counts, for chosen event types and for roles."""
        chosen = {f"n_type_{event_name(event)}": [event] for event in self.event_types}
        return chosen | {f"n_{role}": events for role, events in self.roles.items()}

    @property
    def customer_columns(self) -> list[str]:
        return [*CUSTOMER_COLUMNS, *(attribute_column(name) for name in self.static)]


def event_name(event: str) -> str:
    """`event` as part of a feature name; two event types never share one.

    >>> event_name("export"), event_name("Core Action!")
    ('export', 'core_action_75f1')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", event.lower()).strip("_")[:40]
    return plain if plain == event else f"{plain}_{hashlib.sha256(event.encode()).hexdigest()[:4]}"


def attribute_column(name: str) -> str:
    """The column of the panel statement that holds customer attribute `name`."""
    return f"a_{event_name(name)}"
