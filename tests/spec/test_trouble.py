"""Errors and support. In cid an automated job fails: an error, but no event of use."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event     | user_id | times
        ------------+-----+-------+-----------+---------+------
        ann         |   1 | 09:00 | api_error | u1      | 3
        ann         |   1 | 10:00 | login     | u1      | 5
        ann         |   7 | 09:00 | api_error | u1      | 1
        ann         |   7 | 10:00 | login     | u1      | 9
        ann         |   8 | 09:00 | api_error | u1      | 1
        ann         |  15 | 09:00 | api_error | u1      | 1
        ann         |  29 | 09:00 | api_error | u1      | 2
        ann         |  29 | 10:00 | login     | u1      | 30
        ann         |  57 | 09:00 | api_error | u1      | 1
        ann         |  85 | 09:00 | api_error | u1      | 1
        bob         |  28 | 09:00 | ticket    | u1      | 1
        bob         |  29 | 09:00 | ticket    | u1      | 1
        bob         |  56 | 09:00 | ticket    | u1      | 1
        bob         |  57 | 09:00 | ticket    | u1      | 1
        bob         |  85 | 09:00 | ticket    | u1      | 1
        cid         |   2 | 09:00 | api_error |         | 1
    """,
}

ROWS = {
    "n_errors_7d": {"ann": 3 + 1, "bob": 0, "cid": 1},
    "n_errors_14d": {"ann": 4 + 1, "bob": 0, "cid": 1},
    "n_errors_28d": {"ann": 5 + 1, "bob": 0, "cid": 1},
    "n_errors_56d": {"ann": 6 + 2, "bob": 0, "cid": 1},
    "n_errors_84d": {"ann": 8 + 1, "bob": 0, "cid": 1},
    "n_errors_182d": {"ann": 9 + 1, "bob": 0, "cid": 1},
    "errors_per_event_7d": {"ann": 4 / (8 + 10), "bob": 0, "cid": 0},
    "errors_per_event_14d": {"ann": 5 / (8 + 10 + 1), "bob": 0, "cid": 0},
    "errors_per_event_28d": {"ann": 6 / (8 + 10 + 1 + 1), "bob": 0, "cid": 0},
    "errors_per_event_56d": {"ann": 8 / (20 + 32), "bob": 0, "cid": 0},
    "errors_per_event_182d": {"ann": 10 / (20 + 32 + 1 + 1), "bob": 0, "cid": 0},
    "max_errors_day_28d": {"ann": 3, "bob": 0, "cid": 1},
    "max_errors_day_84d": {"ann": 3, "bob": 0, "cid": 1},
    "n_error_days_28d": {"ann": 4, "bob": 0, "cid": 1},
    "errors_trend_28d": {"ann": 7 / (3 / 2 + 1), "bob": 1, "cid": 2},
    "n_support_28d": {"ann": 0, "bob": 1, "cid": 0},
    "n_support_56d": {"ann": 0, "bob": 3, "cid": 0},
    "n_support_84d": {"ann": 0, "bob": 4, "cid": 0},
    "n_support_182d": {"ann": 0, "bob": 5, "cid": 0},
    "support_recency_days": {"ann": None, "bob": 28, "cid": None},
    "n_error_burst_days_28d": {"ann": 3, "bob": 0, "cid": 1},
    "n_error_burst_days_84d": {"ann": 4, "bob": 0, "cid": 1},
    "n_error_burst_days_182d": {"ann": 5, "bob": 0, "cid": 1},
    "error_burst_recency_days": {"ann": 1, "bob": None, "cid": 2},
    "errors_per_event_84d": {"ann": 9 / (20 + 32 + 1), "bob": 0, "cid": 0},
    "n_errors_fading_91d": {
        "ann": (3 * 91 + 85 + 84 + 77 + 2 * 63 + 35 + 7) / 91,
        "bob": 0,
        "cid": 90 / 91,
    },
    "n_errors_fading_182d": {
        "ann": (3 * 182 + 176 + 175 + 168 + 2 * 154 + 126 + 98) / 182,
        "bob": 0,
        "cid": 181 / 182,
    },
    "n_errors_fading_364d": {
        "ann": (3 * 364 + 358 + 357 + 350 + 2 * 336 + 308 + 280) / 364,
        "bob": 0,
        "cid": 363 / 364,
    },
    "n_burst_errors_fading_91d": {
        "ann": (3 * 91 + 84 + 77 + 35 + 7) / 91,
        "bob": 0,
        "cid": 90 / 91,
    },
    "n_burst_errors_fading_182d": {
        "ann": (3 * 182 + 175 + 168 + 126 + 98) / 182,
        "bob": 0,
        "cid": 181 / 182,
    },
    "n_support_fading_91d": {"ann": 0, "bob": (64 + 63 + 36 + 35 + 7) / 91, "cid": 0},
    "n_support_fading_182d": {"ann": 0, "bob": (155 + 154 + 127 + 126 + 98) / 182, "cid": 0},
    "n_support_fading_364d": {"ann": 0, "bob": (337 + 336 + 309 + 308 + 280) / 364, "cid": 0},
}


@pytest.mark.parametrize("feature", ROWS)
def test_trouble(spec, feature):
    spec(TABLES, feature, ROWS[feature])
