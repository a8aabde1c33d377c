"""Against everybody who could churn at the same snapshot: ann, bob and eve, of whom nothing is known.
dan is silent for too long to count."""

from datetime import date

import pytest
import world as worlds

from churn.features.labels import Definition
from churn.features.vocabulary import PEERS

S = date(2026, 6, 1)
"""The snapshot of every spec, as in conftest."""

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | value | times
        ------------+-----+-------+--------+---------+-------+------
        ann         |   1 | 09:00 | login  | u1      | 2.5   | 3
        ann         |   8 | 09:00 | login  | u1      |       | 2
        ann         |  15 | 09:00 | login  | u1      |       | 8
        ann         |  28 | 09:00 | login  | u1      |       | 1
        ann         |  29 | 09:00 | login  | u1      |       | 6
        bob         |   7 | 09:00 | export | u1      | 1     | 1
        bob         |  84 | 09:00 | export | u1      |       | 2
        dan         |   1 | 09:00 | login  | u1      | 99    | 50
    """,
    "subscriptions": """
        customer_id | start_date
        ann         | 2025-01-01
        bob         | 2025-01-01
        eve         | 2025-01-01
    """,
}

ROWS = {
    "n_events_trend_14d_against_peers": {
        "ann": (5 + 1) / (15 / 4 + 1) * (15 / 4 / 3 + 1) / (6 / 3 + 1),
        "bob": (1 + 1) / (0 + 1) * (15 / 4 / 3 + 1) / (6 / 3 + 1),
        "eve": (15 / 4 / 3 + 1) / (6 / 3 + 1),
    },
    "n_events_trend_28d_against_peers": {
        "ann": (14 + 1) / (3 + 1) * (4 / 3 + 1) / (5 + 1),
        "bob": (1 + 1) / (1 + 1) * (4 / 3 + 1) / (5 + 1),
        "eve": (4 / 3 + 1) / (5 + 1),
    },
    "n_active_days_trend_14d_against_peers": {
        "ann": (2 + 1) / (3 / 4 + 1) * (3 / 4 / 3 + 1) / (1 + 1),
        "bob": (1 + 1) / (0 + 1) * (3 / 4 / 3 + 1) / (1 + 1),
        "eve": (3 / 4 / 3 + 1) / (1 + 1),
    },
    "n_events_against_peers_7d": {"ann": 3 / (4 / 3), "bob": 1 / (4 / 3), "eve": 0},
    "n_events_against_peers_28d": {"ann": 14 / 5, "bob": 1 / 5, "eve": 0},
    "n_active_days_against_peers_7d": {"ann": 1 / (2 / 3), "bob": 1 / (2 / 3), "eve": 0},
    "n_active_days_against_peers_28d": {"ann": 4 / (5 / 3), "bob": 1 / (5 / 3), "eve": 0},
    "value_against_peers_28d": {"ann": 7.5 / (8.5 / 3), "bob": 1 / (8.5 / 3), "eve": 0},
}


@pytest.mark.parametrize("feature", ROWS)
def test_peers(feature):
    """Means are of numbers in 1/10000: a third of them is what is compared."""
    (asked,) = (item for item in worlds.FEATURES if item.name == feature)
    read = {name.removeprefix(PEERS) for name in asked.columns()}
    found = worlds.answer(
        TABLES, snapshot=S, names={feature, *read}, definition=Definition("cancellation")
    )
    assert {who: row[feature] for who, row in found.items()} == pytest.approx(
        ROWS[feature], rel=1e-12
    )
