"""What was agreed. Who subscribes and does nothing is there too (all but ann)."""

import pytest

from churn.features.labels import Definition

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | times
        ann         |   2 | 09:00 | login  | u1      | 8
    """,
    "subscriptions": """
        customer_id | start_date | term_start | term_end   | plan  | seats | price_month | valid_from
        ------------+------------+------------+------------+-------+-------+-------------+------------
        ann         | 2026-01-01 | 2026-01-01 | 2026-06-29 | pro   | 4     | 100         | 2026-01-01
        bob         | 2025-01-01 | 2026-05-29 | 2026-06-28 | basic | 0     | 29          | 2026-05-29
        cid         | 2025-01-01 |            |            |       | 2     |             |
        dan         | 2025-01-01 | 2025-06-01 | 2026-06-01 | pro   | 1     | 50          | 2025-06-01
        eve         | 2025-01-01 |            |            | basic | 1     | 10          | 2025-01-01
        eve         | 2025-01-01 |            |            | pro   | 1     | 20          | 2026-05-31
        eve         | 2025-01-01 |            |            | max   | 1     | 30          | 2026-06-01
    """,
}

ROWS = {
    "to_renewal_days": {"ann": 28, "bob": 27, "cid": None, "dan": 0, "eve": None},
    "renews_within_horizon": {"ann": 0, "bob": 1, "cid": 0, "dan": 1, "eve": 0},
    "term_length_days": {"ann": 179, "bob": 30, "cid": None, "dan": 365, "eve": None},
    "long_term_renewal_days": {"ann": 28, "bob": None, "cid": None, "dan": 0, "eve": None},
    "plan": {"ann": "pro", "bob": "basic", "cid": None, "dan": "pro", "eve": "pro"},
    "seats": {"ann": 4, "bob": 0, "cid": 2, "dan": 1, "eve": 1},
    "price_month": {"ann": 100, "bob": 29, "cid": None, "dan": 50, "eve": 20},
    "price_per_seat_month": {"ann": 25, "bob": None, "cid": None, "dan": 50, "eve": 20},
    "n_events_per_seat_28d": {"ann": 8 / 4, "bob": None, "cid": 0 / 2, "dan": 0, "eve": 0},
}


@pytest.mark.parametrize("feature", ROWS)
def test_contract(spec, feature):
    spec(TABLES, feature, ROWS[feature], Definition("cancellation"))
