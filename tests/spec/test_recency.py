"""How long ago; days of use only (cid was charged two days ago, and there nine days ago)."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   3 | 09:00 | export | u1
        ann         |  10 | 09:00 | login  | u1
        ann         |  24 | 09:00 | login  | u1
        bob         |   5 | 09:00 | login  | u1
        cid         |   2 | 09:00 | charge |
        cid         |   9 | 09:00 | login  | u1
        cid         |  40 | 09:00 | search | u1
        dan         |   2 | 09:00 | charge |
    """,
}

ROWS = {
    "recency_days": {"ann": 3, "bob": 5, "cid": 9, "dan": None},
    "recency_days_login": {"ann": 10, "bob": 5, "cid": 9, "dan": None},
    "recency_days_export": {"ann": 3, "bob": None, "cid": None, "dan": None},
    "recency_days_search": {"ann": None, "bob": None, "cid": 40, "dan": None},
    "recency_per_gap": {"ann": 3 / ((14 + 7) / 2), "bob": None, "cid": 9 / 31},
    "recency_per_longest_gap": {"ann": 3 / 14, "bob": None, "cid": 9 / 31},
}


@pytest.mark.parametrize("feature", ROWS)
def test_recency(spec, feature):
    spec(TABLES, feature, ROWS[feature])
