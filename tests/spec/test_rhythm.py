"""Gaps between days of use, weekdays, hours. Age 1 is a Sunday, 3 a Friday, 9 a Saturday."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   1 | 23:00 | login  | u1
        ann         |   1 | 03:00 | login  | u1
        ann         |   3 | 09:30 | login  | u1
        ann         |   9 | 05:59 | login  | u1
        ann         |  31 | 06:00 | login  | u1
        ann         |  85 | 09:00 | login  | u1
        ann         | 182 | 09:00 | login  | u1
        ann         | 183 | 09:00 | login  | u1
        bob         |   7 | 09:00 | login  | u1
        bob         |   8 | 09:59 | login  | u1
        bob         |  84 | 09:30 | login  | u1
        cid         |   2 | 00:00 | login  | u1
        cid         |   3 | 12:00 | charge |
        cid         |   6 | 12:00 | login  | u1
    """,
}

ROWS = {
    "gap_mean_days": {"ann": (1 + 97 + 54 + 22 + 6 + 2) / 6, "bob": (76 + 1) / 2, "cid": 4},
    "gap_deviation_days": {
        "ann": ((1 + 97**2 + 54**2 + 22**2 + 6**2 + 2**2) / 6 - (182 / 6) ** 2) ** 0.5,
        "bob": 37.5,
        "cid": 0,
    },
    "gap_max_days": {"ann": 97, "bob": 76, "cid": 4},
    "gap_mean_84d_days": {"ann": (54 + 22 + 6 + 2) / 4, "bob": (76 + 1) / 2, "cid": 4},
    "weekend_share_84d": {"ann": 2 / 4, "bob": 1 / 3, "cid": 1 / 2},
    "night_share_84d": {"ann": 2 / 5, "bob": 0, "cid": 1 / 3},
    "n_hours_28d": {"ann": len({23, 3, 9, 5}), "bob": 1, "cid": len({0, 12})},
    "n_active_weeks_84d": {"ann": 3, "bob": 3, "cid": 1},
}


@pytest.mark.parametrize("feature", ROWS)
def test_rhythm(spec, feature):
    spec(TABLES, feature, ROWS[feature])
