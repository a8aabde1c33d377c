"""Factors of items. By hand: pen weighs .5 and .001, ink -.25 and 2; over the root of the number of
items, known to the factors or not."""

import math

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | item | times
        ------------+-----+-------+--------+---------+------+------
        ann         |   1 | 09:00 | login  | u1      | pen  | 2
        ann         | 182 | 09:00 | login  | u1      | ink  | 1
        ann         |  29 | 09:00 | login  | u1      | cap  | 1
        bob         |   7 | 09:00 | login  | u1      | ink  | 1
        bob         | 183 | 09:00 | login  | u1      | pen  | 1
        cid         |   2 | 09:00 | login  | u1      | cap  | 1
        dan         |   2 | 09:00 | login  | u1      |      | 1
    """,
}

ROWS = {
    "taste_0_182d": {"ann": (0.5 - 0.25) / math.sqrt(3), "bob": -0.25, "cid": 0, "dan": 0},
    "taste_1_182d": {"ann": 2.001 / math.sqrt(3), "bob": 2, "cid": 0, "dan": 0},
}


@pytest.mark.parametrize("feature", ROWS)
def test_taste(spec, feature):
    spec(TABLES, feature, ROWS[feature])
