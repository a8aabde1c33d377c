"""Aggregates over days, taken apart: an aggregate → what it adds up, between which two ages.

An aggregate whose condition on `age_days` is a pair of bounds is the difference of two running
totals (`features.running`), whatever the number of snapshots and windows. What cannot be taken
apart here is left to the engine as it stands.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp, parse_one

from churn.features.definitions import Feature

ONE = "1"
"""The column of a span that counts days."""

AGE = "age_days"
GAP = "gap_days"

BY_THE_DAY = (
    exp.Column, exp.Identifier, exp.Literal, exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Paren, exp.Abs,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseNot,
)  # fmt: skip
"""What a summed value may be made of so that it stays a whole number, null only where a gap is."""

NOT_STRICT = (
    exp.Is, exp.Null, exp.Coalesce, exp.Nullif, exp.Case, exp.If, exp.Or, exp.And, exp.Not, exp.In,
    exp.Greatest, exp.Least, exp.Boolean,
)  # fmt: skip
"""With one of them, what reads a gap may be true of a day without one; a span that reads gaps begins
after such days."""

WIDE = 1000
"""A factor beyond may lead out of 64 bits."""


@dataclass(frozen=True)
class Span:
    """One number of a customer: `function` of `column` over the days with over < age <= upto.

    `sum`; `aged`, the sum of column × age; `min`, `max`, `bit_or`; `newest` and `oldest`, the age of
    the last and the first day on which `column` is not 0. `column` is SQL of a day that is a whole
    number and never null. Where `valid`, also such a column, is 0 the day does not count; without
    one all do. Null where no day counts. `upto` None is the whole lookback. With `after_gap` days
    up to the first day of use in the lookback do not count: their gap began before it.
    """

    function: str
    column: str
    valid: str | None = None
    over: int = 0
    upto: int | None = None
    after_gap: bool = False

    @property
    def columns(self) -> list[str]:
        return [self.column, *([self.valid] if self.valid else [])]


@dataclass(frozen=True)
class Apart:
    """Features as SQL over spans: `names` is span → column; `features` read these columns."""

    names: Mapping[Span, str]
    features: Sequence[Feature]

    @property
    def columns(self) -> list[str]:
        """What of a day the spans read, each once."""
        read = (column for span in self.names for column in span.columns if column != ONE)
        return list(dict.fromkeys(read))


def taken_apart(features: Sequence[Feature], *, apart_from: Sequence[str] = ()) -> Apart:
    """The features among `features` that are made of spans alone, all of them aggregates of days.

    Those that read a column of `apart_from`, which differ from snapshot to snapshot, are not.
    """
    names: dict[Span, str] = {}
    made = []
    for item in features:
        found = None if item.columns() & set(apart_from) else _over_spans(item.expression)
        if found is None:
            continue
        expression, spans = found
        for span in spans.values():
            names.setdefault(span, f"span_{len(names)}")
        renamed = {placeholder: names[span] for placeholder, span in spans.items()}
        made.append(replace(item, expression=_renamed(expression, renamed).sql(dialect="duckdb")))
    return Apart(names, made)


def _over_spans(expression: str) -> tuple[exp.Expr, dict[str, Span]] | None:
    """The expression with a column in place of each aggregate, and what these columns are."""
    tree = exp.Paren(this=parse_one(expression, dialect="duckdb"))
    spans: dict[str, Span] = {}
    for call in list(tree.find_all(exp.AggFunc)):
        parts = _parts(call)
        if parts is None:
            return None
        sql, found = parts
        names = [f"part_{len(spans) + place}" for place in range(len(found))]
        spans |= dict(zip(names, found, strict=True))
        call.replace(parse_one(sql.format(*names), dialect="duckdb"))
    for product in [node for node in tree.find_all(exp.Mul) if _is_wide(node, set(spans))]:
        product.set("this", exp.Cast(this=product.this, to=exp.DataType.build("INT128")))
    return tree.this, spans


def _is_wide(product: exp.Mul, spans: Collection[str]) -> bool:
    """Whether a product of whole numbers may not fit into those of a span, as it does into the sums of
    the whole statement: that of two spans, or of a span and a large number."""
    if not all(isinstance(node, (*BY_THE_DAY, exp.Coalesce)) for node in product.walk()):
        return False
    has_span = [any(_reads(side, name) for name in spans) for side in (product.left, product.right)]
    numbers = [int(one.this) for one in product.find_all(exp.Literal) if one.is_int]
    return all(has_span) or (any(has_span) and max(numbers, default=0) > WIDE)


def _parts(call: exp.AggFunc) -> tuple[str, list[Span]] | None:
    """An aggregate as SQL with places for its spans; None where it is not made of spans."""
    taken = _value_and_bounds(call)
    if taken is None:
        return None
    value, conditions, over, upto = taken
    reads = {column.name for part in [value, *conditions] for column in part.find_all(exp.Column)}
    has_gap = GAP in reads
    if has_gap and any(_may_hold_without(GAP, part) for part in [value, *conditions]):
        return None
    span = Span("sum", ONE, over=over, upto=upto, after_gap=has_gap)
    if isinstance(call, exp.Count):
        there = _all_of(conditions, value)
        return "COALESCE({}, 0)", [replace(span, column=_flag(there)) if there else span]
    return _of_values(call, span, value, conditions)


def _may_hold_without(column: str, part: exp.Expr) -> bool:
    """Whether `part` reads `column` in a way that may be more than null where that is null."""
    return _reads(part, column) and part.find(*NOT_STRICT) is not None


def _reads(part: exp.Expr, column: str) -> bool:
    return any(found.name == column for found in part.find_all(exp.Column))


def _all_of(conditions: Sequence[exp.Expr], value: exp.Expr | None = None) -> str:
    """SQL for the days on which `conditions` hold and `value` is not null; nothing where that is all."""
    known = [f"{GAP} IS NOT NULL"] if value is not None and _reads(value, GAP) else []
    return " AND ".join([*(f"({part.sql(dialect='duckdb')})" for part in conditions), *known])


def _of_values(
    call: exp.AggFunc, span: Span, value: exp.Expr, conditions: Sequence[exp.Expr]
) -> tuple[str, list[Span]] | None:
    """The spans of SUM, MIN, MAX and BIT_OR of `value` on the days on which all `conditions` hold."""
    line = _line(value)
    if line is None:
        return None
    base, slope = line
    there = _all_of(conditions, value)
    where = _all_of(conditions)
    valid = _flag(there) if there else None
    if slope is None:
        sql = base.sql(dialect="duckdb")
        named: dict[Any, str] = {
            exp.Sum: "sum",
            exp.Min: "min",
            exp.Max: "max",
            exp.BitwiseOrAgg: "bit_or",
        }
        return "{}", [
            replace(span, function=named[type(call)], column=_where(sql, where, span), valid=valid)
        ]
    if span.after_gap:
        return None
    if isinstance(call, exp.Sum):
        terms = [
            (factor, replace(span, function=function, column=_where(of, where, span), valid=valid))
            for function, part in (("aged", slope), ("sum", base))
            for factor, of in [_scaled(part)]
            if factor
        ]
        sql = " + ".join(f"{factor} * {{}}" for factor, _ in terms)
        return (f"({sql})", [part for _, part in terms]) if terms else None
    if isinstance(value, exp.Column) and isinstance(call, exp.Min | exp.Max):
        function = "newest" if isinstance(call, exp.Min) else "oldest"
        return "{}", [replace(span, function=function, column=_counted(conditions) or valid or ONE)]
    return None


def _scaled(value: exp.Expr) -> tuple[int, str]:
    """`value` as a whole number, which may be 0, times SQL: what differs by a factor alone is one column."""
    value = _bare(value)
    number = _constant(value)
    if number is not None:
        return number, ONE
    if isinstance(value, exp.Mul):
        for factor, rest in ((value.left, value.right), (value.right, value.left)):
            number = _constant(factor)
            if number is not None:
                inner, sql = _scaled(rest)
                return number * inner, sql
    return 1, value.sql(dialect="duckdb")


def _counted(conditions: Sequence[exp.Expr]) -> str | None:
    """The column of counts that `conditions` compare with 0 and do nothing else: it says as much."""
    if len(conditions) != 1 or not isinstance(conditions[0], exp.GT):
        return None
    column, least = _bare(conditions[0].left), _constant(conditions[0].right)
    is_count = isinstance(column, exp.Column) and column.name.startswith("n_")
    return column.name if is_count and least == 0 else None


def _value_and_bounds(
    call: exp.AggFunc,
) -> tuple[exp.Expr, list[exp.Expr], int, int | None] | None:
    """What is aggregated, on which days, and between which ages; None where that is more involved."""
    if type(call) not in (exp.Sum, exp.Count, exp.Min, exp.Max, exp.BitwiseOrAgg):
        return None
    value = _bare(call.this)
    if isinstance(value, exp.Star):
        return exp.Literal.number(1), [], 0, None
    if not isinstance(value, exp.Case):
        return (value, [], 0, None) if _is_plain(value) else None
    branches = value.args["ifs"]
    if value.this is not None or value.args.get("default") is not None or len(branches) != 1:
        return None
    conditions, over, upto = [], 0, None
    for part in _conjuncts(branches[0].this):
        bound = _bound(part)
        if bound is None and AGE in {column.name for column in part.find_all(exp.Column)}:
            return None
        if bound is None:
            conditions.append(part)
        elif bound[0] == "over":
            over = max(over, bound[1])
        else:
            upto = bound[1] if upto is None else min(upto, bound[1])
    chosen = _bare(branches[0].args["true"])
    return (chosen, conditions, over, upto) if _is_plain(chosen) else None


def _is_plain(value: exp.Expr) -> bool:
    is_whole = all(item.is_int for item in value.find_all(exp.Literal))
    return is_whole and all(isinstance(node, BY_THE_DAY) for node in value.walk())


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    condition = _bare(condition)
    if isinstance(condition, exp.And):
        return [*_conjuncts(condition.left), *_conjuncts(condition.right)]
    return [condition]


def _bound(condition: exp.Expr) -> tuple[str, int] | None:
    """("over" or "upto", days) of a comparison of the age with a constant."""
    compared: dict[Any, tuple[str, int]] = {
        exp.LTE: ("upto", 0),
        exp.LT: ("upto", -1),
        exp.GT: ("over", 0),
        exp.GTE: ("over", -1),
    }
    if not isinstance(condition, exp.Binary) or type(condition) not in compared:
        return None
    compares_age = isinstance(_bare(condition.left), exp.Column) and condition.left.name == AGE
    days = _constant(condition.right)
    if not compares_age or days is None:
        return None
    side, shift = compared[type(condition)]
    return side, days + shift


def _constant(value: exp.Expr) -> int | None:
    """A whole number written as a sum or a product of whole numbers."""
    value = _bare(value)
    if isinstance(value, exp.Literal):
        return int(value.this) if value.is_int else None
    if not isinstance(value, exp.Add | exp.Sub | exp.Mul):
        return None
    left, right = _constant(value.left), _constant(value.right)
    if left is None or right is None:
        return None
    if isinstance(value, exp.Mul):
        return left * right
    return left + right if isinstance(value, exp.Add) else left - right


def _line(value: exp.Expr) -> tuple[exp.Expr, exp.Expr | None] | None:
    """`value` as base + slope × age, slope None where age is not in it; None where it is no line."""
    value = _bare(value)
    if AGE not in {column.name for column in value.find_all(exp.Column)}:
        return value, None
    if isinstance(value, exp.Column):
        return exp.Literal.number(0), exp.Literal.number(1)
    if isinstance(value, exp.Mul):
        with_age = [
            AGE in {c.name for c in side.find_all(exp.Column)} for side in (value.left, value.right)
        ]
        if all(with_age):
            return None
        factor, rest = (value.right, value.left) if with_age[0] else (value.left, value.right)
        line = _line(rest)
        if line is None or line[1] is None:
            return None
        return _times(factor, line[0]), _times(factor, line[1])
    if isinstance(value, exp.Add | exp.Sub):
        left, right = _line(value.left), _line(value.right)
        if left is None or right is None:
            return None
        zero = exp.Literal.number(0)
        joined = type(value)
        return (
            joined(this=exp.paren(left[0]), expression=exp.paren(right[0])),
            joined(this=exp.paren(left[1] or zero), expression=exp.paren(right[1] or zero)),
        )
    return None


def _times(factor: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.Mul(this=exp.paren(factor.copy()), expression=exp.paren(value.copy()))


def _where(sql: str, where: str, span: Span) -> str:
    """The column of `sql`, 0 on days that do not count (they are told apart by `valid`)."""
    counted = f"CASE WHEN {where} THEN {sql} ELSE 0 END" if where else sql
    return f"COALESCE({counted}, 0)" if span.after_gap else counted


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _bare(value: exp.Expr) -> exp.Expr:
    while isinstance(value, exp.Paren):
        value = value.this
    return value


def _renamed(tree: exp.Expr, names: Mapping[str, str]) -> exp.Expr:
    for column in list(tree.find_all(exp.Column)):
        if column.name in names:
            column.set("this", exp.to_identifier(names[column.name]))
    return tree
