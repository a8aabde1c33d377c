"""What a query may touch: tables that were bound by name, and nothing else of this machine.

Every query is a SELECT built by SQLGlot. Parquet files are read lazily by path, so DuckDB's access to
files cannot be closed while a connection lives; instead no query can name a file, a URL, a setting or
a function that reads one, wherever its text came from: only `bind` and `write` name paths.
"""

from collections.abc import Collection

from sqlglot import exp

from churn.errors import ConfigurationError

LOOK_OUTSIDE = {
    "getenv", "glob", "read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto",
    "read_parquet", "parquet_scan", "parquet_metadata", "sniff_csv", "query", "query_table", "getvariable",
    "current_setting", "duckdb_secrets", "duckdb_settings", "sqlite_scan", "postgres_scan", "which_secret",
    "reflect", "java_method", "aes_decrypt",
}  # fmt: skip
"""Functions of DuckDB or Spark that read files, settings or secrets, run SQL from a text, or Java."""


def require_inside(query: exp.Expr, bound: Collection[str]) -> None:
    """Raise `ConfigurationError` for a query that reads anything but the tables `bound` by name."""
    if not isinstance(query, exp.Query):
        raise _outside(type(query).__name__)
    named = {cte.alias.casefold() for cte in query.find_all(exp.CTE)}
    named |= {name.casefold() for name in bound}
    for table in query.find_all(exp.Table):
        is_name = isinstance(table.this, exp.Identifier) and not (table.db or table.catalog)
        if not is_name or table.name.casefold() not in named:
            raise _outside(table.sql(dialect="duckdb")[:200])
    for call in query.find_all(exp.Func):
        name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
        if name.casefold() in LOOK_OUTSIDE:
            raise _outside(call.sql(dialect="duckdb")[:200])


def _outside(got: str) -> ConfigurationError:
    return ConfigurationError(
        "a query reaches for what it was not given",
        got=got,
        expected="a SELECT over the tables of the workspace, by their names",
        next_step="correct the expression in the configuration",
    )
