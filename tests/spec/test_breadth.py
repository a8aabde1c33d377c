"""How many kinds of things a customer does."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | times
        ------------+-----+-------+--------+---------+------
        ann         |   1 | 09:00 | login  | u1      | 1
        ann         |   7 | 09:00 | export | u1      | 1
        ann         |   8 | 09:00 | search | u1      | 1
        ann         |  28 | 09:00 | login  | u1      | 1
        ann         |  29 | 09:00 | login  | u1      | 2
        ann         |  56 | 09:00 | report | u1      | 1
        ann         |  57 | 09:00 | invite | u1      | 1
        ann         |  84 | 09:00 | export | u1      | 1
        ann         |  85 | 09:00 | share  | u1      | 1
        ann         | 182 | 09:00 | admin  | u1      | 1
        ann         | 183 | 09:00 | old    | u1      | 1
        bob         |  40 | 09:00 | login  | u1      | 1
        bob         |  85 | 09:00 | export | u1      | 1
    """,
}

ROWS = {
    "n_event_types_7d": {"ann": 2, "bob": 0},
    "n_event_types_14d": {"ann": 3, "bob": 0},
    "n_event_types_28d": {"ann": 3, "bob": 0},
    "n_event_types_56d": {"ann": 4, "bob": 1},
    "n_event_types_84d": {"ann": 5, "bob": 1},
    "n_event_types_182d": {"ann": 7, "bob": 2},
    "n_event_types_dropped": {"ann": len({"report", "invite"}), "bob": len({"login"})},
    "n_events_login_28d": {"ann": 2, "bob": 0},
    "n_events_export_28d": {"ann": 1, "bob": 0},
    "n_events_login_84d": {"ann": 4, "bob": 1},
    "n_events_export_84d": {"ann": 2, "bob": 0},
    "n_events_search_28d": {"ann": 1, "bob": 0},
    "n_events_search_84d": {"ann": 1, "bob": 0},
    "share_search_28d": {"ann": 1 / 4, "bob": None},
    "share_search_182d": {"ann": 1 / 11, "bob": 0},
    "share_login_28d": {"ann": 2 / 4, "bob": None},
    "share_login_182d": {"ann": 4 / 11, "bob": 1 / 2},
    "share_export_28d": {"ann": 1 / 4, "bob": None},
    "share_export_182d": {"ann": 2 / 11, "bob": 1 / 2},
}


@pytest.mark.parametrize("feature", ROWS)
def test_breadth(spec, feature):
    spec(TABLES, feature, ROWS[feature])
