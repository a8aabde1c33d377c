"""Attributes as they were known: the last version before the date that had arrived by 06:00."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ann         |   2 | 09:00 | login  | u1
        bob         |   2 | 09:00 | login  | u1
        cid         |   2 | 09:00 | login  | u1
        dan         |   2 | 09:00 | login  | u1
    """,
    "customers": """
        customer_id | valid_from       | loaded_at                  | country | size
        ann         | 2026-01-01       | 2026-01-01                 | DE      | 3.0
        ann         | 2026-05-31 23:59 | 2026-06-01 05:59:59.999999 | FR      | 4.0
        ann         | 2026-06-01       | 2026-06-01                 | NL      | 5.0
        bob         | 2026-06-01       | 2026-06-01                 | DE      | 1.0
        dan         | 2026-01-01       |                            | DE      |
        dan         | 2026-05-01       | 2026-06-01 06:00           | FR      | 2.0
    """,
}

ROWS = {
    "profile_country": {"ann": "FR", "bob": None, "cid": None, "dan": "DE"},
    "profile_size": {"ann": 4, "bob": None, "cid": None, "dan": None},
}


@pytest.mark.parametrize("feature", ROWS)
def test_profile(spec, feature):
    spec(TABLES, feature, ROWS[feature])
