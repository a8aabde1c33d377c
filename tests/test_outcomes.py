"""The way back: what CS recorded, checked against the lists it was handed, and merged."""

from datetime import date, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa
from commandline import exit_code

import churn
from churn import contracts
from churn.errors import ConfigurationError, InputError
from churn.io import publish, records, tables
from churn.proof import outcomes, record
from churn.settings import OutcomesSettings, Settings
from churn.stages import outcomes as stage

MONDAY = date(2026, 1, 5)
NEXT = MONDAY + timedelta(days=7)

LISTS = pd.DataFrame(
    [
        (MONDAY, "aaa", "007", "usage", "usage"),
        (MONDAY, "aaa", "8", None, None),
        (MONDAY, "bbb", "007", "money", None),
        (NEXT, "ccc", "007", "people", "people"),
    ],
    columns=["as_of", "list_id", "customer_id", "family", "play"],
)


def filled(*rows: tuple, file: str = "back.csv") -> pd.DataFrame:
    """Rows as `feedback.read` gives them: customer, date, list, contacted, outcome, verdict, note."""
    names = ["customer_id", "as_of", "list_id", *contracts.FEEDBACK_COLUMNS]
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    frame["contacted"] = frame["contacted"].astype("boolean")
    return frame.assign(file=file, line=range(2, 2 + len(rows)))


def nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=list(contracts.OUTCOMES.columns), dtype=object)


def imported(known: pd.DataFrame, *rows: tuple, on: date = NEXT) -> pd.DataFrame:
    return outcomes.merged(known, outcomes.accepted(filled(*rows), LISTS), recorded_as_of=on)


def test_a_row_gets_the_family_and_the_play_of_the_list_it_belongs_to():
    rows = imported(
        nothing(),
        ("007", MONDAY, "aaa", True, "will stay", "right", "called"),
        ("8", MONDAY, "aaa", False, None, None, None),
    )
    assert rows.to_dict("records") == [
        {
            "as_of": MONDAY, "customer_id": "007", "list_id": "aaa", "contacted": True,
            "outcome": "will stay", "verdict": "right", "note": "called", "family": "usage",
            "play": "usage", "recorded_as_of": NEXT,
        },
        {
            "as_of": MONDAY, "customer_id": "8", "list_id": "aaa", "contacted": False,
            "outcome": None, "verdict": None, "note": None, "family": None, "play": None,
            "recorded_as_of": NEXT,
        },
    ]  # fmt: skip


def test_without_a_list_id_the_last_revision_of_that_date_is_meant():
    rows = imported(nothing(), ("007", MONDAY, None, True, None, None, None))
    assert rows.loc[0, "list_id"] == "bbb"
    assert rows.loc[0, "family"] == "money"


@pytest.mark.parametrize(
    ("row", "column", "got"),
    [
        (("7", MONDAY, "aaa", True, None, None, None), "customer_id", "'7'"),
        (("8", MONDAY, "bbb", True, None, None, None), "customer_id", "'8'"),
        (("007", MONDAY, "zzz", True, None, None, None), "list_id", "'zzz'"),
        (("007", date(2026, 1, 6), "aaa", True, None, None, None), "as_of", "2026-01-06"),
        (("9", MONDAY, None, True, None, None, None), "customer_id", "'9'"),
    ],
)
def test_what_belongs_to_no_list_is_refused_with_its_place(row, column, got):
    good = ("007", MONDAY, "aaa", True, None, None, None)
    with pytest.raises(InputError) as refused:
        outcomes.accepted(filled(good, row), LISTS)
    assert f"back.csv line 3, column '{column}'" in refused.value.what
    assert refused.value.got == got


def test_twice_the_same_rows_are_once_and_an_empty_cell_erases_nothing():
    first = imported(nothing(), ("007", MONDAY, "aaa", True, "undecided", "right", "x"))
    again = imported(
        first, ("007", MONDAY, "aaa", True, "undecided", "right", "x"), on=date(2026, 3, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    later = imported(
        first, ("007", MONDAY, "aaa", None, "will stay", None, None), on=date(2026, 3, 2)
    )
    row = later.iloc[0]
    assert (row["contacted"], row["outcome"], row["verdict"], row["note"]) == (
        True, "will stay", "right", "x",
    )  # fmt: skip
    assert row["recorded_as_of"] == NEXT, "the contact was known from the first import on"
    denied = imported(later, ("007", MONDAY, "aaa", False, None, None, None), on=date(2026, 3, 2))
    assert denied.iloc[0]["contacted"] is False
    assert denied.iloc[0]["recorded_as_of"] == date(2026, 3, 2)


def test_outcomes_become_contacts_known_from_the_import_on():
    rows = imported(
        nothing(),
        ("007", MONDAY, "aaa", True, "will stay", None, None),
        ("007", MONDAY, "bbb", True, None, None, None),
        ("8", MONDAY, "aaa", False, None, None, None),
    )
    contacts = outcomes.as_contacts(rows)
    assert list(contacts.columns) == list(contracts.CONTACTS.columns)
    assert contacts[["customer_id", "contacted_at", "campaign"]].to_dict("records") == [
        {
            "customer_id": "007",
            "contacted_at": pd.Timestamp(MONDAY),
            "campaign": None,
        }
    ]
    assert contacts.loc[0, "recorded_at"] < pd.Timestamp(NEXT)
    assert outcomes.as_contacts(nothing()).empty


def test_contacts_and_stays_become_the_record_of_plays():
    rows = imported(
        nothing(),
        ("007", MONDAY, "aaa", True, None, "wrong reason", None),
        ("007", NEXT, "ccc", True, None, "already known", None),
        ("8", MONDAY, "aaa", True, None, "right", None),
    )
    became = pd.DataFrame(
        [(MONDAY, "007", 0.0), (NEXT, "007", None)], columns=["as_of", "customer_id", "churned"]
    )
    by_play = record.by_play(rows, became).set_index("play")
    assert by_play.loc["usage", ["n_contacted", "n_settled", "n_stayed"]].tolist() == [1, 1, 1]
    assert by_play.loc["people", ["n_contacted", "n_settled", "n_stayed"]].tolist() == [1, 0, 0]
    assert record.by_play(nothing(), became).empty


LIST = """
as_of,customer_id,list_id,contacted,outcome,verdict,note
2026-01-05,007,aaa,yes,will stay,right,"fine, they said"
2026-01-05,8,aaa,no,,,
"""


@pytest.fixture
def place(tmp_path):
    """A workspace with a roll-up that ends on 2026-01-12 and one list."""
    place = tmp_path / "workspace"
    facts = {"known_at": None, "first_day": "2025-06-02", "last_day": "2026-01-12"}
    tables.write(place / "daily", {}, facts=facts)
    rows = pd.DataFrame(
        {
            "as_of": MONDAY,
            "list_id": "aaa",
            "customer_id": ["007", "8"],
            "suggested_play": ["Call.", None],
        }
    )
    reasons = pd.DataFrame(
        [("007", 1, "trend", "lowers"), ("007", 2, "usage", "raises")],
        columns=["customer_id", "rank", "family", "direction"],
    )
    tables.write(place / "retention", {MONDAY.isoformat(): rows})
    tables.write(place / "reasons", {MONDAY.isoformat(): reasons})
    (tmp_path / "back.csv").write_text(LIST.strip() + "\n")
    return place


def settings(place, **asked) -> Settings:
    return Settings(workspace=str(place), outcomes=OutcomesSettings(**asked))


def test_the_command_takes_in_a_file_twice_the_same(place):
    asked = settings(place, files=str(place.parent / "back.csv"))
    stage.run(asked)
    rows = churn.open(place).outcomes().astype(object)
    rows = rows.where(rows.notna(), None)
    assert rows[["customer_id", "contacted", "family", "play", "note"]].values.tolist() == [
        ["007", True, "usage", "usage", "fine, they said"],
        ["8", False, None, None, None],
    ]
    assert set(rows["recorded_as_of"]) == {date(2026, 1, 12)}
    before = tables.fingerprint(place / "outcomes", made_by="outcomes")
    stage.run(asked)
    assert tables.fingerprint(place / "outcomes", made_by="outcomes") == before
    assert list(rows.columns) == list(contracts.OUTCOMES.columns)


def test_a_revision_that_was_published_counts_as_a_list(place):
    revision = place / "published" / "2025-12-29" / "r1"
    revision.mkdir(parents=True)
    for name, made_by in (("retention_list", "retention"), ("reasons", "reasons")):
        rows = tables.read(place / made_by, made_by=made_by)
        moved = rows.assign(
            **({"as_of": date(2025, 12, 29), "list_id": "old"} if "as_of" in rows else {})
        )
        moved.to_parquet(revision / f"{name}.parquet", index=False)
    tables.write_json(revision / "manifest.json", {"files": publish.described(revision)})
    found = records.lists(place, {date(2025, 12, 29)})
    assert found["list_id"].tolist() == ["old", "old"]
    assert found["family"].tolist() == ["usage", None]


def test_the_command_refuses_what_it_cannot_place(place):
    path = place.parent / "back.csv"
    path.write_text(LIST.strip().replace("8,aaa", "9,aaa") + "\n")
    with pytest.raises(InputError, match="line 3, column 'customer_id'"):
        stage.run(settings(place, files=str(path)))
    assert churn.open(place).outcomes().empty
    with pytest.raises(InputError, match="matches no file"):
        stage.run(settings(place, files=str(place.parent / "*.nothing")))
    with pytest.raises(ConfigurationError, match="what to import"):
        stage.run(settings(place))


def test_the_command_takes_in_a_table(place, monkeypatch):
    url = f"sqlite:///{place.parent / 'cs.db'}"
    rows = pd.DataFrame(
        [("2026-01-05", "007", "aaa", "yes", "will stay"), ("2026-01-05", "8", "aaa", None, None)],
        columns=["as_of", "customer_id", "list_id", "contacted", "outcome"],
    )
    engine = sa.create_engine(url)
    rows.to_sql("back", engine, index=False)
    engine.dispose()
    monkeypatch.setenv("CHURN_SQL_URL", url)
    stage.run(settings(place, table="back"))
    found = churn.open(place).outcomes()
    assert found[["customer_id", "contacted", "outcome"]].values.tolist() == [
        ["007", True, "will stay"]
    ]


def test_the_command_line_knows_the_keys(place):
    words = (
        f"workspace={place}",
        f"outcomes.files={place.parent / 'back.csv'}",
        "engine.threads=1",
    )
    assert exit_code("outcomes", *words) == 0
    assert len(churn.open(place).outcomes()) == 2
    assert exit_code("outcomes", words[0]) == 2
    assert exit_code("outcomes", words[0], f"outcomes.files={place.parent / 'none.csv'}") == 3
