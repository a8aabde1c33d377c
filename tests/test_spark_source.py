"""source=spark: what Spark reads lands by month, the same rows as the same bytes."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import together

from churn.errors import InputError
from churn.io import tables
from churn.settings import EngineSettings, Settings, SourceSettings
from churn.stages import rollup

pytestmark = list(together.ON_SPARK)


def log(months: tuple[int, ...] = (1, 2, 3)) -> pd.DataFrame:
    """Three customers with two events a week, times with an offset, as another team calls things."""
    days = [
        day
        for month in months
        for day in pd.date_range(f"2026-{month:02d}-03", periods=8, freq="3D")
    ]
    return pd.DataFrame(
        [
            {"user": user, "at": day + pd.Timedelta(hours=hour), "what": what, "paid": paid}
            for day in days
            for user in ("007", "ann", "zoë")
            for hour, what, paid in ((9, "login", None), (15, "order", 12.5))
        ]
    )


def lay(rows: pd.DataFrame, folder: Path) -> None:
    """The log as several files, in no order, as Spark jobs leave them."""
    folder.mkdir(exist_ok=True)
    shuffled = rows.sample(frac=1, random_state=len(rows))
    for number, part in enumerate((shuffled.iloc[::2], shuffled.iloc[1::2])):
        table = pa.Table.from_pandas(part, preserve_index=False)
        types = {"at": pa.timestamp("us", "UTC"), "paid": pa.float64()}
        for name, kind in types.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(
                place,
                name,
                table[name].cast(pa.timestamp("us")).cast(kind)
                if name == "at"
                else table[name].cast(kind),
            )
        pq.write_table(table, folder / f"part-{number}.parquet")


def settings(workspace: Path, **source: object) -> Settings:
    given = {
        "name": "spark",
        "columns": {"customer_id": "user", "ts": "at", "event": "what", "value": "paid"},
        **source,
    }
    told = Settings(
        workspace=str(workspace), source=SourceSettings(**given), engine=EngineSettings(threads=1)
    )
    told.engine.memory_limit, told.engine.shuffle_partitions = "1GB", 2
    return told


def daily(workspace: Path) -> pd.DataFrame:
    return tables.read(workspace / "daily", made_by="rollup")


def landed(workspace: Path) -> dict[str, str]:
    return {path.name: tables.sha256(path) for path in workspace.glob("spark/*/events/*.parquet")}


def test_the_roll_up_is_that_of_the_files(tmp_path: Path) -> None:
    lay(log(), tmp_path / "log")
    rollup.run(settings(tmp_path / "spark", events=f"parquet.`{tmp_path}/log`"))
    files = settings(tmp_path / "files", name="files", events=f"{tmp_path}/log/*.parquet")
    rollup.run(files)
    pd.testing.assert_frame_equal(daily(tmp_path / "spark"), daily(tmp_path / "files"))
    assert set(landed(tmp_path / "spark")) == {f"2026-0{month}.parquet" for month in (1, 2, 3)}


def test_only_months_with_new_rows_change(tmp_path: Path) -> None:
    lay(log((1, 2)), tmp_path / "log")
    told = settings(tmp_path / "workspace", events=f"parquet.`{tmp_path}/log`")
    rollup.run(told)
    before = landed(tmp_path / "workspace")
    lay(log((1, 2, 3)), tmp_path / "log")
    rollup.run(told)
    after = landed(tmp_path / "workspace")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"2026-03.parquet"}
    assert daily(tmp_path / "workspace")["n"].sum() == len(log((1, 2, 3)))


def test_a_month_that_is_gone_is_refused_and_nothing_lands(tmp_path: Path) -> None:
    lay(log((1, 2)), tmp_path / "log")
    told = settings(tmp_path / "workspace", events=f"parquet.`{tmp_path}/log`")
    rollup.run(told)
    before = landed(tmp_path / "workspace")
    lay(log((2, 3)), tmp_path / "log")
    with pytest.raises(InputError, match="lost what was taken in") as refused:
        rollup.run(told)
    assert "2026-01" in refused.value.got
    assert landed(tmp_path / "workspace") == before


def test_a_select_and_side_tables_are_read_too(tmp_path: Path) -> None:
    lay(log(), tmp_path / "log")
    people = pd.DataFrame({"user": ["007", "ann", "zoë"], "size": [1, 2, 3]})
    (tmp_path / "people").mkdir()
    people.to_parquet(tmp_path / "people" / "part.parquet")
    select = f"SELECT * FROM parquet.`{tmp_path}/log` WHERE what = 'order'"
    told = settings(tmp_path / "workspace", events=select, customers=f"parquet.`{tmp_path}/people`")
    rollup.run(told)
    assert daily(tmp_path / "workspace")["n"].sum() == len(log()) / 2
    customers = tables.read(tmp_path / "workspace" / "customers", made_by="rollup")
    assert customers["size"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("events", "columns", "said"),
    [
        ("no_such_table", {}, "source.events"),
        ("SELEC 1", {}, "source.events"),
        ("LOG", {"ts": "when"}, "'when'"),
        ("LOG", {"ts": "what_is_this"}, "'what_is_this'"),
        ("SELECT 7 AS user, at, what FROM LOG", {}, "id"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, events: str, columns: dict[str, str], said: str
) -> None:
    lay(log((1,)), tmp_path / "log")
    events = events.replace("LOG", f"parquet.`{tmp_path}/log`")
    names = {"customer_id": "user", "ts": "at", "event": "what", **columns}
    with pytest.raises(InputError) as refused:
        rollup.run(settings(tmp_path / "workspace", events=events, columns=names))
    assert said in str(refused.value)
    assert not landed(tmp_path / "workspace")
