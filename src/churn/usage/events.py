"""Logs → clean events: one row per source row, with the reason where a row cannot be used.

Everything here builds SQLGlot expressions over a relation `raw` (the files of one `Reading`, with
`file_index` and `file_row_number`); `io.intake.sources` runs them. A row is judged once, by the first rule
of `FAULTS` that it breaks; duplicates are a matter of several files (`usage.duplicates`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlglot import exp

from churn.contracts import MONEY_SCALE
from churn.timeline import Arrival
from churn.usage.columns import (
    BEFORE_YEAR,
    FIRST_YEAR,
    literal,
    parsed_query,
    sql,
)
from churn.usage.reading import NO_TEXT, TYPED, Reading, parsed

MAX_VALUE = 9e13
"""Values beyond do not fit a signed 64-bit integer of 1/10000."""

CLEAN = (
    "customer_id",
    "ts",
    "day",
    "local_hour",
    "event",
    "value_units",
    "user_id",
    "text",
    "item",
    "loaded_at",
    "known_on",
)
"""The columns of `clean_events`."""


@dataclass(frozen=True)
class Rules:
    """Which rows do not count: `exclude` maps a column to globs of values; `knows_customers` says
    that a table `known_customers` (customer_id) is bound and customers outside it are refused;
    `forgets` that tables `forgotten_customers` (customer_id) and `forgotten_users` (user_id) are
    bound, whose rows are excluded whatever else is wrong with them."""

    exclude: Mapping[str, Sequence[str]] = field(default_factory=dict)
    knows_customers: bool = False
    forgets: bool = False


@dataclass(frozen=True)
class Fault:
    """A rule a row can break: which column, what is said about it, and where the value stands."""

    code: int
    column: str
    reason: str
    value: str


AHEAD = 11
DAYS_AHEAD = 366
"""How long after it was loaded a row may say that it happened."""

BROKEN = Fault(1, "line", "a line that cannot be read", "raw")
FAULTS = (
    BROKEN,
    Fault(2, "customer_id", "empty", "''"),
    Fault(3, "ts", "empty", "''"),
    Fault(4, "ts", "not a time as source.ts_format says", "ts_raw"),
    Fault(5, "ts", f"a time before {FIRST_YEAR} or from {BEFORE_YEAR} on", "CAST(ts AS TEXT)"),
    Fault(6, "event", "empty", "''"),
    Fault(7, "value", "not a finite number", "COALESCE(value_raw, CAST(value AS TEXT))"),
    Fault(
        8,
        "loaded_at",
        "not a time as source.ts_format says",
        "COALESCE(loaded_raw, CAST(loaded_at AS TEXT))",
    ),
    Fault(9, "customer_id", "not in the customers table", "customer_id"),
    Fault(AHEAD, "ts", "a time more than a year after the row was loaded", "CAST(ts AS TEXT)"),
)
NO_NUMBER = 7
UNKNOWN_CUSTOMER = 9
EXCLUDED = 10


def judged(
    reading: Reading, rules: Rules, *, raw: str = "raw", broken: Collection[int] | None = None
) -> exp.Expr:
    """`parsed`, with `fault`: 0 for a good row, else the code of the first rule it breaks. Where
    `broken` says what `broken_rules` found, its other rules are not looked at."""
    known = "LEFT JOIN known_customers AS k ON k.customer_id = p.customer_id"
    gone = (
        "LEFT JOIN forgotten_customers AS fc ON fc.customer_id = p.customer_id "
        "LEFT JOIN forgotten_users AS fu ON fu.user_id = p.user_id"
    )
    whens = _whens(reading, rules, broken)
    return parsed_query(f"""
        SELECT p.*, {f"CASE {whens} ELSE 0 END" if whens else "0"} AS fault
        FROM ({sql(parsed(reading, raw=raw))}) AS p
        {known if rules.knows_customers else ""}
        {gone if rules.forgets else ""}
    """)


def broken_rules(reading: Reading, *, raw: str = "raw", kept: Collection[int] = ()) -> exp.Expr:
    """The codes (`code`) of the rules that a row of `raw` breaks, of those it can break alone; which are
    `kept` by all is known already.

    Each is asked for by itself: DuckDB answers most of them from the statistics of a Parquet file,
    without reading a row. NaN is not in these, but in a sum.
    """
    asked = {code: test for code, test in _tests(reading).items() if code not in kept}
    tests = [(code, f"WHERE {test}") for code, test in asked.items() if code != NO_NUMBER]
    if reading.column("value"):
        tests.append((NO_NUMBER, "WHERE NOT p.value_raw IS NULL"))
        tests.append((NO_NUMBER, f"WHERE p.value > {MAX_VALUE:.0f} OR p.value < -{MAX_VALUE:.0f}"))
        tests.append((NO_NUMBER, "HAVING NOT ISFINITE(SUM(p.value))"))
    rows = sql(parsed(reading, raw=raw))
    found = [f"(SELECT {code} AS code FROM rows AS p {test} LIMIT 1)" for code, test in tests]
    return parsed_query(f"""
        WITH rows AS NOT MATERIALIZED ({rows})
        SELECT DISTINCT code FROM ({" UNION ALL ".join(found)}) AS f
    """)


def kept_rules(extents: Iterable[Mapping[str, tuple[datetime, datetime]]]) -> set[int]:
    """The codes of rules that no row can break in files with these first and last times, of each `ts` and
    `loaded_at` as far as they are known."""
    is_in_time = all(
        {"ts", "loaded_at"} <= {*known}
        and known["ts"][1] - known["loaded_at"][0] <= timedelta(days=DAYS_AHEAD)
        for known in extents
    )
    return {AHEAD} if is_in_time else set()


def _tests(reading: Reading) -> dict[int, str]:
    """SQL that is true of a row that breaks a rule, by the rule's code, in the order of judging."""
    outside = (
        f"p.{{0}} < TIMESTAMP '{FIRST_YEAR}-01-01' OR p.{{0}} >= TIMESTAMP '{BEFORE_YEAR}-01-01'"
    )
    tests = {BROKEN.code: "NOT p.broken IS NULL"} if reading.form != "parquet" else {}
    tests |= {
        2: f"p.customer_id IS NULL OR {_is_blank('p.customer_id')}",
        3: "p.ts IS NULL AND p.ts_raw IS NULL",
        4: "p.ts IS NULL",
        5: outside.format("ts"),
        6: f"p.event IS NULL OR {_is_blank('p.event')}",
    }
    if reading.column("value"):
        tests[NO_NUMBER] = f"NOT p.value_raw IS NULL OR NOT ({_is_number('p.value')})"
    if reading.column("loaded_at"):
        tests[8] = f"NOT p.loaded_raw IS NULL OR {outside.format('loaded_at')}"
        # by itself, too: the end of all times has no day after it
        is_ahead = f"p.ts > p.loaded_at + INTERVAL '{DAYS_AHEAD}' DAY"
        is_ahead = f"CASE WHEN {outside.format('loaded_at')} THEN FALSE ELSE {is_ahead} END"
        # nearly no row is left to count days for
        tests[AHEAD] = f"p.ts > p.loaded_at AND {is_ahead}"
    return tests


def _whens(reading: Reading, rules: Rules, broken: Collection[int] | None) -> str:
    tests = [
        (code, test) for code, test in _tests(reading).items() if broken is None or code in broken
    ]
    excluded = [
        f"COALESCE(p.{column} LIKE {literal(like(glob))} ESCAPE '\\', FALSE)"
        for column, globs in sorted(rules.exclude.items())
        for glob in globs
    ]
    if excluded:
        tests.append((EXCLUDED, " OR ".join(excluded)))
    if rules.knows_customers:
        tests.append((UNKNOWN_CUSTOMER, "k.customer_id IS NULL"))
    if rules.forgets:
        tests.insert(0, (EXCLUDED, "NOT fc.customer_id IS NULL OR NOT fu.user_id IS NULL"))
    return " ".join(f"WHEN {test} THEN {code}" for code, test in tests)


def _is_blank(text: str) -> str:
    """SQL: nothing but white space. It sorts before '!', which spares most rows the trimming."""
    bare = text
    for character in "\t\n\r":
        bare = f"REPLACE({bare}, {literal(character)}, '')"
    return f"({text} < '!' AND TRIM({bare}) = '')"


def clean(reading: Reading, rules: Rules, *, arrival: Arrival, raw: str = "raw") -> exp.Expr:
    """One row per row of `raw`: `CLEAN`, event_id, file_no, row (from 0), line (from 1),
    fault, and for a row that does not count reason, bad_column and bad_value (else NULL)."""
    return parsed_query(f"""
        SELECT {_derived(reading, arrival)}, event_id, file_no, row, line, fault,
            {_said("reason")} AS reason,
            {_said("column")} AS bad_column,
            {_said("value")} AS bad_value
        FROM ({sql(judged(reading, rules, raw=raw))}) AS j
    """)


def _is_number(value: str) -> str:
    """SQL: `value` is finite and fits. Not by ISNAN or a bound alone: DuckDB answers those from the
    statistics of a Parquet file, which leave NaN out."""
    return f"{value} - {value} = 0 AND ABS({value}) <= {MAX_VALUE:.0f}"


def spotless(reading: Reading, *, arrival: Arrival, raw: str = "raw") -> exp.Expr:
    """`CLEAN` of files in which every row is known to be good: nothing is checked again."""
    return parsed_query(
        f"SELECT {_derived(reading, arrival, is_good=True)} "
        f"FROM ({sql(parsed(reading, raw=raw))}) AS p"
    )


def _derived(reading: Reading, arrival: Arrival, *, is_good: bool = False) -> str:
    """SQL for `CLEAN`; unless every row `is_good`, values that cannot be money are null."""
    units = f"CAST(ROUND(value * {MONEY_SCALE}) AS BIGINT)"
    known = known_on(arrival, has_loaded_at=bool(reading.column("loaded_at")))
    finite = units if is_good else f"CASE WHEN {_is_number('value')} THEN {units} END"
    return f"""
        customer_id, ts, CAST(ts AS DATE) AS day, {local_hour(reading.timezone)} AS local_hour,
        event, {finite if reading.column("value") else "CAST(NULL AS BIGINT)"} AS value_units,
        user_id, text, item, loaded_at, {known} AS known_on
    """


def local_hour(timezone: str) -> str:
    """SQL for the hour of the day (0–23) of `ts` on a clock in `timezone`."""
    local = "ts" if timezone == "UTC" else f"TIMEZONE({literal(timezone)}, TIMEZONE('UTC', ts))"
    return f"CAST(EXTRACT(HOUR FROM {local}) AS INTEGER)"


def known_on(arrival: Arrival, *, has_loaded_at: bool) -> str:
    """SQL for the first snapshot that knows a row: after the day it happened, and arrived.

    With `arrival.known_at`, rows that arrived before it are known at `as_of` and the others are
    not; for every other snapshot the rule stays.
    """
    # not by adding an interval to a time, which takes twice as long
    next_day = "CAST(ts AS DATE) + 1"
    if not has_loaded_at:
        return next_day
    loaded = "COALESCE(loaded_at, ts)"
    days, hours = divmod(arrival.hours, 24)
    is_too_late = f"EXTRACT(HOUR FROM {loaded}) >= {hours}"
    arrived = f"CAST({loaded} AS DATE) + CASE WHEN {is_too_late} THEN {1 - days} ELSE {-days} END"
    normal = f"GREATEST({next_day}, {arrived})"
    if arrival.known_at is None or arrival.as_of is None:
        return normal
    as_of, after = (
        f"DATE '{arrival.as_of}'",
        f"CAST(DATE '{arrival.as_of}' + INTERVAL '1' DAY AS DATE)",
    )
    return f"""
        CASE WHEN {loaded} < TIMESTAMP '{arrival.known_at}'
        THEN GREATEST({next_day}, LEAST({normal}, {as_of})) ELSE GREATEST({normal}, {after}) END
    """


def _said(what: str) -> str:
    """SQL for one of the three things that are said about a row that does not count."""
    if what == "reason":
        texts = {fault.code: literal(fault.reason) for fault in FAULTS}
        texts |= {BROKEN.code: "broken", EXCLUDED: "'excluded'"}
    elif what == "column":
        texts = {fault.code: literal(fault.column) for fault in FAULTS}
        whens = " ".join(
            f"WHEN {literal(why)} THEN {literal(name)}" for name, why in NO_TEXT.items()
        )
        texts[BROKEN.code] = f"CASE broken {whens} ELSE {literal(BROKEN.column)} END"
    else:
        texts = {fault.code: f"LEFT({fault.value}, 200)" for fault in FAULTS}
    whens = " ".join(f"WHEN {code} THEN {text}" for code, text in sorted(texts.items()))
    return f"CASE fault {whens} END"


def tally(
    reading: Reading, rules: Rules, *, raw: str = "raw", broken: Collection[int] | None = None
) -> exp.Expr:
    """Rows by file, fault and month: file_no, fault, month (years × 12 + months), n, first_ts,
    last_ts (of good rows). `broken` may be what `broken_rules` found (see `judged`)."""
    month = "CASE WHEN fault = 0 THEN EXTRACT(YEAR FROM day) * 12 + EXTRACT(MONTH FROM day) - 1 END"
    # by day first: the month of a few hundred days instead of that of every row
    return parsed_query(f"""
        SELECT file_no, fault, {month} AS month, CAST(SUM(n) AS BIGINT) AS n,
            MIN(CASE WHEN fault = 0 THEN first_ts END) AS first_ts,
            MAX(CASE WHEN fault = 0 THEN last_ts END) AS last_ts
        FROM (
            SELECT file_no, fault, CAST(ts AS DATE) AS day, COUNT(*) AS n,
                MIN(ts) AS first_ts, MAX(ts) AS last_ts
            FROM ({sql(judged(reading, rules, raw=raw, broken=broken))}) AS j GROUP BY 1, 2, 3
        ) AS days GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """)


def every_cell(reading: Reading, *, raw: str = "raw") -> exp.Expr:
    """Something that hangs on every cell of `raw`."""
    cells = ", ".join(f"p.{name}" for name in TYPED)
    return parsed_query(
        f"SELECT MAX(HASH({cells})) AS h FROM ({sql(parsed(reading, raw=raw))}) AS p"
    )


def rejected(reading: Reading, rules: Rules, *, limit: int, raw: str = "raw") -> exp.Expr:
    """The refused rows, in the order of their files, at most `limit` of each."""
    return parsed_query(f"""
        SELECT file_no, line, bad_column, bad_value, reason FROM (
            SELECT file_no, line, bad_column, bad_value, reason,
                ROW_NUMBER() OVER (PARTITION BY file_no ORDER BY line, row) AS place
            FROM ({sql(clean(reading, rules, arrival=Arrival(), raw=raw))}) AS c
            WHERE fault > 0 AND fault <> {EXCLUDED}
        ) AS numbered
        WHERE place <= {limit} ORDER BY file_no, line
    """)


def known_hashes() -> exp.Expr:
    """A hash of every customer in table `known_customers`, ascending."""
    return parsed_query("SELECT HASH(customer_id) AS h FROM known_customers ORDER BY 1")


def span() -> exp.Expr:
    """The first and the last `ts` of `clean_events`."""
    return parsed_query("SELECT MIN(ts) AS first_ts, MAX(ts) AS last_ts FROM clean_events")


def used(
    reading: Reading, rules: Rules, *, arrival: Arrival, dropped: str, raw: str = "raw"
) -> exp.Expr:
    """`CLEAN` of the good rows of `raw` that are not in table `dropped` (file_no, row)."""
    columns = ", ".join(f"c.{name}" for name in CLEAN)
    return parsed_query(f"""
        SELECT {columns} FROM ({sql(clean(reading, rules, arrival=arrival, raw=raw))}) AS c
        LEFT JOIN {dropped} AS d ON d.file_no = c.file_no AND d.row = c.row
        WHERE c.fault = 0 AND d.row IS NULL
    """)


def together(queries: Sequence[exp.Expr], *, month: str | None) -> exp.Expr:
    """All rows of `queries`, of one month (YYYY-MM) or of all."""
    columns = ", ".join(CLEAN)
    every = " UNION ALL ".join(f"SELECT {columns} FROM ({sql(query)}) AS q" for query in queries)
    if month is None:
        return parsed_query(every)
    first = f"TIMESTAMP '{month}-01'"
    within = f"ts >= {first} AND ts < {first} + INTERVAL '1' MONTH"
    return parsed_query(f"SELECT {columns} FROM ({every}) AS e WHERE {within}")


def like(glob: str) -> str:
    r"""A glob (`*`, `?`) as a LIKE pattern with `\` as the escape.

    >>> like("bot_*")
    'bot\\_%'
    """
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
