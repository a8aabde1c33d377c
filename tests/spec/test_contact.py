"""Contacts before the date that were on record by 06:00."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ann         |   2 | 09:00 | login  | u1
        bob         |   2 | 09:00 | login  | u1
        cid         |   2 | 09:00 | login  | u1
        dan         |   2 | 09:00 | login  | u1
    """,
    "contacts": """
        customer_id | contacted_at               | recorded_at
        ann         | 2026-05-31 23:59:59.999999 | 2026-06-01 05:59:59.999999
        ann         | 2026-04-06                 |
        ann         | 2026-04-05 23:59           |
        bob         | 2026-06-01                 |
        cid         | 2026-05-20                 | 2026-06-01 06:00
        cid         | 2026-03-01                 | 2026-03-02
    """,
}

ROWS = {
    "n_contacts_56d": {"ann": 2, "bob": 0, "cid": 0, "dan": 0},
    "since_contact_days": {"ann": 1, "bob": None, "cid": 92, "dan": None},
}


@pytest.mark.parametrize("feature", ROWS)
def test_contact(spec, feature):
    spec(TABLES, feature, ROWS[feature])
