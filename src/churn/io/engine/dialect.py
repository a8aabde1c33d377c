"""The project's statements, written in DuckDB's dialect, as Spark SQL that means the same.

SQLGlot translates the grammar. What it leaves alone is where both engines know a word and mean
different things by it; each such case is one function here. A function that neither is known to
both nor stands here is refused, since Spark might know the name, too.
"""

from collections.abc import Callable

from sqlglot import exp

from churn.errors import ConfigurationError

WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")

SAME = ("BIT_COUNT", "BROUND")


def spark_sql(query: exp.Expr) -> str:
    """The text of `query` for Spark."""
    root = exp.Paren(this=query.copy())  # so that every node of the query has something above it
    for node in reversed(list(root.this.dfs())):  # what is inside first
        meant = next((MEANT[kind] for kind in type(node).mro() if kind in MEANT), None)
        if meant is not None:
            node.replace(meant(node))
    return str(root.this.sql(dialect="spark"))


def _literal(literal: exp.Literal) -> exp.Expr:
    """28.0 is a DECIMAL on Spark and makes decimals of all it meets."""
    text = literal.name
    return literal if literal.is_string or text.isdigit() else exp.Var(this=f"{text}D")


def _type(kind: exp.DataType) -> exp.Expr:
    """Bare TIMESTAMP is what spark.sql.timestampType says, here without zone."""
    zones = {
        exp.DType.TIMESTAMPTZ: exp.DType.TIMESTAMPLTZ,
        exp.DType.TIMESTAMP: exp.DType.TIMESTAMPNTZ,
    }
    return exp.DataType(this=zones[kind.this]) if kind.this in zones else kind


def _cast(cast: exp.Cast) -> exp.Expr:
    """To a whole number DuckDB rounds (half to even), Spark cuts off."""
    if cast.to.sql(dialect="spark") in WHOLE and not _is_whole(cast.this):
        cast.set("this", exp.Anonymous(this="BROUND", expressions=[cast.this]))
    return cast


def _is_whole(operand: exp.Expr) -> bool:
    """Whether there is nothing to round, plainly enough to spare the reader of the SQL a BROUND."""
    known = (exp.Null, exp.Round, exp.Count, exp.RowNumber, exp.Extract, exp.BitwiseOrAgg)
    return isinstance(operand, known) or (isinstance(operand, exp.Literal) and operand.is_int)


def _date_diff(diff: exp.DateDiff) -> exp.Expr:
    """Days between two dates. With a unit Spark would count whole 24 hours between timestamps."""
    unit = diff.text("unit").upper() or "DAY"
    assert unit == "DAY", f"DATE_DIFF in {unit} is not counted alike"
    days = exp.Anonymous(this="DATEDIFF", expressions=[diff.this, diff.expression])
    return exp.cast(days, "BIGINT")


def _ln(ln: exp.Ln) -> exp.Expr:
    """Of zero and below, Spark's logarithm is NULL: a value that is missing, not one that is wrong."""
    x = ln.this
    zero = exp.Literal.number(0)
    return (
        exp.Case()
        .when(exp.LT(this=x.copy(), expression=zero.copy()), _double("NaN"))
        .when(exp.EQ(this=x.copy(), expression=zero), _double("-Infinity"))
        .else_(exp.Anonymous(this="LN", expressions=[x]))
    )


def _double(text: str) -> exp.Expr:
    return exp.Anonymous(this="DOUBLE", expressions=[exp.Literal.string(text)])


def _function(function: exp.Anonymous) -> exp.Expr:
    name = function.name.upper()
    if name in SAME or (_is_timezone(function) and _is_timezone(function.parent)):
        return function  # of two, the outer one knows what is meant
    if name not in OTHERS:
        raise ConfigurationError(
            "a statement uses a function that Spark may understand otherwise",
            got=name,
            expected=f"one of: {', '.join(sorted([*SAME, *OTHERS]))}",
            next_step="run this command with engine=duckdb",
        )
    return OTHERS[name](function.expressions)


def _is_timezone(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() == "TIMEZONE"


def _hash(arguments: list[exp.Expr]) -> exp.Expr:
    """Spark's own HASH has 32 bits, with a sign."""
    return exp.Anonymous(this="XXHASH64", expressions=arguments)


def _timezone(arguments: list[exp.Expr]) -> exp.Expr:
    """A moment on the clock of UTC, or a UTC time on the clock of a zone.

    The third case, a local time in UTC, is not here: an hour that a clock repeats is the second one
    on DuckDB and the first one on Spark.
    """
    zone, moment = arguments
    if zone.name == "UTC" and isinstance(moment, exp.Cast | exp.TryCast):
        # the session is pinned to UTC
        return exp.Cast(this=moment, to=exp.DataType(this=exp.DType.TIMESTAMPNTZ))
    if isinstance(moment, exp.Anonymous) and moment.expressions[0].name == "UTC":
        utc, moment = moment.expressions
        if _is_timezone(moment):
            moment = _timezone(moment.expressions)
        return exp.Anonymous(this="CONVERT_TIMEZONE", expressions=[utc, zone, moment])
    raise ConfigurationError(
        "a statement turns local times into UTC",
        got=zone.name,
        expected="times in UTC, or with an offset",
        next_step="run this command with engine=duckdb",
    )


OTHERS: dict[str, Callable[[list[exp.Expr]], exp.Expr]] = {
    "HASH": _hash,
    "TIMEZONE": _timezone,
}

MEANT: dict[type, Callable] = {
    exp.Literal: _literal,
    exp.DataType: _type,
    exp.Cast: _cast,
    exp.DateDiff: _date_diff,
    exp.Ln: _ln,
    exp.Anonymous: _function,
}
