"""Rows that share an event_id: which one counts, and whether the others say the same.

Ids are compared over all deliveries by a hash first; only rows whose hash repeats are ranked.
"""

from collections.abc import Sequence

import numpy as np
from sqlglot import exp

from churn.timeline import Arrival
from churn.usage.columns import parsed_query, sql
from churn.usage.events import CLEAN, Rules, clean
from churn.usage.reading import Reading, optional

CONTENT = ("customer_id", "ts", "event", "value_units", "user_id", "text", "item")
"""What makes two rows with one event_id the same event: everything but when they arrived."""

CONFLICT = "one event_id with two contents"


def id_hashes(reading: Reading, *, part: int = 0, n_parts: int = 1, raw: str = "raw") -> exp.Expr:
    """A 64-bit hash of every event_id that is given; of those in `part` of `n_parts`."""
    name = optional(reading, "event_id")
    some = f" AND HASH({name}) % {n_parts} = {part}" if n_parts > 1 else ""
    return parsed_query(f"SELECT HASH({name}) AS h FROM {raw} WHERE NOT {name} IS NULL{some}")


def repeated(hashes: np.ndarray) -> np.ndarray:
    """The values that occur more than once, each once, ascending.

    >>> repeated(np.array([3, 1, 3, 2, 3], dtype=np.uint64)).tolist()
    [3]
    """
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def rivals(reading: Reading, rules: Rules, *, arrival: Arrival, raw: str = "raw") -> exp.Expr:
    """The good rows whose event_id hashes to one in table `repeated` (h)."""
    name = optional(reading, "event_id")
    some = f"(SELECT * FROM {raw} WHERE HASH({name}) IN (SELECT h FROM repeated)) AS s"
    return parsed_query(f"""
        SELECT {", ".join(CLEAN)}, event_id, text, file_no, row, line
        FROM ({sql(clean(reading, rules, arrival=arrival, raw=some))}) AS c
        WHERE fault = 0 AND NOT event_id IS NULL
    """)


def repeated_among(hashes: Sequence[exp.Expr]) -> exp.Expr:
    """The hashes (h) that occur more than once over all of `hashes`, each once."""
    return parsed_query(
        f"SELECT h FROM ({sql(all_of(hashes))}) AS a GROUP BY h HAVING COUNT(*) > 1"
    )


def with_path(rivals: exp.Expr, paths: str) -> exp.Expr:
    """`rivals` with the path of their file, from table `paths` (file_no, path)."""
    return parsed_query(
        f"SELECT r.*, p.path FROM ({sql(rivals)}) AS r JOIN {paths} AS p ON p.file_no = r.file_no"
    )


def all_of(queries: Sequence[exp.Expr]) -> exp.Expr:
    """The rows of all `queries`, which have the same columns."""
    return parsed_query(" UNION ALL ".join(f"SELECT * FROM ({sql(q)}) AS q" for q in queries))


def resolved(rivals: str = "rivals") -> exp.Expr:
    """Which rows of `rivals` (with `path`) lose their event_id to another: path, row, line, day,
    event_id, is_duplicate (else: another content under the same id).

    The winner is the row known first; then arrival, time, content, path. Cutting the log at any
    snapshot, by `ts` or by `loaded_at`, therefore never changes who won before the cut.
    """
    content = ", ".join(f"{name} NULLS FIRST" for name in CONTENT)
    same = " AND ".join(
        f"NOT {name} IS DISTINCT FROM FIRST_VALUE({name}) OVER w" for name in CONTENT
    )
    return parsed_query(f"""
        SELECT path, row, line, day, event_id, is_duplicate FROM (
            SELECT path, row, line, day, event_id, ROW_NUMBER() OVER w AS place,
                {same} AS is_duplicate
            FROM {rivals}
            WINDOW w AS (
                PARTITION BY event_id
                ORDER BY known_on, COALESCE(loaded_at, ts), ts, {content},
                    loaded_at NULLS FIRST, path, row
            )
        ) AS ranked
        WHERE place > 1
        ORDER BY path, row
    """)
