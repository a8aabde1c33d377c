"""How long a customer has been here: subscription, else sign-up, else first event."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         | 200 | 09:00 | login  | u1
        ann         |   1 | 09:00 | login  | u1
        bob         |  28 | 09:00 | login  | u1
        cid         |  57 | 09:00 | login  | u1
        cid         |  10 | 09:00 | login  | u1
        dan         |   3 | 09:00 | login  | u1
        eve         |   5 | 09:00 | login  | u1
    """,
    "customers": """
        customer_id | signed_up_at     | country | size
        ann         | 2025-05-01 09:00 |         |
        bob         | 2026-04-06 23:59 |         |
        dan         | 2026-06-01 00:00 |         |
    """,
    "subscriptions": """
        customer_id | start_date
        ann         | 2025-06-01
        eve         | 2026-06-01
    """,
}

ROWS = {
    "tenure_days": {"ann": 365, "bob": 56, "cid": 57, "dan": 3, "eve": 5},
    "first_event_days": {"ann": 200, "bob": 28, "cid": 57, "dan": 3, "eve": 5},
    "active_share_of_tenure": {
        "ann": 1 / 182,
        "bob": 1 / 56,
        "cid": 2 / 57,
        "dan": 1 / 3,
        "eve": 1 / 5,
    },
    "is_new": {"ann": 0, "bob": 1, "cid": 0, "dan": 1, "eve": 1},
}


@pytest.mark.parametrize("feature", ROWS)
def test_tenure(spec, feature):
    spec(TABLES, feature, ROWS[feature])
