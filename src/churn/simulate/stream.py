"""The world as a stream of weeks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from churn.simulate.contacting import Contacting
from churn.simulate.defects import damage
from churn.simulate.draws import Draw, generator
from churn.simulate.events import delay_us, event_ids, event_table
from churn.simulate.habits import Crowd, Habits, draw_crowd, first_habits, next_habits
from churn.simulate.moments import Moment, moments_of
from churn.simulate.process import population
from churn.simulate.sides import contacts, on_list, truth, versions
from churn.simulate.static import Static, customer_ids
from churn.simulate.usage import week_rows
from churn.simulate.world import World


@dataclass(frozen=True)
class Week:
    """What a week brings: its events, new contract versions and contacts, and its truth.

    `events` is ordered by `ts`, `event_id`; `truth` (one row per customer present) is for a
    folder that no stage reads: `is_subscribed` on Monday, `hazard` of the week, the state that
    the hazard came from. `listed` has who was on a team's list, and who was held out of it.
    """

    week: int
    monday: np.datetime64
    events: pa.Table
    subscriptions: pa.Table
    contacts: pa.Table
    listed: pa.Table
    truth: pa.Table


def simulate(world: World, *, seed: int, contacting: Contacting | None = None) -> Iterator[Week]:
    """Stream the world a week at a time; memory holds one week of events. With `contacting` a team
    contacts the top of a list every week, which no table but `listed` says.

    The side tables are the concatenation of all weeks' `subscriptions` and `contacts`, and
    `customers(world, seed=seed)`.

    >>> small = World(n_customers=200, n_weeks=2)
    >>> [week.monday.item().isoformat() for week in simulate(small, seed=1)]
    ['2025-01-06', '2025-01-13']
    """
    who, state = population(world, seed=seed)
    ids = customer_ids(world, np.arange(world.n_customers))
    crowd = draw_crowd(world, who, generator(seed, Draw.PEOPLE))
    habits = first_habits(crowd, world, who, generator(seed, Draw.USAGE))
    moments = moments_of(world, who, state, seed=seed, contacting=contacting)
    for week, moment in zip(range(world.n_weeks), moments, strict=False):
        habits = next_habits(habits, crowd, world, moment, generator(seed, Draw.PEOPLE, week + 1))
        yield Week(
            week=week,
            monday=np.datetime64(world.start, "D") + 7 * week,
            events=_events(world, seed, who, moment, habits, crowd, ids),
            subscriptions=versions(world, seed, who, moment, ids),
            contacts=contacts(world, seed, moment, ids),
            listed=on_list(moment, ids),
            truth=truth(moment, ids),
        )


def _events(
    world: World, seed: int, who: Static, moment: Moment, habits: Habits, crowd: Crowd,
    ids: pa.Array,
) -> pa.Table:  # fmt: skip
    """The week's events in order of `ts`, then `event_id`, with the defects that are on."""
    week = moment.when.week
    rng = generator(seed, Draw.USAGE, week + 1)
    rows = week_rows(world, who, moment, habits, crowd, rng)
    delay = delay_us(world, rows.ts_us.size, generator(seed, Draw.ARRIVAL, week))
    names = {"customer_id": ids, "event_id": event_ids("E", week, rows.ts_us.size)}
    clean = event_table(world, rows, rows.ts_us + delay, names)
    return damage(world, seed, moment, clean, names)
