"""Daily roll-up → the first day of every customer, and what was taken for it before a late row came."""

from sqlglot import exp, parse_one

from churn.contracts import FIRST_DAYS


def first_days() -> exp.Expr:
    """`daily_part`, the rows of `daily` for some whole months → the rows of `first_days` for them.

    `first_days_before` has the rows of the months before. A day counts if every earlier day of the
    customer became known later than it: at whatever date, the earliest day known then is among them. Of a
    customer whose first day was known first no other day can count.
    """
    return parse_one(
        f"""
        WITH firsts AS (
            SELECT customer_id, MIN(day) AS day, ARG_MIN(first_known_on, day) AS first_known_on,
                   MIN(first_known_on) AS known_from
            FROM daily_part GROUP BY customer_id
        ), days AS (
            SELECT customer_id, day, first_known_on FROM firsts WHERE known_from = first_known_on
            UNION ALL
            SELECT d.customer_id, d.day, d.first_known_on FROM daily_part AS d
            JOIN firsts AS f ON f.customer_id = d.customer_id AND f.known_from < f.first_known_on
        )
        SELECT customer_id, day, first_known_on FROM (
            SELECT d.customer_id, d.day, d.first_known_on, MIN(d.first_known_on) OVER (
                PARTITION BY d.customer_id ORDER BY d.day
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS known_before
            FROM days AS d LEFT JOIN (
                SELECT customer_id, MIN(first_known_on) AS first_known_on
                FROM first_days_before GROUP BY customer_id
            ) AS b ON b.customer_id = d.customer_id
            WHERE b.customer_id IS NULL OR d.first_known_on < b.first_known_on
        ) AS new WHERE known_before IS NULL OR first_known_on < known_before
        ORDER BY {", ".join(FIRST_DAYS.order)}
        """,
        dialect="duckdb",
    )
