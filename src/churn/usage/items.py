"""Clean events → which items a customer's events were about, where the log says so."""

from sqlglot import exp, parse_one

from churn.contracts import ITEMS


def items() -> exp.Expr:
    """`clean_events` of some whole days → the rows of `items`."""
    return parse_one(
        f"""
        SELECT customer_id, day, known_on, item, COUNT(*) AS n FROM clean_events
        WHERE item IS NOT NULL
        GROUP BY customer_id, day, known_on, item ORDER BY {", ".join(ITEMS.order)}
        """,
        dialect="duckdb",
    )
