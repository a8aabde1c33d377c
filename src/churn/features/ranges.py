"""Some customers of a log at a time: who they are, and statements about them alone."""

from datetime import date

from sqlglot import exp, parse_one

from churn.features.plan import Plan
from churn.timeline import midnight

OF_CUSTOMERS = (
    "daily",
    "late",
    "texts",
    "items",
    "first_days",
    "customers",
    "subscriptions",
    "contacts",
)


def of_range(statement: exp.Expr) -> exp.Expr:
    """`statement` for some customers alone: it reads the tables `in_range`.

    Reads `known_peers` (see `panel.means_of_peers`) for the means over everybody.
    """
    chosen = statement.copy()
    assert isinstance(chosen, exp.Select)
    for table in chosen.find_all(exp.Table):
        if table.name in OF_CUSTOMERS:
            if not table.args.get("alias"):
                table.set("alias", exp.TableAlias(this=table.this.copy()))
            table.set("this", exp.to_identifier(in_range(table.name)))
    for cte in chosen.ctes:
        if cte.alias == "peers":
            cte.set("this", _sql("SELECT * FROM known_peers"))
    return chosen


def in_range(table: str) -> str:
    """What `of_range` reads instead of one of `OF_CUSTOMERS`."""
    return f"{table}_in_range"


def of_customers(table: str, *, first: str | None, before: str | None) -> exp.Expr:
    """The rows of `table` of the customers with first <= id < before (None: no bound)."""
    bounds = [
        f"customer_id {compared} {exp.Literal.string(bound).sql(dialect='duckdb')}"
        for compared, bound in ((">=", first), ("<", before))
        if bound is not None
    ]
    return _sql(f"SELECT * FROM {table}" + (f" WHERE {' AND '.join(bounds)}" if bounds else ""))


def size(plan: Plan) -> exp.Expr:
    """How many days `plan` reads of usage, and of how many customers: n_days, n_customers.

    Of those alone: where most are long gone, some ranges of ids have none of them and others no one else.
    """
    return _sql(f"""
        SELECT COUNT(*) AS n_days, COUNT(DISTINCT customer_id) AS n_customers FROM daily
        WHERE day >= {_date(plan.first_day)} AND day < {_date(plan.read_before)}
    """)


def every_so_many_customers(n: int) -> exp.Expr:
    """The ids (`customer_id`, ascending) that part the customers into ranges of `n`. Reads `first_days`."""
    return _sql(f"""
        SELECT customer_id FROM (
            SELECT customer_id, ROW_NUMBER() OVER (ORDER BY customer_id) AS place
            FROM (SELECT DISTINCT customer_id FROM first_days) AS everybody
        ) AS numbered WHERE (place - 1) % {n} = 0 AND place > 1 ORDER BY customer_id
    """)


def only_probed(table: str) -> exp.Expr:
    """The rows of a table whose customer is in `probed`, every column."""
    return _sql(
        f"SELECT t.* FROM {table} AS t WHERE customer_id IN (SELECT customer_id FROM probed)"
    )


def every_row(table: str) -> exp.Expr:
    return _sql(f"SELECT * FROM {table}")


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
