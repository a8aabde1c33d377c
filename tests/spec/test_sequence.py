"""What came last, and since when there is less. Usual here: 18 active days in days 57 to 182, one a
week; half of it is less than one day, so a week without any is the drop."""

import pytest

USUAL = [f"{who} | {57 + 7 * k} | 09:00 | search | u1" for who in ("ann", "bob") for k in range(18)]
WEEKLY = [f"ann | {7 * k + 1} | 09:00 | search | u1" for k in range(8) if k not in (2, 4)]
HEAD = ["customer_id | age | at | event | user_id"]
LAST = """
    ann | 1   | 09:00 | export | u1
    ann | 50  | 09:00 | login  | u1
    bob | 1   | 08:00 | export | u1
    bob | 1   | 09:00 | login  | u1
    cid | 3   | 09:00 | search | u1
    cid | 9   | 09:00 | export | u1
    cid | 10  | 09:00 | other  | u1
    dan | 182 | 09:00 | search | u1
""".splitlines()

TABLES = {"events": "\n".join([*HEAD, *USUAL, *WEEKLY, *LAST])}

ROWS = {
    "last_event_type_1": {"ann": "export", "bob": "login", "cid": "search", "dan": "search"},
    "last_event_type_2": {"ann": "search", "bob": "export", "cid": "export", "dan": None},
    "last_event_type_3": {"ann": "login", "bob": "search", "cid": None, "dan": None},
    "since_drop_days": {"ann": 35, "bob": 56, "cid": 0, "dan": 56},
}


@pytest.mark.parametrize("feature", ROWS)
def test_sequence(spec, feature):
    spec(TABLES, feature, ROWS[feature])
