"""What messages speak of. Weights by hand: a text of one known word has length 1 on that word; with
"broken" once (1 × 1) and "thanks" once (1 × 2) the length is √5."""

import math

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id | text                | times
        ------------+-----+-------+--------+---------+---------------------+------
        ann         |   1 | 09:00 | ticket | u1      | Broken again!       | 2
        ann         | 182 | 09:00 | ticket | u1      | broken              | 1
        ann         | 183 | 09:00 | ticket | u1      | broken              | 1
        bob         |  92 | 09:00 | ticket | u1      | thanks, not broken  | 1
        bob         |   3 | 09:00 | login  | u1      | broken              | 1
        cid         |   2 | 09:00 | ticket | u1      |                     | 1
        dan         |   2 | 09:00 | ticket | u1      | nothing known       | 1
    """,
}

ONE, TWO = 1 / math.sqrt(5), 2 / math.sqrt(5)

ROWS = {
    "topic_0_182d": {
        "ann": 2 + 1 / 182,
        "bob": round(1000 * ONE) * 91 / 182_000,
        "cid": 0,
        "dan": 0,
    },
    "topic_1_182d": {
        "ann": 0.6 * (2 + 1 / 182),
        "bob": round(1000 * (0.6 * ONE + 0.8 * TWO)) * 91 / 182_000,
        "cid": 0,
        "dan": 0,
    },
}


@pytest.mark.parametrize("feature", ROWS)
def test_text(spec, feature):
    spec(TABLES, feature, ROWS[feature])
