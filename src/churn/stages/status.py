"""`churn status`: is the current list fresh, and is it the one that was published?"""

import logging
from datetime import date

from churn.errors import HeldBackError
from churn.io import revisions
from churn.io.workspace import Workspace
from churn.settings import Settings

log = logging.getLogger("churn")

FRESH_DAYS = 8


def run(settings: Settings) -> None:
    """Compare the current list with `as_of`, by default the log's last day; the clock decides nothing."""
    place = revisions.current(settings.place / "published")
    if place is None:
        raise HeldBackError(
            "no list was ever published here",
            got=f"nothing in {settings.place / 'published'}",
            expected="a published list",
            next_step="run `churn weekly`",
        )
    as_of = settings.as_of_or_last(Workspace(settings.place).usage_facts())
    age_days = (as_of - date.fromisoformat(place.parent.name)).days
    if age_days > FRESH_DAYS:
        raise HeldBackError(
            "the current list is too old",
            got=f"a list of {place.parent.name}, {age_days} days before {as_of}",
            expected=f"at most {FRESH_DAYS} days",
            next_step="run `churn weekly` and read what it says",
        )
    revisions.verify(place)
    log.info("fresh: %s, %d days before %s", place, age_days, as_of)
