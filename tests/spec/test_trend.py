"""Against the customer's own past. bob is new, dan went silent, eve was never there."""

import pytest

from churn.features.labels import Definition

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | times
        ------------+-----+-------+--------+---------+------
        ann         |   1 | 09:00 | login  | u1      | 3
        ann         |   7 | 09:00 | export | u1      | 1
        ann         |   8 | 09:00 | login  | u1      | 1
        ann         |  14 | 09:00 | login  | u1      | 1
        ann         |  28 | 09:00 | login  | u1      | 1
        ann         |  29 | 09:00 | login  | u1      | 2
        ann         |  56 | 09:00 | export | u1      | 2
        ann         |  63 | 09:00 | login  | u1      | 1
        ann         |  64 | 09:00 | login  | u1      | 1
        ann         |  84 | 09:00 | search | u1      | 1
        ann         |  85 | 09:00 | login  | u1      | 4
        ann         | 112 | 09:00 | login  | u1      | 1
        ann         | 182 | 09:00 | login  | u1      | 1
        bob         |   1 | 09:00 | login  | u1      | 1
        dan         |  40 | 09:00 | login  | u1      | 3
    """,
    "subscriptions": """
        customer_id | start_date
        ann         | 2025-01-01
        bob         | 2025-01-01
        dan         | 2025-01-01
        eve         | 2025-01-01
    """,
}

ROWS = {
    "n_events_trend_7d": {
        "ann": 5 / (8 * 7 / 56 + 1),
        "bob": 2,
        "dan": 1 / (3 / 8 + 1),
        "eve": None,
    },
    "n_events_trend_14d": {"ann": 7 / (7 / 4 + 1), "bob": 2, "dan": 1 / (3 / 4 + 1), "eve": None},
    "n_events_trend_28d": {"ann": 8 / (7 / 2 + 1), "bob": 2, "dan": 1 / (3 / 2 + 1), "eve": None},
    "n_active_days_trend_7d": {
        "ann": 3 / (6 / 8 + 1),
        "bob": 2,
        "dan": 1 / (1 / 8 + 1),
        "eve": None,
    },
    "n_active_days_trend_14d": {
        "ann": 5 / (5 / 4 + 1),
        "bob": 2,
        "dan": 1 / (1 / 4 + 1),
        "eve": None,
    },
    "n_active_days_trend_28d": {
        "ann": 6 / (5 / 2 + 1),
        "bob": 2,
        "dan": 1 / (1 / 2 + 1),
        "eve": None,
    },
    "n_active_days_change_14d": {"ann": 4 - 5 / 4, "bob": 1, "dan": 0 - 1 / 4, "eve": 0},
    "n_events_trend_long": {"ann": 15 / (6 * 84 / 98 + 1), "bob": 2, "dan": 4, "eve": None},
    "n_event_types_trend_28d": {"ann": 3 / 3, "bob": 2 / 1, "dan": 1 / 2, "eve": None},
    "n_events_login_trend_28d": {
        "ann": 7 / (4 / 2 + 1),
        "bob": 2,
        "dan": 1 / (3 / 2 + 1),
        "eve": None,
    },
    "n_events_search_trend_28d": {"ann": 1 / (1 / 2 + 1), "bob": 1, "dan": 1, "eve": None},
    "n_events_export_trend_28d": {"ann": 2 / (2 / 2 + 1), "bob": 1, "dan": 1, "eve": None},
    "share_of_best_month": {"ann": 5 / max(2, 3, 2), "bob": None, "dan": 0 / 1, "eve": None},
}


@pytest.mark.parametrize("feature", ROWS)
def test_trend(spec, feature):
    spec(TABLES, feature, ROWS[feature], Definition("cancellation"))
