"""What goes wrong in real logs, done to a week of clean events."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.simulate.clock import dates_of
from churn.simulate.draws import Draw, generator
from churn.simulate.events import delay_us, event_ids, event_table, random_times, rows_of
from churn.simulate.moments import Moment
from churn.simulate.static import customer_ids
from churn.simulate.world import Defects, World


def damage(
    world: World, seed: int, moment: Moment, events: pa.Table, names: dict[str, pa.Array]
) -> pa.Table:
    """Break a week as the switches say; without one the same table comes back."""
    d, week = world.defects, moment.when.week
    if d == replace(Defects(), broken_line_share=d.broken_line_share,
                    formula_name_share=d.formula_name_share):  # fmt: skip
        return events
    rng = generator(seed, Draw.DEFECTS, week + 1)
    is_late = rng.random(events.num_rows) < d.late_share
    days_late = rng.uniform(0.5, d.late_days_max, events.num_rows) * is_late
    later = pa.array((days_late * 86_400).astype("timedelta64[s]").astype("timedelta64[us]"))
    events = _put(events, "loaded_at", pc.add(events["loaded_at"], later))
    events = _put(events, "ts", _skewed(world, seed, events))
    events = _without_outage(world, events)
    robots = [
        _robots(world, seed, moment, names, "bot", d.n_bots, d.bot_events_day),
        _robots(world, seed, moment, names, "tester", d.n_testers, d.tester_events_day),
    ]
    copies = np.flatnonzero(rng.random(events.num_rows) < d.duplicate_share)
    events = pa.concat_tables([events, events.take(pa.array(copies)), *robots])
    return events.sort_by([("ts", "ascending"), ("event_id", "ascending")])


def _put(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _skewed(world: World, seed: int, events: pa.Table) -> Any:
    """Event times of customers whose clock is fast: their `ts` lies after `loaded_at`."""
    d = world.defects
    is_fast = generator(seed, Draw.DEFECTS).random(world.n_customers) < d.skewed_customer_share
    fast = pc.is_in(events["customer_id"], customer_ids(world, np.flatnonzero(is_fast)))
    shift = pa.scalar(np.timedelta64(int(d.skew_hours * 3600), "s").astype("m8[us]").item())
    return pc.if_else(fast, pc.add(events["ts"], pc.cast(shift, pa.duration("us"))), events["ts"])


def _without_outage(world: World, events: pa.Table) -> pa.Table:
    """Drop one event type for one day, as when a source does not deliver."""
    d = world.defects
    if d.outage_day < 0:
        return events
    day = dates_of(world, np.array(d.outage_day))
    same_day = pc.equal(pc.cast(pc.floor_temporal(events["ts"], unit="day"), pa.date32()),
                        pa.scalar(day.item(), pa.date32()))  # fmt: skip
    lost = pc.and_(same_day, pc.equal(events["event"], d.outage_event))
    return events.filter(pc.invert(lost))


def _robots(
    world: World, seed: int, moment: Moment, names: dict[str, pa.Array], kind: str, n: int,
    per_day: int,
) -> pa.Table:  # fmt: skip
    """Bots, or test users of our own, that click in customers' accounts around the clock.

    Each keeps to one account at a time; `user_id` starts with `bot-` or `tester-`.
    """
    week = moment.when.week
    rng = generator(seed, Draw.DEFECTS, 2_000_000 + 2 * week + (kind == "bot"))
    homes = np.flatnonzero(moment.is_exposed & (moment.leave_day == 7))
    n = n if homes.size else 0
    robot = np.repeat(np.arange(n), 7 * per_day)
    day = np.tile(np.repeat(np.arange(7), per_day), n)
    customer = rng.choice(homes, n)[robot] if n else robot
    event = rng.integers(0, 2, robot.size)
    rows = rows_of(customer, random_times(week, day, rng), event)
    delay = delay_us(world, robot.size, rng)
    ids = {**names, "event_id": event_ids(kind[0].upper(), week, robot.size)}
    table = event_table(world, rows, rows.ts_us + delay, ids)
    number = pc.cast(pa.array(robot), pa.string())
    return _put(table, "user_id", pc.binary_join_element_wise(kind, number, "-"))
