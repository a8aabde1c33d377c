"""Where in the year the snapshot lies: 1 June is day 152."""

import pytest

TABLES = {
    "events": """
        customer_id | age | at    | event  | user_id
        ------------+-----+-------+--------+--------
        ann         |   1 | 09:00 | login  | u1
    """,
}

ROWS = {
    "season_winter": {"ann": (183 - 152) / 183},
    "season_spring": {"ann": (183 - (152 + 275 - 366)) / 183},
}


@pytest.mark.parametrize("feature", ROWS)
def test_season(spec, feature):
    spec(TABLES, feature, ROWS[feature])
