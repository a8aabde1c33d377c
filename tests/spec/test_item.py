"""What events were about, where the log says so."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | item | times
        ------------+-----+-------+--------+---------+------+------
        ann         |   1 | 09:00 | login  | u1      | pen  | 2
        ann         |   1 | 10:00 | login  | u1      |      | 9
        ann         |  28 | 09:00 | export | u1      | ink  | 1
        ann         |  29 | 09:00 | login  | u1      | pen  | 1
        ann         |  84 | 09:00 | login  | u1      | pen  | 3
        ann         |  85 | 09:00 | login  | u1      | cap  | 1
        ann         |  84 | 09:00 | login  | u1      | box  | 1
        ann         | 365 | 09:00 | login  | u1      | ink  | 1
        ann         | 366 | 09:00 | login  | u1      | cap  | 1
        bob         |  57 | 09:00 | login  | u1      | pen  | 1
        bob         |  58 | 09:00 | login  | u1      | pen  | 1
        bob         |  59 | 09:00 | login  | u1      | pen  | 1
        bob         |  56 | 09:00 | login  | u1      | ink  | 1
        bob         |  57 | 09:00 | login  | u1      | ink  | 1
        bob         |  58 | 09:00 | login  | u1      | ink  | 1
        cid         |   2 | 09:00 | login  | u1      |      | 1
        dan         |  28 | 09:00 | login  | u1      | pen  | 1
    """,
}
# ann: pen on 1 29 84, ink on 28 365, cap on 85, box on 84
ROWS = {
    "n_items_28d": {"ann": 2, "bob": 0, "cid": 0},
    "n_items_84d": {"ann": 3, "bob": 2, "cid": 0},
    "n_items_365d": {"ann": 4, "bob": 2, "cid": 0},
    "new_items_share_28d": {"ann": 0, "bob": None, "cid": None, "dan": 1},
    "new_items_share_84d": {"ann": 2 / 3, "bob": 1, "cid": None},
    "repeated_items_share": {"ann": 2 / 4, "bob": 1, "cid": None},
    "n_days_per_item": {"ann": 7 / 4, "bob": 3, "cid": None},
    "favourite_item_share": {"ann": 6 / 10, "bob": 1 / 2, "cid": None},
    "favourite_item_recency_days": {"ann": 1, "bob": 56, "cid": None},
    "n_items_given_up": {"ann": 0, "bob": 1, "cid": 0},
}


@pytest.mark.parametrize("feature", ROWS)
def test_item(spec, feature):
    spec(TABLES, feature, ROWS[feature])
