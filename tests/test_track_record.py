"""What became of earlier lists, beside as many customers chosen by silence and at random."""

from datetime import date, timedelta

import pandas as pd
import pytest

from churn.proof import track_record

WEEKS = [date(2026, 1, 5) + timedelta(weeks=k) for k in range(3)]
AS_OF = WEEKS[0] + timedelta(days=35)

LISTED = pd.DataFrame(
    [(day, customer, risk) for day in WEEKS for customer, risk in (("a", 0.5), ("b", 0.25))],
    columns=["as_of", "customer_id", "risk"],
)
SCORED = pd.DataFrame(
    [
        (WEEKS[0], customer, silence)
        for customer, silence in (("a", 3), ("b", 1), ("c", 9), ("d", 3), ("e", None))
    ],
    columns=["as_of", "customer_id", "recency_days"],
)
BECAME = pd.DataFrame(
    [
        (day, customer, label)
        for day in WEEKS[:2]
        for customer, label in (("a", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.0), ("e", 1.0))
    ],
    columns=["as_of", "customer_id", "label"],
)


def past() -> pd.DataFrame:
    return track_record.past(LISTED, SCORED, BECAME, as_of=AS_OF, window_days=28).set_index("as_of")


def test_a_settled_list_is_compared_with_simpler_ones():
    first = past().loc[WEEKS[0]]
    assert (first["size"], first["expected"], first["left"]) == (2, 0.75, 2)
    assert first["silent_left"] == 1, "who was never seen counts as longest silent"
    assert first["random_left"] == pytest.approx(2 * 3 / 5)


def test_ties_at_the_cut_share():
    longer = pd.concat(
        [LISTED, pd.DataFrame({"as_of": [WEEKS[0]], "customer_id": "c", "risk": 0.1})]
    )
    found = track_record.past(longer, SCORED, BECAME, as_of=AS_OF, window_days=28)
    row = found.set_index("as_of").loc[WEEKS[0]]
    assert row["silent_left"] == pytest.approx(1 + 0 + 0.5), "e, c, and half of a or d"


def test_what_is_not_settled_or_not_kept_is_not_made_up():
    found = past()
    assert list(found.index) == WEEKS[::-1]
    assert found.loc[WEEKS[1], "left"] == 2, "settled on the day itself"
    assert found.loc[WEEKS[1], "silent_left"] is None, "nobody knows who was scored then"
    assert found.loc[WEEKS[2], "left"] is None
    assert found.loc[WEEKS[2], "expected"] == 0.75
    assert found.loc[WEEKS[2], "settled_on"] == WEEKS[2] + timedelta(days=28)


def test_the_first_week_has_no_record():
    none = track_record.past(LISTED, SCORED, BECAME, as_of=WEEKS[0], window_days=28)
    assert none.empty
    assert list(none.columns) == list(track_record.COLUMNS)
