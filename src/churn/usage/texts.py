"""Clean events → what customers wrote: the messages of the event types that carry some."""

import re
from collections.abc import Sequence

from sqlglot import exp, parse_one

from churn.contracts import TEXTS


def speaking(pattern: str, event_types: Sequence[str]) -> list[str]:
    """The event types whose text is a message of the customer; others' texts are codes and paths.

    >>> speaking("ticket|review", ["login", "support_ticket"])
    ['support_ticket']
    """
    return [event for event in event_types if re.search(pattern, event, re.IGNORECASE)]


def texts(events: Sequence[str]) -> exp.Expr:
    """`clean_events` of some whole days → the rows of `texts` for the event types `events`."""
    chosen = ", ".join(exp.Literal.string(event).sql(dialect="duckdb") for event in events)
    return parse_one(
        f"""
        SELECT customer_id, day, known_on, text, COUNT(*) AS n FROM clean_events
        WHERE text IS NOT NULL AND event IN ({chosen or "''"})
        GROUP BY customer_id, day, known_on, text ORDER BY {", ".join(TEXTS.order)}
        """,
        dialect="duckdb",
    )
