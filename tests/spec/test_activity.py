"""On how many days a customer is active; a day with automated events only is none."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | times
        ------------+-----+-------+--------+---------+------
        ann         |   1 | 09:00 | login  | u1      | 2
        ann         |   7 | 09:00 | login  | u1      | 1
        ann         |   8 | 09:00 | login  | u1      | 1
        ann         |  14 | 09:00 | login  | u1      | 1
        ann         |  15 | 09:00 | login  | u1      | 1
        ann         |  28 | 09:00 | login  | u1      | 1
        ann         |  29 | 09:00 | login  | u1      | 1
        ann         |  56 | 09:00 | login  | u1      | 1
        ann         |  57 | 09:00 | login  | u1      | 1
        ann         |  70 | 09:00 | login  | u1      | 1
        ann         |  71 | 09:00 | login  | u1      | 1
        ann         |  84 | 09:00 | login  | u1      | 1
        ann         |  85 | 09:00 | login  | u1      | 1
        ann         | 182 | 09:00 | login  | u1      | 1
        ann         | 183 | 09:00 | login  | u1      | 1
        bob         |  30 | 09:00 | login  | u1      | 1
        cid         |   1 | 09:00 | charge |         | 1
        cid         |   2 | 09:00 | login  | u1      | 1
    """,
}

ROWS = {
    "n_active_days_7d": {"ann": 2, "bob": 0, "cid": 1},
    "n_active_days_14d": {"ann": 4, "bob": 0, "cid": 1},
    "n_active_days_28d": {"ann": 6, "bob": 0, "cid": 1},
    "n_active_days_56d": {"ann": 8, "bob": 1, "cid": 1},
    "n_active_days_84d": {"ann": 12, "bob": 1, "cid": 1},
    "n_active_days_182d": {"ann": 14, "bob": 1, "cid": 1},
    "n_active_days_usual_14d": {"ann": 6 / 4, "bob": 1 / 4, "cid": 0},
    "n_active_days_fading_91d": {
        "ann": (91 + 85 + 84 + 78 + 77 + 64 + 63 + 36 + 35 + 22 + 21 + 8 + 7) / 91,
        "bob": 62 / 91,
        "cid": 90 / 91,
    },
    "n_active_days_fading_182d": {
        "ann": (182 + 176 + 175 + 169 + 168 + 155 + 154 + 127 + 126 + 113 + 112 + 99 + 98 + 1)
        / 182,
        "bob": 153 / 182,
        "cid": 181 / 182,
    },
    "n_active_days_fading_364d": {
        "ann": (
            364 + 358 + 357 + 351 + 350 + 337 + 336 + 309 + 308 + 295 + 294 + 281 + 280 + 183 + 182
        )
        / 364,
        "bob": 335 / 364,
        "cid": 363 / 364,
    },
}


@pytest.mark.parametrize("feature", ROWS)
def test_activity(spec, feature):
    spec(TABLES, feature, ROWS[feature])
