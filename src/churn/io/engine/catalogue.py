"""What Spark can read that is not ours: tables and views of its catalogue, files, SELECTs."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from churn.errors import InputError
from churn.io.engine import Resources
from churn.io.engine.application import application, require_installed
from churn.io.engine.spark import failures, written

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

MONTH = "churn month"
UNDATED = "undated"


class Catalogue:
    """One session of the Spark application on `resources.master`.

    A `relation` is a table or view (`catalogue.schema.table`), files (``parquet.`s3a://…` ``, or
    another format that Spark knows), or a SELECT.
    """

    def __init__(self, resources: Resources) -> None:
        require_installed()
        with failures():
            self._session = application(resources).newSession()

    def schema(self, relation: str, *, key: str) -> pa.Schema:
        """The columns of `relation`, as they are handed on by `land`.

        Raises `InputError`, naming the setting `key`, for what is not there or cannot be read.
        """
        from pyspark.sql.pandas.types import to_arrow_schema

        with _refusals(relation, key=key), failures():
            frame = self._rows(relation)
            return to_arrow_schema(frame.select(_plain(frame)).schema, timezone="UTC")

    def land(
        self, relation: str, names: Sequence[str], folder: Path, *, by_month_of: str | None
    ) -> dict[str, Path]:
        """The columns `names` of `relation` as Parquet files below `folder`, by the workers.

        One file per month (YYYY-MM) of a column of dates or times, else one file; sorted by all
        columns, so that the same rows are the same bytes.
        """
        from pyspark.sql import functions as f

        with failures():
            rows = self._rows(relation)
            frame = rows.select(_plain(rows)).select(*(f.col(_quoted(name)) for name in names))
            month = f.lit(UNDATED)
            if by_month_of is not None:
                found = f.date_format(f.col(_quoted(by_month_of)), "yyyy-MM")
                month = f.coalesce(found, f.lit(UNDATED))
            dealt = frame.withColumn(MONTH, month).repartition(f.col(_quoted(MONTH)))
            order = [f.col(_quoted(name)) for name in (MONTH, *names)]
            written(dealt.sortWithinPartitions(*order), folder, by=MONTH)
        return dict(sorted(_files(folder)))

    def _rows(self, relation: str) -> "DataFrame":
        is_select = re.match(r"\s*(\(|--|/\*|select\b|with\b)", relation, re.IGNORECASE)
        text = f"({relation.strip().rstrip(';')}\n)" if is_select else relation.strip()
        return self._session.sql(f"SELECT * FROM {text}")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for place in folder.glob(f"{MONTH.replace(' ', '*')}=*"):
        (file,) = place.glob("*.parquet")
        yield place.name.split("=", 1)[1], file


def _plain(frame: "DataFrame") -> list["Column"]:
    """The columns, with decimals as numbers, and as text what is no single value."""
    from pyspark.sql import functions as f

    return [
        f.col(_quoted(field.name)).cast(_handed_on(field.dataType)).alias(field.name)
        for field in frame.schema.fields
    ]


def _handed_on(kind: "DataType") -> "DataType":
    from pyspark.sql import types as t

    if isinstance(kind, t.DecimalType):
        return t.DoubleType()
    kept = (
        t.StringType, t.IntegralType, t.FractionalType, t.BooleanType, t.BinaryType, t.DateType,
        t.TimestampType, t.TimestampNTZType,
    )  # fmt: skip
    return kind if isinstance(kind, kept) else t.StringType()


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


@contextmanager
def _refusals(relation: str, *, key: str) -> Iterator[None]:
    from pyspark.errors import AnalysisException, ParseException

    try:
        yield
    except (AnalysisException, ParseException) as error:
        raise InputError(
            f"Spark cannot read what {key} names",
            got=f"{relation.strip()[:200]}: {str(error).splitlines()[0][:200]}",
            expected="a table or view of its catalogue, parquet.`FOLDER`, or a SELECT",
            next_step=f"set {key}=CATALOGUE.SCHEMA.TABLE, and look at engine.master",
        ) from error
