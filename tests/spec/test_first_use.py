"""What a customer began, goes on with, gave up or never touched."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   1 | 09:00 | login  | u1
        ann         |  28 | 09:00 | export | u1
        ann         |  29 | 09:00 | login  | u1
        ann         | 365 | 09:00 | old    | u1
        ann         | 366 | 09:00 | export | u1
        bob         |  28 | 09:00 | login  | u1
        bob         |  29 | 09:00 | export | u1
        bob         | 180 | 09:00 | admin  | u1
        bob         |   2 | 09:00 | search | u1
    """,
}

ROWS = {
    "first_use_days_login": {"ann": 29, "bob": 28},
    "first_use_days_export": {"ann": 28, "bob": 29},
    "first_use_days_search": {"ann": None, "bob": 2},
    "use_of_login": {"ann": "ongoing", "bob": "first"},
    "use_of_export": {"ann": "first", "bob": "stopped"},
    "use_of_search": {"ann": "never", "bob": "first"},
    "n_event_types_first_28d": {"ann": 1, "bob": 2},
    "n_event_types_stopped": {"ann": len({"old"}), "bob": len({"export", "admin"})},
}


@pytest.mark.parametrize("feature", ROWS)
def test_first_use(spec, feature):
    spec(TABLES, feature, ROWS[feature])
