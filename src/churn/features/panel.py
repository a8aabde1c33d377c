"""Feature definitions and daily roll-up → one statement → one row per snapshot and customer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from sqlglot import exp, parse_one

from churn.features import beside, labels, peers, windows
from churn.features.beside import Beside
from churn.features.definitions import Feature, levels
from churn.features.plan import Plan as Plan
from churn.features.plan import places as places
from churn.features.spans import Apart
from churn.features.vocabulary import attribute_column
from churn.timeline import is_mature, label_window, midnight

OUTCOMES = ("label", "label_mature", "left_after_days", "known_days", "is_involuntary")
"""The columns of a panel that only time tells; a plan without labels has none of them."""


def statement(plan: Plan, apart: Apart | None = None) -> exp.Expr:
    """The panel: snapshot, customer_id, the features in order, and what became of the customer.

    That is `OUTCOMES`: `label` and `label_mature`, `left_after_days` (see `labels.left`; null for
    who has not left as far as is known), `known_days`, how many days from the first of the label
    window on are known, and `is_involuntary` (see `labels.unpaid`; null for who has not left, and
    where the log cannot tell). Reads `daily`, `late`, `first_days`, `customers`, `subscriptions`,
    `contacts`. Population first, usage left-joined; ordered by customer and snapshot. With `apart`
    also `spans`, which stand for what is in it (see `windows.usage`), and, where labels are a matter
    of silence, `silences` (see `labels.silences`).
    """
    others = beside.wanted(plan.features, plan.vocabulary)
    outcomes = OUTCOMES if plan.labels_known_on else ()
    ctes = {
        "snapshot": _snapshots(plan),
        "moment": "SELECT snapshot, known_before FROM snapshot",
        **others.before,
        **windows.usage(plan, apart),
        "versions": labels.subscription_versions(
            known="m.known_before", seen="m.snapshot", columns="m.snapshot"
        ),
        "subscribed": labels.subscribed(),
        **(_labels(plan, apart) if outcomes else {}),
        "population": labels.population(plan.definition),
        "first_events": _FIRST_EVENTS,
        "attributes": _attributes(plan),
        "contacted": _CONTACTED,
        **others.after,
        "joined": _joined(plan, others),
    }
    previous = "joined"
    for depth, level in enumerate(levels(plan.features)[1:]):
        ctes[f"level_{depth}"] = _next_level(previous, level)
        previous = f"level_{depth}"
    features = [
        f'"{item.name}"'
        if item.is_aggregate  # of its type already, which spares the planner two hundred casts
        else f'CAST("{item.name}" AS {item.sql_type}) AS "{item.name}"'
        for item in plan.features
    ]
    body = ", ".join(f"{name} AS ({sql})" for name, sql in ctes.items())
    return _sql(f"""
        WITH {body}
        SELECT {", ".join(["snapshot", "customer_id", *features, *outcomes])}
        FROM {previous} ORDER BY customer_id, snapshot
    """)


def as_it_comes(statement: exp.Expr) -> exp.Expr:
    """`statement` without its order."""
    chosen = statement.copy()
    chosen.set("order", None)
    return chosen


def day_rows(plan: Plan) -> exp.Expr:
    """The days that `spans` are made of (see `windows.day_rows`)."""
    return _sql(windows.day_rows(plan))


def late_pairs(plan: Plan) -> exp.Expr:
    """The pairs (snapshot, customer_id) of which `day_rows` hold what was not known then."""
    return _sql(f"WITH snapshot AS ({_snapshots(plan)}) {windows.late_pairs(plan)}")


def late_day_rows(plan: Plan) -> exp.Expr:
    """The days of the pairs of `slow` that were known in part (see `windows.late_day_rows`)."""
    return _sql(f"WITH snapshot AS ({_snapshots(plan)}) {windows.late_day_rows(plan)}")


def span_columns(plan: Plan, columns: Sequence[str]) -> exp.Expr:
    """The columns of spans (see `windows.span_columns`)."""
    return _sql(windows.span_columns(plan, columns))


def late_label_days(plan: Plan) -> exp.Expr:
    """The days with qualifying events of which only a part is known when labels are: customer_id, day."""
    return _sql(f"""
        SELECT customer_id, day FROM ({_late_label_days(plan)}) AS d
        WHERE n_qualifying > 0 AND day >= {_date(plan.first_day)}
    """)


def of_peers(plan: Plan) -> Plan:
    """The plan of the features alone whose mean over everybody others of `plan` read."""
    return replace(plan, features=peers.read(plan.features), labels_known_on=None)


def totals_of_peers(plan: Plan, apart: Apart) -> exp.Expr:
    """What the means of the features of a plan `of_peers` are made of, of the customers in `spans`."""
    whole = statement(plan, apart)
    assert isinstance(whole, exp.Select)
    ctes = {cte.alias: cte for cte in whole.ctes}
    before = list(ctes)[: list(ctes).index("usage") + 1]
    needed = [*before, "versions", "subscribed", "population"]
    tables = [ctes[name].sql(dialect="duckdb") for name in needed]
    return _sql(f"WITH {', '.join(tables)} {peers.totals(plan.features)}")


def means_of_peers(plan: Plan) -> exp.Expr:
    """What everybody at each snapshot was like, from `totals_of_peers` bound as `peer_totals`.

    Bound as `known_peers`, it stands in for what a statement `of_customers` cannot know.
    """
    return _sql(peers.means(plan.features, "peer_totals"))


def churn_rates(plan: Plan) -> exp.Expr:
    """How many could churn and did at each mature snapshot: snapshot, n_active, n_churned."""
    rows = statement(replace(plan, features=[])).sql(dialect="duckdb")
    return _sql(f"""
        SELECT snapshot, COUNT(*) AS n_active, CAST(SUM(label) AS BIGINT) AS n_churned
        FROM ({rows}) AS rows WHERE label_mature GROUP BY snapshot ORDER BY snapshot
    """)


def departures(plan: Plan) -> exp.Expr:
    """When those who churned left: snapshot, customer_id, churned_on, one row each.

    `cancellation`: the day the subscription ended. `inactivity`: the day on which the customer
    no longer counted as active, `active_days` after the last qualifying event before the label
    window. As known when labels are known; who did not churn may have a row too.
    """
    reach = plan.definition.active_days
    ctes = {
        "snapshot": _snapshots(plan),
        "moment": "SELECT snapshot, known_before FROM snapshot",
        "versions": labels.subscription_versions(
            known="m.known_before", seen="m.snapshot", columns="m.snapshot"
        ),
        "subscribed": labels.subscribed(),
        "settled": _settled(plan),
        "label_days": _label_days(
            replace(plan, snapshots=[min(plan.snapshots) - timedelta(reach)])
        ),
    }
    if plan.definition.name == "cancellation":
        body = """
            SELECT held.snapshot, held.customer_id, MAX(settled.end_date) AS churned_on
            FROM subscribed AS held JOIN settled ON settled.customer_id = held.customer_id
                AND settled.start_date = held.start_date
            WHERE settled.end_date IS NOT NULL GROUP BY held.snapshot, held.customer_id
        """
    else:
        body = f"""
            SELECT s.snapshot, d.customer_id, MAX(d.day) + {reach} AS churned_on
            FROM label_days AS d JOIN snapshot AS s ON d.day < s.label_first
            WHERE d.n_qualifying > 0 GROUP BY s.snapshot, d.customer_id
        """
    named = ", ".join(f"{name} AS ({sql})" for name, sql in ctes.items())
    return _sql(f"WITH {named} {body} ORDER BY snapshot, customer_id")


def _snapshots(plan: Plan) -> str:
    rows = []
    for snapshot in plan.snapshots:
        window = label_window(
            snapshot, gap_days=plan.definition.gap_days, horizon_days=plan.definition.horizon_days
        )
        known = plan.labels_known_on or snapshot
        mature = is_mature(
            snapshot,
            as_of=known,
            gap_days=plan.definition.gap_days,
            horizon_days=plan.definition.horizon_days,
        )
        first = snapshot - timedelta(days=plan.lookback_days)
        known_on = plan.known_on or snapshot
        cut = plan.arrival.cut(known_on).isoformat(sep=" ")
        rows.append(
            f"({_date(snapshot)}, {_date(known_on)}, {_date(first)}, CAST('{cut}' AS TIMESTAMP), "
            f"{_date(window.first)}, {_date(window.before)}, {int(mature)}, "
            f"{snapshot.timetuple().tm_yday}, {_date(known)}, "
            f"{max(0, (known - window.first).days)})"
        )
    columns = (
        "snapshot, known_on, first_day, known_before, label_first, label_before, is_mature, day_of_year, "
        "labels_before, known_days"
    )
    return f"SELECT {columns} FROM (VALUES {', '.join(rows)}) AS s({columns})"


def _labels(plan: Plan, apart: Apart | None) -> dict[str, str]:
    """The statement's tables up to `leavers`, who left from the label window on, and `unpaid`."""
    failures = _failures(plan)
    if not plan.has_silences:
        before = {"settled": _settled(plan)}
    elif apart is not None:
        before = {"silent": "SELECT customer_id, day, next_day FROM silences"}
    else:
        silent = labels.silences(plan.definition, known=_date(plan.labels_as_of))
        before = {"label_days": _label_days(plan), "silent": silent}
    return {
        **before,
        "leavers": labels.left(plan.definition),
        **({"failures": failures, "unpaid": labels.unpaid()} if failures else {}),
    }


def _settled(plan: Plan) -> str:
    """The versions of every subscription as known when labels are known."""
    known = plan.labels_as_of
    cut = plan.arrival.cut(known).isoformat(sep=" ")
    moment = f"SELECT {_date(known)} AS snapshot, CAST('{cut}' AS TIMESTAMP) AS known_before"
    versions = labels.subscription_versions(
        known="m.known_before", seen="m.snapshot", columns="m.snapshot"
    )
    return versions.replace("CROSS JOIN moment AS m", f"CROSS JOIN ({moment}) AS m")


def _label_days(plan: Plan) -> str:
    """The days with qualifying events from the first that makes a customer active on, as known
    when labels are known."""
    known = _date(plan.labels_as_of)
    return f"""
        SELECT customer_id, day, {plan.qualifying} AS n_qualifying FROM daily
        WHERE last_known_on <= {known} AND day >= {_first_label_day(plan)} AND day < {known}
        UNION ALL {_late_label_days(plan)}
    """


def _late_label_days(plan: Plan) -> str:
    known = _date(plan.labels_as_of)
    return f"""
        SELECT customer_id, day, {plan.qualifying} AS n_qualifying FROM late
        WHERE known_on <= {known} AND last_known_on > {known} AND day >= {_first_label_day(plan)}
            AND day < {known}
    """


def _first_label_day(plan: Plan) -> str:
    return _date(min(plan.snapshots) - timedelta(days=plan.definition.active_days))


def _failures(plan: Plan) -> str | None:
    """The days on which a payment failed, as known when labels are known; None where the log of
    a subscription does not say."""
    failed = plan.vocabulary.roles.get("payment_failed", [])
    if plan.definition.name != "cancellation" or not failed:
        return None
    there = [plan.all_places[event] for event in failed if event in plan.all_places]
    known, sql = _date(plan.labels_as_of), " + ".join(there) or "n * 0"
    first = _date(min(plan.snapshots) - timedelta(days=labels.INVOLUNTARY_DAYS))
    return f"""
        SELECT customer_id, day FROM daily
        WHERE last_known_on <= {known} AND day >= {first} AND day < {known} AND {sql} > 0
        UNION ALL
        SELECT customer_id, day FROM late
        WHERE known_on <= {known} AND last_known_on > {known} AND day >= {first}
            AND day < {known} AND {sql} > 0
    """


_FIRST_EVENTS = """
    SELECT s.snapshot, o.customer_id, MIN(o.day) AS day FROM first_days AS o
    JOIN snapshot AS s ON o.day < s.snapshot AND o.first_known_on <= s.known_on
    GROUP BY s.snapshot, o.customer_id
"""

_CONTACTED = """
    SELECT s.snapshot, t.customer_id,
           COUNT(CASE WHEN DATE_DIFF('day', CAST(t.contacted_at AS DATE), s.snapshot) <= 56 THEN 1 END)
               AS n_contacts_56d,
           MIN(DATE_DIFF('day', CAST(t.contacted_at AS DATE), s.snapshot)) AS since_contact_days
    FROM contacts AS t JOIN snapshot AS s
    ON t.contacted_at < CAST(s.snapshot AS TIMESTAMP)
        AND COALESCE(t.recorded_at, t.contacted_at) < s.known_before
    GROUP BY s.snapshot, t.customer_id
"""


def _attributes(plan: Plan) -> str:
    """The attributes of each customer; with `valid_from` the version in force and known then."""
    names = ["signed_up_at", *plan.vocabulary.static]
    taken = ", ".join(f'v."{name}"' for name in names)
    if not plan.has_customer_versions:
        return f"""
            SELECT s.snapshot, v.customer_id, {taken} FROM customers AS v CROSS JOIN snapshot AS s
            WHERE v.loaded_at IS NULL OR v.loaded_at < s.known_before
        """
    kept = ", ".join(f'"{name}"' for name in names)
    order = ", ".join(f'v."{name}"' for name in names)
    return f"""
        SELECT snapshot, customer_id, {kept} FROM (
            SELECT s.snapshot, v.customer_id, {taken}, ROW_NUMBER() OVER (
                PARTITION BY s.snapshot, v.customer_id
                ORDER BY v.valid_from DESC NULLS LAST, v.loaded_at DESC NULLS LAST, {order}
            ) AS place
            FROM customers AS v CROSS JOIN snapshot AS s
            WHERE (v.valid_from IS NULL OR v.valid_from < CAST(s.snapshot AS TIMESTAMP))
                AND (v.loaded_at IS NULL OR v.loaded_at < s.known_before)
        ) AS ranked WHERE place = 1
    """


def _joined(plan: Plan, others: Beside) -> str:
    """The population with its usage, contract, attributes, contacts and label."""
    aliases, usage = beside.ALIASES, beside.join("usage", beside.ALIASES["days"])
    if plan.definition.name == "inactivity":  # the population is usage
        aliases, usage = {**aliases, "days": "p"}, ""
    aggregates = "".join(
        f', {_filled(item, _quoted(aliases[item.rows], item))} AS "{item.name}"'
        for item in levels(plan.features)[0]
    )
    read = "".join(f", {column}" for column in others.columns)
    attributes = "".join(
        f', CAST(a."{name}" AS {"VARCHAR" if kind == "category" else "DOUBLE"}) AS {attribute_column(name)}'
        for name, kind in plan.vocabulary.static.items()
    )
    outcomes, leavers = _outcomes(plan) if plan.labels_known_on else ("", "")
    return f"""
        SELECT s.snapshot, p.customer_id {aggregates} {attributes} {read},
            DATE_DIFF('day', f.day, s.snapshot) AS its_since_first_event_days,
            CASE WHEN a.signed_up_at < CAST(s.snapshot AS TIMESTAMP)
                THEN DATE_DIFF('day', CAST(a.signed_up_at AS DATE), s.snapshot) END
                AS its_since_signed_up_days,
            DATE_DIFF('day', b.start_date, s.snapshot) AS its_since_start_days,
            DATE_DIFF('day', s.snapshot, b.term_end) AS its_to_term_end_days,
            DATE_DIFF('day', b.term_start, b.term_end) AS its_term_days,
            b.plan AS its_plan, b.seats AS its_seats, b.price_month AS its_price_month,
            COALESCE(t.n_contacts_56d, 0) AS its_n_contacts_56d,
            t.since_contact_days AS its_since_contact_days,
            s.day_of_year AS its_day_of_year {outcomes}
        FROM population AS p JOIN snapshot AS s ON s.snapshot = p.snapshot
        {usage} {" ".join(others.joins)}
        LEFT JOIN first_events AS f ON f.snapshot = p.snapshot AND f.customer_id = p.customer_id
        LEFT JOIN subscribed AS b ON b.snapshot = p.snapshot AND b.customer_id = p.customer_id
        LEFT JOIN attributes AS a ON a.snapshot = p.snapshot AND a.customer_id = p.customer_id
        LEFT JOIN contacted AS t ON t.snapshot = p.snapshot AND t.customer_id = p.customer_id
        {leavers}
    """


def _outcomes(plan: Plan) -> tuple[str, str]:
    """The columns `OUTCOMES`, and the joins that they need."""
    joins = "LEFT JOIN leavers AS c ON c.snapshot = p.snapshot AND c.customer_id = p.customer_id"
    involuntary = "CAST(NULL AS BIGINT)"
    if _failures(plan):
        found = "WHEN z.customer_id IS NULL THEN 0 ELSE 1 END"
        involuntary = f"CASE WHEN c.customer_id IS NULL THEN NULL {found}"
        joins += """
        LEFT JOIN unpaid AS z ON z.snapshot = p.snapshot AND z.customer_id = p.customer_id"""
    columns = f"""
            , {labels.label(plan.definition)} AS label, s.is_mature = 1 AS label_mature,
            c.left_after_days, s.known_days,
            {involuntary} AS is_involuntary"""
    return columns, joins


def _next_level(previous: str, level: Sequence[Feature]) -> str:
    """The columns so far and features that read them, as they stand in the panel."""
    added = ", ".join(f'{_filled(item, item.expression)} AS "{item.name}"' for item in level)
    return f"SELECT *, {added} FROM {previous}"


def _filled(item: Feature, sql: str) -> str:
    """`sql`, with the feature's own value where nothing was found.

    Filled before another feature reads it: of people who are all gone, the share that stopped is 1.
    """
    return sql if item.empty is None else f"COALESCE({sql}, {item.empty})"


def _quoted(table: str, item: Feature) -> str:
    return f'{table}."{item.name}"'


def _date(day: date) -> str:
    return f"DATE '{midnight(day).date().isoformat()}'"


def _sql(text: str) -> exp.Expr:
    return parse_one(text, dialect="duckdb")
