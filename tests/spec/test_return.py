"""Silences that ended. A silence counts on the day of use that ends it."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |  10 | 09:00 | login  | u1
        ann         |  24 | 09:00 | login  | u1
        ann         |  30 | 09:00 | login  | u1
        ann         |  58 | 09:00 | login  | u1
        ann         | 114 | 09:00 | login  | u1
        bob         |   1 | 09:00 | login  | u1
        bob         |   8 | 09:00 | login  | u1
        bob         |  21 | 09:00 | login  | u1
        cid         |  57 | 09:00 | login  | u1
        cid         | 113 | 09:00 | login  | u1
        cid         | 170 | 09:00 | login  | u1
        dan         |  15 | 09:00 | login  | u1
        dan         |  20 | 09:00 | charge |
        dan         |  29 | 09:00 | login  | u1
        fay         |  29 | 09:00 | login  | u1
        fay         |  57 | 09:00 | login  | u1
    """,
    "subscriptions": """
        customer_id | start_date
        ann         | 2025-01-01
        bob         | 2025-01-01
        eve         | 2025-01-01
    """,
}
# gaps: ann 14 6 28 56, bob 7 13, cid 56 57, dan 14 (automated events are no use), fay 28
ROWS = {
    "n_silences_7d": {"ann": 3, "bob": 2, "cid": 2, "dan": 1, "fay": 1},
    "n_silences_14d": {"ann": 3, "bob": 0, "cid": 2, "dan": 1, "fay": 1},
    "n_silences_28d": {"ann": 2, "bob": 0, "cid": 2, "dan": 0, "fay": 1},
    "n_silences_56d": {"ann": 1, "bob": 0, "cid": 2, "dan": 0, "fay": 0},
    "n_silences_as_long": {"ann": 3, "bob": None, "cid": 2, "dan": 1, "fay": 1},
}


@pytest.mark.parametrize("feature", ROWS)
def test_return(spec, feature):
    spec(TABLES, feature, ROWS[feature])
