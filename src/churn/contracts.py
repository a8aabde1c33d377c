"""What each table promises: columns, types, units, grain and order."""

from dataclasses import dataclass
from types import MappingProxyType

N_PLACES = 62
"""How many event types have a column of their own in `daily`, and how many people of an account a
bit: the bits of a signed 64-bit integer that both engines agree on."""

MONEY_SCALE = 10_000
"""Values are kept as integers of 1/10000 so that sums do not depend on the number of threads."""

PLACES = tuple(f"c_{place:02d}" for place in range(N_PLACES))


@dataclass(frozen=True)
class Table:
    """One row per `grain`, ordered by `order` (a total order); `columns` are name → SQL type."""

    grain: str
    columns: MappingProxyType[str, str]
    order: tuple[str, ...]


def _columns(text: str) -> MappingProxyType[str, str]:
    pairs = [line.split(maxsplit=1) for line in text.strip().splitlines()]
    return MappingProxyType({name: kind.strip() for name, kind in pairs})


EVENTS = Table(
    "one line of the usage log",
    _columns("""
        customer_id VARCHAR
        ts TIMESTAMP
        event VARCHAR
        value DOUBLE
        event_id VARCHAR
        loaded_at TIMESTAMP
        user_id VARCHAR
        text VARCHAR
        item VARCHAR
    """),
    ("customer_id", "ts", "event"),
)

CUSTOMERS = Table(
    "one version of a customer's attributes (one row per customer without `valid_from`)",
    _columns("""
        customer_id VARCHAR
        customer_name VARCHAR
        owner VARCHAR
        segment VARCHAR
        signed_up_at TIMESTAMP
        valid_from TIMESTAMP
        loaded_at TIMESTAMP
    """),
    ("customer_id", "valid_from"),
)

SUBSCRIPTIONS = Table(
    "one version of a customer's subscription; price_month in `currency` a month",
    _columns("""
        customer_id VARCHAR
        start_date DATE
        end_date DATE
        term_start DATE
        term_end DATE
        plan VARCHAR
        seats DOUBLE
        price_month DOUBLE
        currency VARCHAR
        valid_from TIMESTAMP
        loaded_at TIMESTAMP
    """),
    ("customer_id", "start_date", "valid_from"),
)

CONTACTS = Table(
    "one contact with a customer",
    _columns("""
        customer_id VARCHAR
        contacted_at TIMESTAMP
        recorded_at TIMESTAMP
        channel VARCHAR
        result VARCHAR
        campaign VARCHAR
        propensity DOUBLE
    """),
    ("customer_id", "contacted_at"),
)

DATES = Table(
    "date, name: a number that the world outside has on a day (weather, outages, holidays, campaigns); "
    "of several rows the one that arrived last, without `loaded_at` known from its date on",
    _columns("""
        date DATE
        name VARCHAR
        value DOUBLE
        loaded_at TIMESTAMP
    """),
    ("name", "date", "loaded_at"),
)

REQUIRED = MappingProxyType(
    {
        "events": ("customer_id", "ts", "event"),
        "customers": ("customer_id",),
        "subscriptions": ("customer_id", "start_date"),
        "contacts": ("customer_id", "contacted_at"),
        "dates": ("date", "name", "value"),
    }
)
"""The columns without which a source table is refused."""

SOURCES = MappingProxyType(
    {
        "events": EVENTS,
        "customers": CUSTOMERS,
        "subscriptions": SUBSCRIPTIONS,
        "contacts": CONTACTS,
        "dates": DATES,
    }
)

SUMS = (
    "n",
    "n_person",
    "value_sum",
    "n_value",
    "negative_sum",
    "n_negative",
    "n_night",
    "n_other",
    *PLACES,
)
"""The columns of `daily` and `late` that add up over rows (integers; money in 1/10000).
`n_person` are the events that a person did: automated ones name nobody."""

MASKS = ("event_mask", "people_mask", "hour_mask")
"""The columns of `daily` and `late` that OR up over rows: bit = event type, person, hour of day."""

DAILY = Table(
    "customer, day: totals over every row of the day, known or not yet",
    MappingProxyType(
        {
            "customer_id": "VARCHAR",
            "day": "DATE",
            **dict.fromkeys((*SUMS, *MASKS), "BIGINT"),
            "first_known_on": "DATE",
            "last_known_on": "DATE",
        }
    ),
    ("customer_id", "day"),
)

PLACES_AT_ONCE = 8


def kept_places(n_event_types: int) -> tuple[str, ...]:
    """The places that a roll-up of so many event types writes: the next multiple of eight.

    Columns of zeros cost a third of the roll-up; a width that changed with every new event type
    would have every month rolled up again.
    """
    return PLACES[: max(1, -(-n_event_types // PLACES_AT_ONCE)) * PLACES_AT_ONCE]


def kept(table: Table, *, n_event_types: int) -> list[str]:
    """The columns of `DAILY` or `LATE` that a roll-up of so many event types writes."""
    left_out = set(PLACES) - set(kept_places(n_event_types))
    return [name for name in table.columns if name not in left_out]


LATE = Table(
    "customer, day, known_on: for each customer-day with a late row, all its rows by the first "
    "snapshot that knows them",
    MappingProxyType(
        {
            "customer_id": "VARCHAR",
            "day": "DATE",
            "known_on": "DATE",
            **dict.fromkeys((*SUMS, *MASKS), "BIGINT"),
            "last_known_on": "DATE",
        }
    ),
    ("customer_id", "day", "known_on"),
)

TEXTS = Table(
    "customer, day, known_on, text: the messages of event types that carry some (rollup.texts)",
    _columns("""
        customer_id VARCHAR
        day DATE
        known_on DATE
        text VARCHAR
        n BIGINT
    """),
    ("customer_id", "day", "known_on", "text"),
)

ITEMS = Table(
    "customer, day, known_on, item: what events were about, where the log has a column `item`",
    _columns("""
        customer_id VARCHAR
        day DATE
        known_on DATE
        item VARCHAR
        n BIGINT
    """),
    ("customer_id", "day", "known_on", "item"),
)

FIRST_DAYS = Table(
    "customer, day: the first day of each customer; where late rows came, also what was taken for it "
    "before (`first_known_on`: the first snapshot that knows of the day)",
    _columns("""
        customer_id VARCHAR
        day DATE
        first_known_on DATE
    """),
    ("customer_id", "day"),
)

SCORES = Table(
    "as_of, customer: calibrated probability of churn in the horizon, and in 2, 4, 8 and 12 weeks; "
    "act_before: the day by which half of the risk in the horizon has accrued",
    _columns("""
        as_of DATE
        customer_id VARCHAR
        risk DOUBLE
        risk_2w DOUBLE
        risk_4w DOUBLE
        risk_8w DOUBLE
        risk_12w DOUBLE
        act_before DATE
        rank BIGINT
        model_version VARCHAR
        features_version VARCHAR
    """),
    ("as_of", "rank"),
)

REASONS = Table(
    "as_of, customer, rank: one family of features that speaks for or against; log-odds. lift, "
    "coverage (shares), lead_time_days and evidence (those in words): how customers for whom it spoke "
    "fared in the model's backtest, null where nobody knows",
    _columns("""
        as_of DATE
        customer_id VARCHAR
        rank BIGINT
        family VARCHAR
        direction VARCHAR
        contribution DOUBLE
        sentence VARCHAR
        lift DOUBLE
        lead_time_days DOUBLE
        coverage DOUBLE
        evidence VARCHAR
    """),
    ("as_of", "customer_id", "rank"),
)

BACKTEST_REASONS = Table(
    "model version, origin, snapshot, customer, family: what the model that was trained at the origin "
    "says of a test row (contribution in log-odds), whether it may speak (strong enough, with a "
    "sentence), the outcome, and how many rows of the backtest this one stands for",
    _columns("""
        origin DATE
        snapshot DATE
        customer_id VARCHAR
        family VARCHAR
        direction VARCHAR
        contribution DOUBLE
        may_speak BOOLEAN
        label DOUBLE
        weight DOUBLE
    """),
    ("origin", "snapshot", "customer_id", "family"),
)

ASSIGNMENTS = Table(
    "customer, 26-week block (its first day): in which arm, since which list, with what chance of "
    "being held out, and what was known then (risks as probabilities, value_month in currency a month)",
    _columns("""
        customer_id VARCHAR
        block DATE
        as_of DATE
        arm VARCHAR
        propensity DOUBLE
        is_pilot BOOLEAN
        risk DOUBLE
        risk_8w DOUBLE
        value_month DOUBLE
        owner VARCHAR
        model_version VARCHAR
    """),
    ("as_of", "customer_id"),
)

OUTCOMES = Table(
    "list, customer: what CS recorded; recorded_as_of is the snapshot at which it was imported, "
    "family that of the main reason that the verdict is about",
    _columns("""
        as_of DATE
        customer_id VARCHAR
        list_id VARCHAR
        contacted BOOLEAN
        outcome VARCHAR
        verdict VARCHAR
        note VARCHAR
        family VARCHAR
        play VARCHAR
        recorded_as_of DATE
    """),
    ("as_of", "customer_id"),
)

LIST_COLUMNS = (
    "rank",
    "customer_id",
    "customer_name",
    "owner",
    "status",
    "weeks_on_list",
    "act_before",
    "risk",
    "risk_8w",
    "risk_change",
    "times_average",
    "value_month",
    "at_stake",
    "priority",
    "reason_1",
    "reason_2",
    "reason_3",
    "protects",
    "suggested_play",
    "last_contact",
    "confidence",
    "as_of",
    "currency",
    "model_version",
    "list_id",
    "contacted",
    "outcome",
    "verdict",
    "note",
)
"""The retention list as CS gets it, in order; the last four are what CS fills in."""

FEEDBACK_COLUMNS = LIST_COLUMNS[-4:]
