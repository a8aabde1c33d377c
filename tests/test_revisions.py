"""Published lists as the weeks after read them: which of several counts, and who ever stood on one."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from churn.errors import ConfigurationError, InputError
from churn.io import revisions, tables
from churn.settings import Settings

MONDAY = date(2026, 1, 5)
WEEK = timedelta(weeks=1)


def listed(
    place: Path, as_of: date, ids: list[str], *, number: int = 1, known_at: str = "", hours: int = 6
) -> Path:
    """A revision with these customers on its list, made of what was known at `known_at`."""
    folder = place / "published" / as_of.isoformat() / f"r{number}"
    folder.mkdir(parents=True)
    pd.DataFrame({"customer_id": ids, "rank": range(len(ids))}).to_parquet(folder / revisions.LIST)
    manifest = {
        "as_of": as_of.isoformat(),
        "files": {revisions.LIST: {"sha256": tables.sha256(folder / revisions.LIST)}},
        "configuration": {"known_at": known_at, "source": {"arrival_hours": hours}},
    }
    tables.write_sealed(folder / revisions.MANIFEST, manifest)
    return folder


def settings(place: Path, **changes: str) -> Settings:
    return replace(Settings(workspace=str(place)), **changes)


def ids_before(place: Path, as_of: date) -> list[str]:
    found = revisions.latest(settings(place), as_of)
    return [] if found is None else found.rows["customer_id"].tolist()


def test_the_list_before_is_the_newest_of_an_earlier_week(tmp_path: Path) -> None:
    listed(tmp_path, MONDAY - WEEK, ["older"])
    folder = listed(tmp_path, MONDAY, ["before"])
    listed(tmp_path, MONDAY + WEEK, ["own"])
    listed(tmp_path, MONDAY + 2 * WEEK, ["later"])
    (tmp_path / "published" / "2026-01-09").mkdir()  # a week of which nothing came out
    found = revisions.latest(settings(tmp_path), MONDAY + WEEK)
    assert found is not None
    assert (found.as_of, found.revision) == (MONDAY, "2026-01-05/r1")
    assert found.sha256 == tables.sha256(folder / revisions.MANIFEST)
    assert found.rows.columns.tolist() == ["customer_id", "rank"]
    assert found.rows["customer_id"].tolist() == ["before"]
    assert revisions.latest(settings(tmp_path), MONDAY - WEEK) is None


def test_of_several_revisions_the_last_that_was_known_then_counts(tmp_path: Path) -> None:
    listed(tmp_path, MONDAY, ["first"])
    listed(tmp_path, MONDAY, ["second"], number=2, known_at="2026-01-12T06:00:00")
    listed(tmp_path, MONDAY, ["third"], number=10, known_at="2026-01-12T06:00:01")
    assert ids_before(tmp_path, MONDAY + WEEK) == ["second"]
    assert ids_before(tmp_path, MONDAY + 2 * WEEK) == ["third"]
    late = settings(tmp_path, as_of="2026-01-12", known_at="2026-01-20")
    found = revisions.latest(late, MONDAY + WEEK)
    assert found is not None
    assert found.revision == "2026-01-05/r10"


def test_what_was_known_is_counted_in_the_hours_of_each_revision(tmp_path: Path) -> None:
    """Its own arrival hours say when it was cut, not those of today."""
    listed(tmp_path, MONDAY, ["first"])
    listed(tmp_path, MONDAY, ["second"], number=2, hours=7 * 24 + 7)
    assert ids_before(tmp_path, MONDAY + WEEK) == ["first"]
    assert ids_before(tmp_path, MONDAY + 2 * WEEK) == ["second"]


def test_where_none_was_known_yet_the_first_counts(tmp_path: Path) -> None:
    listed(tmp_path, MONDAY, ["first"], known_at="2026-03-01")
    listed(tmp_path, MONDAY, ["second"], number=2, known_at="2026-03-02")
    assert ids_before(tmp_path, MONDAY + WEEK) == ["first"]


def test_who_ever_stood_on_a_list_within_a_year_of_them(tmp_path: Path) -> None:
    n = revisions.REMEMBERED
    for k in range(n + 1):
        listed(tmp_path, MONDAY - k * WEEK, [f"c{k}", "all"])
    assert revisions.ever_listed(settings(tmp_path), MONDAY) == {
        "all",
        *(f"c{k}" for k in range(1, n + 1)),
    }
    assert revisions.ever_listed(settings(tmp_path), MONDAY + WEEK) == {
        "all",
        *(f"c{k}" for k in range(n)),
    }
    assert revisions.ever_listed(settings(tmp_path / "empty"), MONDAY) == set()


def test_before_anything_is_published_the_lists_of_the_workspace_count(tmp_path: Path) -> None:
    made = {
        (MONDAY - k * WEEK).isoformat(): pd.DataFrame({"customer_id": [f"c{k}"]}) for k in range(3)
    }
    tables.write(tmp_path / "retention", made)
    found = revisions.latest(settings(tmp_path), MONDAY)
    assert found is not None
    assert (found.as_of, found.revision, found.sha256) == (MONDAY - WEEK, None, None)
    assert found.rows["customer_id"].tolist() == ["c1"]
    assert revisions.ever_listed(settings(tmp_path), MONDAY) == {"c1", "c2"}
    listed(tmp_path, MONDAY - 4 * WEEK, ["published"])
    assert ids_before(tmp_path, MONDAY) == ["published"]


def test_a_revision_that_lost_its_manifest_says_so(tmp_path: Path) -> None:
    folder = listed(tmp_path, MONDAY, ["a"])
    (folder / revisions.MANIFEST).unlink()
    with pytest.raises(InputError) as told:
        revisions.latest(settings(tmp_path), MONDAY + WEEK)
    assert str(told.value) == (
        f"{folder / revisions.MANIFEST} is gone\n"
        "  got:      no such file\n"
        "  expected: a manifest in every revision\n"
        "  next:     restore the file from a backup, or run `churn weekly` with the as_of and known_at "
        "of that revision"
    )


def test_a_list_that_is_not_the_published_one_is_not_read(tmp_path: Path) -> None:
    folder = listed(tmp_path, MONDAY, ["a"])
    pd.DataFrame({"customer_id": ["b"]}).to_parquet(folder / revisions.LIST)
    with pytest.raises(InputError) as told:
        revisions.latest(settings(tmp_path), MONDAY + WEEK)
    assert str(told.value).endswith(revisions.RESTORE)
    with pytest.raises(InputError):
        revisions.trusted(folder, "a file that nobody wrote")


def test_a_moment_that_is_none_is_named_by_its_key(tmp_path: Path) -> None:
    listed(tmp_path, MONDAY, ["a"], known_at="soon")
    with pytest.raises(ConfigurationError, match="known_at is not a timestamp"):
        revisions.latest(settings(tmp_path), MONDAY + WEEK)
