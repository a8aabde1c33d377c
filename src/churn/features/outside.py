"""The world outside, day by day, as it was known at a snapshot: weather, outages, holidays, campaigns."""

from collections.abc import Mapping
from datetime import date, datetime

from sqlglot import exp, parse_one

SCALE = 10_000
"""Values are summed as integers of 1/10000, so that no order of rows changes a sum."""

_KNOWN = """
    t.name IS NOT NULL AND t.value IS NOT NULL AND (t.loaded_at < {cut}
        OR t.loaded_at IS NULL AND t.date < {snapshot})
"""


def names(*, known_on: date, known_before: datetime) -> exp.Expr:
    """The names (`name`) that the table of dates had when it was read at `known_on`."""
    known = _KNOWN.format(
        cut=f"CAST('{known_before}' AS TIMESTAMP)", snapshot=f"DATE '{known_on.isoformat()}'"
    )
    return parse_one(
        f"SELECT DISTINCT t.name FROM dates AS t WHERE {known} ORDER BY t.name", dialect="duckdb"
    )


def by_day(series: Mapping[str, str]) -> str:
    """SQL for the known value of every series, one row per snapshot and date: snapshot, age_days and
    a column for each of `series` (column → name), null where the date has none.

    Reads `dates` and `snapshot` (snapshot, first_day, known_before). Of several rows of a date the
    one that arrived last counts, of those known at the snapshot.
    """
    known = _KNOWN.format(cut="s.known_before", snapshot="s.snapshot")
    columns = ", ".join(
        f"MAX(CASE WHEN name = {exp.Literal.string(name).sql(dialect='duckdb')} THEN units END) AS {column}"
        for column, name in series.items()
    )
    return f"""
        SELECT snapshot, age_days, {columns} FROM (
            SELECT s.snapshot, DATE_DIFF('day', t.date, s.snapshot) AS age_days, t.name,
                   CAST(ROUND(t.value * {SCALE}) AS BIGINT) AS units,
                   ROW_NUMBER() OVER (
                       PARTITION BY s.snapshot, t.name, t.date
                       ORDER BY t.loaded_at DESC NULLS LAST, t.value DESC
                   ) AS place
            FROM dates AS t JOIN snapshot AS s ON t.date >= s.first_day AND {known}
        ) AS versions WHERE place = 1 GROUP BY snapshot, age_days
    """
