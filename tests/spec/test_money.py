"""What events are worth: refunds are negative, a visit has no value, dan's card was declined."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event         | value
        ------------+-----+-------+---------------+-------
        ann         |   1 | 09:00 | sale          | 10
        ann         |   1 | 10:00 | visit         |
        ann         |  28 | 09:00 | sale          | 5.5
        ann         |  28 | 10:00 | refund        | -2
        ann         |  29 | 09:00 | sale          | 20
        ann         |  84 | 09:00 | sale          | 3
        ann         |  85 | 09:00 | sale          | 100.01
        ann         | 182 | 09:00 | sale          | 1
        ann         | 183 | 09:00 | sale          | 1000
        bob         |   5 | 09:00 | refund        | -7
        cid         |   5 | 09:00 | visit         |
        dan         |  14 | 09:00 | card_declined |
        dan         |  15 | 09:00 | card_declined |
        dan         |  28 | 09:00 | card_declined |
        dan         |  29 | 09:00 | card_declined |
        dan         |  84 | 09:00 | card_declined |
        dan         |  85 | 09:00 | card_declined |
    """,
}

ROWS = {
    "value_28d": {"ann": 10 + 5.5 - 2, "bob": -7, "cid": 0, "dan": 0},
    "value_84d": {"ann": 13.5 + 20 + 3, "bob": -7, "cid": 0, "dan": 0},
    "value_182d": {"ann": 36.5 + 100.01 + 1, "bob": -7, "cid": 0, "dan": 0},
    "value_per_active_day_84d": {"ann": 36.5 / 4, "bob": -7, "cid": 0, "dan": 0},
    "value_per_active_day_182d": {"ann": 137.51 / 6, "bob": -7, "cid": 0, "dan": 0},
    "value_max_day_182d": {"ann": 100.01, "bob": -7, "cid": 0, "dan": 0},
    "value_per_event_84d": {"ann": 36.5 / 5, "bob": -7, "cid": None, "dan": None},
    "value_trend_28d": {"ann": (13.5 + 1) / (23 / 2 + 1), "bob": 1, "cid": 1, "dan": 1},
    "negative_share_182d": {"ann": 2 / (137.51 + 2), "cid": 0, "dan": 0},
    "n_negative_84d": {"ann": 1, "bob": 1, "cid": 0, "dan": 0},
    "value_usual_28d": {"ann": 23 / 2, "bob": 0, "cid": 0, "dan": 0},
    "n_payment_failed_14d": {"ann": 0, "bob": 0, "cid": 0, "dan": 1},
    "n_payment_failed_28d": {"ann": 0, "bob": 0, "cid": 0, "dan": 3},
    "n_payment_failed_84d": {"ann": 0, "bob": 0, "cid": 0, "dan": 5},
    "n_value_events_84d": {"ann": 5, "bob": 1, "cid": 0, "dan": 0},
    "payment_failed_recency_days": {"ann": None, "bob": None, "cid": None, "dan": 14},
}


@pytest.mark.parametrize("feature", ROWS)
def test_money(spec, feature):
    spec(TABLES, feature, ROWS[feature])
