"""Who could churn at a snapshot, and who did."""

from dataclasses import dataclass, field


@dataclass
class Definition:
    """What counts as churn. A definition is data, printed on every model card.

    `inactivity`: active = a qualifying event in the `active_days` before the snapshot, churn = none
    in the label window. `cancellation`: subscribed at the snapshot, churn = `end_date` in the label
    window. The label window is [s + gap_days, s + gap_days + horizon_days) days; an empty
    `qualifying_events` means any event.
    """

    name: str = "inactivity"
    active_days: int = 28
    horizon_days: int = 28
    gap_days: int = 0
    qualifying_events: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        """The definition as half a sentence about a customer.

        >>> Definition("cancellation").in_words()
        'cancels in the 28 days from the date of the list'
        """
        start = f"{self.gap_days} days after" if self.gap_days else "from"
        window = f"in the {self.horizon_days} days {start} the date of the list"
        if self.name == "cancellation":
            return f"cancels {window}"
        what = " or ".join(self.qualifying_events) or "event"
        return f"has no {what} {window}, after one in the {self.active_days} days before"


def population(definition: Definition) -> str:
    """SQL for the customers who could churn at each snapshot: (snapshot, customer_id).

    For `inactivity` these are rows of `usage`, all columns of it (n_qualifying_active: qualifying events
    in the `active_days` before), for `cancellation` of `subscribed` (see `subscription_versions`). To
    these usage is joined later, so subscribers without events stay.
    """
    if definition.name == "cancellation":
        return "SELECT snapshot, customer_id FROM subscribed"
    return "SELECT * FROM usage WHERE n_qualifying_active > 0"


def subscription_versions(*, known: str, seen: str, columns: str) -> str:
    """SQL for the latest version of each subscription that was known at a date.

    `known` and `seen` are expressions: a version counts if it arrived before `known` and took
    effect before `seen`. A row without `valid_from` takes effect with its term, or without one with
    `start_date`: registers that only list terms need no versions. One row per row of `moment`,
    customer and start_date; `columns` are taken from `moment` (alias m).
    """
    return f"""
        SELECT * FROM (
            SELECT {columns}, v.customer_id, v.start_date, v.end_date, v.term_start, v.term_end,
                   v.plan, v.seats, v.price_month, v.currency,
                   ROW_NUMBER() OVER (
                       PARTITION BY m.snapshot, v.customer_id, v.start_date
                       ORDER BY COALESCE(v.valid_from, CAST(v.term_start AS TIMESTAMP))
                                    DESC NULLS LAST,
                                v.loaded_at DESC NULLS LAST,
                                v.end_date NULLS LAST, v.term_end DESC NULLS LAST, v.plan, v.seats,
                                v.price_month
                   ) AS place
            FROM subscriptions AS v CROSS JOIN moment AS m
            WHERE v.start_date < CAST({seen} AS DATE)
                AND (v.valid_from < CAST({seen} AS TIMESTAMP) OR v.valid_from IS NULL
                    AND (v.term_start IS NULL OR v.term_start <= CAST({seen} AS DATE)))
                AND (v.loaded_at IS NULL OR v.loaded_at < {known})
        ) AS ranked WHERE place = 1
    """


def subscribed() -> str:
    """SQL for who is subscribed at each snapshot, one row each, the newest subscription first.

    Reads `versions` (see `subscription_versions`) and applies the contract's rule: term_start <= s
    or null, end_date null or >= s, term_end null or >= s. `end_date` itself is not handed on: up to
    a snapshot it counts as null.
    """
    return """
        SELECT * FROM (
            SELECT snapshot, customer_id, start_date, term_start, term_end, plan, seats, price_month,
                   currency, ROW_NUMBER() OVER (
                       PARTITION BY snapshot, customer_id ORDER BY start_date DESC) AS newest
            FROM versions
            WHERE (term_start IS NULL OR term_start <= snapshot)
                AND (end_date IS NULL OR end_date >= snapshot)
                AND (term_end IS NULL OR term_end >= snapshot)
        ) AS current_terms WHERE newest = 1
    """


def left(definition: Definition) -> str:
    """SQL for who left from the first day of the label window on: (snapshot, customer_id,
    `left_after_days`), as known at the date that labels are known.

    `left_after_days` counts from that first day, which is 0. `cancellation` reads `settled` (the
    versions known then) and `subscribed`: the day is the `end_date` of the subscription held at the
    snapshot, not of an older one. `inactivity` reads `silent` (see `silences`): the day is the one
    that completes `horizon_days` of silence. A silence counts if `horizon_days` of it lie in the
    window or later; what it has lasted before brings the day forward, to 0 at the earliest.
    """
    if definition.name == "cancellation":
        return """
            SELECT held.snapshot, held.customer_id,
                   MIN(DATE_DIFF('day', s.label_first, settled.end_date)) AS left_after_days
            FROM subscribed AS held
            JOIN settled ON settled.customer_id = held.customer_id
                AND settled.start_date = held.start_date
            JOIN snapshot AS s ON s.snapshot = held.snapshot
            WHERE settled.end_date >= s.label_first AND settled.end_date < s.labels_before
            GROUP BY held.snapshot, held.customer_id
        """
    day = f"DATE_DIFF('day', s.label_first, q.day) + {definition.horizon_days}"
    return f"""
        SELECT s.snapshot, q.customer_id, MIN(GREATEST({day}, 0)) AS left_after_days
        FROM silent AS q JOIN snapshot AS s ON q.next_day >= s.label_before
        GROUP BY s.snapshot, q.customer_id
    """


INVOLUNTARY_DAYS = 28
"""A subscription that ends so soon after a failed payment was probably not ended by a decision: the
usual dunning takes two to four weeks, and a card that fails at random does so in fewer than 3 of 100
four-week spans."""


def unpaid() -> str:
    """SQL for who left on the day of a failed payment or up to `INVOLUNTARY_DAYS` after it:
    (snapshot, customer_id).

    Reads `leavers` (see `left`) and `failures` (customer_id, day), as known when labels are known.
    """
    since = "c.left_after_days - DATE_DIFF('day', s.label_first, f.day)"
    return f"""
        SELECT DISTINCT c.snapshot, c.customer_id FROM leavers AS c
        JOIN snapshot AS s ON s.snapshot = c.snapshot
        JOIN failures AS f ON f.customer_id = c.customer_id
        WHERE {since} >= 0 AND {since} <= {INVOLUNTARY_DAYS}
    """


def silences(definition: Definition, *, known: str) -> str:
    """SQL for silences of at least `horizon_days`: customer_id, `day` and `next_day`.

    Reads `label_days` (customer_id, day, n_qualifying). A silence lies between two days with
    qualifying events, or between the last one and the date `known` that labels are known.
    """
    return f"""
        SELECT customer_id, day, next_day FROM (
            SELECT customer_id, day, COALESCE(LEAD(day) OVER (
                PARTITION BY customer_id ORDER BY day), {known}) AS next_day
            FROM label_days WHERE n_qualifying > 0
        ) AS steps WHERE DATE_DIFF('day', day, next_day) > {definition.horizon_days}
    """


def label(definition: Definition) -> str:
    """SQL for the label: 1 churned, 0 stayed, null while the label window is not mature.

    Reads alias `c`, the left-joined rows of `left`, and `s.is_mature`.
    """
    return (
        "CASE WHEN s.is_mature = 0 THEN NULL "
        f"WHEN c.left_after_days < {definition.horizon_days} THEN 1 ELSE 0 END"
    )
