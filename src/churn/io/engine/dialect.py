"""The project's statements, written in DuckDB's dialect, as Spark SQL that means the same.

SQLGlot translates the grammar. What it leaves alone is where both engines know a word and mean
different things by it; each such case is one function here. A function that neither is known to
both nor stands here is refused, since Spark might know the name, too.
"""

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.generators.spark import SparkGenerator

from churn.errors import ConfigurationError

WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")


class Portable(Spark):
    """Spark's dialect with the meanings of DuckDB."""

    class Generator(SparkGenerator):
        TYPE_MAPPING: ClassVar = {
            **SparkGenerator.TYPE_MAPPING,
            # Bare TIMESTAMP is what spark.sql.timestampType says, here without zone.
            exp.DType.TIMESTAMPTZ: "TIMESTAMP_LTZ",
            exp.DType.TIMESTAMP: "TIMESTAMP_NTZ",
        }

        TRANSFORMS: ClassVar = {
            **SparkGenerator.TRANSFORMS,
            exp.DateDiff: lambda self, e: _date_diff(self, e),
            exp.Ln: lambda self, e: _ln(self, e),
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            """28.0 is a DECIMAL on Spark and makes decimals of all it meets."""
            text = super().literal_sql(expression)
            return text if expression.is_string or text.isdigit() else f"{text}D"

        def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
            """To a whole number DuckDB rounds (half to even), Spark cuts off."""
            if expression.to.sql(dialect=Spark) in WHOLE and not _is_whole(expression.this):
                rounded = exp.Anonymous(this="BROUND", expressions=[expression.this.copy()])
                return super().cast_sql(exp.Cast(this=rounded, to=expression.to), safe_prefix)
            return super().cast_sql(expression, safe_prefix)

        def anonymous_sql(self, expression: exp.Anonymous) -> str:
            name = expression.name.upper()
            if name in SAME:
                return super().anonymous_sql(expression)
            if name not in OTHERS:
                raise ConfigurationError(
                    "a statement uses a function that Spark may understand otherwise",
                    got=name,
                    expected=f"one of: {', '.join(sorted([*SAME, *OTHERS]))}",
                    next_step="run this command with engine=duckdb",
                )
            return OTHERS[name](self, expression.expressions)


SAME = ("BIT_COUNT", "BROUND")


def _is_whole(operand: exp.Expr) -> bool:
    """Whether there is nothing to round, plainly enough to spare the reader of the SQL a BROUND."""
    known = (exp.Null, exp.Round, exp.Count, exp.RowNumber, exp.Extract, exp.BitwiseOrAgg)
    return isinstance(operand, known) or (isinstance(operand, exp.Literal) and operand.is_int)


def _date_diff(self: SparkGenerator, expression: exp.DateDiff) -> str:
    """Days between two dates. With a unit Spark would count whole 24 hours between timestamps."""
    unit = expression.text("unit").upper() or "DAY"
    assert unit == "DAY", f"DATE_DIFF in {unit} is not counted alike"
    days = self.func("DATEDIFF", expression.this, expression.expression)
    return f"CAST({days} AS BIGINT)"


def _ln(self: SparkGenerator, expression: exp.Ln) -> str:
    """Of zero and below, Spark's logarithm is NULL: a value that is missing, not one that is wrong."""
    x = self.sql(expression, "this")
    impossible = f"WHEN {x} < 0 THEN DOUBLE('NaN') WHEN {x} = 0 THEN DOUBLE('-Infinity')"
    return f"CASE {impossible} ELSE LN({x}) END"


def _hash(self: SparkGenerator, arguments: list[exp.Expr]) -> str:
    """Spark's own HASH has 32 bits, with a sign."""
    return self.func("XXHASH64", *arguments)


def _timezone(self: SparkGenerator, arguments: list[exp.Expr]) -> str:
    """A moment on the clock of UTC, or a UTC time on the clock of a zone.

    The third case, a local time in UTC, is not here: an hour that a clock repeats is the second one
    on DuckDB and the first one on Spark.
    """
    zone, moment = arguments
    if zone.name == "UTC" and isinstance(moment, exp.Cast | exp.TryCast):
        return f"CAST({self.sql(moment)} AS TIMESTAMP_NTZ)"  # the session is pinned to UTC
    if isinstance(moment, exp.Anonymous) and moment.expressions[0].name == "UTC":
        return self.func("CONVERT_TIMEZONE", exp.Literal.string("UTC"), zone, moment.expressions[1])
    raise ConfigurationError(
        "a statement turns local times into UTC",
        got=zone.name,
        expected="times in UTC, or with an offset",
        next_step="run this command with engine=duckdb",
    )


OTHERS: dict[str, Callable[[SparkGenerator, list[exp.Expr]], str]] = {
    "HASH": _hash,
    "TIMEZONE": _timezone,
}
