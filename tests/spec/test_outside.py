"""The world outside, as known at the snapshot 2026-06-01; ann was active on three days."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   1 | 09:00 | login  | u1
        ann         |   7 | 09:00 | login  | u1
        ann         |  84 | 09:00 | login  | u1
        ann         |  85 | 09:00 | login  | u1
        bob         |   2 | 09:00 | charge |
    """,
    "dates": """
        date       | name    | value | loaded_at
        -----------+---------+-------+--------------------
        2026-05-31 | Rain mm | 2.5   |
        2026-05-25 | Rain mm | 0.25  | 2026-05-26 00:00:00
        2026-05-25 | Rain mm | 4     | 2026-05-27 00:00:00
        2026-05-25 | Rain mm | 99    | 2026-06-01 06:00:00
        2026-05-24 | Rain mm | 1     | 2026-05-25 00:00:00
        2026-05-04 | Rain mm | 1     | 2026-05-25 00:00:00
        2026-05-03 | Rain mm | 1     | 2026-05-25 00:00:00
        2026-06-01 | Rain mm | 50    |
        2026-06-03 | Rain mm | 7     | 2026-05-31 00:00:00
        2026-05-25 | holiday | 1     | 2025-01-01 00:00:00
        2026-03-09 | holiday | 1     | 2025-01-01 00:00:00
        2026-06-11 | holiday | 1     | 2025-01-01 00:00:00
        2026-06-28 | holiday | 1     | 2025-01-01 00:00:00
        2026-06-29 | holiday | 1     | 2025-01-01 00:00:00
        2026-06-02 | holiday | 1     | 2026-06-01 06:00:00
    """,
}
RAIN = "rain_mm_e953"

ROWS = {
    f"outside_{RAIN}_7d": {"ann": 2.5 + 4, "bob": 6.5},
    f"outside_{RAIN}_28d": {"ann": 2.5 + 4 + 1 + 1},
    f"outside_{RAIN}_next_28d": {"ann": 7, "bob": 7},
    f"since_{RAIN}_days": {"ann": 1},
    f"to_{RAIN}_days": {"ann": 2},
    f"active_on_{RAIN}_share_84d": {"ann": 2 / 3, "bob": None},
    "outside_holiday_7d": {"ann": 1},
    "outside_holiday_28d": {"ann": 1},
    "outside_holiday_next_28d": {"ann": 2},
    "since_holiday_days": {"ann": 7, "bob": 7},
    "to_holiday_days": {"ann": 10},
    "active_on_holiday_share_84d": {"ann": 2 / 3, "bob": None},
}


@pytest.mark.parametrize("feature", ROWS)
def test_outside(spec, feature):
    spec(TABLES, feature, ROWS[feature])


def test_without_the_table_nothing_is_known(spec):
    spec({"events": TABLES["events"]}, "outside_holiday_7d", {"ann": 0})
    spec({"events": TABLES["events"]}, "active_on_holiday_share_84d", {"ann": 0})
