"""The people of an account. u1 of ann is not u1 of bob; in cid nobody has a seat."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   1 | 09:00 | login  | u1
        ann         |   7 | 09:00 | login  | u2
        ann         |   8 | 09:00 | login  | u2
        ann         |  28 | 09:00 | login  | u3
        ann         |  29 | 09:00 | login  | u1
        ann         |  84 | 09:00 | login  | u4
        ann         |  85 | 09:00 | login  | u5
        bob         |  29 | 09:00 | login  | u1
        bob         |  84 | 09:00 | login  | u2
        cid         |   1 | 09:00 | charge |
        cid         |  84 | 09:00 | login  | u1
        eve         |   2 | 09:00 | login  | u1
    """,
    "subscriptions": """
        customer_id | start_date | seats
        ann         | 2025-01-01 | 4
        cid         | 2025-01-01 | 0
        eve         | 2025-01-01 | 2
    """,
}

ROWS = {
    "n_people_7d": {"ann": 2, "bob": 0, "cid": 0, "eve": 1},
    "n_people_28d": {"ann": 3, "bob": 0, "cid": 0, "eve": 1},
    "n_people_84d": {"ann": 4, "bob": 2, "cid": 1, "eve": 1},
    "n_people_stopped": {"ann": len({"u4"}), "bob": 2, "cid": 1, "eve": 0},
    "n_people_came": {"ann": len({"u2", "u3"}), "bob": 0, "cid": 0, "eve": 1},
    "people_stopped_share": {"ann": 1 / 2, "bob": 2 / 2, "cid": 1 / 1, "eve": None},
    "n_people_per_seat_28d": {"ann": 3 / 4, "bob": None, "cid": None, "eve": 1 / 2},
}


@pytest.mark.parametrize("feature", ROWS)
def test_people(spec, feature):
    spec(TABLES, feature, ROWS[feature])
