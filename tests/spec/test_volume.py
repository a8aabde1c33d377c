"""How much a customer does. cid is an account whose only events are automated: no person, no use."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | times
        ------------+-----+-------+--------+---------+------
        ann         |   1 | 09:00 | login  | u1      | 2
        ann         |   7 | 09:00 | login  | u1      | 1
        ann         |   8 | 09:00 | login  | u1      | 1
        ann         |  14 | 09:00 | login  | u1      | 1
        ann         |  15 | 09:00 | login  | u1      | 4
        ann         |  28 | 09:00 | login  | u1      | 1
        ann         |  29 | 09:00 | login  | u1      | 2
        ann         |  56 | 09:00 | login  | u1      | 1
        ann         |  57 | 09:00 | login  | u1      | 1
        ann         |  84 | 09:00 | login  | u1      | 1
        ann         |  85 | 09:00 | login  | u1      | 1
        ann         | 182 | 09:00 | login  | u1      | 1
        ann         | 183 | 09:00 | login  | u1      | 5
        bob         |  30 | 09:00 | login  | u1      | 2
        bob         | 100 | 09:00 | login  | u1      | 1
        cid         |   1 | 09:00 | charge |         | 3
        cid         |  85 | 09:00 | charge |         | 1
    """,
}

ROWS = {
    "n_events_7d": {"ann": 2 + 1, "bob": 0, "cid": 0},
    "n_events_14d": {"ann": 3 + 1 + 1, "bob": 0, "cid": 0},
    "n_events_28d": {"ann": 5 + 4 + 1, "bob": 0, "cid": 0},
    "n_events_56d": {"ann": 10 + 2 + 1, "bob": 2, "cid": 0},
    "n_events_84d": {"ann": 13 + 1 + 1, "bob": 2, "cid": 0},
    "n_events_182d": {"ann": 15 + 1 + 1, "bob": 3, "cid": 0},
    "n_events_per_active_day_28d": {"ann": 10 / 6, "bob": None, "cid": None},
    "n_events_per_active_day_182d": {"ann": 17 / 12, "bob": 3 / 2, "cid": None},
    "max_events_day_28d": {"ann": 4, "bob": 0, "cid": 0},
    "n_events_usual_14d": {"ann": (4 + 1 + 2 + 1 + 1) / 4, "bob": 2 / 4, "cid": 0},
    "n_events_usual_28d": {"ann": (2 + 1 + 1 + 1) / 2, "bob": 2 / 2, "cid": 0},
    "n_automated_28d": {"ann": 0, "bob": 0, "cid": 3},
    "n_automated_84d": {"ann": 0, "bob": 0, "cid": 3},
    "max_events_day_trend": {"ann": (4 + 1) / (2 + 1), "bob": 1 / (2 + 1), "cid": 1},
    "n_events_fading_91d": {
        "ann": (2 * 91 + 85 + 84 + 78 + 4 * 77 + 64 + 2 * 63 + 36 + 35 + 8 + 7) / 91,
        "bob": (2 * 62) / 91,
        "cid": 0,
    },
    "n_events_fading_182d": {
        "ann": (2 * 182 + 176 + 175 + 169 + 4 * 168 + 155 + 2 * 154 + 127 + 126 + 99 + 98 + 1)
        / 182,
        "bob": (2 * 153 + 83) / 182,
        "cid": 0,
    },
    "n_events_fading_364d": {
        "ann": (
            2 * 364
            + 358
            + 357
            + 351
            + 4 * 350
            + 337
            + 2 * 336
            + 309
            + 308
            + 281
            + 280
            + 183
            + 5 * 182
        )
        / 364,
        "bob": (2 * 335 + 265) / 364,
        "cid": 0,
    },
}


@pytest.mark.parametrize("feature", ROWS)
def test_volume(spec, feature):
    spec(TABLES, feature, ROWS[feature])
