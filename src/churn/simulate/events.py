"""What an event is: its kinds and texts, rows as parallel arrays, and the Arrow table."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.simulate.clock import DAY_US, times_of
from churn.simulate.draws import Array
from churn.simulate.world import World

EVENTS = (
    "login", "core_action", "report_view", "dashboard_share", "data_export", "comment",
    "mobile_view", "integration_sync", "billing_view", "advanced_feature", "error", "api_call",
    "support_ticket", "invoice", "payment_failed", "plan_change", "seat_change",
)  # fmt: skip
CODE = {name: code for code, name in enumerate(EVENTS)}

ERRORS = ("HTTP 500", "HTTP 502", "HTTP 503", "HTTP 504 timeout", "E1021 sync failed")
_COMPLAINTS = (
    "Import failed again and nobody answered my last ticket.",
    "The report shows wrong totals since the update.",
    "Third outage this month, this is blocking our team.",
    "Export times out, we lost half a day.",
    "Still waiting for a fix of the sync problem.",
)
_QUESTIONS = (
    "How do I add a colleague to our workspace?",
    "Can the weekly report be sent as PDF?",
    "Where can I change the billing address?",
    "Please explain the new permissions.",
    "Is there an endpoint for bulk updates?",
)
_PAYMENT = ("card declined",)
TEXTS = (*ERRORS, *_COMPLAINTS, *_QUESTIONS, *_PAYMENT)
AT_COMPLAINTS = len(ERRORS)
AT_QUESTIONS = AT_COMPLAINTS + len(_COMPLAINTS)
AT_PAYMENT = AT_QUESTIONS + len(_QUESTIONS)


@dataclass(frozen=True)
class Rows:
    """Events as parallel arrays; `text` is a place in TEXTS or -1, `person` -1 for nobody."""

    customer: Array
    ts_us: Array
    event: Array
    value: Array
    text: Array
    person: Array


def rows_of(
    customer: Array, ts_us: Array, event: Any, *, value: Any = np.nan, text: Any = -1,
    person: Any = -1,
) -> Rows:  # fmt: skip
    n = customer.size
    return Rows(
        customer, ts_us, *(np.broadcast_to(column, n) for column in (event, value, text, person))
    )


def stack(parts: list[Rows]) -> Rows:
    names = [f.name for f in fields(Rows)]
    return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def random_times(
    week: int, day: Array, rng: np.random.Generator, hours: Array | None = None
) -> Array:
    """Random times on days of a week, µs from `World.start`, whole milliseconds."""
    u = rng.random(day.size)
    if hours is not None:
        share = np.concatenate([[0.0], np.cumsum(hours) / hours.sum()])
        u = np.interp(u, share, np.linspace(0, 1, share.size))
    milliseconds = np.minimum((u * 86_400_000).astype(np.int64), 86_399_999)
    return (7 * week + day) * DAY_US + milliseconds * 1000


def delay_us(world: World, size: int, rng: np.random.Generator) -> Array:
    """How long an event takes to arrive: minutes, always under six hours; whole seconds."""
    u = world.usage
    draw = rng.lognormal(u.arrival_minutes_mean_log, u.arrival_minutes_sd_log, size)
    return ((2 + draw).clip(max=355) * 60).astype(np.int64) * 1_000_000


def event_ids(prefix: str, week: int, size: int) -> pa.Array:
    number = pc.cast(pa.array(week * 10**8 + np.arange(size)), pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(number, 11, "0"), "")


def event_table(world: World, rows: Rows, loaded_us: Array, names: dict[str, pa.Array]) -> pa.Table:
    """Arrow columns of the contract, in the order of `rows`."""
    customer_id = names["customer_id"].take(pa.array(rows.customer))
    number = pc.cast(pa.array(rows.person, mask=rows.person < 0), pa.string())
    text = pa.array(rows.text, mask=rows.text < 0)
    return pa.table({
        "customer_id": customer_id,
        "ts": times_of(world, rows.ts_us),
        "event": pa.array(EVENTS).take(pa.array(rows.event)),
        "value": pa.array(rows.value, mask=np.isnan(rows.value)),
        "event_id": names["event_id"],
        "loaded_at": times_of(world, loaded_us),
        "user_id": pc.binary_join_element_wise(customer_id, number, "-U"),
        "text": pa.array(TEXTS).take(text),
    })  # fmt: skip
